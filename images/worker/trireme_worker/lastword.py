"""What a pod says when it ends: failures and the Termination that follows from them. Pure but for `at`, a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trireme.contract import exits, names
from trireme.contract.wire import Failure, Termination

from trireme_worker import verdict
from trireme_worker.output import Tail


@dataclass(frozen=True)
class Speaker:
    """The pod that speaks."""

    role: str
    index: int

    def failed(self, code: int, message: str, *, at: float) -> Termination:
        """A failure of the pod itself, no rank's."""
        return Termination(code, failure=self._failure(code, message, at))

    def process_failed(self, rank: int | None, code: int, tail: Tail, *, at: float) -> Failure:
        """A rank, or the pod's shard of the parameter server (None).

        Of a program that said no, its last line on stderr is the message: of a traceback, the exception."""
        meaning = exits.describe(code)
        message = tail.last_error if meaning.kind is exits.Kind.ERROR and tail.last_error else meaning.meaning
        return replace(self._failure(code, message, at), rank=rank, log_tail=tail.lines())

    def judged(self, cause: Failure, own: Sequence[Failure], *, at: float) -> Termination:
        """When the coordinator has named the failure that ended the generation; `own` are this pod's ranks'."""
        if cause.exit_code == exits.PEER_MISSING and cause.rank is None:
            return self.failed(exits.PEER_MISSING, cause.message, at=at)
        if (cause.role, cause.index) != (self.role, self.index):
            return Termination(exits.PEER_FAILED, cause=cause)
        with_log = next((failure for failure in own if verdict.brief(failure) == verdict.brief(cause)), cause)
        return Termination(cause.exit_code, failure=with_log)

    def lost(self, message: str, own: Sequence[Failure], *, at: float) -> Termination:
        """Without the coordinator: whatever failed here meanwhile, it may have been for want of worker 0."""
        if own:
            return Termination(exits.COORDINATOR_LOST, failure=verdict.root(own))
        who = names.pod_label(names.ROLE_WORKER, 0)
        return self.failed(exits.COORDINATOR_LOST, f"{who} does not answer any more: {message}", at=at)

    def _failure(self, code: int, message: str, at: float) -> Failure:
        meaning = exits.describe(code)
        return Failure(self.role, self.index, code, meaning.reason, message, at=at, signal=meaning.signal)
