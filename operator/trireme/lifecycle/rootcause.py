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

KILLED_REASONS = ("OOMKilled", "Evicted")


@dataclass(frozen=True)
class _Candidate:
    weight: int
    """0: failed of itself; 1: could not start; 2: followed another."""
    at: float
    index: int
    failure: Failure


def root_cause(failed: Iterable[Pod], vanished: Iterable[str] = ()) -> Failure | None:
    """The first failure among failed pods, as status shows it. `vanished`: names of pods deleted while they ran.

    None when nothing failed.
    """
    candidates = [_candidate(pod) for pod in failed]
    if candidates:
        return min(candidates, key=lambda c: (c.weight, c.at, c.index)).failure
    return next(map(_deleted, vanished), None)


def _deleted(pod_name: str) -> Failure:
    role, index = pod_name.rsplit("-", 2)[-2:]
    message = "the pod was deleted while it ran"
    return Failure(role=role, index=int(index), pod=pod_name, reason="PodDeleted", message=message)


def _candidate(pod: Pod) -> _Candidate:
    ended = pod.terminated
    if pod.deleting and ended is not None and ended.exit_code in (exits.TERMINATED, exits.KILLED):
        return _Candidate(0, ended.finished_at, pod.index, _deleted(pod.name))
    said = wire.read_termination(ended.message) if ended is not None else None
    if said is not None and said.failure is None and said.cause is not None:
        return _Candidate(2, said.cause.at, said.cause.index, _of_wire(said.cause, pod, elsewhere=True))
    killed = (ended is not None and ended.reason in KILLED_REASONS) or bool(pod.reason)
    if said is not None and said.failure is not None and not killed:
        meaning = exits.describe(said.exit_code)
        weight = {exits.Kind.COLLATERAL: 2, exits.Kind.INFRASTRUCTURE: 1}.get(meaning.kind, 0)
        return _Candidate(weight, said.failure.at, pod.index, _of_wire(said.failure, pod))
    return _Candidate(0, ended.finished_at if ended is not None else 0.0, pod.index, _of_container(pod))


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


def _of_container(pod: Pod) -> Failure:
    """A pod whose agent could not speak: the kubelet's word is all there is."""
    code, signal, (reason, message) = None, "", (pod.reason or "PodFailed", pod.message)
    ended = pod.terminated
    if ended is not None:
        meaning = exits.describe(ended.exit_code)
        code, signal = ended.exit_code, meaning.signal or exits.signal_name(ended.signal)
        if not pod.reason:
            reason, message = _of_exit(ended, meaning)
    return Failure(
        role=pod.role,
        index=pod.index,
        pod=pod.name,
        node=pod.node or None,
        exit_code=code,
        signal=signal or None,
        reason=reason,
        message=message[-1024:].strip() or "the pod failed before it started",
    )


def _of_exit(ended: Terminated, meaning: exits.Exit) -> tuple[str, str]:
    if ended.reason == "OOMKilled":
        return ended.reason, "the container exceeded its memory limit"
    if ended.reason in ("", "Error", "Completed"):
        return meaning.reason, ended.message or meaning.meaning
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
