"""One worker or two against real servers: rows, filters, mistakes."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from support import psgroup
from support.psgroup import together
from trireme_worker.comm.ps.client import Client
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.operation import Operation

ROWS = torch.tensor([3, 250_000, 3, 299_999])
GRADIENT = torch.arange(12, dtype=torch.float32).view(4, 3)


def test_rows_of_two_workers_meet_in_their_step() -> None:
    with psgroup.group(servers=2) as group:
        clients = [group.client(0), group.client(1)]

        def work(rank: int) -> torch.Tensor:
            client = clients[rank]
            client.register("e", [300_000, 3], row=3, reduction="sum")
            client.wait(client.push_rows("e", ROWS[rank:], GRADIENT[rank:]))
            return client.pull_rows("e", torch.tensor([299_999, 0, 3, 250_000]))

        found = together(lambda: work(0), lambda: work(1))
    rows = [[18, 20, 22], [0, 0, 0], [12, 15, 18], [6, 8, 10]]
    assert [each.tolist() for each in found] == [rows, rows]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "filters",
    [["bf16"], ["fp16"], [{"name": "topk", "ratio": 1.0}], ["key_caching"]],
    ids=["bf16", "fp16", "topk", "key_caching"],
)
def test_what_filters_leave_arrives(filters: list[object]) -> None:
    with psgroup.group(servers=2, workers=1) as group:
        client = group.client(0)
        client.register("d", [900_000], filters=filters)
        client.register("e", [300_000, 3], row=3, filters=filters)
        for _ in range(3):
            client.wait(client.push("d", torch.full((900_000,), 2.0)))
            client.wait(client.push_rows("e", ROWS, GRADIENT))
        assert torch.equal(client.pull("d"), torch.full((900_000,), 6.0))
        assert client.pull_rows("e", ROWS[:2]).tolist() == [[18, 24, 30], [9, 12, 15]]


def test_a_strided_half_precision_tensor_goes_through_staging() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", [4, 6])
        out = torch.zeros(6, 4, dtype=torch.bfloat16).t()
        client.wait(client.push_pull("w", torch.arange(24.0, dtype=torch.float16).view(6, 4).t(), out))
        assert torch.equal(out.float(), torch.arange(24.0).view(6, 4).t())


def mistakes() -> dict[str, tuple[Callable[[Client], object], str]]:
    return {
        "unknown": (lambda c: c.pull("v"), r"table 'v' is not registered \(registered: w\)"),
        "shape": (lambda c: c.push("w", torch.zeros(9)), r"'w' was registered with \[10\] elements, got \[9\]"),
        "twice": (lambda c: c.register("w", [10]), "'w' is registered already"),
        "function": (lambda c: c.register("x", [1], function={"name": "sdg"}), "no update function 'sdg'"),
        "filter": (lambda c: c.register("x", [1], filters=["fp8"]), "no filter 'fp8'"),
        "rows": (lambda c: c.pull_rows("w", torch.tensor([10])), "has rows 0 to 9, got 10 to 10"),
        "complex": (lambda c: c.register("x", torch.ones(1, dtype=torch.complex64)), "have no complex tensors"),
        "complex push": (
            lambda c: c.push("w", torch.ones(10, dtype=torch.complex64)),
            "use torch.view_as_real of them",
        ),
        "complex rows": (
            lambda c: c.push_rows("w", torch.tensor([1]), torch.ones(1, 1, dtype=torch.complex64)),
            "have no complex tensors",
        ),
        "checkpoint": (lambda c: c.checkpoint(), "there is no checkpoint directory"),
        "nan": (
            lambda c: c.wait(c.push("w", torch.tensor([0.0] * 4 + [float("nan")] + [0.0] * 5))),
            "push 1 of 'w' by worker 0 has 1 values that are NaN or infinite, the first at element 4",
        ),
    }


@pytest.mark.parametrize("name", mistakes())
def test_a_mistake_is_told(name: str) -> None:
    call, message = mistakes()[name]
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", [10])
        with pytest.raises(ParameterServerError, match=message):
            call(client)
        client.wait(client.push("w", torch.ones(10)))
        assert client.pull("w").tolist() == [1] * 10


def test_a_failure_is_told_once_and_the_rest_goes_on() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", [2])
        failing = client.push("w", torch.tensor([0.0, float("nan")]))
        with pytest.raises(ParameterServerError, match="NaN or infinite"):
            client.wait(failing)
        assert client.wait(failing)
        assert client.pull("w").tolist() == [0, 0]
        client.wait(client.push("w", torch.ones(2)))
        assert client.pull("w").tolist() == [1, 1]
        client.shutdown()


class Broken:
    """An update function of a user."""

    def state(self, values: torch.Tensor) -> dict[str, torch.Tensor]:
        return {}

    def apply(self, *_: object) -> None:
        raise ZeroDivisionError("oh")

    apply_rows = apply


def test_all_workers_hear_of_a_function_that_fails() -> None:
    with psgroup.group() as group:
        clients = [group.client(0), group.client(1)]

        def work(rank: int) -> None:
            clients[rank].register("w", [2], function={"name": f"{__name__}:Broken"})
            with pytest.raises(ParameterServerError, match=r"table 'w': .*:Broken failed: ZeroDivisionError\('oh'\)"):
                clients[rank].wait(clients[rank].push("w", torch.ones(2)))

        together(lambda: work(0), lambda: work(1))


def test_nan_is_passed_on_where_the_table_says_so() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0)
        client.register("w", [2], nan="pass")
        client.wait(client.push("w", torch.tensor([1.0, float("inf")])))
        assert client.pull("w").tolist() == [1, float("inf")]


def test_workers_that_register_differently_are_told() -> None:
    with psgroup.group() as group:
        first, second = group.client(0), group.client(1)
        first.register("w", [10])
        with pytest.raises(
            ParameterServerError, match=r"'w' is registered twice, and differently \(length: 10 and 11\)"
        ):
            second.register("w", [11])


def test_patience_ends_when_no_server_is_left() -> None:
    with psgroup.group(workers=1) as group:
        client = group.client(0, patience_seconds=0.2)
        client.register("w", [2])
        group.kill(0)
        with pytest.raises(ParameterServerError, match=r"push 1 of range 0 of table 'w': no server took it for 0.2 s"):
            client.wait(client.push("w", torch.ones(2)))


def test_a_barrier_holds_until_all_have_come() -> None:
    with psgroup.group() as group:
        clients = [group.client(0), group.client(1)]
        passed: list[int] = []

        def work(rank: int) -> None:
            clients[rank].barrier()
            passed.append(rank)
            clients[rank].barrier()
            assert sorted(passed[:2]) == [0, 1]

        together(lambda: work(0), lambda: work(1))


@pytest.mark.parametrize("options", [{}, {"filters": ["topk"]}, {"pull_filter": "bf16"}], ids=["plain", "topk", "bf16"])
def test_what_was_pushed_is_let_go_without_the_garbage_collector(options: dict[str, Any]) -> None:
    """It counts objects, not bytes: gigabytes of gradients would wait for its turn."""
    with psgroup.group(workers=1) as group, uncollected():
        client = group.client(0)
        client.register("d", [1000], **options)
        client.register("e", [1000, 3], row=3, **options)
        pushed = []
        for _ in range(5):
            dense, into, values = torch.ones(1000), torch.empty(1000), torch.ones(4, 3)
            client.wait(client.push_pull("d", dense, into))
            client.wait(client.push_rows("e", torch.arange(4), values))
            pushed.append([weakref.ref(tensor) for tensor in (dense, into, values)])
        assert [ref() for refs in pushed[:-2] for ref in refs] == [None] * 9  # threads may still refer to the last ones


def test_pushes_that_nobody_waits_for_are_let_go() -> None:
    with psgroup.group(workers=1) as group, uncollected():
        client = group.client(0)
        client.register("d", [1000])
        before = operations()
        pushed = []
        for _ in range(5):
            gradient = torch.ones(1000)
            client.push("d", gradient)
            pushed.append(weakref.ref(gradient))
        assert client.pull("d").tolist() == [5.0] * 1000
        assert [ref() for ref in pushed[:-2]] == [None] * 3
        assert operations() - before <= 2


def test_a_client_ends_after_the_threads_that_hold_tensors() -> None:
    """One that lets go of a tensor while the interpreter ends aborts the process."""
    with psgroup.group(workers=1, servers=1) as group:
        client, go_on = group.client(0), threading.Event()
        client.register("d", [1000])
        got = client._courier._got

        def slow(*answer: Any) -> None:
            got(*answer)
            go_on.wait()

        client._courier._got = slow  # type: ignore[method-assign]
        client.wait(client.push("d", torch.ones(1000)))
        closing = threading.Thread(target=client.close)
        closing.start()
        closing.join(0.3)
        assert closing.is_alive()
        go_on.set()
        closing.join()


def operations() -> int:
    return sum(type(each) is Operation for each in gc.get_objects())


@contextmanager
def uncollected() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
