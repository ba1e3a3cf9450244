"""Agents from the outside: commands in, exit codes, termination messages and output out."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from trireme.contract import exits, wire

WAIT_SECONDS = 60


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def codes(ended) -> list[int]:
    return [end.code for end in ended]


def brief(failure: wire.Failure | None) -> tuple | None:
    return failure and (failure.index, failure.rank, failure.exit_code, failure.reason, failure.message)


def test_every_rank_has_its_place_and_all_exit_0(job):
    ended = job.run(shell("echo $RANK/$WORLD_SIZE $LOCAL_RANK $HOROVOD_CROSS_RANK $GROUP_RANK"), slots=2)
    assert [sorted(end.stdout) for end in ended] == [
        ["[0] 0/4 0 0 0", "[1] 1/4 1 0 0"],
        ["[2] 2/4 0 1 1", "[3] 3/4 1 1 1"],
    ]
    assert [(end.code, end.termination) for end in ended] == [(0, wire.Termination(0))] * 2


def test_a_template_chooses_the_network_interface(job):
    show = "echo $NCCL_SOCKET_IFNAME $GLOO_SOCKET_IFNAME"
    (ended,) = job.run(["sh", "-c", show], replicas=1, NCCL_SOCKET_IFNAME="ib0")
    assert "[0] ib0 lo" in ended.stdout


def test_nobody_exits_before_all_ranks_are_done(job):
    first, second = job.start(shell("[ $RANK = 0 ] || read line < gate; echo done"))
    os.mkfifo(job.folder / "gate")
    first.wait_for("[0] done")
    with pytest.raises(subprocess.TimeoutExpired):
        first.process.wait(0.3)
    (job.folder / "gate").write_text("go\n")
    assert [first.wait().code, second.wait().code] == [0, 0]
    (job.folder / "gate").unlink()


def test_a_failing_rank_is_the_cause_for_all(job):
    script = "if [ $RANK = 3 ]; then echo start; echo ValueError: boom >&2; echo bye; exit 3; fi; exec sleep 60"
    first, second = job.run(shell(script), slots=2)
    failure = second.termination.failure
    assert codes([first, second]) == [exits.PEER_FAILED, 3]
    assert brief(failure) == (1, 3, 3, "Error", "ValueError: boom")
    assert sorted(failure.log_tail) == ["ValueError: boom", "bye", "start"]
    assert first.termination == wire.Termination(exits.PEER_FAILED, cause=replace(failure, log_tail=()))


def test_one_rank_exits_0_and_another_1(job):
    ended = job.run(shell("exit $RANK"))
    assert codes(ended) == [exits.PEER_FAILED, 1]
    assert brief(ended[1].termination.failure) == (1, 1, 1, "Error", "the program exited with code 1")


def test_a_job_does_not_mind_strangers_at_its_coordinator(job):
    os.mkfifo(job.folder / "gate")
    (pod,) = job.start(shell("echo ready; read line < gate"), replicas=1)
    pod.wait_for("[0] ready")
    too_long = b"POST /v1/beat HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n"
    said = [b"", b"\x16\x03\x01" * 1000, too_long + bytes(10_000)]
    strangers = [socket.create_connection(job.coordinator) for _ in said]
    for stranger, data in zip(strangers, said, strict=True):
        stranger.sendall(data)
    (job.folder / "gate").write_text("go\n")
    assert pod.wait().code == 0
    for stranger in strangers:
        stranger.close()
    (job.folder / "gate").unlink()


def test_a_raising_script_shows_its_exception(job):
    (ended,) = job.run([sys.executable, "-c", "raise RuntimeError('no data')"], replicas=1)
    assert ended.code == 1
    assert brief(ended.termination.failure) == (0, 0, 1, "Error", "RuntimeError: no data")
    assert ended.termination.failure.log_tail[0] == "Traceback (most recent call last):"


def test_a_killed_rank_wins_over_survivors_that_notice_first(job):
    script = "[ $RANK = 1 ] && { sleep 0.2; kill -9 $$; }; echo HorovodInternalError: peer is gone >&2; exit 1"
    first, second = job.run(shell(script))
    assert codes([first, second]) == [exits.PEER_FAILED, exits.KILLED]
    assert brief(second.termination.failure) == (1, 1, exits.KILLED, "Signal", "ended by SIGKILL")
    assert second.termination.failure.signal == "SIGKILL"


@pytest.mark.parametrize(
    ("command", "code", "reason", "message"),
    [
        pytest.param(
            ["no-such-program"], 127, "CommandNotFound",
            "the command 'no-such-program' does not exist in the image", id="unknown",
        ),
        pytest.param(
            ["/no/such/file"], 127, "CommandNotFound",
            "the command '/no/such/file' does not exist in the image", id="no file",
        ),
        pytest.param(
            ["/etc/passwd"], 126, "CommandNotExecutable",
            "the command '/etc/passwd' is not an executable file", id="not executable",
        ),
        pytest.param(
            ["/tmp"], 126, "CommandNotExecutable", "the command '/tmp' is not an executable file", id="folder"
        ),
    ],
)  # fmt: skip
def test_a_command_that_cannot_run(job, command, code, reason, message):
    (ended,) = job.run(command, replicas=1)
    assert ended.code == code
    assert brief(ended.termination.failure) == (0, None, code, reason, message)


def test_a_script_with_a_missing_interpreter(job, tmp_path_factory):
    script = tmp_path_factory.mktemp("script") / "train"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    (ended,) = job.run([str(script)], replicas=1)
    assert ended.code == exits.COMMAND_NOT_FOUND
    assert ended.termination.failure.message == f"the command {str(script)!r} cannot be run: No such file or directory"


def test_missing_pods_are_named_by_everyone(job):
    ended = job.run(["true"], replicas=4, indices=[0, 2], join_seconds=1)
    message = "worker-1, worker-3 never joined within 1 s"
    assert codes(ended) == [exits.PEER_MISSING] * 2
    assert [brief(end.termination.failure) for end in ended] == [
        (index, None, exits.PEER_MISSING, "PeerMissing", message) for index in (0, 2)
    ]


def test_a_coordinator_that_never_comes_is_named(job):
    (ended,) = job.run(["true"], indices=[1], join_seconds=1)
    assert ended.code == exits.PEER_MISSING
    assert ended.termination.failure.message.startswith("worker-0 has not answered for 1 s (")


def test_late_pods_are_waited_for(job):
    (second,) = job.start(["true"], indices=[1])
    (first,) = job.start(["true"], indices=[0])
    assert [first.wait().code, second.wait().code] == [0, 0]


def test_a_wrong_token_is_a_wrong_environment(job):
    (first,) = job.start(["true"], indices=[0], join_seconds=2)
    (second,) = job.run(["true"], indices=[1], token="wrong")
    assert second.code == exits.BAD_ENVIRONMENT
    assert "the token is missing or wrong" in second.termination.failure.message
    assert first.wait().code == exits.PEER_MISSING


def test_a_taken_port_is_named(job):
    with socket.create_server(job.coordinator):
        (ended,) = job.run(["true"], indices=[0])
    where = "{}:{}".format(*job.coordinator)
    assert ended.code == exits.BAD_ENVIRONMENT
    assert ended.termination.failure.message == f"the coordinator cannot listen on {where}: Address already in use"


def test_an_incomplete_environment_is_spelled_out(job):
    (ended,) = job.run(["true"], replicas=1, TRIREME_SLOTS="many", TRIREME_POD_UID="")
    assert ended.code == exits.BAD_ENVIRONMENT
    message = "TRIREME_SLOTS must be a whole number, got 'many'; TRIREME_POD_UID is not set"
    assert ended.termination.failure.message == message


def test_sigterm_reaches_the_ranks_and_ends_the_job(job):
    script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do read -t 0.05 x; sleep 0.05; done"
    first, second = job.start(shell(script))
    for rank, pod in enumerate((first, second)):
        pod.wait_for(f"[{rank}] ready")
    second.process.send_signal(signal.SIGTERM)
    ended = [first.wait(), second.wait()]
    assert codes(ended) == [exits.PEER_FAILED, exits.TERMINATED]
    assert [end.stdout for end in ended] == [["[0] saved"], ["[1] saved"]]
    assert brief(ended[0].termination.cause) == (
        1, None, exits.TERMINATED, "Signal", "the pod was told to stop (SIGTERM)"
    )  # fmt: skip


def test_sigterm_to_worker_0_is_told_to_the_others(job):
    first, second = job.start(shell("echo ready; exec sleep 60"))
    first.wait_for("[0] ready")
    second.wait_for("[1] ready")
    first.process.send_signal(signal.SIGTERM)
    assert codes([first.wait(), second.wait()]) == [exits.TERMINATED, exits.PEER_FAILED]


def test_sigterm_before_the_others_came(job):
    with socket.create_server(job.coordinator) as coordinator:
        (pod,) = job.start(["true"], indices=[1])
        coordinator.accept()[0].close()
        pod.process.send_signal(signal.SIGTERM)
        ended = pod.wait()
    assert ended.code == exits.TERMINATED
    assert brief(ended.termination.failure)[1:4] == (None, exits.TERMINATED, "Signal")


def test_a_rank_that_ignores_sigterm_is_killed_after_its_grace(job):
    script = "[ $RANK = 0 ] && exit 1; trap '' TERM; while :; do sleep 0.05; done"
    assert codes(job.run(shell(script), grace_seconds=1)) == [1, exits.PEER_FAILED]


def test_other_signals_are_passed_on(job):
    script = "trap 'echo got it; exit 0' USR1; echo ready; while :; do sleep 0.02; done"
    (pod,) = job.start(shell(script), replicas=1)
    pod.wait_for("[0] ready")
    pod.process.send_signal(signal.SIGUSR1)
    ended = pod.wait()
    assert (ended.code, ended.stdout) == (0, ["[0] got it"])


DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("hidden", flush=True)
        time.sleep(60)
    os._exit(0)
sys.stdin.read()
time.sleep(0.3)
"""


