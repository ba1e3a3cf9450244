"""manifests: whole pods, what wins over the user's template, and what is left as the user wrote it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import TRAINER, UID, VALID, in_pod, in_trainer, job, parameter_server, with_value
from trireme.contract.environ import PodEnvironment
from trireme.plan import manifests
from trireme.plan.confinement import RESTRICTED
from trireme.plan.plan import Plan
from trireme.plan.planner import plan
from trireme.plan.support import support
from trireme.spec.kubernetes_schema import check
from trireme.spec.parse import parse

AGENT = "0123456789abcdef"
POD = ("spec", "worker", "template", "spec")


def planned(obj: Any = VALID, attempt: int = 0) -> Plan:
    metadata = {**obj["metadata"], "uid": UID, "namespace": "team"}
    return plan(parse({**obj, "metadata": metadata}), attempt=attempt, agent=AGENT)


def pod(obj: Any = VALID, index: int = 1, attempt: int = 0) -> Any:
    made = planned(obj, attempt)
    return manifests.pod(made, made.pods[index])


def values(container: Any) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


OWNER = {
    "apiVersion": "trireme.dev/v1alpha1",
    "kind": "TrainingJob",
    "name": "digits",
    "uid": UID,
    "controller": True,
    "blockOwnerDeletion": True,
}
LABELS = {"app.kubernetes.io/managed-by": "trireme", "trireme.dev/job": "digits"}


TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def tolerated(taint: str, seconds: int) -> dict[str, Any]:
    return {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}


EVERYTHING = {"operator": "Exists"}
OTHER_EFFECT = {"key": TAINTS[0], "operator": "Exists", "effect": "NoSchedule"}
OWN = {"key": TAINTS[1], "operator": "Exists", "tolerationSeconds": 900}


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        pytest.param([], TAINTS, id="silent"),
        pytest.param([EVERYTHING], (), id="everything-is-tolerated"),
        pytest.param([OTHER_EFFECT], TAINTS, id="another-effect"),
        pytest.param([OWN], TAINTS[:1], id="one-of-them"),
    ],
)
def test_a_node_that_is_lost_is_left_unless_the_template_says_how(said: list[Any], ours: tuple[str, ...]) -> None:
    made = pod(with_value(in_pod("tolerations", value=said), "spec", "restart", value={"nodeLostSeconds": 5}))
    assert made["spec"]["tolerations"] == [*said, *(tolerated(taint, 5) for taint in ours)]


def test_a_whole_pod() -> None:
    made = planned(attempt=2)
    assert manifests.pod(made, made.pods[1]) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "digits-worker-1",
            "namespace": "team",
            "labels": {**LABELS, "trireme.dev/role": "worker", "trireme.dev/index": "1", "trireme.dev/attempt": "2"},
            "annotations": {
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "trireme.dev/plan": made.digest,
                "trireme.dev/agent": AGENT[:16],
            },
            "ownerReferences": [OWNER],
        },
        "spec": {
            "hostname": "digits-worker-1",
            "subdomain": "tj-digits",
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": "trainer",
                    "image": "img",
                    "command": ["python3", "/opt/trireme/agent.pyz", "--", "python3", "train.py"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "runAsNonRoot": True,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "env": [
                        {"name": "TRIREME_ROLE", "value": "worker"},
                        {"name": "TRIREME_INDEX", "value": "1"},
                        {"name": "TRIREME_SLOTS", "value": "1"},
                        {"name": "TRIREME_SHARDS", "value": "0"},
                        {"name": "TRIREME_ATTEMPT", "value": "2"},
                        {"name": "TRIREME_JOB", "value": "digits"},
                        {"name": "TRIREME_NAMESPACE", "value": "team"},
                        {"name": "TRIREME_REPLICAS", "value": "2"},
                        {"name": "TRIREME_SERVERS", "value": "0"},
                        {"name": "TRIREME_BACKEND", "value": "Horovod"},
                        {"name": "TRIREME_COORDINATOR", "value": "digits-worker-0.tj-digits.team.svc:7070"},
                        {"name": "TRIREME_TOKEN_FILE", "value": "/var/run/secrets/trireme.dev/token"},
                        {"name": "TRIREME_JOIN_SECONDS", "value": "3600"},
                        {"name": "TRIREME_GRACE_SECONDS", "value": "25"},
                        {"name": "TRIREME_RESTART_SCOPE", "value": "Failed"},
                        {"name": "TRIREME_INDEPENDENT", "value": "0"},
                        {"name": "HOROVOD_GLOO_TIMEOUT_SECONDS", "value": "600"},
                        {"name": "TRIREME_POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        {"name": "TRIREME_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
                        {"name": "TRIREME_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                        {
                            "name": "TRIREME_DOMAIN",
                            "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['topology.kubernetes.io/zone']"}},
                        },
                    ],
                    "volumeMounts": [
                        {"name": "trireme-agent", "mountPath": "/opt/trireme", "readOnly": True},
                        {"name": "trireme-token", "mountPath": "/var/run/secrets/trireme.dev", "readOnly": True},
                        {"name": "trireme-shm", "mountPath": "/dev/shm"},
                    ],
                }
            ],
            "tolerations": [tolerated(taint, 30) for taint in TAINTS],
            "volumes": [
                {
                    "name": "trireme-agent",
                    "configMap": {
                        "name": "trireme-agent-0123456789ab",
                        "defaultMode": 0o444,
                        "items": [{"key": "agent.pyz", "path": "agent.pyz"}],
                    },
                },
                {
                    "name": "trireme-token",
                    "secret": {
                        "secretName": "digits-token-11111111",
                        "defaultMode": 0o444,
                        "items": [{"key": "token", "path": "token"}],
                    },
                },
                {"name": "trireme-shm", "emptyDir": {"medium": "Memory"}},
            ],
        },
    }


def test_the_agent_can_read_its_environment() -> None:
    made = pod()["spec"]["containers"][0]
    downward = {variable["name"]: "x" for variable in made["env"] if "valueFrom" in variable}
    read = PodEnvironment.read(values(made) | downward)
    assert (read.index, read.replicas, read.coordinator) == (1, 2, "digits-worker-0.tj-digits.team.svc:7070")


def test_our_labels_and_annotations_win_and_others_stay() -> None:
    metadata = {
        "labels": {"team": "a", "trireme.dev/index": "99"},
        "annotations": {
            "note": "b",
            "trireme.dev/plan": "x",
            "trireme.dev/agent": "y",
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
        },
    }
    written = pod(job("spec", "worker", "template", "metadata", value=metadata))["metadata"]
    assert (written["labels"]["team"], written["labels"]["trireme.dev/index"]) == ("a", "1")
    assert written["annotations"] == {
        **metadata["annotations"],
        "trireme.dev/plan": planned_digest(metadata),
        "trireme.dev/agent": AGENT[:16],
    }


def planned_digest(metadata: Any) -> str:
    return planned(job("spec", "worker", "template", "metadata", value=metadata)).digest


def test_everything_else_of_the_template_stays() -> None:
    shm = {"name": "shm", "emptyDir": {"medium": "Memory"}}
    sidecar = {"name": "proxy", "image": "proxy", "securityContext": {"privileged": True}}
    mount = {"name": "shm", "mountPath": "/dev/shm"}
    obj = job(
        *POD,
        value={
            "nodeSelector": {"gpu": "a100"},
            "activeDeadlineSeconds": 60,
            "automountServiceAccountToken": True,
            "enableServiceLinks": True,
            "volumes": [shm],
            "containers": [
                sidecar,
                {**TRAINER, "args": ["--epochs", "3"], "env": [{"name": "A", "value": "2"}], "volumeMounts": [mount]},
            ],
        },
    )
    spec = pod(obj)["spec"]
    trainer = spec["containers"][1]
    assert spec["containers"][0] == sidecar
    assert (trainer["args"], trainer["env"][-1]) == (["--epochs", "3"], {"name": "A", "value": "2"})
    assert (trainer["volumeMounts"][0], spec["volumes"][0]) == (mount, shm)
    assert "trireme-shm" not in [volume["name"] for volume in spec["volumes"]]
    assert (spec["nodeSelector"], spec["activeDeadlineSeconds"]) == ({"gpu": "a100"}, 60)
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (True, True)


SHARED_MEMORY = {
    "silent": (VALID, True),
    "another mount": (
        with_value(
            in_trainer("volumeMounts", value=[{"name": "data", "mountPath": "/dev/shm/data"}]),
            *POD,
            "volumes",
            value=[{"name": "data", "emptyDir": {}}],
        ),
        True,
    ),
    "mounted by the user": (
        with_value(
            in_trainer("volumeMounts", value=[{"name": "shm", "mountPath": "/dev/shm/"}]),
            *POD,
            "volumes",
            value=[{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}],
        ),
        False,
    ),
    "the node's": (in_pod("hostIPC", value=True), False),
}


@pytest.mark.parametrize(("obj", "ours"), SHARED_MEMORY.values(), ids=SHARED_MEMORY.keys())
def test_shared_memory_is_given_where_the_template_has_none(obj: Any, ours: bool) -> None:
    spec = pod(obj)["spec"]
    assert ({"name": "trireme-shm", "emptyDir": {"medium": "Memory"}} in spec["volumes"]) is ours
    mount = {"name": "trireme-shm", "mountPath": "/dev/shm"}
    assert (mount in spec["containers"][0]["volumeMounts"]) is ours


COORDINATOR = {"containerPort": 7070, "hostPort": 7070}
METRICS = {"containerPort": 9400}


def on_the_node(**container: Any) -> Any:
    """On the network of its node."""
    return with_value(in_pod("hostNetwork", value=True), *POD, "containers", value=[{**TRAINER, **container}])


@pytest.mark.parametrize(
    ("obj", "index", "ports"),
    [
        pytest.param(VALID, 0, None, id="a network of its own"),
        pytest.param(on_the_node(), 0, [COORDINATOR], id="worker 0"),
        pytest.param(on_the_node(ports=[METRICS]), 0, [METRICS, COORDINATOR], id="another port"),
        pytest.param(on_the_node(ports=[{"containerPort": 7070}]), 0, [{"containerPort": 7070}], id="said already"),
        pytest.param(on_the_node(), 1, None, id="another worker"),
    ],
)
def test_on_its_nodes_network_worker_0_claims_the_coordinators_port(obj: Any, index: int, ports: Any) -> None:
    assert pod(obj, index)["spec"]["containers"][0].get("ports") == ports


@pytest.mark.parametrize(
    ("obj", "policy"),
    [
        pytest.param(VALID, None, id="a network of its own"),
        pytest.param(on_the_node(), "ClusterFirstWithHostNet", id="the node's"),
        pytest.param(with_value(on_the_node(), *POD, "dnsPolicy", value="None"), "None", id="the template says how"),
    ],
)
def test_on_its_nodes_network_a_pod_knows_the_names_of_the_others(obj: Any, policy: str | None) -> None:
    assert pod(obj)["spec"].get("dnsPolicy") == policy


def test_every_container_is_confined_and_what_the_template_says_stays() -> None:
    fetch, proxy = {"name": "fetch", "image": "img"}, {"name": "proxy", "image": "img"}
    obj = with_value(in_pod("initContainers", value=[fetch]), *POD, "containers", 1, value=proxy)
    spec = pod(with_value(obj, *POD, "securityContext", value={"runAsUser": 0, "fsGroup": 5}))["spec"]
    assert spec["securityContext"] == {"runAsUser": 0, "fsGroup": 5}
    expected = {key: value for key, value in RESTRICTED.items() if key != "runAsNonRoot"}
    found = [c["securityContext"] for c in (*spec["initContainers"], *spec["containers"])]
    assert found == [expected] * 3


GRACE = {
    "Kubernetes' default": (VALID, "25"),
    "as the template says": (in_pod("terminationGracePeriodSeconds", value=600), "595"),
    "half of a short one": (in_pod("terminationGracePeriodSeconds", value=5), "3"),
    "none": (in_pod("terminationGracePeriodSeconds", value=0), "0"),
    "a negative one, which Kubernetes takes for the least": (in_pod("terminationGracePeriodSeconds", value=-1), "0"),
}


@pytest.mark.parametrize(("obj", "seconds"), GRACE.values(), ids=GRACE.keys())
def test_the_agent_keeps_a_part_of_the_grace_period(obj: Any, seconds: str) -> None:
    assert values(pod(obj)["spec"]["containers"][0])["TRIREME_GRACE_SECONDS"] == seconds


CLAIMED = with_value(
    in_trainer("volumeMounts", value=[{"name": "c", "mountPath": "/checkpoints"}]),
    *POD,
    "volumes",
    value=[{"name": "c", "persistentVolumeClaim": {"claimName": "c"}}],
)
CHECKPOINTED = with_value(CLAIMED, "spec", "checkpoint", value={"directory": "/checkpoints"})


def test_a_checkpoint_is_a_directory_and_time_to_save() -> None:
    spec, plain = pod(CHECKPOINTED)["spec"], pod(CLAIMED)["spec"]
    mine, others = (values(each["containers"][0]) for each in (spec, plain))
    assert mine == {**others, "TRIREME_CHECKPOINT_DIRECTORY": "/checkpoints", "TRIREME_GRACE_SECONDS": "60"}
    assert spec["terminationGracePeriodSeconds"] == 65
    assert {key for key in spec if spec[key] != plain.get(key)} == {"containers", "terminationGracePeriodSeconds"}


def test_a_longer_grace_period_of_the_template_stays() -> None:
    spec = pod(with_value(CHECKPOINTED, *POD, "terminationGracePeriodSeconds", value=600))["spec"]
    assert spec["terminationGracePeriodSeconds"] == 600
    assert values(spec["containers"][0])["TRIREME_GRACE_SECONDS"] == "60"


def test_pods_without_checkpoints_keep_their_plan() -> None:
    """A new version of the operator replaces no pod that waits for GPUs."""
    assert planned(CLAIMED).digest == "edba944b6ad01034"
    assert planned(CHECKPOINTED).digest != planned(CLAIMED).digest


def test_writing_changes_neither_job_nor_plan() -> None:
    made = planned(in_trainer("env", value=[{"name": "A", "value": "1"}]))
    before = copy.deepcopy(made)
    for each in made.pods:
        manifests.pod(made, each)
    assert made == before


ENVIRONMENT = st.dictionaries(st.from_regex(r"[A-Z]{1,5}", fullmatch=True), st.text(max_size=5), max_size=3)
VOLUMES = st.lists(st.sampled_from(["data", "shm", "code"]), unique=True, max_size=3)


@given(environment=ENVIRONMENT, volumes=VOLUMES, replicas=st.integers(1, 3), gpus=st.integers(0, 8))
def test_every_object_is_one_that_kubernetes_takes(
    environment: dict[str, str], volumes: list[str], replicas: int, gpus: int
) -> None:
    trainer = {
        **TRAINER,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": name, "mountPath": f"/mnt/{name}"} for name in volumes],
        "resources": {"limits": {"nvidia.com/gpu": gpus}},
    }
    obj = job("spec", "worker", "replicas", value=replicas)
    obj = with_value(obj, *POD, "containers", 0, value=trainer)
    obj = with_value(
        obj,
        *POD,
        "volumes",
        value=[{"name": name, "emptyDir": {}} for name in volumes],
    )
    made = planned(obj)
    written = [manifests.pod(made, each) for each in made.pods]
    written += [each.manifest for each in support(made, "token", b"agent")]
    assert [problem for item in written for problem in check(item["kind"], item, item["kind"])] == []


def test_servers_are_workers_without_gpus_that_run_our_server() -> None:
    obj = parameter_server()
    spec = obj["spec"]["worker"]["template"]["spec"]
    gpus = {**TRAINER, "args": ["x"], "resources": {"limits": {"nvidia.com/gpu": 2, "memory": "1Gi"}}}
    spec |= {"containers": [gpus, {"name": "logger", "image": "log"}], "nodeSelector": {"pool": "a"}}
    server = pod(obj, index=-1)
    (container,) = server["spec"]["containers"]
    assert server["metadata"]["name"] == "digits-server-0"
    assert server["metadata"]["labels"]["trireme.dev/role"] == "server"
    assert server["spec"]["nodeSelector"] == {"pool": "a"}
    assert container["command"][2:] == ["--", "python3", "-m", "trireme_worker.comm.ps"]
    assert "args" not in container
    assert container["resources"] == {"limits": {"memory": "1Gi"}}
    said = values(container)
    assert {key: said[f"TRIREME_{key}"] for key in ("ROLE", "INDEX", "SLOTS", "SHARDS", "REPLICAS", "SERVERS")} == {
        "ROLE": "server", "INDEX": "0", "SLOTS": "0", "SHARDS": "1", "REPLICAS": "2", "SERVERS": "1",
    }  # fmt: skip


def test_servers_may_have_a_template_of_their_own() -> None:
    own = {"spec": {"containers": [{"name": "s", "image": "mine", "command": ["serve"]}]}}
    (container,) = pod(parameter_server(server={"template": own}), index=-1)["spec"]["containers"]
    assert (container["image"], container["command"][-1]) == ("mine", "serve")
