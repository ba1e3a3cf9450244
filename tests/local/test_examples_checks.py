"""The judge of the collectives example: right answers pass, and each wrong one is seen and told apart."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor
from trireme_worker.examples import collectives
from trireme_worker.examples.collectives_checks import checks, mismatch

OPERATIONS = ["allreduce", "grouped_allreduce", "allgather", "broadcast", "reducescatter", "alltoall"]


@dataclasses.dataclass
class Alone:
    """A group of one rank, for which every collective is the identity, except `broken`, which adds one."""

    broken: str = ""
    name: str = "all"
    rank: int = 0
    ranks: tuple[int, ...] = (0,)
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    def allreduce(self, tensor: Tensor, op: str) -> Tensor:
        return tensor + (self.broken == "allreduce")

    def grouped_allreduce(self, tensors: list[Tensor]) -> list[Tensor]:
        return [tensor + (self.broken == "grouped_allreduce") for tensor in tensors]

    def allgather(self, tensor: Tensor) -> Tensor:
        return tensor + (self.broken == "allgather")

    def broadcast(self, tensor: Tensor, root: int) -> Tensor:
        return tensor + (self.broken == "broadcast")

    def reducescatter(self, tensor: Tensor) -> Tensor:
        return tensor + (self.broken == "reducescatter")

    def alltoall(self, tensor: Tensor, splits: list[int]) -> tuple[Tensor, Tensor]:
        return tensor + (self.broken == "alltoall"), torch.tensor(splits)

    def barrier(self) -> None: ...


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """What the example has reported."""
    said: list[dict[str, int]] = []
    monkeypatch.setattr(collectives, "report", lambda **values: said.append(values))
    return said


def test_right_answers_pass(reports: list[dict[str, int]], capsys: pytest.CaptureFixture[str]) -> None:
    assert collectives.run(list(checks(Alone())), rank=0) == 0
    assert reports == [{"step": step, "total_steps": 26, "checks": step} for step in range(1, 27)]
    out, err = capsys.readouterr()
    assert (out.splitlines()[-1], err) == ("26 of 26 checks passed on rank 0", "")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_wrong_collective_fails_its_own_checks_and_no_others(
    operation: str, reports: list[dict[str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    todo = list(checks(Alone(broken=operation)))
    hit = [check for check in todo if check.op.split(",")[0].replace(" ", "_").startswith(operation)]
    assert collectives.run(todo, rank=0) == 1
    assert reports[-1] == {"step": 26, "total_steps": 26, "checks": 26 - len(hit)}
    complaints = capsys.readouterr().err.splitlines()
    assert [line.partition(" in group all: rank 0: ")[0] for line in complaints] == [
        f"{check.op} {str(check.sample.dtype).removeprefix('torch.')}" for check in hit
    ]


def test_a_barrier_that_does_not_wait_is_seen() -> None:
    (barrier,) = (check for check in checks(Alone(ranks=(0, 1))) if check.op == "barrier")
    assert mismatch(barrier.expected, barrier.run()) == "result[]: expected True, got False (1 of 1 elements differ)"


def test_only_rank_0_prints_the_table(reports: list[dict[str, int]], capsys: pytest.CaptureFixture[str]) -> None:
    assert collectives.run(list(checks(Alone())), rank=1) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("expected", "got", "told"),
    [
        ([[1, 2]], [[1, 2]], None),
        ([[1.0, 2.0]], [[1.0, 2.0000001]], None),
        ([[1.0, 2.0]], [[1.0, 2.001]], "result[1]: expected 2.0, got 2.000999927520752 (1 of 2 elements differ)"),
        ([[1.0]], [[float("nan")]], "result[0]: expected 1.0, got nan (1 of 1 elements differ)"),
        ([[1], [5, 6]], [[1], [6, 5]], "tensor 1[0]: expected 5, got 6 (2 of 2 elements differ)"),
        ([[[1, 2], [3, 4]]], [[[1, 2], [3, 0]]], "result[1, 1]: expected 4, got 0 (1 of 4 elements differ)"),
        ([[1, 2]], [[1, 2, 3]], "result: expected [2] torch.int64, got [3] torch.int64"),
        ([[1, 2]], [[1.0, 2.0]], "result: expected [2] torch.int64, got [2] torch.float32"),
        ([[1], [2]], [[1]], "expected 2 tensors, got 1"),
    ],
    ids=["equal", "rounding", "off", "nan", "second tensor", "place", "shape", "dtype", "number of tensors"],
)
def test_mismatch_tells_the_first_difference(expected: list[list[float]], got: list[list[float]], told: str) -> None:
    assert mismatch([torch.tensor(each) for each in expected], [torch.tensor(each) for each in got]) == told
