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


def follower(index: int, cause: wire.Failure) -> Pod:
    said = wire.Termination(exits.PEER_FAILED, cause=cause)
    ended = Terminated(exits.PEER_FAILED, "Error", message=wire.termination_message(said), finished_at=cause.at)
    return SCENE.failed(index, ended)


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
        ([SCENE.failed(2, Terminated(128, "StartError", message="no such file", finished_at=T))], 2, "StartError"),
    ],
    ids=["alone", "own-before-follower", "only-follower-seen", "abort-is-later", "oom-before-the-survivors",
         "missing-peers-are-weaker", "worker-0-before-those-who-lost-it", "evicted", "deleted", "start-error"],
)  # fmt: skip
def test_the_root_is_the_first_that_failed_of_itself(failed: list[Pod], who: int, how: str) -> None:
    for order in (failed, failed[::-1]):
        cause = root_cause(order)
        assert cause is not None
        assert (cause.index, cause.reason, cause.pod) == (who, how, f"digits-worker-{who}")


def test_status_gets_all_that_the_agent_said() -> None:
    assert root_cause([own(1, T)]) == Failure(
        role="worker", index=1, rank=2, pod="digits-worker-1", node="n1", exit_code=1, reason="Error",
        message="ValueError: boom", log_tail=["ValueError: boom"],
    )  # fmt: skip


def test_a_pod_that_vanished_is_a_failure_and_nothing_is_none() -> None:
    assert root_cause([]) is None
    assert root_cause([], ["digits-worker-3"]) == Failure(
        role="worker", index=3, pod="digits-worker-3", reason="PodDeleted", message="the pod was deleted while it ran"
    )


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (root_cause([own(1, T)]), "worker-1, rank 2: exit code 1: ValueError: boom"),
        (root_cause([killed(2, T)]), "worker-2: OOMKilled (SIGKILL): the container exceeded its memory limit"),
        (root_cause([killed(2, T, "Error")]), "worker-2: ended by SIGKILL"),
        (
            root_cause([SCENE.failed(2, None, reason="Evicted", message="low\nmemory")]),
            "worker-2: Evicted: low memory",
        ),
    ],
    ids=["exit-code", "oom", "signal", "evicted"],
)
def test_sentence(failure: Failure, line: str) -> None:
    assert sentence(failure) == line


def test_a_sentence_has_a_bound() -> None:
    failure = Failure(role="worker", index=0, pod="p", reason="Error", exit_code=1, message="x" * 5000)
    assert len(sentence(failure)) == 300
