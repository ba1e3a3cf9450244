"""What a server does with a push: update functions on float32 shards, in place, with torch's fused kernels.

A shard is a flat tensor; its optimizer state lies beside it in tensors of the same shape, so that it is cut, replicated
and saved like the values. A configuration is plain JSON, `{"name": "sgd", "lr": 0.1}`; a name with a colon is the
import path of a user's own function. Rows touched by a sparse push are updated as if they were the whole shard:
momentum, moments and weight decay of a row stand still while nobody pushes it ("lazy", as torch's SparseAdam).
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim.adagrad import adagrad
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from trireme_worker.comm.ps.rows import coalesce

State = dict[str, Tensor]


class BadFunction(ValueError):
    """A configuration that names no update function or gives one what it does not take; the text says which."""


@dataclass(frozen=True, slots=True)
class Update:
    """`step` counts the updates of a range from 1, `staleness` how many others came between a worker's pull and its
    push.

    `rate` is the learning rate that came with the push (a schedule's); None: the configured one.
    """

    step: int
    staleness: int = 0
    rate: float | None = None


@runtime_checkable
class UpdateFunction(Protocol):
    """What `create` returns. A user's own is easiest made from `Elementwise`."""

    def state(self, values: Tensor) -> State:
        """The state of a shard that was never updated, each tensor shaped like `values`; {} for none."""
        ...

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        """Updates values and state in place."""
        ...

    def apply_rows(self, values: Tensor, rows: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        """The same for some rows: values [n, row], rows int64 [k], gradient [k, row]. One named twice takes the sum."""
        ...


@runtime_checkable
class OutOfPlace(Protocol):
    """A function that can leave the old values as they are, at no cost."""

    def moved(self, values: Tensor, gradient: Tensor, scale: float, context: Update) -> bool:
        """Writes the new values into `gradient`, which counts `scale` times. False, with nothing done, when the
        options need `apply`."""
        ...


class Elementwise:
    """A function that treats each element by itself: rows are gathered, updated and put back."""

    def state(self, values: Tensor) -> State:
        return {}

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no apply")

    def apply_rows(self, values: Tensor, rows: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        rows, gradient = coalesce(rows, gradient)
        views = {name: tensor.view(values.shape) for name, tensor in state.items()}
        some = {name: view.index_select(0, rows) for name, view in views.items()}
        updated = values.index_select(0, rows)
        self.apply(updated, gradient, some, context)
        values.index_copy_(0, rows, updated)
        for name, view in views.items():
            view.index_copy_(0, rows, some[name])


class Rated(Elementwise):
    """A function with a learning rate, which a push may bring along."""

    def __init__(self, lr: float) -> None:
        _at_least_zero(lr=lr)
        self._lr = lr

    def lr(self, context: Update) -> float:
        return self._lr if context.rate is None else context.rate


class Sgd(Rated):
    """torch.optim.SGD."""

    def __init__(
        self,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(lr)
        _at_least_zero(momentum=momentum, dampening=dampening, weight_decay=weight_decay)
        if nesterov and (momentum == 0 or dampening != 0):
            raise BadFunction("nesterov needs momentum and no dampening")
        self._momentum, self._dampening = momentum, dampening
        self._options = {"dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        self._plain = not momentum and not weight_decay

    def state(self, values: Tensor) -> State:
        """Dampening spares the first gradient. NaN is a buffer that is not there yet, as None is torch's."""
        return {"momentum": torch.full_like(values, math.nan if self._dampening else 0.0)} if self._momentum else {}

    def moved(self, values: Tensor, gradient: Tensor, scale: float, context: Update) -> bool:
        if self._plain:
            torch.add(values, gradient, alpha=-self.lr(context) * scale, out=gradient)
        return self._plain

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        if self._plain:
            values.add_(gradient, alpha=-self.lr(context))
            return
        momentum = state.get("momentum")
        if momentum is not None and self._dampening:
            decayed = gradient.add(values, alpha=self._options["weight_decay"])
            later = momentum.mul(self._momentum).add_(decayed, alpha=1 - self._dampening)
            momentum.copy_(torch.where(momentum.isnan(), decayed, later))
            values.add_(momentum, alpha=-self.lr(context))
            return
        sgd([values], [gradient], [momentum], fused=True, lr=self.lr(context), momentum=self._momentum,
            maximize=False, **self._options)  # fmt: skip

    def taken(self, state: State, context: Update) -> float:
        """The step size of the update just made."""
        return self.lr(context)


class AdamW(Rated):
    """torch.optim.AdamW."""

    def __init__(
        self, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 1e-2
    ) -> None:
        super().__init__(lr)
        _at_least_zero(eps=eps, weight_decay=weight_decay)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise BadFunction(f"beta1 and beta2 are at least 0 and below 1, got {beta1} and {beta2}")
        self._options = {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}

    def state(self, values: Tensor) -> State:
        return {"mean": torch.zeros_like(values), "square": torch.zeros_like(values)}

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        before = torch.tensor(float(context.step - 1))
        adamw([values], [gradient], [state["mean"]], [state["square"]], [], [before], fused=True,
              lr=self.lr(context), amsgrad=False, maximize=False, **self._options)  # fmt: skip


class Adagrad(Rated):
    """torch.optim.Adagrad."""

    def __init__(
        self,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(lr)
        _at_least_zero(lr_decay=lr_decay, weight_decay=weight_decay, initial=initial, eps=eps)
        self._initial = initial
        self._options = {"lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}

    def state(self, values: Tensor) -> State:
        return {"square": torch.full_like(values, self._initial)}

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        before = torch.tensor(float(context.step - 1))
        adagrad([values], [gradient], [state["square"]], [before], fused=True,
                lr=self.lr(context), maximize=False, **self._options)  # fmt: skip

    def taken(self, state: State, context: Update) -> Tensor:
        """The step size of the update just made, of each element."""
        decayed = self.lr(context) / (1 + (context.step - 1) * self._options["lr_decay"])
        return decayed / state["square"].sqrt().add_(self._options["eps"])


class Diloco(Sgd):
    """The outer step of DiLoCo (Douillard et al. 2023): Nesterov momentum on what workers moved in H steps.

    A push is the outer gradient: what the worker pulled minus what it has now.
    """

    def __init__(self, lr: float = 0.7, momentum: float = 0.9) -> None:
        super().__init__(lr=lr, momentum=momentum, nesterov=momentum > 0)


class StalenessAware(Elementwise):
    """Another function with its learning rate divided by 1 + staleness (Zhang et al. 2016)."""

    def __init__(self, of: Mapping[str, Any]) -> None:
        inner = create(of)
        if not isinstance(inner, Rated):
            raise BadFunction(f"staleness_aware goes with sgd, adamw and adagrad, got {of['name']:.100}")
        self.inner = inner

    def state(self, values: Tensor) -> State:
        return self.inner.state(values)

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        self.inner.apply(values, gradient, state, self.slower(context))

    def slower(self, context: Update) -> Update:
        return replace(context, rate=self.inner.lr(context) / (1 + context.staleness))


class ProximalL1(Elementwise):
    """A step of another function, then soft thresholding by `l1` times its step size (proximal gradient for L1).

    After Adagrad every element has a threshold of its own (Duchi et al. 2011, composite mirror descent).
    """

    def __init__(self, l1: float, of: Mapping[str, Any]) -> None:
        _at_least_zero(l1=l1)
        self._l1, self._step = l1, create(of)
        inner = self._step.inner if isinstance(self._step, StalenessAware) else self._step
        if not isinstance(inner, (Sgd, Adagrad)):
            raise BadFunction(f"proximal_l1 goes with sgd and adagrad, staleness_aware or not, got {of['name']:.100}")
        self._inner = inner

    def state(self, values: Tensor) -> State:
        return self._step.state(values)

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        self._step.apply(values, gradient, state, context)
        taken = self._step.slower(context) if isinstance(self._step, StalenessAware) else context
        threshold = torch.as_tensor(self._inner.taken(state, taken)) * self._l1
        values.sub_(values.clamp(-threshold, threshold))  # exactly 0 within the threshold


class Add(Elementwise):
    """The plain sum; exact for whole numbers below 2**24."""

    def moved(self, values: Tensor, gradient: Tensor, scale: float, context: Update) -> bool:
        torch.add(values, gradient, alpha=scale, out=gradient)
        return True

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        values.add_(gradient)


class Assign(Elementwise):
    """The pushed values themselves: what a broadcast needs. Of a row named twice, the sum."""

    def apply(self, values: Tensor, gradient: Tensor, state: State, context: Update) -> None:
        values.copy_(gradient)


FUNCTIONS: dict[str, Callable[..., UpdateFunction]] = {
    "sgd": Sgd,
    "adamw": AdamW,
    "adagrad": Adagrad,
    "diloco": Diloco,
    "proximal_l1": ProximalL1,
    "staleness_aware": StalenessAware,
    "add": Add,
    "assign": Assign,
}

SERVED = (torch.optim.SGD, torch.optim.AdamW, torch.optim.Adam, torch.optim.Adagrad)
"""What `of_optimizer` knows; AdamW is an Adam too."""


def create(config: Mapping[str, Any]) -> UpdateFunction:
    """The function of a configuration. Raises BadFunction for an unknown name and for options that it does not take."""
    if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
        raise BadFunction(f'an update function is {{"name": ..., options}}, got {config!r:.200}')
    options = dict(config)
    name = options.pop("name")
    factory = _imported(name) if ":" in name else FUNCTIONS.get(name)
    if factory is None:
        raise BadFunction(f"no update function {name!r:.100}: there are {', '.join(FUNCTIONS)} and module:attribute")
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise BadFunction(f"update function {name}{inspect.signature(factory)}: {error}") from None
    function = factory(**options)
    if not isinstance(function, UpdateFunction):
        raise BadFunction(f"{name} makes a {type(function).__name__}, which lacks state, apply or apply_rows")
    return function


def _imported(path: str) -> Callable[..., UpdateFunction]:
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadFunction(f"update function {path} cannot be imported: {error}") from error
    if not callable(found):
        raise BadFunction(f"update function {path} cannot be called")
    return found


def of_optimizer(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that does on a server what `optimizer` would do to its parameter group `group`.

    Raises BadFunction for an optimizer or an option of it that servers do not have.
    """
    kind = type(optimizer).__name__
    served = next((each for each in SERVED if isinstance(optimizer, each)), None)
    if served is None or (served is torch.optim.Adam and group["weight_decay"]):
        raise BadFunction(
            f"servers have no {kind} (Adam only without weight decay): use SGD, AdamW, Adagrad or your own function"
        )
    if inspect.unwrap(type(optimizer).step) is not inspect.unwrap(served.step):
        raise BadFunction(
            f"{kind} has a step() of its own, and servers would take {served.__name__}'s: "
            "say what they are to do, function={...}"
        )
    refused = [option for option in ("amsgrad", "maximize", "differentiable") if group.get(option)]
    if refused:
        raise BadFunction(f"servers have no {kind} with {', '.join(refused)}")
    lr = float(group["lr"])
    if served is torch.optim.SGD:
        keys = ("momentum", "dampening", "weight_decay", "nesterov")
        return {"name": "sgd", "lr": lr, **{key: group[key] for key in keys}}
    if served in (torch.optim.AdamW, torch.optim.Adam):
        beta1, beta2 = group["betas"]
        rest = {"eps": group["eps"], "weight_decay": group["weight_decay"]}
        return {"name": "adamw", "lr": lr, "beta1": float(beta1), "beta2": float(beta2), **rest}
    rest = {key: group[key] for key in ("lr_decay", "weight_decay", "eps")}
    return {"name": "adagrad", "lr": lr, "initial": group["initial_accumulator_value"], **rest}


def _at_least_zero(**numbers: float) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < float("inf"):
            raise BadFunction(f"{name} is a number of at least 0, got {number!r:.100}")
