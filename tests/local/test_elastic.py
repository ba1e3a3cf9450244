"""Elastic jobs on real agents: they start with the minimum, grow, shrink and lose pods; who goes on, and as what.

A test plays the operator: it starts pods and tells them to go.
"""

from __future__ import annotations

import os
import signal
import sys

import pytest

ELASTIC = {"restart_scope": "Failed", "max_replicas": 4}
QUICK = "Patience(grow_seconds=0.5)"
UNTIL_DONE = """
trap 'echo saved; exit 0' TERM
echo $RANK of $WORLD_SIZE in $TRIREME_GENERATION
while [ ! -e done ]; do sleep 0.05; done
"""


def shell(job, *indices: int, minimum: int = 2, wanted: int = 2, life: int = 0, **options):
    return job.start(
        ["sh", "-c", UNTIL_DONE], replicas=wanted, min_replicas=minimum, indices=indices, life=life, patience=QUICK,
        **ELASTIC, **options,
    )  # fmt: skip


def finish(job, *pods) -> list[tuple[int, list[str]]]:
    (job.folder / "done").touch()
    ended = [pod.wait() for pod in pods]
    (job.folder / "done").unlink()
    return [(end.code, end.stdout) for end in ended]


def test_the_minimum_is_enough_and_newcomers_make_it_grow(job):
    pods = shell(job, 0, 1)
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] {rank} of 2 in 1")
    pods += shell(job, 2)
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] {rank} of 3 in 2")
    assert finish(job, *pods) == [(0, [])] * 3


def test_who_is_told_to_go_is_not_waited_for(job):
    pods = shell(job, 0, 1, 2, wanted=3)
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] {rank} of 3 in 1")
    leaver = pods.pop()
    leaver.process.send_signal(signal.SIGTERM)
    assert leaver.wait().stdout == ["[2] saved"]
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] {rank} of 2 in 2")
    assert finish(job, *pods) == [(0, [])] * 2


def test_a_lost_pod_above_the_minimum_does_not_stop_the_others(job):
    pods = shell(job, 0, 1, 2, wanted=3)
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] {rank} of 3 in 1")
    os.kill(job.rank(1), signal.SIGKILL)
    assert pods.pop(1).wait().code == 137
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] {rank} of 2 in 2")
    assert finish(job, *pods) == [(0, [])] * 2


def test_below_the_minimum_it_waits(job):
    first, second = shell(job, 0, 1)
    first.wait_for("[0] 0 of 2 in 1")
    second.process.kill()
    second.wait()
    (successor,) = shell(job, 1, life=1)
    first.wait_for("[0] 0 of 2 in 2")
    successor.wait_for("[1] 1 of 2 in 2")
    assert finish(job, first, successor) == [(0, [])] * 2


HOROVOD = """
import os, time
import horovod.torch as hvd, torch
import trireme_worker.elastic
from horovod.torch.elastic import run, TorchState
hvd.init()
state = TorchState(steps=0)
trireme_worker.elastic.watch(state)
me = os.environ["TRIREME_INDEX"]

@run
def train(state):
    print(f"pod {me} pid {os.getpid()} is {hvd.rank()} of {hvd.size()}", flush=True)
    done = torch.zeros(1)
    while not hvd.allreduce(done, name="done", op=hvd.Sum):
        state.steps += 1
        time.sleep(0.02)
        done = torch.tensor([float(os.path.exists("done"))])
        state.commit()

train(state)
print(f"pod {me} has done {state.steps}", flush=True)
"""


def horovod(job, *indices: int, minimum: int = 2, wanted: int = 2, life: int = 0, script: str = HOROVOD):
    return job.start(
        [sys.executable, "-c", script], replicas=wanted, min_replicas=minimum, indices=indices, life=life,
        patience=QUICK, HOROVOD_ELASTIC="1", **ELASTIC,
    )  # fmt: skip


def become(pods, size: int) -> list[str]:
    """What the pods' processes become, in the pods' order: `pod 2 pid 77 is 1 of 3`, without the size."""
    return [pod.wait_for_output(f"of {size}").split("] ")[1].removesuffix(f" of {size}") for pod in pods]


@pytest.fixture
def needs_horovod():
    pytest.importorskip("horovod")


def ranks(lines: list[str]) -> list[int]:
    return [int(line.rpartition(" is ")[2]) for line in lines]


def gone_on(before: list[str], after: list[str]) -> list[int]:
    """Ranks of processes that were there before."""
    known = {line.rpartition(" is ")[0] for line in before}
    return sorted(ranks([line for line in after if line.rpartition(" is ")[0] in known]))


@pytest.mark.usefixtures("needs_horovod")
@pytest.mark.parametrize("victim", [pytest.param(1, id="a worker"), pytest.param(0, id="the coordinator's")])
def test_horovod_processes_go_on_when_one_of_three_is_killed(job, victim):
    pods = horovod(job, 0, 1, 2, wanted=3)
    before = become(pods, 3)
    os.kill(job.rank(victim), signal.SIGKILL)
    assert pods.pop(victim).wait().code == 137
    if victim == 1:
        assert gone_on(before, become(pods, 2)) == [0, 1]
    (successor,) = horovod(job, victim, life=1, wanted=3)
    again = become([*pods, successor], 3)
    assert (sorted(ranks(again)), gone_on(before, again)) == ([0, 1, 2], [0, 1])
    ended = finish(job, *pods, successor)
    assert [code for code, _ in ended] == [0, 0, 0]
    assert len({line.rpartition(" has done ")[2] for _, lines in ended for line in lines}) == 1


@pytest.mark.usefixtures("needs_horovod")
def test_horovod_processes_go_on_when_a_pod_leaves(job):
    pods = horovod(job, 0, 1, 2, wanted=3)
    before = become(pods, 3)
    leaver = pods.pop()
    leaver.process.send_signal(signal.SIGTERM)
    leaver.wait()
    after = become(pods, 2)
    assert gone_on(before, after) == [0, 1]
    assert [code for code, _ in finish(job, *pods)] == [0, 0]


@pytest.mark.usefixtures("needs_horovod")
def test_an_unwatched_state_takes_newcomers_after_a_failure_only(job):
    script = HOROVOD.replace("trireme_worker.elastic.watch(state)\n", "")
    pods = horovod(job, 0, 1, script=script)
    become(pods, 2)
    (newcomer,) = horovod(job, 2, script=script)
    newcomer.wait_for_agent("waiting for the next generation")
    os.kill(job.rank(1), signal.SIGKILL)
    assert pods.pop(1).wait().code == 137
    assert sorted(ranks(become([*pods, newcomer], 2))) == [0, 1]
    assert [code for code, _ in finish(job, *pods, newcomer)] == [0, 0]
