"""Horovod and torch.distributed find each other through real agents: no ssh, no mpirun, nothing but the environment."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from trireme.contract import exits, wire

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("default")

HOROVOD = """
import horovod.torch as hvd, torch
hvd.init()
total = hvd.allreduce(torch.tensor([1.0 + hvd.rank()]), op=hvd.Sum)
print(hvd.rank(), hvd.size(), hvd.local_rank(), hvd.local_size(), hvd.cross_rank(), hvd.cross_size(), total.item())
"""
TORCH = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
total = torch.tensor([1.0 + dist.get_rank()])
dist.all_reduce(total)
print(dist.get_rank(), dist.get_world_size(), os.environ["LOCAL_RANK"], total.item())
dist.destroy_process_group()
"""
AGAIN = """
import horovod.torch as hvd, torch
for _ in range(2):
    hvd.init()
    print(hvd.allreduce(torch.ones(1), op=hvd.Sum).item())
    hvd.shutdown()
"""
VICTIM = """
import os, signal
import horovod.torch as hvd, torch
hvd.init()
if hvd.rank() == 1:
    os.kill(os.getpid(), signal.SIGKILL)
hvd.allreduce(torch.ones(1))
"""


def lines(ended) -> list[str]:
    assert [end.code for end in ended] == [0] * len(ended), ended
    return sorted(line for end in ended for line in end.stdout)


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        pytest.param(1, ["[0] 0 2 0 1 0 2 3.0", "[1] 1 2 0 1 1 2 3.0"], id="2 pods x 1"),
        pytest.param(
            2,
            ["[0] 0 4 0 2 0 2 10.0", "[1] 1 4 1 2 0 2 10.0", "[2] 2 4 0 2 1 2 10.0", "[3] 3 4 1 2 1 2 10.0"],
            id="2 pods x 2",
        ),
    ],
)
def test_horovod_allreduce(job, slots, expected):
    pytest.importorskip("horovod")
    assert lines(job.run([sys.executable, "-c", HOROVOD], slots=slots)) == expected


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        pytest.param(1, ["[0] 0 2 0 3.0", "[1] 1 2 0 3.0"], id="2 pods x 1"),
        pytest.param(2, ["[0] 0 4 0 10.0", "[1] 1 4 1 10.0", "[2] 2 4 0 10.0", "[3] 3 4 1 10.0"], id="2 pods x 2"),
    ],
)
def test_torch_allreduce(job, slots, expected):
    assert lines(job.run([sys.executable, "-c", TORCH], slots=slots)) == expected


def test_horovod_initialises_again_with_fresh_keys(job):
    pytest.importorskip("horovod")
    assert lines(job.run([sys.executable, "-c", AGAIN])) == ["[0] 2.0", "[0] 2.0", "[1] 2.0", "[1] 2.0"]


def test_a_killed_rank_is_named_although_the_survivor_raises(job):
    pytest.importorskip("horovod")
    first, second = job.run([sys.executable, "-c", VICTIM])
    assert (first.code, second.code) == (exits.PEER_FAILED, exits.KILLED)
    assert wire.pod_label(first.termination.cause) == "worker-1"
    assert first.termination.cause.signal == "SIGKILL"


HOROVOD_TWICE = """
import os
import horovod.torch as hvd, torch
hvd.init()
print("ready", flush=True)
while os.environ["TRIREME_GENERATION"] == "1":
    hvd.allreduce(torch.ones(1), op=hvd.Sum)
print(hvd.rank(), hvd.allreduce(torch.ones(1), op=hvd.Sum).item())
"""
TORCH_TWICE = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
print("ready", flush=True)
total = torch.ones(1)
while os.environ["TRIREME_GENERATION"] == "1":
    dist.all_reduce(total)
dist.all_reduce(total)
print(dist.get_rank(), total.item())
dist.destroy_process_group()
"""


@pytest.mark.parametrize("victim", [pytest.param("rank", id="a rank"), pytest.param("pod", id="a pod")])
@pytest.mark.parametrize(
    ("module", "script"),
    [pytest.param("horovod", HOROVOD_TWICE, id="horovod"), pytest.param("torch", TORCH_TWICE, id="torch")],
)
def test_training_goes_on_with_the_successor_of_a_pod_that_was_lost(job, module, script, victim):
    """In the middle of an allreduce, so that the survivors fail too."""
    pytest.importorskip(module)
    command, scope = [sys.executable, "-c", script], {"restart_scope": "Failed"}
    pods = job.start(command, **scope)
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] ready")
    os.kill(job.rank(1) if victim == "rank" else pods[1].process.pid, signal.SIGKILL)
    pods[1].wait()
    (successor,) = job.start(command, indices=[1], life=1, **scope)
    assert lines([pods[0].wait(), successor.wait()]) == ["[0] 0 2.0", "[0] ready", "[1] 1 2.0", "[1] ready"]
