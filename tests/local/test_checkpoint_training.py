"""Training: ranks are threads here that share a directory, so that one of them can see it differently."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trireme_worker import checkpoint, reporter
from trireme_worker.checkpoint import training as module
from trireme_worker.checkpoint.folder import Folder
from trireme_worker.checkpoint.pace import VOTE_STEPS
from trireme_worker.reporter import Reporter

EVERY_STEP = checkpoint.Policy(every_seconds=None, every_steps=1, keep=2)
UNSHARED = "this rank does not see it: all pods must share the directory"


class Counter:
    """A part that holds one number."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


class Crew:
    """Ranks as threads; `peers` is what each of them gets for a meeting."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._said: list[bytes] = [b""] * size
        self._barrier = threading.Barrier(size, timeout=20)
        self._mine = threading.local()

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        """What each rank returned, or the CheckpointError that it raised."""

        def one(rank: int) -> Any:
            self._mine.rank = rank
            try:
                return work(rank)
            except checkpoint.CheckpointError as error:
                return error
            except BaseException:
                self._barrier.abort()
                raise

        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(one, range(self.size)))

    @property
    def rank(self) -> int:
        return int(self._mine.rank)

    def gather(self, mine: bytes) -> list[bytes]:
        self._said[self.rank] = mine
        self._barrier.wait()
        said = list(self._said)
        self._barrier.wait()
        return said

    def close(self) -> None:
        """Others may still be talking."""


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Crew]:
    def made(size: int) -> Crew:
        crew = Crew(size)
        monkeypatch.setattr(module.meeting, "meet", lambda: crew)
        return crew

    monkeypatch.setattr(module, "VISIBLE_SECONDS", 0.1)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module.rng, "restore", lambda state: None)  # threads have one generator between them
    return made


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "checkpoints")


@pytest.fixture
def alone(home: str) -> Iterator[Callable[..., checkpoint.Training]]:
    """A training of one process; SIGTERM is afterwards as it was."""
    before = signal.getsignal(signal.SIGTERM)
    yield lambda policy=EVERY_STEP, **parts: checkpoint.Training(directory=home, policy=policy, **parts)
    signal.signal(signal.SIGTERM, before)


def trained(home: str, crew: Crew, steps: int, **options: Any) -> None:
    """Checkpoints of steps 1.. by all ranks; rank r counts in hundreds of r + 1."""

    def work(rank: int) -> None:
        part = Counter()
        training = checkpoint.Training(directory=home, policy=EVERY_STEP, part=part, **options)
        training.resume()
        for step in range(1, steps + 1):
            part.value = 100 * (rank + 1) + step
            training.step(step)
        training.finish(steps)

    assert crew.run(work) == [None] * crew.size


def resumed(home: str, crew: Crew, **options: Any) -> list[Any]:
    """(step, value) of every rank, or why not."""

    def work(rank: int) -> Any:
        part = Counter()
        step = checkpoint.Training(directory=home, part=part, **options).resume()
        return (step, part.value)

    return [str(each) if isinstance(each, Exception) else each for each in crew.run(work)]


def test_nothing_is_saved_without_a_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIREME_CHECKPOINT_DIRECTORY", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    training = checkpoint.Training(part=Counter())
    assert training.resume() == 0
    training.step(1)
    training.finish(1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_parts_and_generators_come_back(alone: Callable[..., checkpoint.Training]) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    training = alone(model=model, optimizer=optimizer, schedule=schedule)
    assert training.resume() == 0
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    schedule.step()
    training.step(1)
    drawn = [random.random(), np.random.random(), torch.rand(1)]
    training.finish(1)

    again = torch.nn.Linear(3, 2)
    its = torch.optim.Adam(again.parameters())
    later = torch.optim.lr_scheduler.LambdaLR(its, lambda epoch: 0.5**epoch)
    assert alone(model=again, optimizer=its, schedule=later).resume() == 1
    assert [random.random(), np.random.random(), torch.rand(1)] == drawn
    assert torch.equal(again.weight, model.weight)
    assert torch.equal(its.state_dict()["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    assert (later.last_epoch, later.get_last_lr()) == (1, [0.0005])


def test_the_last_k_are_kept(home: str, alone: Callable[..., checkpoint.Training]) -> None:
    training = alone(part=Counter())
    training.resume()
    for step in range(1, 6):
        training.step(step)
    assert Folder(home).steps() == [5, 4]


def test_the_reporter_hears_of_it(monkeypatch: pytest.MonkeyPatch, alone: Callable[..., checkpoint.Training]) -> None:
    mine = Reporter("", "", 0)
    monkeypatch.setattr(reporter, "_present", mine)
    training = alone(part=Counter())
    training.resume()
    training.step(7)
    assert mine.progress().last_checkpoint_step == 7


def take_steps(training: checkpoint.Training, part: Counter) -> None:
    for part.value in range(2, 2 + VOTE_STEPS):
        training.step(part.value)


def test_after_sigterm_it_saves_at_the_next_vote_and_stops(
    home: str, alone: Callable[..., checkpoint.Training]
) -> None:
    part = Counter()
    training = alone(checkpoint.Policy(), part=part)
    training.resume()
    training.step(1)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(checkpoint.Stopped) as stopped:
        take_steps(training, part)
    assert stopped.value.code == 143
    assert Folder(home).steps() == [part.value]


def test_a_child_does_not_inherit_what_sigterm_means(alone: Callable[..., checkpoint.Training]) -> None:
    alone(part=Counter()).resume()
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b"!")  # by now what is to be forgotten in a child has been
        while True:
            time.sleep(0.01)
    assert os.read(ready, 1) == b"!"
    os.close(ready)
    os.close(told)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


@pytest.mark.parametrize("sharded", [(), ("part",)], ids=["rank 0 alone", "sharded"])
def test_every_rank_resumes_at_the_same_step(home: str, crew: Callable[[int], Crew], sharded: Any) -> None:
    trained(home, crew(3), 4, sharded=sharded)
    hundreds = (100, 200, 300) if sharded else (100, 100, 100)
    assert resumed(home, crew(3), sharded=sharded) == [(4, each + 4) for each in hundreds]


TORN = {
    "rank 0's file": "rank-00000.pt",
    "another rank's file": "rank-00001.pt",
    "the manifest": "manifest",
}


@pytest.mark.parametrize("name", TORN.values(), ids=TORN.keys())
def test_a_torn_one_is_passed_over_by_all(home: str, crew: Callable[[int], Crew], name: str) -> None:
    trained(home, crew(2), 4, sharded=("part",))
    os.truncate(Path(home) / "step-000000000004" / name, 50)
    assert resumed(home, crew(2), sharded=("part",)) == [(3, 103), (3, 203)]


def test_with_none_good_it_does_not_begin_anew(home: str, crew: Callable[[int], Crew]) -> None:
    trained(home, crew(2), 1)
    (Path(home) / "step-000000000001/rank-00001.pt").unlink()
    why = f"no checkpoint in {home} is good (step 1: rank 1: rank-00001.pt is missing); to begin anew, empty the "
    assert resumed(home, crew(2)) == [f"{why}directory"] * 2


def test_a_rank_that_sees_another_directory_is_told(
    home: str, crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(home, crew(2), 1)
    mine = crew(2)
    original = Folder.manifest
    monkeypatch.setattr(
        Folder,
        "manifest",
        lambda self, step: original(self if mine.rank == 0 else Folder("/nowhere"), step),
    )
    why = f"no checkpoint in {home} is good (step 1: rank 1: {UNSHARED}); to begin anew, empty the directory"
    assert resumed(home, mine) == [why] * 2


def test_another_number_of_processes_goes_on_with_what_all_have(home: str, crew: Callable[[int], Crew]) -> None:
    trained(home, crew(2), 4)
    assert resumed(home, crew(3)) == [(4, 104)] * 3


UNFIT: dict[str, tuple[int, dict[str, Any], str, str]] = {
    "another number of processes": (3, {"sharded": ("part",)}, "",
        "its sharded parts are of 2 processes, and there are 3 now"),
    "other sharded parts": (2, {}, "", "it has the sharded parts ['part'], and this training has []"),
    "another job": (2, {"sharded": ("part",)}, "theirs",
        "it is of job team/mine: give each job a directory of its own, or empty this one"),
    "a part that was not saved": (2, {"sharded": ("part",), "more": Counter()}, "",
        "it has no part ['more'], only ['part']"),
}  # fmt: skip


@pytest.mark.parametrize(("size", "options", "job", "why"), UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_fit_is_told_by_all(
    home: str, crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch,
    size: int, options: dict[str, Any], job: str, why: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("TRIREME_NAMESPACE", "team")
    monkeypatch.setenv("TRIREME_JOB", "mine")
    trained(home, crew(2), 4, sharded=("part",))
    monkeypatch.setenv("TRIREME_JOB", job)
    assert resumed(home, crew(size), **options) == [f"step 4 in {home}: rank 0: {why}"] * size


def test_a_periodic_save_that_fails_on_one_rank_is_a_warning_and_the_last_raises(
    home: str, crew: Callable[[int], Crew], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mine = crew(2)
    original = Folder.write

    def write(self: Folder, token: str, name: str, content: Any) -> Any:
        if mine.rank == 1:
            raise OSError(28, "No space left on device")
        return original(self, token, name, content)

    def work(rank: int) -> None:
        training = checkpoint.Training(directory=home, policy=EVERY_STEP, part=Counter())
        training.resume()
        training.step(1)
        if rank == 0:
            monkeypatch.setattr(Folder, "write", write)
        mine.gather(b"")
        training.step(2)
        training.finish(2)

    why = f"step 2 is not saved in {home}: rank 1: No space left on device; step 1 is still there"
    assert list(map(str, mine.run(work))) == [why] * 2
    assert [record.getMessage() for record in caplog.records] == [f"{why}; the training goes on"]
    assert sorted(os.listdir(home)) == ["step-000000000001"]


def test_what_only_an_unsafe_load_would_give_back_is_not_saved(
    home: str, alone: Callable[..., checkpoint.Training]
) -> None:
    training = alone(part=Counter(Counter))
    training.resume()
    why = "rank 0: part part is not only tensors, numbers, texts, lists and dicts: "
    with pytest.raises(checkpoint.SaveFailed, match=why):
        training.save(1)
    assert os.listdir(home) == []


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path, alone: Callable[..., checkpoint.Training]) -> None:
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(checkpoint.CannotResume, match="cannot be read: Not a directory"):
        alone(part=Counter()).resume()


def test_ranks_at_different_steps_are_told(home: str, crew: Callable[[int], Crew]) -> None:
    def work(rank: int) -> str:
        training = checkpoint.Training(directory=home, part=Counter())
        training.resume()
        with pytest.raises(ValueError, match=r"at different steps|at the same step, and they are at \[5, 6\]"):
            training.save(5 + rank)
        return "told"

    assert crew(2).run(work) == ["told"] * 2


def test_sharded_names_parts() -> None:
    with pytest.raises(ValueError, match=r"sharded names \['modle'\], and the parts are \['model'\]"):
        checkpoint.Training(sharded=("modle",), model=Counter())
