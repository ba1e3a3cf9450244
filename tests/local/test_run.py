"""`trireme run` and `trireme up` as a user types them: real processes, real exit codes, nothing left behind."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path

import pytest
from support.desk import ROOT, Desk, wait_for

IN_THE_BACKGROUND = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
"""As a shell starts what a script puts in the background: with SIGINT ignored."""


def test_a_job_from_its_yaml_to_its_exit_code(desk: Desk) -> None:
    script = "import trireme_worker as t, os; t.report(step=5, total_steps=5, rank_seen=int(os.environ['RANK']))"
    code, out, err = desk("run", desk.job("python3", "-c", script, replicas=2), "-o", "json")
    assert code == 0, err
    status = json.loads(out)["status"]
    assert status["phase"] == "Succeeded"
    assert status["progress"]["percent"] == 100
    assert status["progress"]["metrics"] == {"rank_seen": 0}
    assert {c["type"]: c["status"] for c in status["conditions"]}["Succeeded"] == "True"


EXAMPLES = sorted((ROOT / "manifests/examples").glob("*.yaml"))
DATA_PARALLEL = ("digits-horovod", "digits-torch", "digits-checkpoint")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_succeeds(desk: Desk, example: Path) -> None:
    code, out, err = desk("run", str(example), "-o", "json")
    assert code == 0, err
    progress = json.loads(out)["status"]["progress"]
    assert progress["percent"] == 100
    if example.stem in DATA_PARALLEL:
        assert progress["totalSteps"] == 15 * -(-1437 // (16 * 2))  # the two ranks have shared the images
    if not example.stem.startswith("collectives"):
        assert progress["metrics"]["accuracy"] >= (0.95 if example.stem.startswith("digits") else 0.69)
    if example.stem.startswith("sparse-lr"):
        assert progress["metrics"]["nonzeros"] < 2**20 / 50
        assert progress["metrics"]["saved_kkt"] > 0.5


def test_piped_output_is_plain_lines_with_the_logs(desk: Desk) -> None:
    script = "import trireme_worker as t, os; print('hello from', os.environ['RANK']); "
    script += "t.report(step=3, total_steps=3, loss=0.25)"
    code, out, err = desk("run", desk.job("python3", "-c", script, replicas=2))
    assert code == 0, err
    lines = out.splitlines()
    assert sorted(line for line in lines if "hello" in line) == ["[0] hello from 0", "[1] hello from 1"]
    assert lines[-2] == "trireme: last progress: 3/3 (100%) loss 0.25"
    assert lines[-1].startswith("trireme: Succeeded: 2 pods, 2 processes in ")
    assert "\x1b" not in out


def test_a_long_reason_stays_on_its_line(desk: Desk) -> None:
    reason = "a reason of many words " * 8
    _, out, _ = desk("run", desk.job("python3", "-c", f"raise SystemExit({reason!r})"))
    assert f"trireme: Failed: worker-0, rank 0: exit code 1: {reason.strip()}" in out.splitlines()


def test_of_several_containers_the_trainers_log_is_shown(desk: Desk) -> None:
    path = Path(desk.job("sh", "-c", "sleep 0.5; echo trained"))
    job = json.loads(path.read_text())
    sidecar = {"name": "sidecar", "image": "img", "command": ["sh", "-c", "echo beside; sleep 600"]}
    job["spec"]["worker"]["template"]["spec"]["containers"].insert(0, sidecar)
    path.write_text(json.dumps(job))
    code, out, err = desk("run", str(path))
    assert code == 0, err
    assert "[0] trained" in out.splitlines()
    assert "beside" not in out


def test_a_script_that_raises_names_its_rank(desk: Desk) -> None:
    script = "import os\nif os.environ['RANK'] == '1': raise ValueError('boom')\nimport time; time.sleep(60)"
    code, out, err = desk("run", desk.job("python3", "-c", script, replicas=2), "-o", "json")
    assert code == 1
    failure = json.loads(out)["status"]["failure"]
    assert (failure["pod"], failure["rank"], failure["exitCode"]) == ("j-worker-1", 1, 1)
    assert failure["logTail"][-1] == "ValueError: boom"
    assert "Failed: worker-1, rank 1: exit code 1" in err


ONCE = """
import os, pathlib, signal
mark = pathlib.Path(os.environ["MARK"])
if os.environ["RANK"] == "1" and not mark.exists():
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_rank_that_is_killed_is_restarted_and_counted_once(desk: Desk) -> None:
    container = {"env": [{"name": "MARK", "value": str(desk.home / "killed")}]}
    job = desk.job("python3", "-c", ONCE, replicas=2, container=container, restart={"limit": 1})
    code, out, err = desk("run", job, "-o", "json")
    assert code == 0, err
    status = json.loads(out)["status"]
    counted = {key: status.get(key) for key in ("phase", "attempt", "restarts", "disruptions")}
    assert counted == {"phase": "Succeeded", "attempt": 1, "restarts": 1, "disruptions": 0}
    failure = status["failure"]
    assert (failure["pod"], failure["rank"], failure["signal"]) == ("j-worker-1", 1, "SIGKILL")
    assert "Restarting 1/1: worker-1, rank 1: ended by SIGKILL" in err
    assert status["message"].endswith(", 1 restart")


