"""Which of the failed pods failed first of itself, and how to say it.

When one rank dies the others follow within a second: by our own agents (PEER_FAILED), by Horovod (SIGABRT, exit 134)
or by a connection error that looks like the program's own. The first failure is the root; collateral never is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trireme.contract import exits, names, wire
from trireme.lifecycle.pod import Pod, Terminated
from trireme.spec.status import Failure

KILLED_REASONS = (exits.OOM_KILLED, "Evicted")
POD_DELETED = "PodDeleted"
DISRUPTED = {
    "EvictionByEvictionAPI": "the pod was evicted, as by a drain of its node",
    "PreemptionByScheduler": "the pod made room for one of higher priority",
    "DeletionByTaintManager": "the pod's node is not ready, or was tainted",
    "DeletionByPodGC": "the pod's node is gone",
    "TerminationByKubelet": "the pod's node ended it: pressure, a shutdown, or a critical pod",
}
"""Reasons of condition DisruptionTarget (core/v1)."""
FORGOTTEN = frozenset({"ContainerStatusUnknown", "Unknown"})
"""Reasons of a container that its node lost, mostly by a reboot: the kubelet says the former, containerd the latter."""


@dataclass(frozen=True)
class Cause:
    failure: Failure
    followed: bool
    """It looks as if it had followed the failure of another rank, which we do not know yet."""
    taken_away: bool = False
    """Somebody deleted the pod, or needed its place."""


@dataclass(frozen=True)
class _Candidate:
    weight: int
    """0: failed of itself; 1: could not start, or looks as if a peer were lost; 2: surely followed another."""
    at: float
    index: int
    failure: Failure
    taken_away: bool = False


def root_cause(failed: Iterable[Pod], vanished: Iterable[str] = ()) -> Cause | None:
    """The first failure among pods that failed or are being taken away, as status shows it.

    `vanished`: names of pods that were deleted while they ran. None when nothing failed.
    """
    first = min(map(_candidate, failed), key=lambda c: (c.weight, c.at, c.index), default=None)
    gone = next((_deleted(name) for name in vanished), None)
    if gone is not None and (first is None or first.weight):
        return Cause(gone, followed=False, taken_away=True)
    return Cause(first.failure, first.weight > 0, first.taken_away) if first is not None else None


def reported(failure: wire.Failure, pod: Pod) -> Cause:
    """The cause that the coordinator names, of a pod that runs."""
    return Cause(_of_wire(failure, pod), followed=_weight(failure.exit_code, failure) > 0)


def _deleted(pod_name: str, node: str = "") -> Failure:
    role, index = pod_name.rsplit("-", 2)[-2:]
    message = "the pod was deleted while it ran"
    return Failure(
        role=role, index=int(index), pod=pod_name, node=node or None, reason=POD_DELETED, message=message
    )  # fmt: skip


def _taken_away(pod: Pod) -> Failure:
    if not pod.disruption:
        return _deleted(pod.name, pod.node)
    message = pod.message or DISRUPTED.get(pod.disruption, "somebody needed the pod's place")
    return _deleted(pod.name, pod.node).model_copy(update={"reason": pod.disruption, "message": message})


def _candidate(pod: Pod) -> _Candidate:
    ended = pod.terminated
    if pod.disruption or (pod.deleting and (ended is None or ended.exit_code in (exits.TERMINATED, exits.KILLED))):
        return _Candidate(0, ended.finished_at if ended is not None else 0.0, pod.index, _taken_away(pod), True)
    said = wire.read_termination(ended.message) if ended is not None else None
    if said is not None and said.failure is None and said.cause is not None:
        return _Candidate(2, said.cause.at, said.cause.index, _of_wire(said.cause, pod, elsewhere=True))
    killed = (ended is not None and ended.reason in KILLED_REASONS) or bool(pod.reason)
    if said is not None and said.failure is not None and not killed:
        return _Candidate(
            _weight(said.exit_code, said.failure), said.failure.at, pod.index, _of_wire(said.failure, pod)
        )
    collateral = not killed and ended is not None and exits.describe(ended.exit_code).kind is exits.Kind.COLLATERAL
    at = ended.finished_at if ended is not None else 0.0
    return _Candidate(2 if collateral else 0, at, pod.index, _of_container(pod, said.failure if said else None))


def _weight(code: int, failure: wire.Failure) -> int:
    kind = exits.describe(code).kind
    if kind is exits.Kind.COLLATERAL:
        return 2
    text = "\n".join((failure.message, *failure.log_tail))
    said = kind is exits.Kind.ERROR and code != exits.HUNG and any(each in text for each in exits.CONNECTION_ERRORS)
    lost = said or code == exits.ABORTED
    return int(lost or kind is exits.Kind.INFRASTRUCTURE)


def _of_wire(failure: wire.Failure, pod: Pod, *, elsewhere: bool = False) -> Failure:
    name = names.pod_name(pod.job, failure.role, failure.index) if elsewhere else pod.name
    return Failure(
        role=failure.role,
        index=failure.index,
        rank=failure.rank,
        pod=name,
        node=None if elsewhere else pod.node or None,
        exit_code=failure.exit_code,
        signal=failure.signal or None,
        reason=failure.reason,
        message=failure.message,
        log_tail=list(failure.log_tail),
    )


def _of_container(pod: Pod, seen: wire.Failure | None) -> Failure:
    """What the kubelet says has more weight than what the agent saw, which knows the rank, if it was left to speak."""
    code, signal, who, (reason, message) = None, "", "", (pod.reason or "PodFailed", pod.message)
    ended = pod.terminated
    if ended is not None:
        meaning = exits.describe(ended.exit_code)
        code, signal = ended.exit_code, meaning.signal or exits.signal_name(ended.signal)
        if not pod.reason:
            reason, message = _of_exit(ended, meaning)
            who = ended.init and f"init container {ended.init}: "
    return Failure(
        role=pod.role,
        index=pod.index,
        pod=pod.name,
        node=pod.node or None,
        exit_code=code,
        signal=signal or None,
        reason=reason,
        message=who + (message[-1024:].strip() or "the pod failed before it started"),
        rank=seen.rank if seen else None,
        log_tail=list(seen.log_tail) if seen else [],
    )


def _of_exit(ended: Terminated, meaning: exits.Exit) -> tuple[str, str]:
    if ended.reason == exits.OOM_KILLED:
        return ended.reason, "the container exceeded its memory limit"
    if ended.reason in ("", "Error", "Completed"):
        return meaning.reason, ended.message or meaning.meaning
    if ended.reason in FORGOTTEN:
        return ended.reason, ended.message or "the pod's node came back and did not know how it had ended"
    return ended.reason, ended.message or meaning.meaning


def sentence(failure: Failure) -> str:
    """`worker-2, rank 5: exit code 1: ValueError: boom`, one line of at most 300 characters."""
    who = names.pod_label(failure.role, failure.index)
    if failure.rank is not None:
        who += f", rank {failure.rank}"
    if failure.reason == "Signal":  # the message says which
        return _line(f"{who}: {failure.message}")
    how = failure.reason
    if failure.signal:
        how = f"{failure.reason} ({failure.signal})"
    elif failure.exit_code is not None and failure.reason == "Error":
        how = f"exit code {failure.exit_code}"
    return _line(f"{who}: {how}: {failure.message}")


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:299] + "…"
