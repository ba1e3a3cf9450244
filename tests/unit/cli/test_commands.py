"""The commands that need no cluster, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from trireme.cli.main import COMMANDS, main

JOB = """\
apiVersion: trireme.dev/v1alpha1
kind: TrainingJob
metadata: {name: tiny}
spec:
  worker:
    replicas: 2
    processesPerReplica: 2
    template: {spec: {containers: [{name: trainer, image: img, command: [train]}]}}
"""


def call(*arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=text)


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"Usage: main {command}" in result.output
    assert len(result.output.splitlines()) > 5


def test_help_names_every_command_and_every_exit_code() -> None:
    output = call("--help").output
    assert [name for name in COMMANDS if f"\n  {name} " not in output] == []
    assert all(f"{code} " in output for code in (0, 1, 2, 3, 130))


def test_interrupted_while_a_command_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupt)
    assert call("run", "job.yaml").exit_code == 130


def test_validate_accepts(job_file: str) -> None:
    result = call("validate", job_file)
    assert (result.exit_code, result.output) == (0, f"{job_file}: TrainingJob tiny is valid\n")


def test_validate_names_every_problem_of_every_file(job_file: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(JOB.replace("replicas: 2", "replicas: 0").replace("command: [train]", "colour: red"))
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1,\nb: }")
    result = call("validate", job_file, str(bad), str(broken))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == f"{job_file}: TrainingJob tiny is valid"
    assert [line.split(": ")[1] for line in lines if line.startswith(str(bad))] == [
        "spec.worker.replicas",
        "spec.worker.template.spec.containers[0].colour",
        "spec.worker.template.spec.containers[0].command",
    ]
    assert any(line.startswith(f"{broken}: ") and "line 2" in line for line in lines)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/proc/self/mem", "cannot be read: [Errno 5] Input/output error"),
        ("/dev/zero", "the file has more than 3145728 characters"),
    ],
    ids=["cannot-be-read", "endless"],
)
def test_validate_survives_any_file(path: str, reason: str) -> None:
    result = call("validate", path)
    assert (result.exit_code, result.output) == (1, f"{path}: {reason}\n")


def test_validate_reads_standard_input() -> None:
    assert call("validate", "-", text=JOB).output == "-: TrainingJob tiny is valid\n"


@pytest.mark.parametrize("count", [0, 2])
def test_a_file_holds_one_job(count: int) -> None:
    text = "\n---\n".join([JOB] * count) or "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
    result = call("validate", "-", text=text)
    assert result.exit_code == 1
    assert "expected one document of kind TrainingJob" in result.output


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("suspend: true", "spec.suspend is true"),
        ("managedBy: example.com/mine", "spec.managedBy is example.com/mine"),
    ],
)
def test_a_job_that_nobody_would_run_is_not_tried(field: str, why: str) -> None:
    result = call("run", "-", text=JOB.replace("spec:\n", f"spec:\n  {field}\n", 1))
    assert (result.exit_code, result.output) == (3, f"Error: -: {why}: nothing would run it here\n")


def test_a_missing_file_is_wrong_usage() -> None:
    result = call("validate", "no-such-file.yaml")
    assert result.exit_code == 2
    assert "no-such-file.yaml" in result.output


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_plan_holds_every_object_and_every_rank(job_file: str, form: str) -> None:
    result = call("plan", job_file, "-o", form)
    plan = json.loads(result.output) if form == "json" else yaml.safe_load(result.output)
    assert [item["kind"] for item in plan["objects"]] == [
        "Service", "Secret", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Pod", "Pod",
    ]  # fmt: skip
    assert [
        (rank["rank"], rank["pod"], rank["environment"]["HOROVOD_LOCAL_RANK"], rank["environment"]["LOCAL_RANK"])
        for rank in plan["ranks"]
    ] == [
        (0, "tiny-worker-0", "0", "0"),
        (1, "tiny-worker-0", "1", "1"),
        (2, "tiny-worker-1", "0", "0"),
        (3, "tiny-worker-1", "1", "1"),
    ]


def test_plan_as_a_table(job_file: str) -> None:
    result = call("plan", job_file)
    assert result.exit_code == 0
    assert all(word in result.output for word in ("tiny-worker-0", "tj-tiny", "NetworkPolicy", "3/4"))


def test_plan_of_a_wrong_job_exits_1(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("replicas: 2", "replicas: -1"))
    result = call("plan", str(path))
    assert result.exit_code == 1
    assert "spec.worker.replicas" in result.output


def test_crd_is_what_the_repository_holds() -> None:
    assert yaml.safe_load(call("crd").output) == json.loads(call("crd", "-o", "json").output)
    assert yaml.safe_load(call("crd").output)["metadata"]["name"] == "trainingjobs.trireme.dev"
