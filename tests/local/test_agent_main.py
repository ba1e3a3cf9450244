"""The entry point: whatever goes wrong, a last word and an exit code come out."""

from __future__ import annotations

from pathlib import Path

import pytest
from trireme.contract import environ, exits, wire
from trireme.contract.environ import PodEnvironment
from trireme_worker import __main__ as entry

POD = PodEnvironment(
    job="digits", namespace="team", role="worker", index=1, slots=1, shards=0, replicas=2, servers=0, attempt=0,
    backend="Horovod",
    coordinator="127.0.0.1:1", token_file="", join_seconds=1, grace_seconds=1, restart_scope="Failed",
    independent=0, pod_ip="127.0.0.1",
    pod_uid="uid", node_name="node",
)  # fmt: skip


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """A pod's environment in this process."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    for key, value in (POD.write() | {"TRIREME_TOKEN_FILE": str(token)}).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv(environ.TERMINATION_LOG, str(tmp_path / "said"))
    return tmp_path


def last_word(folder: Path) -> tuple[int, str, str]:
    said = wire.read_termination((folder / "said").read_text())
    assert said is not None
    assert said.failure is not None
    assert said.failure.index == 1
    return said.exit_code, said.failure.reason, said.failure.message


def run() -> int:
    with pytest.raises(SystemExit) as end:
        entry.main(["--", "true"])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_bug_of_the_agent_is_called_one(pod, monkeypatch, capfd):
    def broken(*_: object) -> None:
        raise KeyError("lost my way")

    monkeypatch.setattr(entry, "Agent", broken)
    assert run() == exits.AGENT_ERROR
    assert last_word(pod) == (exits.AGENT_ERROR, "AgentError", "KeyError: 'lost my way'")
    assert "[agent] KeyError: 'lost my way'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        pytest.param("TRIREME_COORDINATOR", "nowhere", "'nowhere' is not host:port", id="coordinator"),
        pytest.param("TRIREME_POD_IP", "here", "'here' does not appear to be an IPv4 or IPv6 address", id="address"),
        pytest.param(
            "TRIREME_POD_IP", "203.0.113.77", "no network interface carries the pod's address 203.0.113.77",
            id="address of another",
        ),
        pytest.param(
            "TRIREME_TOKEN_FILE", "/no/such/token",
            "the token in /no/such/token cannot be read: [Errno 2] No such file or directory: '/no/such/token'",
            id="no token",
        ),
        pytest.param("TRIREME_TOKEN_FILE", "/dev/null", "the token in /dev/null is empty", id="empty token"),
        pytest.param("TRIREME_SLOTS", "x", "TRIREME_SLOTS must be a whole number, got 'x'", id="slots"),
    ],
)  # fmt: skip
def test_a_wrong_environment_is_named(pod, monkeypatch, key, value, message):
    monkeypatch.setenv(key, value)
    assert run() == exits.BAD_ENVIRONMENT
    assert last_word(pod) == (exits.BAD_ENVIRONMENT, "BadEnvironment", message)


def test_a_last_word_that_cannot_be_written_does_not_change_the_exit_code(pod, monkeypatch, capfd):
    monkeypatch.setenv(environ.TERMINATION_LOG, str(pod / "no" / "folder"))
    monkeypatch.setenv("TRIREME_SLOTS", "x")
    assert run() == exits.BAD_ENVIRONMENT
    assert "the termination message cannot be written to" in capfd.readouterr().err
