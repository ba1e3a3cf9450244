"""`DistributedOptimizer`: the user's optimizer, whose step is taken by the servers.

Each parameter group is one table. A range is pushed as soon as backward has made all its gradients, while backward goes
on with the others; `step` pulls the new values. The optimizer's class and options choose the servers' update function;
the learning rate goes along with every push, so that schedules work as they do without servers.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trireme_worker.comm.ps import functions, session
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.gradients import Gradients
from trireme_worker.comm.ps.memory import Layout

_optimizers = itertools.count()

_LATER = "DistributedOptimizer(overlap=False) sends them in step()"


class _Group:
    """One parameter group as a table. What backward has finished is pushed range by range.

    Autograd has a thread for each GPU, and computes a gradient on the stream on which forward used its parameter.
    """

    def __init__(self, client: Client, key: str, optimizer: torch.optim.Optimizer, at: int, passes: int) -> None:
        """`at`: which group of the optimizer."""
        group = optimizer.param_groups[at]
        self.key = key
        self.parameters = trained(group)
        self._frozen = [parameter for parameter in group["params"] if not parameter.requires_grad]
        self._client = client
        self._optimizer, self._at = optimizer, at
        self._passes = passes
        self._layout = Layout([parameter.numel() for parameter in self.parameters])
        self._ranges = client.ranges(key)
        self._members = [{at for at, _, _ in self._layout.pieces(part)} for part in self._ranges]
        self._ranges_of: list[list[int]] = [[] for _ in self.parameters]
        for index, members in enumerate(self._members):
            for at in members:
                self._ranges_of[at].append(index)
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """Before the first backward of a step."""
        self._counts = [0] * len(self.parameters)
        self._missing = [len(members) for members in self._members]
        self._made: dict[int, torch.cuda.Event] = {}
        """Of each gradient on a GPU, the point of its stream behind which it is there."""
        self._gradients = Gradients(self.parameters)
        self._sent_rate: float | None = None
        """Of the pushes of this step; None: there was none."""
        self._pushed: list[int] = []
        self._timestamps: list[int] = []

    @property
    def sending(self) -> bool:
        """Whether gradients of this step are on their way."""
        return bool(self._pushed)

    def ready(self, at: int) -> None:
        """Backward has accumulated into a parameter's gradient."""
        with self._lock:
            self._counts[at] += 1
            if self._counts[at] > self._passes:
                raise ParameterServerError(
                    f"gradients were computed more than {self._passes} times before step(): "
                    "call step() after every backward, set backward_passes_per_step, or, where a step is skipped, "
                    "overlap=False"
                )
            device = self.parameters[at].device
            if device.type == "cuda":
                self._made[at] = torch.cuda.current_stream(device).record_event()
            if self._counts[at] == self._passes:
                self._complete(at)

    def _complete(self, at: int) -> None:
        """Pushes the ranges of which this parameter's gradient was the last."""
        for index in self._ranges_of[at]:
            self._missing[index] -= 1
            if not self._missing[index]:
                self._wait_for(self._members[index])
                gradients = self._gradients.take(self._members[index])
                if self._sent_rate is None:
                    self._sent_rate = self._rate
                self._pushed.append(index)
                self._timestamps.append(self._client.push_ranges(self.key, gradients, [index], self._sent_rate))

    def _wait_for(self, gradients: Iterable[int]) -> None:
        """What this thread does next on a GPU comes after these gradients, whichever streams they are made on."""
        for at in gradients:
            made = self._made.get(at)
            if made is not None:
                torch.cuda.current_stream(self.parameters[at].device).wait_event(made)

    def check(self) -> None:
        """Raises ParameterServerError when what the servers have, or were sent, is not what `step` is to count."""
        if any(parameter.requires_grad for parameter in self._frozen):
            raise ParameterServerError(
                "a parameter that was frozen when the optimizer was wrapped requires a gradient now, and the servers "
                "do not have it: wrap an optimizer when its parameters are as they are to be trained"
            )
        if self._gradients.changed:
            raise ParameterServerError(
                f"gradients were changed between backward() and step(), when they were sent already: {_LATER}"
            )
        if self._sent_rate not in (None, self._rate):
            raise ParameterServerError(
                f"lr was changed from {self._sent_rate:g} to {self._rate:g} between backward() and step(), when "
                f"gradients were sent already: change it before backward(), or {_LATER}"
            )

    def finish(self) -> None:
        """Pushes the rest and fetches the new values."""
        client, pushed = self._client, set(self._pushed)
        rest = [index for index in range(len(self._ranges)) if index not in pushed]
        with_some = [
            index for index in rest if any(self.parameters[at].grad is not None for at in self._members[index])
        ]
        if without := sorted(set(rest) - set(with_some)):
            self._timestamps.append(client.skip_ranges(self.key, without))
        if with_some:
            self._wait_for(range(len(self.parameters)))
            gradients = self._gradients.take(set().union(*(self._members[index] for index in with_some)))
            self._timestamps.append(
                client.push_pull_ranges(self.key, gradients, self.parameters, with_some, self._rate)
            )
        if others := [*self._pushed, *without]:
            self._timestamps.append(client.pull_ranges(self.key, self.parameters, others))
        client.wait_all(self._timestamps)
        self.begin()

    @property
    def _rate(self) -> float:
        """load_state_dict makes new groups."""
        return float(self._optimizer.param_groups[self._at]["lr"])


def trained(group: dict[str, Any]) -> list[Tensor]:
    """A group's parameters that the servers have: a frozen one has no gradient, and weight decay would move it."""
    return [parameter for parameter in group["params"] if parameter.requires_grad]


