"""int8: a quarter of the bytes. Each block of values is scaled so that its greatest is 127 (QSGD, Alistarh et al.
2017).

Stochastic rounding has no bias: small values of a block survive on average, where nearest would lose them every time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from trireme_worker.comm.ps.filters.message import BadMessage, Context, Message

SCALE = "int8.scale"


class Int8:
    stage = 1

    def __init__(self, block: int = 256, rounding: str = "stochastic", seed: int = 0) -> None:
        """`block`: values with one scale of 4 bytes. `rounding`: stochastic, wrong by less than one step of 1/127 of
        the block's greatest value, or nearest, by half a step at most. `seed`: of the random numbers.
        """
        if (
            isinstance(block, bool)
            or not isinstance(block, int)
            or block < 1
            or rounding not in ("stochastic", "nearest")
        ):
            raise ValueError(
                f"block is at least 1, rounding stochastic or nearest, got {block!r:.100} and {rounding!r:.100}"
            )
        self._block, self._stochastic = block, rounding == "stochastic"
        self._random = torch.Generator().manual_seed(seed)

    def encode(self, message: Message, context: Context) -> Message:
        values = message.values
        blocks = self._blocks(values.reshape(-1))
        scale = blocks.abs().amax(dim=1) / 127
        # where all are zero, any scale will do; a block with a NaN or an infinity decodes to NaN
        steps = blocks / scale.masked_fill(scale == 0, 1.0).unsqueeze(1)
        if self._stochastic:
            steps.add_(torch.rand(steps.shape, generator=self._random)).floor_()
        else:
            steps.round_()
        rounded = steps.nan_to_num_(0.0).clamp_(-127, 127).to(torch.int8)
        return message.but(values=rounded.view(-1)[: values.numel()].view(values.shape)).with_extra(SCALE, scale)

    def decode(self, message: Message, context: Context) -> Message:
        values, scale = message.values, message.extras.get(SCALE)
        count = -(-values.numel() // self._block)
        if values.dtype != torch.int8 or not isinstance(scale, Tensor) or scale.dtype != torch.float32:
            raise BadMessage(f"range {context.key}: {values.dtype} values, expected torch.int8 with scales")
        if scale.shape != (count,):
            raise BadMessage(f"range {context.key}: {tuple(scale.shape)} scales for {count} blocks")
        blocks = self._blocks(values.reshape(-1).float()) * scale.unsqueeze(1)
        return message.but(values=blocks.view(-1)[: values.numel()].view(values.shape)).without_extra(SCALE)

    def _blocks(self, flat: Tensor) -> Tensor:
        """[n] -> [ceil(n / block), block], zeros at the end."""
        return pad(flat, (0, -flat.numel() % self._block)).view(-1, self._block)
