"""DiLoCo: workers train on their own and meet at the servers every H steps (Douillard et al. 2023, "DiLoCo: Distributed
Low-Communication Training of Language Models", algorithm 1)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from trireme_worker.comm.ps import session
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.optimizer import check_names

_optimizers = itertools.count()


class DiLoCo(torch.optim.Optimizer):
    """Wraps the inner optimizer (the paper's is AdamW); `step` is its step, and every `every`-th meets the others too.

    There a worker pushes what it moved, the values of the last meeting minus its own; the servers take a Nesterov step
    of `lr` and `momentum` with the mean of it (Sync), or with each as it comes (Bounded, Async); all go on from the
    result. Traffic is 1/every of DistributedOptimizer's; a worker keeps one more copy of the parameters.

    named_parameters: model.named_parameters(). every: inner steps between two meetings, H in the paper (500 there).
    filters, pull_filter: for the outer gradient and for what comes back, as in DistributedOptimizer. All workers begin
    with rank 0's parameters. The inner optimizer's state stays with its worker: a successor begins with a new one, at
    the last meeting.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        named_parameters: Iterable[tuple[str, Tensor]] | None = None,
        *,
        every: int,
        lr: float = 0.7,
        momentum: float = 0.9,
        filters: Sequence[Any] = (),
        pull_filter: str = "",
        client: Client | None = None,
    ) -> None:
        if every < 1:
            raise ParameterServerError(f"DiLoCo(every={every}): workers meet every 1, 2, 3, ... steps")
        check_names(optimizer, named_parameters)
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self._inner = optimizer
        self._every = every
        self._alone = 0
        """Inner steps since the last meeting."""
        self._client = client or session.client()
        self._key = f"diloco.{next(_optimizers) if client is None else 0}"
        self._parameters: list[Tensor] = [each for group in self.param_groups for each in group["params"]]
        function = {"name": "diloco", "lr": lr, "momentum": momentum}
        self._client.register(self._key, self._parameters, function=function, filters=filters, pull_filter=pull_filter)
        self._client.resume({self._key: self._parameters})
        self._met = [parameter.detach().clone() for parameter in self._parameters]

    @property
    def served_steps(self) -> int:
        """Inner steps of this worker that the servers have, its predecessors' included: where its successor goes on."""
        return self._client.pushes(self._key) * self._every

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Raises ParameterServerError."""
        loss = self._inner.step(closure)  # type: ignore[arg-type]
        self._alone += 1
        if self._alone == self._every:
            self.meet()
        return loss

    @torch.no_grad()
    def meet(self) -> None:
        """Now, if there was a step since the last meeting: at the end of a training, on every worker."""
        if not self._alone:
            return
        for met, parameter in zip(self._met, self._parameters, strict=True):
            met.sub_(parameter)
        self._client.wait(self._client.push_pull(self._key, self._met, self._parameters))
        for met, parameter in zip(self._met, self._parameters, strict=True):
            met.copy_(parameter)
        self._alone = 0

    def zero_grad(self, set_to_none: bool = True) -> None:
        self._inner.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's."""
        return self._inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._inner.load_state_dict(state_dict)
        self.param_groups = self._inner.param_groups
