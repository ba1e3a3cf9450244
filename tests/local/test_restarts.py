"""Real agents whose ranks and pods are lost: who stays, who exits, and the job that ends well all the same.

A test plays the operator: it starts the successor of a pod that ended.
"""

from __future__ import annotations

import os
import signal
import sys

import pytest
from trireme.contract import exits, wire

SCOPE = {"restart_scope": "Failed"}
UNTIL_RESTARTED = "echo ready $TRIREME_GENERATION; [ $TRIREME_GENERATION = 1 ] || exit 0; exec sleep 60"
"""Ranks of the first generation go on for ever, those of any later one are done."""


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def start(job, script: str = UNTIL_RESTARTED, *, replicas: int = 3, **options):
    """All pods, once their ranks run."""
    pods = job.start(shell(script), replicas=replicas, **SCOPE, **options)
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] ready 1")
    return pods


def successors(job, *indices: int, script: str = UNTIL_RESTARTED, replicas: int = 3, life: int = 1, **options):
    return job.start(shell(script), replicas=replicas, indices=indices, life=life, **SCOPE, **options)


def codes(*pods) -> list[int]:
    return [pod.wait().code for pod in pods]


def brief(failure: wire.Failure | None) -> tuple | None:
    return failure and (failure.index, failure.rank, failure.reason, failure.message)


@pytest.mark.parametrize("victim", [pytest.param(1, id="a worker"), pytest.param(0, id="the coordinator's")])
def test_a_killed_rank_costs_its_pod_alone(job, victim):
    pods = start(job)
    os.kill(job.rank(victim), signal.SIGKILL)
    lost = pods.pop(victim).wait()
    assert (lost.code, brief(lost.termination.failure)) == (
        exits.KILLED, (victim, victim, "Signal", "ended by SIGKILL"),
    )  # fmt: skip
    (successor,) = successors(job, victim)
    ended = [pod.wait() for pod in (*pods, successor)]
    assert [end.code for end in ended] == [0, 0, 0]
    assert all(any(line.endswith("ready 2") for line in end.stdout) for end in ended)


@pytest.mark.parametrize("victim", [pytest.param(1, id="a worker"), pytest.param(0, id="the coordinator")])
def test_a_killed_pod_is_replaced_before_anybody_noticed(job, victim):
    pods = start(job)
    lost = pods.pop(victim)
    lost.process.kill()
    lost.wait()
    (successor,) = successors(job, victim)
    assert codes(*pods, successor) == [0, 0, 0]


def test_several_killed_pods_are_one_loss(job):
    first, *others = start(job)
    for pod in others:
        pod.process.kill()
    for pod in others:
        pod.wait()
    assert codes(first, *successors(job, 1, 2)) == [0, 0, 0]


def test_of_two_ranks_killed_at_once_one_is_the_cause(job):
    first, *others = start(job)
    for process in [job.rank(1), job.rank(2)]:  # found first: the second is stopped soon after the first is killed
        os.kill(process, signal.SIGKILL)
    lost = 1 if "worker-1" in first.wait_for_agent("generation 1 has ended") else 2
    assert others.pop(lost - 1).wait().code == exits.KILLED
    assert codes(first, *others, *successors(job, lost)) == [0, 0, 0]


def test_a_pod_that_is_lost_while_the_next_generation_forms(job):
    first, second, third = start(job)
    os.kill(job.rank(1), signal.SIGKILL)
    assert second.wait().code == exits.KILLED
    third.process.kill()
    third.wait()
    assert codes(first, *successors(job, 2), *successors(job, 1)) == [0, 0, 0]


def test_a_second_coordinator_is_lost_too(job):
    script = UNTIL_RESTARTED.replace("= 1 ]", "-lt 3 ]")
    first, *others = start(job, script)
    first.process.kill()
    first.wait()
    (second,) = successors(job, 0, script=script)
    second.wait_for("[0] ready 2")
    second.process.kill()
    second.wait()
    assert codes(*others, *successors(job, 0, script=script, life=2)) == [0, 0, 0]


