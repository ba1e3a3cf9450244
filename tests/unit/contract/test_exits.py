import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.contract import exits
from trireme.contract.exits import Kind


@pytest.mark.parametrize(
    ("code", "kind", "reason", "signal"),
    [
        (0, Kind.SUCCESS, "Completed", ""),
        (1, Kind.ERROR, "Error", ""),
        (2, Kind.ERROR, "Error", ""),
        (126, Kind.CONFIGURATION, "CommandNotExecutable", ""),
        (127, Kind.CONFIGURATION, "CommandNotFound", ""),
        (134, Kind.SIGNAL, "Signal", "SIGABRT"),
        (137, Kind.SIGNAL, "Signal", "SIGKILL"),
        (143, Kind.SIGNAL, "Signal", "SIGTERM"),
        (199, Kind.ERROR, "Error", ""),
        (200, Kind.COLLATERAL, "PeerFailed", ""),
        (201, Kind.INFRASTRUCTURE, "PeerMissing", ""),
        (202, Kind.COLLATERAL, "CoordinatorLost", ""),
        (203, Kind.CONFIGURATION, "BadEnvironment", ""),
        (204, Kind.INFRASTRUCTURE, "AgentError", ""),
        (206, Kind.ERROR, "Hung", ""),
        (255, Kind.ERROR, "Error", ""),
    ],
)
def test_meaning(code, kind, reason, signal):
    found = exits.describe(code)
    assert (found.kind, found.reason, found.signal) == (kind, reason, signal)


@given(st.integers(0, 255))
def test_every_code_has_words(code):
    found = exits.describe(code)
    assert found.reason.isalpha()
    assert found.meaning


@pytest.mark.parametrize(("returncode", "code"), [(0, 0), (3, 3), (-9, 137), (-15, 143)])
def test_return_codes_become_a_shells_exit_codes(returncode, code):
    assert exits.from_returncode(returncode) == code
