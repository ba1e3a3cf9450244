"""KKT: in a model with an L1 penalty, the gradient of a weight that is zero and will stay so is not sent (OSDI'14,
5.1).

A weight of 0 is optimal while its gradient is within -l1..l1 (the Karush-Kuhn-Tucker conditions). `slack` leaves room
for what the worker does not see: with one worker and 0 the filter changes nothing, with more it is a heuristic. What is
dropped is not kept: it would not have moved the weight.
"""

from __future__ import annotations

from torch import Tensor

from trireme_worker.comm.ps.filters.message import Context
from trireme_worker.comm.ps.filters.select import Select


class Kkt(Select):
    feedback = False

    def __init__(self, l1: float, slack: float = 0.1) -> None:
        """`l1`: the penalty, in the unit of the pushed gradient; `slack`: the share of it that is left as room."""
        super().__init__()
        if not (0 <= l1 < float("inf") and 0 <= slack <= 1):
            raise ValueError(f"l1 is at least 0 and slack is in 0..1, got {l1!r:.100} and {slack!r:.100}")
        self._bound = l1 * (1 - slack)

    def choose(self, values: Tensor, positions: Tensor | None, context: Context) -> Tensor:
        if context.values is None:
            raise ValueError(f"range {context.key}: the KKT filter needs the sender's copy of the parameters")
        weights = context.values.view(-1, values.shape[1])
        weights = weights if positions is None else weights[positions]
        return ~((weights == 0) & (values.abs() <= self._bound)).all(dim=1)
