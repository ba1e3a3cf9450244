"""What filters share that send only some of a gradient: the choice becomes indices, and zeros again at the other end.

Rows of a sparse message are kept or dropped whole. What is not sent is kept by the sender, where the filter says so,
and added to the next gradient (error feedback, Seide et al. 2014): over time nothing is lost. What is kept costs the
sender the memory of the whole range, once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trireme_worker.comm.ps.filters.message import INDEX_BYTES, Context, Message, check_elements


class Select:
    """A filter chooses; this does the rest. `residual` keeps what is not sent, for each range."""

    stage = 0
    feedback = True

    def __init__(self) -> None:
        self._residuals: dict[str, Tensor] = {}

    def choose(self, values: Tensor, positions: Tensor | None, context: Context) -> Tensor:
        """Which of `values` [m, width] to send: bool [m]. They stand at `positions` int64 [m], or at 0..m-1."""
        raise NotImplementedError

    def residual(self, context: Context) -> Tensor | None:
        """What of a range has not been sent yet, [size]; None: nothing."""
        kept = self._residuals.get(context.key)
        return None if kept is None else kept.view(-1)

    def encode(self, message: Message, context: Context) -> Message:
        width = 1 if message.values.dim() == 1 else context.row
        values = message.values.reshape(-1, width)
        kept = self._kept(context, width) if self.feedback else None
        if kept is not None:
            values = values + (kept if message.indices is None else kept[message.indices])
        chosen = self.choose(values, message.indices, context)
        if kept is not None:
            rest = values.masked_fill(chosen.unsqueeze(1), 0.0)
            kept.copy_(rest) if message.indices is None else kept.index_copy_(0, message.indices, rest)
        return _some(message, values, chosen)

    def decode(self, message: Message, context: Context) -> Message:
        """Some elements become dense again; a message that is dense or of rows is left as it is."""
        if message.indices is None or message.values.dim() == 2:
            return message
        indices = check_elements(message, context)
        dense = torch.zeros(context.size, dtype=message.values.dtype)
        return message.but(indices=None, values=dense.index_copy_(0, indices, message.values))

    def _kept(self, context: Context, width: int) -> Tensor:
        kept = self._residuals.get(context.key)
        if kept is None or kept.numel() != context.size:
            kept = torch.zeros(context.size)
        self._residuals[context.key] = kept
        return kept.view(-1, width)


def _some(message: Message, values: Tensor, chosen: Tensor) -> Message:
    width = values.shape[1]
    dense = message.indices is None
    if dense and int(chosen.sum()) * (INDEX_BYTES + values.element_size()) >= values.nbytes:
        return message.but(values=values.masked_fill(~chosen.unsqueeze(1), 0.0).view(-1))  # indices would cost more
    (places,) = chosen.nonzero(as_tuple=True)
    some = values.index_select(0, places)
    indices = places if message.indices is None else message.indices[places]
    return message.but(indices=indices, values=some.view(-1) if message.values.dim() == 1 else some.view(-1, width))
