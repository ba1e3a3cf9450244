import pytest
from support.scenes import NOW, Scene
from trireme.contract import exits, wire
from trireme.lifecycle.pod import Pod, Terminated
from trireme.lifecycle.rootcause import root_cause, sentence
from trireme.spec.status import Failure

T = NOW.timestamp()
SCENE = Scene(4)


def rank_failure(index: int, at: float, code: int = 1, **changes: object) -> wire.Failure:
    values: dict[str, object] = {
        "role": "worker", "index": index, "exit_code": code, "reason": exits.describe(code).reason,
        "message": "ValueError: boom", "at": at, "rank": 2 * index, "log_tail": ("ValueError: boom",),
    }  # fmt: skip
    return wire.Failure(**{**values, **changes})  # type: ignore[arg-type]


def own(index: int, at: float, code: int = 1) -> Pod:
    said = wire.Termination(code, failure=rank_failure(index, at, code))
    return SCENE.failed(index, Terminated(code, "Error", message=wire.termination_message(said), finished_at=at + 1))


def lost_peer(index: int, at: float) -> Pod:
    failure = rank_failure(index, at, log_tail=("RuntimeError: Connection closed by peer [10.0.0.3]:1",))
    said = wire.termination_message(wire.Termination(1, failure=failure))
    return SCENE.failed(index, Terminated(1, "Error", message=said, finished_at=at))


def follower(index: int, cause: wire.Failure) -> Pod:
    said = wire.Termination(exits.PEER_FAILED, cause=cause)
    ended = Terminated(exits.PEER_FAILED, "Error", message=wire.termination_message(said), finished_at=cause.at)
    return SCENE.failed(index, ended)


def failure(failed: list[Pod], vanished: list[str] = []) -> Failure:  # noqa: B006
    cause = root_cause(failed, vanished)
    assert cause is not None
    return cause.failure


def killed(index: int, at: float, reason: str = "OOMKilled") -> Pod:
    return SCENE.failed(index, Terminated(137, reason, finished_at=at))


@pytest.mark.parametrize(
    ("failed", "who", "how"),
    [
        ([own(1, T)], 1, "Error"),
        ([follower(0, rank_failure(1, T)), own(1, T)], 1, "Error"),
        ([follower(0, rank_failure(1, T))], 1, "Error"),
        ([own(0, T + 1, exits.ABORTED), own(3, T)], 3, "Error"),
        ([own(0, T + 1.2), killed(2, T)], 2, "OOMKilled"),
        ([own(1, T - 5, exits.PEER_MISSING), own(3, T)], 3, "Error"),
        ([own(1, T - 5, exits.COORDINATOR_LOST), killed(0, T, "Error")], 0, "Signal"),
        ([SCENE.failed(2, None, reason="Evicted", message="node was low on memory")], 2, "Evicted"),
        ([SCENE.failed(2, Terminated(143, "Error", finished_at=T), deleting=True)], 2, "PodDeleted"),
        ([own(0, T - 1, exits.ABORTED), SCENE.running(2, deleting=True)], 2, "PodDeleted"),
        ([lost_peer(0, T - 1), killed(2, T)], 2, "OOMKilled"),
        ([SCENE.running(2, disruption="PreemptionByScheduler", deleting=True)], 2, "PreemptionByScheduler"),
        ([SCENE.failed(2, None, reason="Evicted", disruption="TerminationByKubelet")], 2, "TerminationByKubelet"),
        ([SCENE.failed(2, Terminated(128, "StartError", message="no such file", finished_at=T))], 2, "StartError"),
    ],
    ids=["alone", "own-before-follower", "only-follower-seen", "abort-is-later", "oom-before-the-survivors",
         "missing-peers-are-weaker", "worker-0-before-those-who-lost-it", "evicted", "deleted",
         "going-before-those-who-lost-it", "loss-of-a-peer-is-later", "preempted", "pressure", "start-error"],
)  # fmt: skip
def test_the_root_is_the_first_that_failed_of_itself(failed: list[Pod], who: int, how: str) -> None:
    for order in (failed, failed[::-1]):
        cause = root_cause(order)
        assert cause is not None
        found = cause.failure
        assert (found.index, found.reason, found.pod) == (who, how, f"digits-worker-{who}")