def test_daemonised_grandchildren_do_not_outlive_the_pod(job):
    (ended,) = job.run([sys.executable, "-c", DAEMON], replicas=1)
    assert (ended.code, ended.stdout, job.processes()) == (0, ["[0] hidden"], [])


def test_ranks_die_with_a_killed_agent(job):
    (pod,) = job.start(shell("echo ready; exec sleep 60"), replicas=1)
    pod.wait_for("[0] ready")
    ranks = [os.pidfd_open(pid) for pid in job.processes() if pid != pod.process.pid]
    pod.process.kill()
    ended = pod.wait()
    assert (ended.code, ended.termination, len(ranks)) == (-signal.SIGKILL, None, 1)
    for rank in ranks:
        assert select.select([rank], [], [], WAIT_SECONDS)[0] == [rank]
        os.close(rank)


def test_a_silent_pod_is_named(job):
    short = "Patience(silence_seconds=1.5)"
    first, second = job.start(shell("echo ready; exec sleep 60"), patience=short)
    first.wait_for("[0] ready")
    second.wait_for("[1] ready")
    second.process.kill()
    ended = first.wait()
    assert ended.code == exits.PEER_FAILED
    message = "the pod has not been heard of for 1.5 s"
    assert brief(ended.termination.cause) == (1, None, exits.COORDINATOR_LOST, exits.POD_SILENT, message)


