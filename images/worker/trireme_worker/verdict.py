"""Which of several failures was the first of itself. Pure.

When a rank dies, the others follow within a second: Horovod raises HorovodInternalError or aborts, gloo and NCCL report
a broken connection. Such a failure may be reported earlier than the one that caused it, so it only counts when nothing
better has come while the verdict settles. A failure that came of itself needs no settling: nothing later can outdo it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trireme.contract import exits, wire
from trireme.contract.wire import Failure

SETTLE_SECONDS = 0.5
"""Between the first report and the verdict: survivors may report before the agent of a killed rank does."""
QUIET_SECONDS = 3 * wire.BEAT_SECONDS
"""Without a beat for so long, while its peers' connections break, a pod is lost; silence alone must last longer."""


def root(failures: Sequence[Failure]) -> Failure:
    """The root cause among failures in the order in which they were reported; at least one.

    The order of arrival decides among equals, not `at`: the clocks of two nodes may disagree.
    """
    return min(failures, key=_suspicion)


def certain(failures: Sequence[Failure]) -> bool:
    """Whether the root is known, whatever else may be reported."""
    return any(_suspicion(failure) == 0 for failure in failures)


def brief(failure: Failure | None) -> Failure | None:
    """Without the log, which only the failing pod and the operator need."""
    return replace(failure, log_tail=()) if failure is not None else None


def _suspicion(failure: Failure) -> int:
    """0: failed of itself; 1: looks as if a peer's loss had caused it; 2: surely followed another."""
    if failure.reason in (exits.POD_SILENT, exits.POD_REPLACED):
        return 0
    if exits.describe(failure.exit_code).kind is exits.Kind.COLLATERAL:
        return 2
    if failure.exit_code == exits.ABORTED:
        return 1
    text = "\n".join((failure.message, *failure.log_tail))
    return int(any(error in text for error in exits.CONNECTION_ERRORS))
