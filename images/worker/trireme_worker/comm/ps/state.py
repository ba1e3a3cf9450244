"""What an update function keeps of a range beside its values, checked: it is cut, sent and saved as they are. Pure."""

from __future__ import annotations

import torch
from torch import Tensor

from trireme_worker.comm.ps.functions import BadFunction, State, UpdateFunction


def begun(function: UpdateFunction, values: Tensor) -> State:
    """Of values that were never updated. Raises BadFunction, whatever a user's function does."""
    what = f"update function {type(function).__name__}.state"
    try:
        state = function.state(values)
    except Exception as error:
        raise BadFunction(f"{what} failed: {error!r}") from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise BadFunction(f"{what} gives tensors by their names, got a {type(state).__name__}")
    for name, tensor in state.items():
        if found := _unlike(tensor, values):
            shape = list(values.shape)
            raise BadFunction(
                f"{what}[{name!r:.100}] is {found}: a state is dense float32 shaped as the values {shape}"
            )
    return state


def _unlike(tensor: object, values: Tensor) -> str:
    """What a state is that is not as the values; empty when it is."""
    if not isinstance(tensor, Tensor):
        return f"a {type(tensor).__name__}"
    if tensor.dtype == torch.float32 and tensor.shape == values.shape and tensor.is_contiguous():
        return ""
    strided = "" if tensor.is_contiguous() else ", strided"
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}{strided}"