def test_a_lost_coordinator_makes_every_failure_collateral(job):
    short = "Patience(lost_seconds=0.5)"
    script = "echo ready; [ $RANK = 0 ] && exec sleep 60; read line < gate; exit 1"
    os.mkfifo(job.folder / "gate")
    first, second = job.start(shell(script), patience=short)
    first.wait_for("[0] ready")
    second.wait_for("[1] ready")
    first.process.kill()
    first.wait()
    (job.folder / "gate").write_text("go\n")
    ended = second.wait()
    (job.folder / "gate").unlink()
    assert ended.code == exits.COORDINATOR_LOST
    assert brief(ended.termination.failure)[:3] == (1, 1, 1)


def test_lines_are_whole_and_carry_their_rank(job):
    script = (
        "for i in $(seq 2000); do echo $RANK-$i-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done; printf end"
    )
    (ended,) = job.run(shell(script), replicas=1, slots=2)
    by_rank = {rank: [line for line in ended.stdout if line.startswith(f"[{rank}] ")] for rank in (0, 1)}
    expected = {
        rank: [f"[{rank}] {rank}-{i}-{'x' * 50}" for i in range(1, 2001)] + [f"[{rank}] end"] for rank in (0, 1)
    }
    assert by_rank == expected


def test_a_reader_that_stops_reading_does_not_stop_the_ranks(job):
    (pod,) = job.start(shell("yes $(seq 30) | head -c 20000000"), replicas=1)
    assert pod.process.wait(WAIT_SECONDS) == 0


