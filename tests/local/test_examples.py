"""The examples under real agents, for each backend, in the shapes that their YAML has not: `test_run` runs that."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from trireme.contract import wire

if TYPE_CHECKING:
    from conftest import Ended, Job

EXAMPLES = "trireme_worker.examples"
BREAK_BROADCAST = f"""
import sys, torch.distributed
torch.distributed.broadcast = lambda *args, **kwargs: None
from {EXAMPLES} import collectives
sys.exit(collectives.main(["--backend", "torch"]))
"""


def run(job: Job, slots: Sequence[int], *arguments: str) -> list[Ended]:
    """One pod per entry of `slots`, with so many Python processes; waits until all pods have ended."""
    command = [sys.executable, *arguments]
    pods = [
        job.start(command, replicas=len(slots), slots=count, indices=[index])[0] for index, count in enumerate(slots)
    ]
    return [pod.wait() for pod in pods]


def said(lines: Sequence[str], rank: int) -> list[str]:
    prefix = f"[{rank}] "
    return [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]


def progress(pods: Sequence[Ended]) -> wire.Progress:
    """The job's last progress, from worker 0's termination message."""
    last_word = pods[0].termination
    assert last_word is not None
    assert last_word.progress is not None
    return last_word.progress


@pytest.mark.parametrize("example", ["digits_horovod", "digits_torch"])
def test_digits_are_learned_by_one_process(job: Job, example: str) -> None:
    (pod,) = run(job, [1], "-m", f"{EXAMPLES}.{example}")
    assert pod.code == 0, pod
    reached = progress([pod])
    steps = 15 * -(-1437 // 16)
    assert (reached.step, reached.total_steps) == (steps, steps)
    accuracy = reached.metrics["accuracy"]
    assert accuracy >= 0.95
    (verdict,) = said(pod.stdout, rank=0)
    assert re.fullmatch(rf"trained in \d+\.\d s, test accuracy {accuracy:.4f}", verdict)


def test_a_model_that_has_not_learned_fails_its_job(job: Job) -> None:
    (pod,) = run(job, [1], "-m", f"{EXAMPLES}.digits_torch", "--epochs", "1", "--lr", "1e-9")
    assert pod.code == 1
    assert pod.termination is not None
    failure = pod.termination.failure
    assert failure is not None
    assert failure.rank == 0
    assert re.fullmatch(r"test accuracy 0\.\d{4} is below 0\.95: the model has not learned", failure.log_tail[-1])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--epochs", "0"], "argument --epochs: must be greater than 0, got 0"),
        (["--batch-size", "many"], "argument --batch-size: invalid int value: 'many'"),
        (["--lr", "nan"], "argument --lr: must be greater than 0, got nan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_digits_refuse_arguments_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    from trireme_worker.examples import digits

    with pytest.raises(SystemExit, match="2"):
        digits.arguments(arguments)
    assert capsys.readouterr().err.endswith(f"error: {complaint}\n")


@pytest.mark.parametrize("slots", [(1,), (1, 2)], ids=str)
@pytest.mark.parametrize("backend", ["horovod", "torch"])
def test_every_collective_gives_its_closed_form(job: Job, backend: str, slots: Sequence[int]) -> None:
    pods = run(job, slots, "-m", f"{EXAMPLES}.collectives", "--backend", backend)
    assert [pod.code for pod in pods] == [0] * len(pods), pods
    checks = 26 if slots == (1,) else 2 * 26  # a rank is in the whole job and, unless alone, in one process set
    head, *rows, summary = said(pods[0].stdout, rank=0)
    assert head.split() == ["op", "group", "dtype", "elements", "ok"]
    assert [row.split()[-1] for row in rows] == ["yes"] * checks
    assert summary == f"{checks} of {checks} checks passed on rank 0"
    assert progress(pods) == wire.Progress(step=checks, total_steps=checks, metrics={"checks": checks})


def test_a_broken_collective_is_named_by_every_rank_that_it_hits(job: Job) -> None:
    pods = run(job, [1, 1], "-c", BREAK_BROADCAST)
    told = "broadcast, every root int64 in group all: {} (1000 of 1000 elements differ)"
    assert told.format("rank 0: tensor 1[0]: expected 2, got 1") in said(pods[0].stderr, rank=0)
    assert told.format("rank 1: tensor 0[0]: expected 1, got 2") in said(pods[1].stderr, rank=1)
    assert 1 in [pod.code for pod in pods], pods