class DistributedOptimizer(torch.optim.Optimizer):
    """Wraps an optimizer: SGD, AdamW, Adam without weight decay, Adagrad, or any with a `function` of the servers.

    named_parameters: model.named_parameters(); names go into messages. backward_passes_per_step: how many backwards
    accumulate into one step (their sum counts). overlap: push while backward goes on; False to change gradients between
    backward and step, by clipping or a GradScaler, say, and to skip steps: then it does not count backwards. function:
    a configuration of the servers' update function instead of the one that the optimizer's class stands for. filters:
    what gradients go through on their way. pull_filter: how servers round the parameters that they send. consistency:
    of this optimizer's tables alone. nan: "refuse" or "pass".

    All workers begin with rank 0's parameters, or with what the servers have when they are there already; frozen ones
    are left out. A gradient is the mean of all workers' (Sync), or applied as it comes (Bounded, Async). A parameter
    without a gradient counts as zeros; a range of which no parameter has any stays as it is, as torch leaves it.
    Optimizer state lives on the servers: `state_dict` has the groups alone.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        named_parameters: Iterable[tuple[str, Tensor]] | None = None,
        *,
        backward_passes_per_step: int = 1,
        overlap: bool = True,
        function: dict[str, Any] | None = None,
        filters: Sequence[Any] = (),
        pull_filter: str = "",
        consistency: str = "",
        nan: str = "refuse",
        client: Client | None = None,
    ) -> None:
        check_names(optimizer, named_parameters)
        _check_fresh(optimizer.state)
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self._client = client or session.client()
        self._overlap = overlap
        self._wrapped = optimizer
        self._tables: list[_Group] = []
        self._registered: list[dict[str, Any]] = []
        """What servers do with each group, where the group itself says it."""
        number = next(_optimizers) if client is None else 0
        for at, group in enumerate(self.param_groups):
            key = f"optimizer.{number}.{at}"
            chosen = function or functions.of_optimizer(optimizer, group)
            self._registered += [] if function else [chosen]
            if not trained(group):
                continue
            self._client.register(key, trained(group), function=chosen, filters=filters,
                                  pull_filter=pull_filter, consistency=consistency, nan=nan)  # fmt: skip
            self._tables.append(_Group(self._client, key, self, at, backward_passes_per_step))
        if not self._tables:
            raise ParameterServerError("no parameter of the optimizer requires a gradient: there is nothing to train")
        self._client.resume({table.key: table.parameters for table in self._tables})
        self._handles = [
            parameter.register_post_accumulate_grad_hook(self._hook(table, at))
            for table in self._tables
            for at, parameter in enumerate(table.parameters)
            if overlap
        ]

    @property
    def served_steps(self) -> int:
        """Steps of this worker that the servers have, its predecessors' included: where its successor goes on."""
        return min(self._client.pushes(table.key) for table in self._tables)

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """torch's word for an optimizer whose gradients a GradScaler leaves scaled: it notes that in `found_inf`."""
        return self._overlap

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Returns when the servers' values are here. Raises ParameterServerError."""
        self._check_registered()
        if hasattr(self, "found_inf"):
            raise ParameterServerError(f"a GradScaler's gradients were sent scaled: {_LATER}")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for table in self._tables:
            table.check()
        for table in self._tables:
            table.finish()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        if any(table.sending for table in self._tables):
            raise ParameterServerError(
                "zero_grad() between backward() and step(): the gradients are on their way to the servers. "
                "Call it after step(), or use DistributedOptimizer(overlap=False)"
            )
        for table in self._tables:
            table.begin()
        super().zero_grad(set_to_none)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The groups' options. Raises ParameterServerError when there is more in it."""
        _check_fresh(state_dict["state"])
        super().load_state_dict(state_dict)
        self._wrapped.param_groups = self.param_groups  # a schedule may have been given either

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if getattr(self, "_tables", None):
            raise ParameterServerError("parameter groups are added before the optimizer is wrapped")
        super().add_param_group(param_group)

    def _check_registered(self) -> None:
        """Of a group's options the servers hear of the rate alone."""
        for at, (group, registered) in enumerate(zip(self.param_groups, self._registered, strict=False)):
            wanted = functions.of_optimizer(self._wrapped, group)
            changed = [
                f"{name} from {old} to {wanted[name]}"
                for name, old in registered.items()
                if name != "lr" and wanted[name] != old
            ]
            if changed:
                raise ParameterServerError(
                    f"parameter group {at} changed {', '.join(changed)}: the servers keep what they were told when the "
                    "optimizer was wrapped, only lr may change (OneCycleLR and CyclicLR: cycle_momentum=False)"
                )

    def _hook(self, table: _Group, at: int) -> Callable[[Tensor], None]:
        def ready(_: Tensor) -> None:
            table.ready(at)

        return ready


def _check_fresh(states: Mapping[Any, Any]) -> None:
    """Raises ParameterServerError for what `step` has left. Adagrad makes its state beforehand, at step 0."""
    for state in states.values():
        if state.get("step", any(value is not None for value in state.values())):
            raise ParameterServerError(
                "the optimizer has state of steps that were taken without servers, which begin with none: load the "
                "parameters alone (optimizer.state.clear(), or a state_dict without it)"
            )


def check_names(optimizer: torch.optim.Optimizer, named: Iterable[tuple[str, Tensor]] | None) -> None:
    """Raises ParameterServerError when names are not one for each parameter."""
    if named is None:
        return
    pairs = list(named)
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ParameterServerError(f"named_parameters has {twice[:5]} more than once")
    known = {id(parameter) for _, parameter in pairs}
    unnamed = sum(id(parameter) not in known for group in optimizer.param_groups for parameter in group["params"])
    if unnamed:
        raise ParameterServerError(f"{unnamed} of the optimizer's parameters are not in named_parameters")