def test_a_successor_ends_a_predecessor_that_still_runs(job):
    first, second, third = start(job)
    (successor,) = successors(job, 1)
    replaced = second.wait()
    assert (replaced.code, brief(replaced.termination.failure)) == (
        exits.COORDINATOR_LOST, (1, None, exits.POD_REPLACED, "another pod of this name came while the job ran"),
    )  # fmt: skip
    assert codes(first, third, successor) == [0, 0, 0]


def test_ranks_that_ignore_sigterm_do_not_hold_the_next_generation_up(job):
    script = "trap '' TERM; " + UNTIL_RESTARTED.replace("exec sleep 60", "while :; do sleep 0.05; done")
    first, second = start(job, script, replicas=2, grace_seconds=1000)
    os.kill(job.rank(1), signal.SIGKILL)
    assert second.wait().code == exits.KILLED
    assert codes(first, *successors(job, 1, script=script, replicas=2)) == [0, 0]


SAVES = "trap 'echo saved; exit 0' TERM; " + UNTIL_RESTARTED.replace(
    "exec sleep 60", "while :; do read -t 0.05 x; sleep 0.05; done"
)


def test_all_ranks_may_save_when_a_pod_is_told_to_stop(job):
    first, second = start(job, SAVES, replicas=2)
    second.process.send_signal(signal.SIGTERM)
    told = second.wait()
    assert (told.code, told.stdout) == (exits.TERMINATED, ["[1] saved"])
    (successor,) = successors(job, 1, script=SAVES, replicas=2)
    stayed = first.wait()
    assert (stayed.code, stayed.stdout) == (0, ["[0] saved", "[0] ready 2"])
    assert successor.wait().code == 0


def test_who_cannot_start_again_says_so(job):
    first, second = start(job, replicas=2)
    os.kill(job.rank(1), signal.SIGKILL)
    second.wait()
    (successor,) = job.start(["no-such-program"], replicas=2, indices=[1], life=1, **SCOPE)
    assert successor.wait().code == exits.COMMAND_NOT_FOUND
    assert codes(first, *successors(job, 1, replicas=2, life=2)) == [0, 0]


def test_who_waits_in_vain_for_a_successor_says_for_whom(job):
    pods = start(job, join_seconds=1)
    os.kill(job.rank(1), signal.SIGKILL)
    first, second, third = (pod.wait() for pod in pods)
    assert [first.code, second.code, third.code] == [exits.PEER_MISSING, exits.KILLED, exits.PEER_MISSING]
    assert first.termination.failure.message == "worker-1 never joined within 1 s"


def test_who_never_hears_of_another_coordinator_gives_up(job):
    first, second = start(job, replicas=2, patience="Patience(successor_seconds=1)")
    first.process.kill()
    first.wait()
    assert second.wait().code == exits.COORDINATOR_LOST


HANGS = """
import os, sys, time, trireme_worker
rank, generation = int(os.environ["RANK"]), os.environ["TRIREME_GENERATION"]
trireme_worker.report(step=3)
print("ready", generation, flush=True)
if generation != "1":
    sys.exit()
peers = "def allreduce(): time.sleep(60)"
exec(compile(peers, "/usr/lib/horovod/torch/mpi_ops.py", "exec"))
def stuck():
    time.sleep(60)
stuck() if rank == 1 else allreduce()
"""


def hung(job, pods):
    """What the pod of rank 1 says, and the log of the others once a successor has mended the job."""
    lost = pods.pop(1).wait()
    (successor,) = job.start([sys.executable, "-c", HANGS], replicas=3, indices=[1], life=1, **SCOPE)
    ended = [pod.wait() for pod in (*pods, successor)]
    assert [lost.code, *(end.code for end in ended)] == [exits.HUNG, 0, 0, 0]
    assert any("horovod/torch/mpi_ops.py" in line for line in ended[0].stderr)
    return lost.termination.failure


