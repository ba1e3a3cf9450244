from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from trireme_worker.comm.ps.functions import BadFunction, Elementwise, Update, create, of_optimizer
from trireme_worker.comm.ps.rows import coalesce

N = 257
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2),
    "sgd nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "sgd dampening": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "adagrad": lambda p: torch.optim.Adagrad(
        p, lr=0.1, lr_decay=0.01, weight_decay=0.01, initial_accumulator_value=0.1
    ),
}
EVERY = [
    {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.5},
    {"name": "adamw"},
    {"name": "adagrad"},
    {"name": "diloco"},
    {"name": "proximal_l1", "l1": 0.1, "of": {"name": "adagrad", "lr": 0.1}},
    {"name": "staleness_aware", "of": {"name": "sgd", "lr": 0.1}},
    {"name": "add"},
    {"name": "assign"},
]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(config: dict[str, Any], gradients: list[torch.Tensor], **context: Any) -> torch.Tensor:
    """Values after the updates, from random(N)."""
    function, values = create(config), random(N)
    state = function.state(values)
    for step, gradient in enumerate(gradients, 1):
        function.apply(values, gradient, state, Update(step, **context))
    return values


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_server_does_what_torch_does(name: str) -> None:
    parameter = torch.nn.Parameter(random(N))
    optimizer = OPTIMIZERS[name]([parameter])
    gradients = [random(N, seed=seed) for seed in range(1, 12)]
    values = run(of_optimizer(optimizer, optimizer.param_groups[0]), gradients)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(values, parameter.detach(), rtol=1e-6, atol=1e-6)


class Named(torch.optim.SGD):
    """A user's, with SGD's step."""


class Signed(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            parameter.sub_(parameter.grad.sign())


def test_a_class_with_the_step_of_one_that_servers_have_is_that_one() -> None:
    made = [kind([torch.nn.Parameter(random(2))], momentum=0.5) for kind in (Named, torch.optim.SGD)]
    assert of_optimizer(made[0], made[0].param_groups[0]) == of_optimizer(made[1], made[1].param_groups[0])


@pytest.mark.parametrize(
    ("optimizer", "complaint"),
    [
        (lambda p: torch.optim.Adam(p, weight_decay=0.1), "servers have no Adam"),
        (lambda p: torch.optim.AdamW(p, amsgrad=True), "servers have no AdamW with amsgrad"),
        (lambda p: torch.optim.SGD(p, maximize=True), "servers have no SGD with maximize"),
        (lambda p: torch.optim.RMSprop(p), "servers have no RMSprop"),
        (lambda p: torch.optim.SparseAdam(p), "servers have no SparseAdam"),
        (lambda p: torch.optim.LBFGS(p), "servers have no LBFGS"),
        (lambda p: torch.optim.Rprop(p), "servers have no Rprop"),
        (lambda p: Signed(p), r"Signed has a step\(\) of its own, and servers would take SGD's"),
    ],
    ids=["adam", "amsgrad", "maximize", "rmsprop", "sparse adam", "lbfgs", "rprop", "own step"],
)
def test_an_optimizer_that_servers_lack_is_refused(optimizer: Any, complaint: str) -> None:
    made = optimizer([torch.nn.Parameter(random(2))])
    with pytest.raises(BadFunction, match=complaint):
        of_optimizer(made, made.param_groups[0])


@pytest.mark.parametrize("name", ["sgd", "adamw", "adagrad"])
def test_the_rate_of_a_push_replaces_the_configured_one(name: str) -> None:
    gradients = [random(N, seed=1), random(N, seed=2)]
    assert torch.equal(run({"name": name, "lr": 5.0}, gradients, rate=0.25), run({"name": name, "lr": 0.25}, gradients))


@pytest.mark.parametrize("name", ["sgd", "adamw", "adagrad"])
def test_staleness_divides_the_rate(name: str) -> None:
    gradients = [random(N, seed=1), random(N, seed=2)]
    aware = run({"name": "staleness_aware", "of": {"name": name, "lr": 1.0}}, gradients, staleness=3)
    assert torch.equal(aware, run({"name": name, "lr": 0.25}, gradients))


def test_l1_after_sgd_is_the_soft_threshold() -> None:
    gradient = random(N, seed=1)
    stepped = random(N) - 0.5 * gradient
    expected = stepped.sign() * (stepped.abs() - 0.5 * 0.8).clamp(min=0)
    values = run({"name": "proximal_l1", "l1": 0.8, "of": {"name": "sgd", "lr": 0.5}}, [gradient])
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-6)
    assert torch.equal(values == 0, expected == 0)
    assert 0 < (values == 0).sum() < N


