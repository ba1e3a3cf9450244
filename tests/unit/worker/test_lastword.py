from dataclasses import replace

import pytest
from trireme.contract import exits
from trireme.contract.wire import Failure, Termination
from trireme_worker.lastword import Speaker
from trireme_worker.output import Tail

SPEAKER = Speaker("worker", 1)
MINE = Failure("worker", 1, 3, "Error", "ValueError: boom", 7.0, 2, log_tail=("a", "b"))
THEIRS = Failure("worker", 0, 137, "Signal", "ended by SIGKILL", 7.0, 0, "SIGKILL")
SILENT = Failure("worker", 1, exits.COORDINATOR_LOST, exits.POD_SILENT, "not heard of", 7.0)
MISSING = Failure("worker", 0, exits.PEER_MISSING, "PeerMissing", "worker-2 never joined within 5 s", 7.0)


@pytest.mark.parametrize(
    ("cause", "own", "expected"),
    [
        pytest.param(replace(MINE, log_tail=()), [MINE], Termination(3, failure=MINE), id="mine, with its log"),
        pytest.param(THEIRS, [], Termination(exits.PEER_FAILED, cause=THEIRS), id="another's"),
        pytest.param(THEIRS, [MINE], Termination(exits.PEER_FAILED, cause=THEIRS), id="another's, mine came later"),
        pytest.param(SILENT, [], Termination(exits.COORDINATOR_LOST, failure=SILENT), id="mine, I was silent"),
        pytest.param(
            replace(MISSING, rank=3), [], Termination(exits.PEER_FAILED, cause=replace(MISSING, rank=3)),
            id="a program that exits with a code of ours",
        ),
        pytest.param(
            MISSING, [], Termination(exits.PEER_MISSING, failure=replace(MISSING, index=1, at=9.0)), id="missing peers"
        ),
    ],
)  # fmt: skip
def test_judged(cause, own, expected):
    assert SPEAKER.judged(cause, own, at=9.0) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(
            3, Failure("worker", 1, 3, "Error", "ValueError: boom", 9.0, 2, "", ("x", "ValueError: boom")), id="error"
        ),
        pytest.param(
            139, Failure("worker", 1, 139, "Signal", "ended by SIGSEGV", 9.0, 2, "SIGSEGV", ("x", "ValueError: boom")),
            id="signal",
        ),
    ],
)  # fmt: skip
def test_process_failed(code, expected):
    tail = Tail()
    tail.add([b"x"], False)
    tail.add([b"ValueError: boom"], True)
    assert SPEAKER.process_failed(2, code, tail, at=9.0) == expected


def test_lost_shows_what_failed_here():
    assert SPEAKER.lost("refused", [MINE], at=9.0) == Termination(exits.COORDINATOR_LOST, failure=MINE)
    message = "worker-0 does not answer any more: refused"
    alone = Failure("worker", 1, exits.COORDINATOR_LOST, "CoordinatorLost", message, 9.0)
    assert SPEAKER.lost("refused", [], at=9.0) == Termination(exits.COORDINATOR_LOST, failure=alone)
