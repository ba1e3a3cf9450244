import logging
import math
from decimal import Decimal

import pytest
import trireme_worker
from trireme.contract import wire
from trireme_worker import reporter
from trireme_worker.reporter import Reporter


@pytest.fixture
def present(monkeypatch):
    """The process's reporter, outside of a job."""
    mine = Reporter("", "", 0)
    monkeypatch.setattr(reporter, "_present", mine)
    return mine


class Scalar:
    """Like a tensor of one element."""

    def __float__(self) -> float:
        return 0.25

    def __index__(self) -> int:
        return 3


def test_what_is_left_out_keeps_its_last_value(present):
    trireme_worker.report(step=1, total_steps=10, loss=2)
    trireme_worker.report(step=2, loss=1.5)
    trireme_worker.report(accuracy=Decimal("0.5"))
    assert present.progress() == wire.Progress(2, 10, {"loss": 1.5, "accuracy": 0.5})


def test_a_checkpoint_says_what_is_done_where_nobody_else_does(present):
    present.checkpointed(40)
    assert present.progress() == wire.Progress(40, None, {}, 40)
    trireme_worker.report(step=45)
    present.checkpointed(44)
    assert present.progress() == wire.Progress(45, None, {}, 44)


def test_scalars_of_numeric_libraries(present):
    trireme_worker.report(step=Scalar(), loss=Scalar())
    assert present.progress() == wire.Progress(3, None, {"loss": 0.25})


def test_a_metric_that_is_not_finite_is_left_out_and_named_once(present, caplog):
    for _ in range(3):
        trireme_worker.report(loss=math.nan, rate=math.inf, good=1)
    assert present.progress().metrics == {"good": 1.0}
    assert [record.getMessage() for record in caplog.records] == [
        "metric loss is not finite and is left out",
        "metric rate is not finite and is left out",
    ]


def test_outside_of_a_job_it_says_so_once_and_does_nothing(monkeypatch, caplog):
    monkeypatch.setattr(reporter, "_present", None)
    monkeypatch.delenv("TRIREME_AGENT_URL", raising=False)
    with caplog.at_level(logging.INFO):
        trireme_worker.report(step=1)
        trireme_worker.report(step=2)
    assert [record.getMessage() for record in caplog.records] == [
        "not inside a Trireme job: progress goes nowhere"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param({"step": -1}, "step must be at least 0, got -1", id="negative step"),
        pytest.param({"step": 2**63}, "step must be at most 9223372036854775807", id="step of 65 bits"),
        pytest.param({"step": 1.5}, "step must be a whole number, got 1.5", id="fractional step"),
        pytest.param({"step": "1"}, "step must be a whole number, got '1'", id="text step"),
        pytest.param({"total_steps": 0}, "total_steps must be at least 1, got 0", id="no steps"),
        pytest.param({"loss": "low"}, "metric loss must be a number, got 'low'", id="text metric"),
        pytest.param({"loss": "0.5"}, "metric loss must be a number, got '0.5'", id="number as text"),
        pytest.param({"loss": None}, "metric loss must be a number, got None", id="None metric"),
        pytest.param({"loss": [1.0]}, r"metric loss must be a number, got \[1.0\]", id="list metric"),
        pytest.param({"loss": 1j}, "metric loss must be a number", id="complex metric"),
        pytest.param({"loss": 10**400}, "metric loss must be a number", id="too large"),
        pytest.param({"x" * 64: 1}, "the name of a metric has 1 to 63 characters", id="long name"),
        pytest.param({"": 1}, "the name of a metric has 1 to 63 characters", id="no name"),
        pytest.param({f"m{i}": i for i in range(33)}, "at most 32 metrics", id="too many"),
    ],
)
def test_bad_arguments(present, arguments, problem):
    with pytest.raises(ValueError, match=problem):
        trireme_worker.report(**arguments)
    assert present.progress() == wire.Progress(0)
