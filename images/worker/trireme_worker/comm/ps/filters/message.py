"""What filters pass on: a message about one range, and what both ends know of that range without being told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from trireme.contract.codec import BadMessage

Extra = Tensor | float | int

INDEX_BYTES = 4
"""Of an index on the wire: ranges are far below 2**31 elements."""


@dataclass(frozen=True)
class Context:
    """`key` names the range, `size` is its elements, `row` those of one of its rows.

    `values` is the sender's own copy of the range's parameters, float32 [size], where it has one.
    """

    key: str
    step: int
    size: int
    row: int = 1
    values: Tensor | None = None


@dataclass(frozen=True)
class Message:
    """Dense: no indices, values [size]. Rows: indices int64 [k], values [k, row]. Some elements of a dense message, on
    the way only: indices int64 [k] ascending, values [k]. `extras` is what filters tell their other end.
    """

    indices: Tensor | None
    values: Tensor
    extras: Mapping[str, Extra] = field(default_factory=dict)

    def but(self, **changes: Any) -> Message:
        return replace(self, **changes)

    def with_extra(self, name: str, extra: Extra) -> Message:
        return replace(self, extras={**self.extras, name: extra})

    def without_extra(self, name: str) -> Message:
        return replace(self, extras={key: extra for key, extra in self.extras.items() if key != name})

    @property
    def nbytes(self) -> int:
        """Its bytes on the wire, less a header of some 50."""
        indices = 0 if self.indices is None else self.indices.numel() * INDEX_BYTES
        extras = sum(extra.nbytes if isinstance(extra, Tensor) else 8 for extra in self.extras.values())
        return indices + self.values.nbytes + extras


def check_elements(message: Message, context: Context) -> Tensor:
    """The indices of some elements of a dense message. Raises BadMessage unless they ascend within the range."""
    indices, values = message.indices, message.values
    if indices is None or indices.dim() != 1 or values.shape != indices.shape or indices.dtype != torch.int64:
        raise BadMessage(f"range {context.key}: {tuple(values.shape)} values do not go with their indices")
    if indices.numel() and (indices[0] < 0 or indices[-1] >= context.size or not (indices[1:] > indices[:-1]).all()):
        raise BadMessage(f"range {context.key}: indices are not ascending within 0..{context.size - 1}")
    return indices


def check(message: Message, context: Context) -> Message:
    """A decoded message, if it is one that a server can apply. Raises BadMessage."""
    values, indices = message.values, message.indices
    if values.dtype != torch.float32:
        raise BadMessage(f"range {context.key}: values are {values.dtype}, expected torch.float32")
    if indices is None:
        if values.shape != (context.size,):
            raise BadMessage(f"range {context.key}: {tuple(values.shape)} values for {context.size} elements")
        return message
    if indices.dtype != torch.int64 or indices.dim() != 1 or values.shape != (indices.numel(), context.row):
        raise BadMessage(f"range {context.key}: {tuple(values.shape)} values do not go with rows of {context.row}")
    rows = context.size // context.row
    if indices.numel() and (indices.min() < 0 or indices.max() >= rows):
        raise BadMessage(f"range {context.key}: row indices are not within 0..{rows - 1}")
    return message
