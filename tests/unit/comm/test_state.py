from __future__ import annotations

import sys

import pytest
import torch
from trireme_worker.comm.ps.consistency import Consistency
from trireme_worker.comm.ps.errors import Reason
from trireme_worker.comm.ps.functions import Elementwise, State
from trireme_worker.comm.ps.slot import Answer, Asked, Slot, Status
from trireme_worker.comm.ps.table import BadTable, Table

SYNC = Consistency.parse("Sync")
STATES = {
    "fails": lambda values: {"m": 1 // 0},
    "fails when it is large": lambda values: {"m": torch.zeros(1 // (len(values) < 8) * len(values))},
    "halves": lambda values: {"m": torch.zeros_like(values, dtype=torch.float16)},
    "one": lambda values: {"m": torch.zeros(1)},
    "expanded": lambda values: {"m": torch.zeros(1).expand(len(values))},
    "a number": lambda values: {"m": 0.0},
    "a list": lambda values: [torch.zeros_like(values)],
    "two": lambda values: {"m": torch.zeros_like(values), "v": torch.ones_like(values)},
}


class Users(Elementwise):
    def __init__(self, keeps: str) -> None:
        self._keeps = keeps

    def state(self, values: torch.Tensor) -> State:
        return STATES[self._keeps](values)  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "users", sys.modules[__name__])


def table(keeps: str) -> Table:
    return Table("w", 8, row=4, function={"name": "users:Users", "keeps": keeps})


BELONGS = "is dense float32 shaped as the values"


@pytest.mark.parametrize(
    ("keeps", "complaint"),
    [
        ("fails", r"Users.state failed: ZeroDivisionError\('integer division or modulo by zero'\)"),
        ("halves", rf"Users.state\['m'\] is float16 \[4\]: a state {BELONGS} \[4\]"),
        ("one", rf"Users.state\['m'\] is float32 \[1\]: a state {BELONGS} \[4\]"),
        ("expanded", rf"Users.state\['m'\] is float32 \[4\], strided: a state {BELONGS} \[4\]"),
        ("a number", rf"Users.state\['m'\] is a float: a state {BELONGS} \[4\]"),
        ("a list", "Users.state gives tensors by their names, got a list"),
    ],
)
def test_a_state_that_could_not_be_kept_is_told_where_the_table_is_registered(keeps: str, complaint: str) -> None:
    with pytest.raises(BadTable, match=f"table 'w': update function {complaint}"):
        table(keeps).check()


def test_a_table_knows_the_names_of_its_states() -> None:
    table("two").check()
    assert (table("two").states, Table("w", 8).states) == (("m", "v"), ())


def test_a_state_that_fails_on_the_server_is_told_the_worker() -> None:
    slot = Slot(table("fails when it is large"), 0)
    slot.status = Status.PRIMARY
    asked = Asked("token", 0, 0)
    text = "table 'w': update function Users.state failed: ZeroDivisionError('integer division or modulo by zero')"
    assert slot.initialise(asked, torch.zeros(8), SYNC).answers == [Answer(asked, None, Reason.FAILED, text)]
    assert slot.values is None