@pytest.mark.parametrize(
    ("failed", "vanished", "followed"),
    [
        ([own(1, T)], [], False),
        ([lost_peer(1, T)], [], True),
        ([own(1, T, exits.ABORTED)], [], True),
        ([own(1, T, exits.PEER_MISSING)], [], True),
        ([follower(0, rank_failure(1, T))], [], True),
        ([lost_peer(1, T)], ["digits-worker-3"], False),
        ([killed(1, T)], ["digits-worker-3"], False),
    ],
    ids=["own", "lost-a-peer", "aborted", "missed-peers", "said-so", "because-one-vanished", "killed"],
)
def test_a_cause_is_certain_or_not(failed: list[Pod], vanished: list[str], followed: bool) -> None:
    cause = root_cause(failed, vanished)
    assert cause is not None
    assert cause.followed is followed


def test_status_gets_all_that_the_agent_said() -> None:
    assert failure([own(1, T)]) == Failure(
        role="worker", index=1, rank=2, pod="digits-worker-1", node="n1", exit_code=1, reason="Error",
        message="ValueError: boom", log_tail=["ValueError: boom"],
    )  # fmt: skip


def test_a_rank_that_the_kernel_killed_for_its_memory_keeps_what_its_agent_said() -> None:
    said = wire.Termination(137, failure=rank_failure(2, T, 137, message="ended by SIGKILL", signal="SIGKILL"))
    ended = Terminated(137, "OOMKilled", message=wire.termination_message(said), finished_at=T)
    assert failure([SCENE.failed(2, ended)]) == Failure(
        role="worker", index=2, rank=4, pod="digits-worker-2", node="n1", exit_code=137, signal="SIGKILL",
        reason="OOMKilled", message="the container exceeded its memory limit", log_tail=["ValueError: boom"],
    )  # fmt: skip


def test_a_pod_that_vanished_is_a_failure_and_nothing_is_none() -> None:
    assert root_cause([]) is None
    assert failure([], ["digits-worker-3"]) == Failure(
        role="worker", index=3, pod="digits-worker-3", reason="PodDeleted", message="the pod was deleted while it ran"
    )


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (failure([own(1, T)]), "worker-1, rank 2: exit code 1: ValueError: boom"),
        (failure([killed(2, T)]), "worker-2: OOMKilled (SIGKILL): the container exceeded its memory limit"),
        (failure([killed(2, T, "Error")]), "worker-2: ended by SIGKILL"),
        (
            failure([SCENE.failed(2, None, reason="Evicted", message="low\nmemory")]),
            "worker-2: Evicted: low memory",
        ),
        (
            failure([SCENE.failed(2, Terminated(255, "Unknown", finished_at=T))]),
            "worker-2: Unknown: the pod's node came back and did not know how it had ended",
        ),
        (
            failure([SCENE.failed(2, Terminated(7, "Error", message="no such bucket", init="fetch"))]),
            "worker-2: exit code 7: init container fetch: no such bucket",
        ),
        (
            failure([SCENE.failed(2, Terminated(137, "OOMKilled", init="fetch"))]),
            "worker-2: OOMKilled (SIGKILL): init container fetch: the container exceeded its memory limit",
        ),
    ],
    ids=["exit-code", "oom", "signal", "evicted", "forgotten", "init container", "init container without memory"],
)
def test_sentence(told: Failure, line: str) -> None:
    assert sentence(told) == line


def test_a_sentence_has_a_bound() -> None:
    told = Failure(role="worker", index=0, pod="p", reason="Error", exit_code=1, message="x" * 5000)
    assert len(sentence(told)) == 300
