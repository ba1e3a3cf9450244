"""A training whose weights a parameter server holds: the servers save them, with every worker's clock.

Files of the workers' own would be of another moment than the servers', so there are none. The servers know how many
steps of a worker they have; its data and its schedule are brought there. Knows no server: what it must know of one is
the protocol `Served`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Served(Protocol):
    """A part whose state is on servers (comm.ps: DistributedOptimizer, DiLoCo)."""

    @property
    def served_steps(self) -> int:
        """Finished steps of this worker, its predecessors' included."""


def among(parts: Mapping[str, Any]) -> Served | None:
    """The part that servers hold, if there is one. Raises ValueError when another one can then not be resumed."""
    served = next((part for part in parts.values() if isinstance(part, Served)), None)
    if served is not None and (lost := [name for name, part in parts.items() if not _can_follow(part)]):
        raise ValueError(
            f"with a parameter server a worker saves nothing, so parts {lost} would be lost: "
            "a part needs seek(step), as checkpoint.Batches has, or be a module or a learning rate schedule"
        )
    return served


def follow(parts: Mapping[str, Any], step: int) -> None:
    """Brings data and schedules from their beginning to a step. Weights are there already."""
    for part in parts.values():
        if hasattr(part, "seek"):
            part.seek(step)
        elif _schedules(part):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # torch misses the optimizer's steps, which servers took
                # One with an end stays there: whoever joins a job that has grown may be beyond its own.
                for _ in range(min(step, getattr(part, "total_steps", step))):
                    part.step()


def _can_follow(part: Any) -> bool:
    return isinstance(part, Served) or hasattr(part, "seek") or hasattr(part, "named_parameters") or _schedules(part)


def _schedules(part: Any) -> bool:
    """torch.optim.lr_scheduler's; a plateau's steps need what was measured."""
    return hasattr(part, "last_epoch") and hasattr(part, "get_last_lr") and not hasattr(part, "patience")
