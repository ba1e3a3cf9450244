"""The pod template: what passes through, and what is refused because it would collide or silently not work."""

from __future__ import annotations

from typing import Any

import pytest
from support.jobs import TRAINER, VALID, in_pod, in_trainer, job, with_value
from trireme.spec.errors import InvalidSpec
from trireme.spec.parse import parse
from trireme.spec.template import processes_per_replica, trainer

POD = "spec.worker.template.spec"
C0 = f"{POD}.containers[0]"

GOOD_TEMPLATES = {
    "labels and annotations": job("spec", "worker", "template", "metadata", value={"labels": {"a": "b"}}),
    "restartPolicy Never": in_pod("restartPolicy", value="Never"),
    "a number as quantity": in_trainer("resources", value={"limits": {"cpu": 1.5, "memory": 10**9}}),
    "equal GPU request": in_trainer("resources", value={"limits": {"a.b/gpu": 2}, "requests": {"a.b/gpu": "2"}}),
    "int or string": in_trainer("readinessProbe", value={"httpGet": {"port": "web"}}),
    "sidecar without command": in_pod("containers", 1, value={"name": "proxy", "image": "img"}),
    "a trainer's restartPolicy Never": in_trainer("restartPolicy", value="Never"),
    "a sidecar that the kubelet starts again": in_pod(
        "containers", 1, value={"name": "proxy", "image": "img", "restartPolicy": "Always"}
    ),
    "init container": in_pod("initContainers", value=[{"name": "fetch", "image": "img", "restartPolicy": "Always"}]),
    "shared memory": with_value(
        in_pod("volumes", value=[{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]),
        *("spec", "worker", "template", "spec", "containers", 0, "volumeMounts"),
        value=[{"name": "shm", "mountPath": "/dev/shm"}],
    ),
    "deadline and grace": in_pod("activeDeadlineSeconds", value=5),
    "a variable that refers to ours": in_trainer("env", value=[{"name": "SHARD", "value": "$(TRIREME_INDEX)"}]),
    "a mount above ours": with_value(
        in_pod("volumes", value=[{"name": "opt", "emptyDir": {}}]),
        *("spec", "worker", "template", "spec", "containers", 0, "volumeMounts"),
        value=[{"name": "opt", "mountPath": "/opt"}],
    ),
}


@pytest.mark.parametrize("obj", GOOD_TEMPLATES.values(), ids=GOOD_TEMPLATES.keys())
def test_good_templates_pass_through_unchanged(obj: Any) -> None:
    assert parse(obj).spec.worker.template == obj["spec"]["worker"]["template"]


BAD: dict[str, tuple[Any, list[str]]] = {
    "no containers": (
        in_pod("containers", value=[]),
        [f"{POD}.containers: needs at least one: the one named `trainer`, else the first, trains"],
    ),
    "containers left out": (
        job("spec", "worker", "template", "spec", value={"volumes": []}),
        [f"{POD}.containers: is required"],
    ),
    "a container that is a word": (
        in_pod("containers", 1, value="x"),
        [f'{POD}.containers[1]: must be a mapping, got the string "x"'],
    ),
    "container without anything": (
        in_pod("containers", value=[{}]),
        [
            f"{C0}.command: is required: the agent runs it, and an image's ENTRYPOINT cannot be seen from outside",
            f"{C0}.image: is required",
            f"{C0}.name: is required",
        ],
    ),
    "two containers of one name": (
        in_pod("initContainers", value=[{"name": "trainer", "image": "img"}]),
        [f'{C0}.name: "trainer" is already at {POD}.initContainers[0].name'],
    ),
    "the trainer is the named one, not the first": (
        in_pod("containers", value=[{"name": "first", "image": "i"}, {"name": "trainer", "image": "i"}]),
        [
            f"{POD}.containers[1].command: is required: the agent runs it, and an image's ENTRYPOINT cannot be seen "
            "from outside"
        ],
    ),
    "variable set twice": (
        in_trainer("env", value=[{"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"}]),
        [f'{C0}.env[2].name: "A" is already at {C0}.env[0].name'],
    ),
    "variable without quotes": (
        in_trainer("env", value=[{"name": "A", "value": True}]),
        [f"{C0}.env[0].value: must be a string, got true; put it in quotes"],
    ),
    "variables of the operator": (
        in_trainer("env", value=[{"name": "TRIREME_INDEX"}, {"name": "HOROVOD_FUSION_THRESHOLD", "value": "1"}]),
        [
            f"{C0}.env[0].name: names with TRIREME_ are the operator's own",
            f"{C0}.env[1].name: is set by spec.allReduce.fusionThresholdBytes; use that field",
        ],
    ),
    "variables of a process": (
        in_trainer("env", value=[{"name": "RANK", "value": "7"}, {"name": "NCCL_SOCKET_IFNAME", "value": "ib0"}]),
        [f"{C0}.env[0].name: is given to every process by the agent; leave it out"],
    ),
    "volumes of the operator, and one twice": (
        in_pod(
            "volumes",
            value=[
                {"name": name, "emptyDir": {}} for name in ("trireme-agent", "trireme-token", "trireme-shm", "a", "a")
            ],
        ),
        [
            f"{POD}.volumes[0].name: is the operator's own; choose another name",
            f"{POD}.volumes[1].name: is the operator's own; choose another name",
            f"{POD}.volumes[2].name: is the operator's own; choose another name",
            f'{POD}.volumes[4].name: "a" is already at {POD}.volumes[3].name',
        ],
    ),
    "mounts of the operator": (
        job(
            "spec",
            "worker",
            "template",
            "spec",
            value={
                "volumes": [{"name": "a", "emptyDir": {}}],
                "containers": [
                    {
                        **TRAINER,
                        "volumeMounts": [
                            {"name": "a", "mountPath": "/opt/trireme/"},
                            {"name": "a", "mountPath": "/var/run/secrets/trireme.dev/x"},
                            {"name": "a", "mountPath": "/opt/trireme-2"},
                            {"name": "b", "mountPath": "/opt/trireme-2"},
                        ],
                    }
                ],
            },
        ),
        [
            f"{C0}.volumeMounts[0].mountPath: /opt/trireme is the operator's own",
            f"{C0}.volumeMounts[1].mountPath: /var/run/secrets/trireme.dev is the operator's own",
            f'{C0}.volumeMounts[3].mountPath: "/opt/trireme-2" is already at {C0}.volumeMounts[2].mountPath',
            f'{C0}.volumeMounts[3].name: no volume is named "b"',
        ],
    ),
    "restartPolicy": (
        in_pod("restartPolicy", value="OnFailure"),
        [f"{POD}.restartPolicy: must be Never or left out: the operator decides what is tried again"],
    ),
    "a trainer that the kubelet starts again": (
        in_trainer("restartPolicy", value="Always"),
        [f"{C0}.restartPolicy: must be Never or left out: the operator decides what is tried again"],
    ),
    "exit codes after which the kubelet starts the trainer again": (
        with_value(
            in_trainer("restartPolicy", value="Never"),
            *("spec", "worker", "template", "spec", "containers", 0, "restartPolicyRules"),
            value=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
        ),
        [f"{C0}.restartPolicyRules: cannot be set: the operator decides what is tried again"],
    ),
    "names that the operator gives": (
        in_pod("hostname", value="h"),
        [f"{POD}.hostname: cannot be set: the operator gives every pod its own"],
    ),
    "a name for all pods": (
        job("spec", "worker", "template", "metadata", value={"name": "n", "labels": {}}),
        ["spec.worker.template.metadata.name: cannot be set: only labels and annotations are used"],
    ),
    "another termination message": (
        in_trainer("terminationMessagePath", value="/tmp/x"),
        [f"{C0}.terminationMessagePath: must be /dev/termination-log: the agent writes there"],
    ),
    "half a GPU": (
        in_trainer("resources", value={"limits": {"nvidia.com/gpu": 0.5}}),
        [f"{C0}.resources.limits[nvidia.com/gpu]: must be a whole number of GPUs, got 0.5"],
    ),
    "a GPU that is only requested": (
        in_trainer("resources", value={"requests": {"nvidia.com/gpu": 1}}),
        [f"{C0}.resources.requests[nvidia.com/gpu]: must equal limits[nvidia.com/gpu]: GPUs are not shared"],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), BAD.values(), ids=BAD.keys())
def test_every_problem_is_named(obj: Any, expected: list[str]) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(obj)
    assert [str(error) for error in caught.value.errors] == expected


def test_the_container_named_trainer_trains() -> None:
    template = {"spec": {"containers": [{"name": "a"}, {"name": "trainer"}]}}
    assert trainer(template) == {"name": "trainer"}


def test_else_the_first_trains() -> None:
    assert trainer({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}) == {"name": "a"}


def limits(**amounts: Any) -> Any:
    return in_trainer("resources", value={"limits": {name.replace("_", "/"): a for name, a in amounts.items()}})


SLOTS = {
    "nothing said": (VALID, 1),
    "one for each GPU": (limits(**{"nvidia.com_gpu": 8, "memory": "1Gi"}), 8),
    "an amount in quotes": (limits(**{"amd.com_gpu": "4"}), 4),
    "any vendor": (limits(**{"example.org_gpu": 2}), 2),
    "no GPU": (limits(**{"nvidia.com_gpu": 0}), 1),
    "said, whatever the GPUs": (
        with_value(limits(**{"nvidia.com_gpu": 8}), "spec", "worker", "processesPerReplica", value=2),
        2,
    ),
}


@pytest.mark.parametrize(("obj", "processes"), SLOTS.values(), ids=SLOTS.keys())
def test_processes_of_a_pod(obj: Any, processes: int) -> None:
    assert processes_per_replica(parse(obj)) == processes