def test_a_rank_that_hangs_is_found_among_those_that_wait_for_it(job):
    pods = job.start([sys.executable, "-c", HANGS], replicas=3, hang_seconds=3, **SCOPE)
    failure = hung(job, pods)
    message = "no step for 3 s; rank 1 stands still after step 3, at <string>:11 in stuck"
    assert brief(failure) == (1, 1, "Hung", message)
    assert failure.log_tail[-1] == '  File "<string>", line 12 in <module>'


def test_a_stopped_rank_is_found(job):
    pods = job.start([sys.executable, "-c", HANGS], replicas=3, hang_seconds=3, **SCOPE)
    for rank, pod in enumerate(pods):
        pod.wait_for(f"[{rank}] ready 1")
    os.kill(job.rank(1), signal.SIGSTOP)
    failure = hung(job, pods)
    assert (failure.rank, failure.reason) == (1, "Hung")
    assert failure.message.startswith("no step for 3 s; rank 1 is stopped by a signal")


MEMBERS = {"replicas": 2, "servers": 1, "independent": 1, **SCOPE}
UNTIL_TOLD = """
echo ready $TRIREME_GENERATION as $TRIREME_ROLE
[ $TRIREME_ROLE = server ] && exec sleep 60
while [ ! -e done ]; do sleep 0.05; done
"""


@pytest.fixture
def members(job):
    """Two independent workers and a server, all of them running."""
    pods = job.start(shell(UNTIL_TOLD), **MEMBERS)
    for who, pod in zip(["[0] ready 1 as worker", "[1] ready 1 as worker", SERVER_READY], pods, strict=True):
        pod.wait_for(who)
    return pods


SERVER_READY = "[server-0] ready as server"


def done(job, *pods) -> list[tuple[int, list[str]]]:
    (job.folder / "done").touch()
    ended = [pod.wait() for pod in pods]
    (job.folder / "done").unlink()
    return [(end.code, end.stdout) for end in ended]


def test_an_independent_worker_is_lost_alone(job, members):
    first, second, server = members
    os.kill(job.rank(1), signal.SIGKILL)
    assert second.wait().code == exits.KILLED
    (successor,) = job.start(shell(UNTIL_TOLD), indices=[1], server_indices=[], life=1, **MEMBERS)
    successor.wait_for("[1] ready 1 as worker")
    assert done(job, first, successor, server) == [(0, [])] * 3


def test_a_lost_server_ends_no_worker(job, members):
    first, second, server = members
    server.process.kill()
    server.wait()
    (successor,) = job.start(shell(UNTIL_TOLD), indices=[], server_indices=[0], life=1, **MEMBERS)
    successor.wait_for(SERVER_READY)
    assert done(job, first, second, successor) == [(0, [])] * 3


def test_a_lost_coordinator_ends_no_independent_member(job, members):
    first, second, server = members
    first.process.kill()
    first.wait()
    (successor,) = job.start(shell(UNTIL_TOLD), indices=[0], server_indices=[], life=1, **MEMBERS)
    successor.wait_for("[0] ready 1 as worker")
    assert done(job, successor, second, server) == [(0, [])] * 3


def test_the_successor_of_a_worker_that_was_done_does_nothing(job):
    script = UNTIL_TOLD.replace("while", "[ $RANK = 1 ] && exit 0; while")
    first, second, server = job.start(shell(script), **MEMBERS)
    first.wait_for("[0] ready 1 as worker")
    second.wait_for_agent("the ranks of this pod are done")
    second.process.send_signal(signal.SIGTERM)
    assert second.wait().code == exits.TERMINATED
    (successor,) = job.start(["false"], indices=[1], server_indices=[], life=1, **MEMBERS)
    successor.wait_for_agent("the ranks of this pod were done before it came")
    ended = done(job, first, successor, server)
    assert ended == [(0, []), (0, []), (0, [SERVER_READY])]