def test_l1_after_adagrad_has_a_threshold_for_each_element() -> None:
    gradient = random(N, seed=1)
    rate = 0.5 / gradient.abs()
    stepped = random(N) - rate * gradient
    expected = stepped.sign() * (stepped.abs() - rate * 0.3).clamp(min=0)
    values = run({"name": "proximal_l1", "l1": 0.3, "of": {"name": "adagrad", "lr": 0.5, "eps": 0.0}}, [gradient])
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-5)


def test_l1_shrinks_by_the_rate_that_staleness_left() -> None:
    aware = {"name": "staleness_aware", "of": {"name": "sgd", "lr": 1.0}}
    stale = run({"name": "proximal_l1", "l1": 0.3, "of": aware}, [random(N, seed=1)], staleness=3)
    fresh = run({"name": "proximal_l1", "l1": 0.3, "of": {"name": "sgd", "lr": 0.25}}, [random(N, seed=1)])
    assert torch.equal(stale, fresh)


def test_dilocos_outer_step_is_nesterovs() -> None:
    """Two workers move by SGD on their own, their mean displacement is the outer gradient; the momentum by hand."""
    outer, function = random(N), create({"name": "diloco", "lr": 0.7, "momentum": 0.9})
    state, expected, momentum = function.state(outer), outer.clone(), torch.zeros(N)
    for step in range(1, 4):
        moved = [outer - 0.1 * random(N, seed=10 * step + worker) for worker in range(2)]
        delta = sum(outer - local for local in moved) / 2
        momentum = 0.9 * momentum + delta
        expected = expected - 0.7 * (delta + 0.9 * momentum)
        function.apply(outer, delta, state, Update(step))
    torch.testing.assert_close(outer, expected, rtol=1e-6, atol=1e-6)


def test_diloco_of_rate_1_without_momentum_is_the_mean_of_the_workers() -> None:
    local = random(N, seed=1)
    values = run({"name": "diloco", "lr": 1.0, "momentum": 0.0}, [random(N) - local])
    torch.testing.assert_close(values, local, rtol=1e-6, atol=1e-6)


def test_sums_of_whole_numbers_are_exact() -> None:
    function, values = create({"name": "add"}), torch.zeros(3)
    for step in range(1, 1001):
        function.apply(values, torch.tensor([1.0, -2.0, 16_000.0]), {}, Update(step))
    assert values.tolist() == [1000.0, -2000.0, 16_000_000.0]


def test_assign_takes_the_values() -> None:
    assert torch.equal(run({"name": "assign"}, [random(N, seed=1)]), random(N, seed=1))


