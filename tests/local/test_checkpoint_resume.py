"""Real trainings under real agents: interrupted and run again, they end with the same state, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from trireme_worker.checkpoint.folder import Folder

if TYPE_CHECKING:
    from conftest import Ended, Job

EPOCHS = 4
STEPS = EPOCHS * 45
SCRIPT = """
import os, random, signal
import numpy
from trireme_worker import checkpoint
from trireme_worker.examples import digits, {module}

random.seed(1)
numpy.random.seed(1)

digits.SAVING = checkpoint.Policy(every_seconds=None, every_steps=20)
done = checkpoint.Training.step

def step(self, number):
    done(self, number)
    if number == {at} and os.environ["RANK"] == "1":
        os.kill(os.getpid(), {signal})

checkpoint.Training.step = step
{module}.main()
"""
LOADER = """
import time, torch
from torch.utils.data import DataLoader, TensorDataset
from trireme_worker import checkpoint

batches = checkpoint.Batches(DataLoader(TensorDataset(torch.arange(1000.0)), 1, num_workers=2), epochs=1)
training = checkpoint.Training(data=batches)
step = training.resume()
for batch in batches:
    step += 1
    if step == 5:
        print("five", flush=True)
    time.sleep(0.01)
    training.step(step)
"""
SHARDED = """
import os, torch, torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from trireme_worker import checkpoint

dist.init_process_group("gloo")
torch.manual_seed(7)
model = torch.nn.Linear(4, 2)
fully_shard(model)
optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
training = checkpoint.Training(model=model, optimizer=optimizer, sharded=("model", "optimizer"))
for step in range(training.resume(), int(os.environ["STEPS"])):
    model(torch.randn(1, 4)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
training.finish(step + 1)
print(*model.weight.full_tensor().flatten().tolist(), flush=True)
os._exit(0)  # the mesh keeps gloo's threads: docs/checkpoints.md
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """It goes before the job looks for files that were left behind."""
    path = tmp_path / "checkpoints"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def train(job: Job, directory: Path, module: str, at: int = 0, number: int = 0) -> list[Ended]:
    """Two ranks of an example, `number` sent to rank 1 by itself behind step `at`."""
    script = SCRIPT.format(module=module, at=at, signal=number)
    command = [sys.executable, "-c", script, "--epochs", str(EPOCHS)]
    return job.run(command, TRIREME_CHECKPOINT_DIRECTORY=str(directory))


def steps(directory: Path) -> list[int]:
    return Folder(str(directory)).steps()


def state(directory: Path, rank: int) -> Any:
    """All of a rank's last checkpoint: parts and generators."""
    return torch.load(directory / f"step-{STEPS:012}" / f"rank-{rank:05}.pt", weights_only=True)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


INTERRUPTIONS = [
    # All save where they next vote, although only one rank has heard it.
    pytest.param("digits_torch", 67, signal.SIGTERM, range(68, 78), id="torch, SIGTERM"),
    pytest.param("digits_horovod", 67, signal.SIGKILL, [60], id="Horovod, SIGKILL"),
]


@pytest.mark.timeout(300)  # three trainings, and two cores may be busy with others
@pytest.mark.parametrize(("module", "at", "number", "saved"), INTERRUPTIONS)
def test_an_interrupted_training_ends_like_an_uninterrupted_one(
    job: Job, directory: Path, module: str, at: int, number: signal.Signals, saved: Sequence[int]
) -> None:
    whole, broken = directory / "whole", directory / "broken"
    assert [pod.code for pod in train(job, whole, module)] == [0, 0]
    # After SIGTERM all ranks end with it, and one of them is the first.
    assert 128 + number in [pod.code for pod in train(job, broken, module, at, number)]
    assert steps(broken)[0] in saved
    ended = train(job, broken, module)
    assert [pod.code for pod in ended] == [0, 0]
    assert steps(broken) == [STEPS, 160, 140]
    last_word = ended[0].termination
    assert last_word is not None
    assert last_word.progress is not None
    assert (last_word.progress.step, last_word.progress.last_checkpoint_step) == (STEPS, STEPS)
    assert [same(state(broken, rank), state(whole, rank)) for rank in range(2)] == [True, True]


def test_sigterm_of_the_pod_saves_although_the_loader_has_processes(job: Job, directory: Path) -> None:
    (pod,) = job.start(
        [sys.executable, "-c", LOADER], replicas=1, grace_seconds=10, TRIREME_CHECKPOINT_DIRECTORY=str(directory)
    )
    pod.wait_for("[0] five")
    pod.process.send_signal(signal.SIGTERM)
    ended = pod.wait()
    assert ended.code == 128 + signal.SIGTERM, ended
    (saved,) = steps(directory)
    assert 5 <= saved < 1000


def weights(pods: Sequence[Ended]) -> str:
    assert [pod.code for pod in pods] == [0] * len(pods), pods
    return pods[0].stdout[-1].partition("] ")[2]  # of whichever rank came last: all print the same


def test_a_sharded_training_goes_on_from_every_ranks_file(job: Job, directory: Path) -> None:
    def run(where: str, until: int) -> str:
        variables = {"TRIREME_CHECKPOINT_DIRECTORY": str(directory / where), "STEPS": str(until)}
        return weights(job.run([sys.executable, "-c", SHARDED], slots=2, replicas=1, **variables))

    run("broken", 2)
    assert sorted(os.listdir(directory / "broken/step-000000000002")) == ["manifest", "rank-00000.pt", "rank-00001.pt"]
    assert run("broken", 4) == run("whole", 4)
