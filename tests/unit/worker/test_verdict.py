from dataclasses import replace

import pytest
from trireme.contract import exits
from trireme.contract.wire import Failure
from trireme_worker.verdict import certain, root


def failure(name: str, code: int, message: str = "", log: tuple[str, ...] = ()) -> Failure:
    meaning = exits.describe(code)
    return Failure("worker", 0, code, meaning.reason, message or name, 0.0, 0, meaning.signal, log)


ERROR = failure("own error", 1, "ValueError: boom")
OTHER = failure("another error", 2, "KeyError: 'x'")
KILL = failure("kill", 137)
ABORT = failure("abort", 134)
HOROVOD = failure("horovod", 1, "horovod.common.exceptions.HorovodInternalError: gone")
GLOO = failure("gloo", 1, "RuntimeError: [..] Connection closed by peer [127.0.0.1]:4242")
IN_LOG = failure("raised again", 1, "RuntimeError: training failed", ("HorovodInternalError: gone", "..."))
LOST = failure("lost", exits.COORDINATOR_LOST)
SILENT = replace(LOST, reason=exits.POD_SILENT)
REPLACED = replace(LOST, reason=exits.POD_REPLACED)


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        pytest.param([ERROR], ERROR, id="alone"),
        pytest.param([ABORT], ABORT, id="alone, an abort is its own cause"),
        pytest.param([LOST], LOST, id="alone, even a lost coordinator"),
        pytest.param([ERROR, OTHER], ERROR, id="the first of two errors"),
        pytest.param([OTHER, ERROR], OTHER, id="the first, the other way round"),
        pytest.param([ERROR, KILL], ERROR, id="an error before a kill"),
        pytest.param([ABORT, KILL], KILL, id="abort before kill"),
        pytest.param([HOROVOD, KILL], KILL, id="horovod before kill"),
        pytest.param([GLOO, ERROR], ERROR, id="gloo before error"),
        pytest.param([IN_LOG, KILL], KILL, id="the trace is in the log"),
        pytest.param([HOROVOD, ABORT], HOROVOD, id="only followers: the first"),
        pytest.param([LOST, ABORT], ABORT, id="a lost coordinator last"),
        pytest.param([KILL, HOROVOD, ABORT, LOST], KILL, id="in the right order already"),
        pytest.param([HOROVOD, ABORT, SILENT], SILENT, id="a pod that is lost broke the connections"),
        pytest.param([HOROVOD, REPLACED], REPLACED, id="and one that was replaced"),
    ],
)
def test_root(arrived, expected):
    assert root(arrived) == expected


@pytest.mark.parametrize(
    ("arrived", "expected"),
    [
        pytest.param([ERROR], True, id="an error"),
        pytest.param([KILL], True, id="a kill"),
        pytest.param([HOROVOD, ABORT, LOST], False, id="only followers"),
        pytest.param([HOROVOD, SILENT], True, id="a pod that is lost"),
    ],
)
def test_certain(arrived, expected):
    assert certain(arrived) is expected