def test_progress_of_rank_0_is_worker_0s_last_word(job):
    script = "import trireme_worker as t; t.report(step=7, total_steps=9, loss=0.5); t.report(accuracy=1)"
    ended = job.run([sys.executable, "-c", script])
    progress = wire.Progress(7, 9, {"loss": 0.5, "accuracy": 1.0})
    assert [end.termination for end in ended] == [wire.Termination(0, progress=progress), wire.Termination(0)]


def test_progress_survives_an_exception(job):
    script = "import trireme_worker as t; t.report(step=7); raise ValueError('boom')"
    (ended,) = job.run([sys.executable, "-c", script], replicas=1)
    assert (ended.code, ended.termination.progress) == (1, wire.Progress(7))


def test_help(agent_pyz: Path):
    result = subprocess.run([sys.executable, agent_pyz, "--help"], capture_output=True, text=True, check=True)
    assert "agent.pyz -- COMMAND ARGS..." in result.stdout


def test_no_command_is_a_usage_error(agent_pyz: Path):
    result = subprocess.run([sys.executable, agent_pyz, "--"], capture_output=True, text=True, check=False)
    assert (result.returncode, "there is no COMMAND" in result.stderr) == (2, True)


SERVE = """
import json, os, signal, sys, time, urllib.request
from trireme.contract import codec, wire
url, key = os.environ["TRIREME_AGENT_URL"], os.environ["TRIREME_AGENT_KEY"]
def view(method, query="", body=None):
    request = urllib.request.Request(url + "/v1/view" + query, body, {"Authorization": "Bearer " + key}, method=method)
    return codec.decode(wire.View, urllib.request.urlopen(request, timeout=30).read())
if os.environ["TRIREME_ROLE"] == "server":
    index = int(os.environ["TRIREME_SERVER_INDEX"])
    said = view("POST", body=codec.encode(wire.Serving(index, f"it-{index}", "10.0.0.1", 4000 + index)))
    print("serving", index, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(0)))
    {while_serving}
    signal.pause()
seen = view("GET")
while len(seen.servers) < seen.desired:
    seen = view("GET", f"?after={seen.number}")
print("sees", seen.number, [server.port for server in seen.servers], flush=True)
"""


def test_workers_see_the_servers_and_these_end_with_them(job):
    script = SERVE.replace("{while_serving}", "")
    worker, *servers = job.run([sys.executable, "-c", script], replicas=1, servers=2, TRIREME_PS_SERVERS="2")
    assert codes([worker, *servers]) == [0, 0, 0]
    assert "[0] sees 2 [4000, 4001]" in worker.stdout
    assert [[line for line in end.stdout if line.startswith("[server")] for end in servers] == [
        [f"[server-{index}] serving {index}", f"[server-{index}] saved"] for index in range(2)
    ]


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        pytest.param("sys.exit('no memory')", 1, "Error", id="fails"),
        pytest.param("sys.exit(0)", exits.SERVER_ENDED, "ServerEnded", id="ends too early"),
    ],
)
def test_a_server_that_ends_before_the_workers_is_the_cause(job, end, code, reason):
    script = SERVE.replace("{while_serving}", end) + "time.sleep(60)"
    worker, server = job.run([sys.executable, "-c", script], replicas=1, servers=1, TRIREME_PS_SERVERS="1")
    assert codes([worker, server]) == [exits.PEER_FAILED, code]
    failure = server.termination.failure
    assert (failure.role, failure.index, failure.rank, failure.reason) == ("server", 0, None, reason)
    assert worker.termination.cause == replace(failure, log_tail=())