def test_one_rank_that_exits_1_fails_the_job_in_which_another_exits_0(desk: Desk) -> None:
    job = desk.job("sh", "-c", "exit $RANK", replicas=1, processesPerReplica=2)
    code, out, _ = desk("run", job, "-o", "json")
    assert (code, json.loads(out)["status"]["failure"]["rank"]) == (1, 1)


def test_a_command_that_does_not_exist(desk: Desk) -> None:
    code, out, _ = desk("run", desk.job("no-such-program", replicas=2), "-o", "json")
    failure = json.loads(out)["status"]["failure"]
    assert (code, failure["exitCode"], failure["reason"]) == (1, 127, "CommandNotFound")
    assert "no-such-program" in failure["message"]


def test_a_reader_that_leaves_does_not_end_the_job(desk: Desk) -> None:
    process = desk.start("run", desk.job("sh", "-c", "for i in $(seq 20); do echo $i; sleep 0.1; done"))
    assert process.stdout is not None
    assert process.stdout.readline() == "trireme: Pending: 0/1 pods run\n"
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_what_the_pocket_cannot_do_is_refused_with_the_reason(desk: Desk) -> None:
    job = desk.job("true", container={"livenessProbe": {"exec": {"command": ["true"]}}})
    code, out, _ = desk("run", job)
    reason = "Failed: worker-0: PocketUnsupported: spec.containers[0].livenessProbe: probes are not run"
    assert (code, out.splitlines()) == (1, ["trireme: Pending: 0/1 pods run", f"trireme: {reason}"])


def test_too_many_gpus_stay_pending_with_the_reason(desk: Desk) -> None:
    limits = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    process = desk.start("run", desk.job("true", replicas=4, container=limits), "--gpus", "3")
    assert process.stdout is not None
    assert "trireme: Pending: 1/4 unschedulable: Insufficient nvidia.com/gpu\n" in iter(process.stdout.readline, "")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_volume_that_cannot_be_mounted_is_told_with_its_reason(desk: Desk) -> None:
    path = Path(desk.job("true", replicas=2, container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]}))
    job = json.loads(path.read_text())
    missing = {"path": str(desk.home / "none"), "type": "Directory"}
    job["spec"]["worker"]["template"]["spec"]["volumes"] = [{"name": "data", "hostPath": missing}]
    path.write_text(json.dumps(job))
    process = desk.start("run", str(path))
    assert process.stdout is not None
    why = f"MountVolume.SetUp failed: hostPath type check failed: {missing['path']} is not a Directory\n"
    assert any(line in (f"trireme: j-worker-{i}: {why}" for i in (0, 1)) for line in process.stdout)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert ("hostPath" in out, process.returncode) == (False, 130)


def test_a_job_that_takes_too_long_is_given_up(desk: Desk) -> None:
    code, _, err = desk("run", desk.job("sleep", "600"), "--timeout", "1")
    assert code == 3
    assert "the job has not finished within 1s: " in err


@pytest.mark.parametrize(
    ("numbers", "through"),
    [
        ([signal.SIGINT], []),
        ([signal.SIGINT, signal.SIGINT], []),
        ([signal.SIGINT], IN_THE_BACKGROUND),
        ([signal.SIGTERM], []),
        ([signal.SIGHUP], []),
    ],
    ids=["Ctrl-C", "Ctrl-C-twice", "Ctrl-C-in-the-background", "SIGTERM", "terminal-closed"],
)
def test_interrupted_while_it_runs(desk: Desk, numbers: list[signal.Signals], through: list[str]) -> None:
    started, stopping = desk.home / "started", desk.home / "stopping"
    stubborn = f"trap 'touch {stopping}' TERM; touch {started}; sleep 600 & wait; sleep 600"
    process = desk.start("run", desk.job("sh", "-c", stubborn, replicas=2), through=through)
    for number, moment in zip(numbers, [started, stopping], strict=False):
        wait_for(moment.exists)
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted: the job was stopped and removed\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1,\nb: }", "line 2"),
        ("kind: Pod\napiVersion: v1", "expected one document of kind TrainingJob"),
        ("{apiVersion: trireme.dev/v1alpha1, kind: TrainingJob, metadata: {name: j}, spec: {}}", "spec.worker"),
    ],
    ids=["malformed", "another-kind", "no-worker"],
)
def test_a_bad_file_starts_nothing(desk: Desk, text: str, reason: str) -> None:
    path = desk.home / "job.yaml"
    path.write_text(text)
    code, out, err = desk("run", str(path))
    assert (code, out) == (1, "")
    assert reason in err


def test_up_on_a_port_that_is_taken(desk: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = desk("up", "--port", str(port))
    assert code == 3
    assert str(port) in err


def test_up_writes_a_kubeconfig_and_takes_it_away(desk: Desk) -> None:
    kubeconfig = desk.home / "trireme.kubeconfig"
    process = desk.start("up", "--gpus", "2")
    wait_for(kubeconfig.exists)
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, kubeconfig.exists()) == (0, False), err
    assert "export KUBECONFIG=" in out
