"""spec.checkpoint against the pod template."""

import pytest
from trireme.spec.errors import FieldError, InvalidSpec
from trireme.spec.model import Checkpoint
from trireme.spec.parse import parse

POD = "spec.worker.template.spec"
MOUNT = f"{POD}.containers[0].volumeMounts[0]"
CLAIM = {"persistentVolumeClaim": {"claimName": "c"}}


def job(checkpoint=None, *, mount="/checkpoints", volume=None, replicas=2, read_only=False, **pod):
    trainer = {"name": "trainer", "image": "i", "command": ["c"]}
    if mount:
        trainer["volumeMounts"] = [{"name": "v", "mountPath": mount, "readOnly": read_only}]
        pod["volumes"] = [{"name": "v", **(volume or CLAIM)}]
    return {
        "apiVersion": "trireme.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "digits"},
        "spec": {
            "worker": {"replicas": replicas, "template": {"spec": {"containers": [trainer], **pod}}},
            "checkpoint": {"directory": "/checkpoints"} if checkpoint is None else checkpoint,
        },
    }


def problems(obj):
    with pytest.raises(InvalidSpec) as caught:
        parse(obj)
    return list(caught.value.errors)


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(job(), id="a claim mounted there"),
        pytest.param(job({"directory": "/data/digits"}, mount="/data/"), id="below a mount"),
        pytest.param(job(volume={"emptyDir": {}}, replicas=1), id="emptyDir of one pod"),
        pytest.param(job(terminationGracePeriodSeconds=65), id="just enough grace"),
        pytest.param(job({"directory": "/checkpoints", "graceSeconds": 10}, terminationGracePeriodSeconds=15), id="15"),
    ],
)
def test_what_goes_together(obj):
    assert parse(obj).spec.checkpoint is not None


def test_a_minute_by_default():
    assert parse(job()).spec.checkpoint == Checkpoint(directory="/checkpoints", graceSeconds=60)


@pytest.mark.parametrize(
    ("obj", "path", "message"),
    [
        pytest.param(
            job(terminationGracePeriodSeconds=64), f"{POD}.terminationGracePeriodSeconds",
            "must be at least 65 or left out: spec.checkpoint.graceSeconds is 60, and the agent needs 5",
            id="too little grace",
        ),
        pytest.param(
            job(mount=""), "spec.checkpoint.directory",
            f"no volume is mounted there into {POD}.containers[0]: what is saved would go with the pod", id="no mount",
        ),
        pytest.param(
            job(mount="/check"), "spec.checkpoint.directory",
            f"no volume is mounted there into {POD}.containers[0]: what is saved would go with the pod",
            id="a mount beside it",
        ),
        pytest.param(
            job(read_only=True), f"{MOUNT}.readOnly", "must not be true: spec.checkpoint.directory is there",
            id="read-only",
        ),
        pytest.param(
            job(volume={"emptyDir": {}}), f"{MOUNT}.name",
            "each pod has an emptyDir volume of its own, and spec.checkpoint.directory is shared by all pods",
            id="emptyDir of two pods",
        ),
        pytest.param(
            job({"directory": "checkpoints"}), "spec.checkpoint.directory",
            'must be an absolute path without `.`, `..` and empty parts, got the string "checkpoints"', id="relative",
        ),
        pytest.param(
            job({"directory": "/a/../checkpoints"}), "spec.checkpoint.directory",
            'must be an absolute path without `.`, `..` and empty parts, got the string "/a/../checkpoints"', id="..",
        ),
        pytest.param(job({}), "spec.checkpoint.directory", "is required", id="no directory"),
        pytest.param(
            job({"directory": "/checkpoints", "graceSeconds": 0}), "spec.checkpoint.graceSeconds",
            "must be at least 1, got 0", id="no grace",
        ),
    ],
)  # fmt: skip
def test_what_does_not(obj, path, message):
    assert problems(obj) == [FieldError(path, message)]


def test_a_broken_template_is_told_once():
    broken = job()
    broken["spec"]["worker"]["template"]["spec"]["containers"] = "trainer"
    assert [problem.path for problem in problems(broken)] == [f"{POD}.containers"]


SERVER = {"containers": [{"name": "s", "image": "i"}]}


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        pytest.param(
            {"strategy": "ParameterServer", "server": {"template": {"spec": SERVER}}}, "spec.checkpoint.directory",
            "no volume is mounted there into spec.server.template.spec.containers[0]: "
            "what is saved would go with the pod", id="servers without it",
        ),
        pytest.param(
            {"strategy": "ParameterServer"}, f"{MOUNT}.name",
            "each pod has an emptyDir volume of its own, and spec.checkpoint.directory is shared by all pods",
            id="a worker and a server",
        ),
        pytest.param(
            {"elastic": {"minReplicas": 1, "maxReplicas": 2}}, f"{MOUNT}.name",
            "each pod has an emptyDir volume of its own, and spec.checkpoint.directory is shared by all pods",
            id="it may grow",
        ),
    ],
)  # fmt: skip
def test_all_pods_share_it(changes, path, message):
    obj = job(volume=CLAIM if "server" in changes else {"emptyDir": {}}, replicas=1)
    obj["spec"] |= changes
    assert problems(obj) == [FieldError(path, message)]
