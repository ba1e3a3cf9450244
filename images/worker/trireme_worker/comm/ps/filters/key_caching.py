"""Key caching: a list of indices that was sent before is sent as its hash (OSDI'14, 3.7).

Training passes over the same data again and again, so the same lists return. A receiver that does not know one (it is
new, or has forgotten it) raises UnknownKeys, and the sender sends `whole` instead of what it sent.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import torch
from torch import Tensor

from trireme_worker.comm.ps.filters.message import BadMessage, Context, Message

KEYS = "keys"
DIGEST_BYTES = 16


class UnknownKeys(BadMessage):
    """A message names a list of indices that this receiver has not got; it is to be sent whole."""


class KeyCaching:
    stage = 2

    def __init__(self, lists: int = 64) -> None:
        """`lists`: how many are remembered for each range, the latest used; both ends should remember as many."""
        if isinstance(lists, bool) or not isinstance(lists, int) or lists < 1:
            raise ValueError(f"lists is at least 1, got {lists!r:.100}")
        self._lists = lists
        self._known: dict[str, OrderedDict[bytes, Tensor]] = {}

    def encode(self, message: Message, context: Context) -> Message:
        if message.indices is None or message.indices.nbytes <= DIGEST_BYTES:
            return message
        if self._remember(context.key, message.indices):
            return message
        digest = torch.frombuffer(bytearray(_digest(message.indices)), dtype=torch.uint8)
        return message.but(indices=None).with_extra(KEYS, digest)

    def decode(self, message: Message, context: Context) -> Message:
        """Raises UnknownKeys."""
        if message.indices is not None:
            if message.indices.numel() > context.size:
                raise BadMessage(f"range {context.key}: {message.indices.numel()} indices for {context.size} elements")
            self._remember(context.key, message.indices)
        return self.whole(message, context)

    def whole(self, message: Message, context: Context) -> Message:
        """The message with its indices. Raises UnknownKeys."""
        digest = message.extras.get(KEYS)
        if digest is None:
            return message
        if message.indices is not None or not isinstance(digest, Tensor) or digest.shape != (DIGEST_BYTES,):
            raise BadMessage(f"range {context.key}: a message names its keys in two ways or in none")
        known = self._known.get(context.key, OrderedDict())
        name = bytes(digest.tolist()) if digest.dtype == torch.uint8 else b""
        if name not in known:
            raise UnknownKeys(f"range {context.key}: the keys of a message are not known here")
        known.move_to_end(name)
        return message.but(indices=known[name]).without_extra(KEYS)

    def _remember(self, key: str, indices: Tensor) -> bool:
        """Whether the list was new."""
        known = self._known.setdefault(key, OrderedDict())
        digest = _digest(indices)
        new = digest not in known
        if new:
            known[digest] = indices.clone()  # the caller's may lie in a buffer that is used again
        known.move_to_end(digest)
        if len(known) > self._lists:
            known.popitem(last=False)
        return new


def _digest(indices: Tensor) -> bytes:
    return hashlib.blake2b(memoryview(indices.contiguous().numpy()), digest_size=DIGEST_BYTES).digest()
