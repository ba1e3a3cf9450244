"""fp16 and bf16: half the bytes. bf16 has float32's range and 8 bits of precision, fp16 11 bits and at most 65,504.

A value beyond that becomes infinite in fp16, which the server's policy for gradients that are not finite will see.
"""

from __future__ import annotations

import torch

from trireme_worker.comm.ps.filters.message import BadMessage, Context, Message


class Half:
    stage = 1

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def encode(self, message: Message, context: Context) -> Message:
        return message.but(values=message.values.to(self._dtype))

    def decode(self, message: Message, context: Context) -> Message:
        if message.values.dtype != self._dtype:
            raise BadMessage(f"range {context.key}: values are {message.values.dtype}, expected {self._dtype}")
        return message.but(values=message.values.float())


def fp16() -> Half:
    return Half(torch.float16)


def bf16() -> Half:
    return Half(torch.bfloat16)