@pytest.mark.parametrize("config", EVERY, ids=lambda config: config["name"])
def test_all_rows_together_are_the_whole(config: dict[str, Any]) -> None:
    function, whole, rows = create(config), random(20, 3), random(20, 3)
    flat = whole.view(-1)
    state, of_rows = function.state(flat), function.state(rows.view(-1))
    for step in range(1, 4):
        gradient = random(20, 3, seed=step)
        order = torch.randperm(20, generator=torch.Generator().manual_seed(step))
        function.apply(flat, gradient.view(-1), state, Update(step))
        function.apply_rows(rows, order, gradient[order], of_rows, Update(step))
    torch.testing.assert_close(rows, whole, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(of_rows, state, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("config", EVERY, ids=lambda config: config["name"])
def test_rows_leave_the_others_alone(config: dict[str, Any]) -> None:
    function, values = create(config), random(6, 2)
    state = function.state(values.view(-1))
    kept = {name: tensor.clone().view(6, 2) for name, tensor in state.items()}
    function.apply_rows(values, torch.tensor([4, 1]), random(2, 2, seed=1), state, Update(1))
    others = [0, 2, 3, 5]
    assert torch.equal(values[others], random(6, 2)[others])
    left = {name: tensor.view(6, 2)[others] for name, tensor in state.items()}
    expected = {name: tensor[others] for name, tensor in kept.items()}
    torch.testing.assert_close(left, expected, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(values[1], random(6, 2)[1])


def test_a_row_named_twice_takes_the_sum() -> None:
    function, values = create({"name": "add"}), torch.zeros(4, 2)
    gradient = torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    function.apply_rows(values, torch.tensor([3, 1, 3]), gradient, {}, Update(1))
    assert values.tolist() == [[0, 0], [10, 20], [0, 0], [101, 202]]


def test_no_rows_change_nothing() -> None:
    function, values = create({"name": "adamw"}), random(4, 2)
    function.apply_rows(values, torch.empty(0, dtype=torch.int64), torch.empty(0, 2), function.state(values), Update(1))
    assert torch.equal(values, random(4, 2))


def test_rows_that_are_in_order_are_not_copied() -> None:
    rows, values = torch.tensor([1, 5, 6]), random(3, 2)
    assert coalesce(rows, values) == (rows, values)


class Halving(Elementwise):
    def __init__(self, by: float = 2.0) -> None:
        self._by = by

    def apply(
        self, values: torch.Tensor, gradient: torch.Tensor, state: dict[str, torch.Tensor], context: Update
    ) -> None:
        values.div_(self._by)


def test_a_users_own_function_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "users", sys.modules[__name__])
    assert torch.equal(run({"name": "users:Halving", "by": 4.0}, [random(N)]), random(N) / 4)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({}, r"an update function is \{\"name\""),
        ({"name": 3}, "an update function is"),
        ({"name": "sdg", "lr": 1}, "no update function 'sdg': there are sgd, adamw"),
        ({"name": "sgd"}, r"update function sgd\(lr.*missing a required argument: 'lr'"),
        ({"name": "sgd", "lr": 1, "beta": 2}, "unexpected keyword argument 'beta'"),
        ({"name": "sgd", "lr": -1}, "lr is a number of at least 0, got -1"),
        ({"name": "sgd", "lr": "fast"}, "lr is a number of at least 0, got 'fast'"),
        ({"name": "sgd", "lr": float("nan")}, "lr is a number of at least 0, got nan"),
        ({"name": "sgd", "lr": 1, "nesterov": True}, "nesterov needs momentum"),
        ({"name": "adamw", "beta1": 1.0}, "beta1 and beta2"),
        ({"name": "proximal_l1", "l1": 1, "of": {"name": "adamw"}}, "proximal_l1 goes with sgd and adagrad"),
        ({"name": "proximal_l1", "l1": 1, "of": 3}, "an update function is"),
        (
            {"name": "proximal_l1", "l1": 1, "of": {"name": "staleness_aware", "of": {"name": "adamw"}}},
            "proximal_l1 goes with sgd and adagrad",
        ),
        ({"name": "staleness_aware", "of": {"name": "add"}}, "staleness_aware goes with"),
        ({"name": "no.such.module:Thing"}, "cannot be imported: No module named 'no'"),
        ({"name": "json:nothing"}, "cannot be imported"),
        ({"name": ":x"}, "cannot be imported"),
        ({"name": "sys:path"}, "cannot be called"),
        ({"name": "collections:Counter"}, "makes a Counter, which lacks state, apply or apply_rows"),
    ],
    ids=str,
)
def test_a_configuration_that_is_wrong_is_refused(config: Any, complaint: str) -> None:
    with pytest.raises(BadFunction, match=complaint):
        create(config)
