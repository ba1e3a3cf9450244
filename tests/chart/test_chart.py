"""The chart as Helm renders it: valid for Kubernetes, restricted, strict about its values."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import kubernetes_definitions
import pytest
import yaml
from render_manifests import CHART, NAMESPACE, ROOT, helm, template
from trireme import __version__
from trireme.cli.operate import operator
from trireme.contract import names
from trireme.pocket.objects.definition import check_definition
from trireme.spec.crd import crd

Manifest = dict[str, Any]
Objects = Mapping[tuple[str, str], Manifest]

KINDS = (
    "V1ClusterRole", "V1ClusterRoleBinding", "V1ConfigMap", "V1Deployment", "V1NetworkPolicy", "V1Pod",
    "V1PodDisruptionBudget", "V1Role", "V1RoleBinding", "V1Secret", "V1Service", "V1ServiceAccount",
)  # fmt: skip
SELECTOR = {
    "app.kubernetes.io/name": "trireme",
    "app.kubernetes.io/instance": "trireme",
    "app.kubernetes.io/component": "operator",
}
RESTRICTED_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
RESTRICTED_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, Any]:
    return dict(kubernetes_definitions.definitions(KINDS))


def problems(objects: Objects, definitions: Mapping[str, Any]) -> Iterator[str]:
    for (kind, name), obj in objects.items():
        if kind != "CustomResourceDefinition":
            schema = {"$ref": f"#/definitions/{kind}", "definitions": definitions}
            for error in jsonschema.Draft202012Validator(schema).iter_errors(obj):
                yield f"{kind} {name}: {error.json_path}: {error.message}"


def paths(values: Mapping[str, Any]) -> Iterator[str]:
    """Dotted paths of all keys."""
    for key, value in values.items():
        yield key
        if isinstance(value, dict):
            yield from (f"{key}.{path}" for path in paths(value))


def pod_of(objects: Objects, name: str = "trireme") -> Manifest:
    pod: Manifest = objects["Deployment", name]["spec"]["template"]
    return pod


@pytest.mark.parametrize("arguments", [(), ("two_namespaces",), ("maximal",)], ids=["default", "namespaced", "rich"])
def test_helm_lint(arguments, request):
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, *map(request.getfixturevalue, arguments))


def test_objects_by_default(default):
    assert sorted(default) == [
        ("ClusterRole", "trireme"),
        ("ClusterRole", "trireme-edit"),
        ("ClusterRole", "trireme-view"),
        ("ClusterRoleBinding", "trireme"),
        ("CustomResourceDefinition", "trainingjobs.trireme.dev"),
        ("Deployment", "trireme"),
        ("NetworkPolicy", "trireme"),
        ("PodDisruptionBudget", "trireme"),
        ("Role", "trireme-lease"),
        ("RoleBinding", "trireme-lease"),
        ("Secret", "trireme-key"),
        ("Service", "trireme-metrics"),
        ("ServiceAccount", "trireme"),
    ]


def test_objects_with_every_value(rich):
    assert sorted(rich) == [
        ("ClusterRole", "salamis"),
        ("ClusterRoleBinding", "salamis"),
        ("ConfigMap", "salamis-dashboard"),
        ("Deployment", "salamis"),
        ("NetworkPolicy", "salamis"),
        ("PodDisruptionBudget", "salamis"),
        ("Role", "salamis-lease"),
        ("RoleBinding", "salamis-lease"),
        ("Service", "salamis-metrics"),
        ("ServiceAccount", "helmsman"),
    ]


@pytest.mark.parametrize("rendering", ["default", "rich", "namespaced"])
def test_kubernetes_schemas_take_it(rendering, request, kubernetes):
    assert list(problems(request.getfixturevalue(rendering), kubernetes)) == []


def test_kubernetes_schemas_take_the_test(tests, kubernetes):
    assert list(problems({(obj["kind"], obj["metadata"]["name"]): obj for obj in tests}, kubernetes)) == []


def test_a_wrong_object_would_be_seen(default, kubernetes):
    deployment = copy.deepcopy(default["Deployment", "trireme"])
    deployment["spec"]["template"]["spec"]["priority"] = "high"
    assert list(problems({("Deployment", "trireme"): deployment}, kubernetes)) == [
        "Deployment trireme: $.spec.template.spec.priority: 'high' is not of type 'integer'"
    ]


def test_every_value_arrives(rich):
    pod = pod_of(rich, "salamis")
    selector = {
        "app.kubernetes.io/name": "rowing",
        "app.kubernetes.io/instance": "trireme",
        "app.kubernetes.io/component": "operator",
    }
    assert pod["metadata"] == {
        "labels": {**selector, "trireme.dev/component": "operator", "example.com/team": "platform"},
        "annotations": {"example.com/owner": "platform", "kubectl.kubernetes.io/default-container": "operator"},
    }
    container = pod["spec"]["containers"][0]
    assert container["args"] == [
        "operator", "--key-file=/etc/trireme/key", "--probe-port=8080",
        "--leader-elect", f"--lease-namespace={NAMESPACE}", "--lease-name=salamis",
        "--metrics-port=9090", "--metrics-address=0.0.0.0", "--workers=16", "--verbose",
    ]  # fmt: skip
    assert container["resources"] == {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
    assert container["imagePullPolicy"] == "Always"
    assert pod["spec"]["volumes"][0]["secret"]["secretName"] == "kept-elsewhere"
    assert {key: pod["spec"][key] for key in ("serviceAccountName", "priorityClassName", "imagePullSecrets")} == {
        "serviceAccountName": "helmsman",
        "priorityClassName": "system-cluster-critical",
        "imagePullSecrets": [{"name": "mirror"}],
    }
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["spec"]["tolerations"] == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    assert list(pod["spec"]["affinity"]) == ["podAntiAffinity"]
    assert pod["spec"]["topologySpreadConstraints"] == [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        }
    ]
    assert rich["ServiceAccount", "helmsman"]["metadata"]["annotations"] == {"example.com/role": "training"}
    assert rich["PodDisruptionBudget", "salamis"]["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector},
    }


def test_replicas_by_default(default):
    """Two on two nodes, replaced one after the other: one of them can lead at any time."""
    deployment = default["Deployment", "trireme"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (2, {"type": "RollingUpdate"})
    assert pod_of(default)["spec"]["topologySpreadConstraints"] == [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": SELECTOR},
        }
    ]
    budget = default["PodDisruptionBudget", "trireme"]["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": SELECTOR}}


def test_a_single_replica_can_be_drained(render):
    objects = render("--set=replicas=1")
    assert ("PodDisruptionBudget", "trireme") not in objects
    assert "--leader-elect" in pod_of(objects)["spec"]["containers"][0]["args"]  # an upgrade runs two for a while


def test_the_operator_has_the_options_that_the_chart_sets(default, rich, namespaced):
    known = {option for parameter in operator.params for option in parameter.opts}
    renderings = ((default, "trireme"), (rich, "salamis"), (namespaced, "trireme"))
    arguments = [pod_of(objects, name)["spec"]["containers"][0]["args"] for objects, name in renderings]
    assert {argument.partition("=")[0] for command, *options in arguments for argument in options} - known == set()


def test_maximal_values_leave_no_value_out(maximal):
    """watchNamespaces excludes the aggregated roles; `global` and the namespaced mode have tests of their own."""
    with open(CHART / "values.yaml", encoding="utf-8") as defaults, open(maximal.partition("=")[2]) as values:
        assert set(paths(yaml.safe_load(defaults))) - set(paths(yaml.safe_load(values))) == {"watchNamespaces"}


@pytest.mark.parametrize("rendering", ["default", "rich", "namespaced"])
def test_pod_security_restricted(rendering, request):
    objects = request.getfixturevalue(rendering)
    (pod,) = (obj["spec"]["template"]["spec"] for (kind, _), obj in objects.items() if kind == "Deployment")
    assert pod["securityContext"] == RESTRICTED_POD
    assert [container["securityContext"] for container in pod["containers"]] == [RESTRICTED_CONTAINER]


def test_the_test_pod_is_restricted_too(tests):
    (pod,) = (obj["spec"] for obj in tests if obj["kind"] == "Pod")
    assert pod["securityContext"] == RESTRICTED_POD
    assert [container["securityContext"] for container in pod["containers"]] == [RESTRICTED_CONTAINER]


@pytest.mark.parametrize(
    ("arguments", "image"),
    [
        ((), f"ghcr.io/trireme-dev/operator:{__version__}"),
        (("--set=image.tag=edge",), "ghcr.io/trireme-dev/operator:edge"),
        (
            ("--set=image.tag=edge", f"--set=image.digest=sha256:{'a' * 64}"),
            f"ghcr.io/trireme-dev/operator@sha256:{'a' * 64}",
        ),
    ],
    ids=["version", "tag", "digest-wins"],
)
def test_image(render, arguments, image):
    assert pod_of(render(*arguments))["spec"]["containers"][0]["image"] == image


def test_crd_is_the_specs_and_stays(default):
    found = copy.deepcopy(default["CustomResourceDefinition", "trainingjobs.trireme.dev"])
    metadata = found.pop("metadata")
    assert found == {key: value for key, value in crd().items() if key != "metadata"}
    assert metadata["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert check_definition(default["CustomResourceDefinition", "trainingjobs.trireme.dev"]) == []


@pytest.mark.parametrize(
    ("arguments", "ports"),
    [((), ["health", "metrics"]), (("--set=metrics.enabled=false",), ["health"])],
    ids=["default", "without-metrics"],
)
def test_network_policy_lets_in_to_health_and_metrics_alone(render, arguments, ports):
    objects = render(*arguments)
    policy = objects["NetworkPolicy", "trireme"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [{"ports": [{"port": port} for port in ports]}]
    assert [port["name"] for port in pod_of(objects)["spec"]["containers"][0]["ports"]] == ports


def test_network_policy_limits_egress_to_dns_api_server_and_coordinators(rich):
    policy = rich["NetworkPolicy", "salamis"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}, {"port": 16443}]},
        {
            "to": [
                {
                    "namespaceSelector": {},
                    "podSelector": {"matchLabels": {names.LABEL_MANAGED_BY: names.MANAGED_BY}},
                }
            ],
            "ports": [{"port": names.COORDINATOR_PORT}],
        },
    ]


def test_network_policy_can_be_left_out(render):
    assert ("NetworkPolicy", "trireme") not in render("--set=networkPolicy.enabled=false")


def test_whoever_has_no_helm_applies_the_whole_folder():
    """`kubectl apply -f manifests/`, of which the README speaks, takes every file there and none below."""
    assert sorted(path.name for path in (ROOT / "manifests").iterdir()) == [
        "crd.yaml", "examples", "operator.yaml", "rbac.yaml",
    ]  # fmt: skip


def test_versions_agree():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert f"/operator:{__version__}" in chart["annotations"]["artifacthub.io/images"]


def test_the_longest_release_name_still_names_a_job():
    text = helm("template", "r" * 53, CHART, "--show-only=templates/tests/smoke.yaml")
    (pod,) = (obj for obj in yaml.safe_load_all(text) if obj["kind"] == "Pod")
    assert len(pod["metadata"]["name"]) == names.JOB_NAME_MAX


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("--set=replica=1", "additional properties 'replica' not allowed"),
        ("--set=image.tags=x", "additional properties 'tags' not allowed"),
        ("--set=replicas=-1", "'/replicas': minimum"),
        ("--set-string=replicas=1", "'/replicas': got string, want integer"),
        ("--set=image.tag=1", "'/image/tag': got number, want string"),
        ("--set=image.digest=sha256:beef", "'/image/digest'"),
        ("--set=image.pullPolicy=Sometimes", "'/image/pullPolicy'"),
        ("--set=watchNamespaces={Vision}", "'/watchNamespaces/0'"),
        ("--set=watchNamespaces={a,a}", "'/watchNamespaces'"),
        ("--set=fullnameOverride=Trireme", "'/fullnameOverride'"),
        ("--set=networkPolicy.apiServerPorts={0}", "'/networkPolicy/apiServerPorts/0'"),
        ("--set=crds.install=maybe", "'/crds/install': got string, want boolean"),
        ("--set=operator.workers=0", "'/operator/workers'"),
        ("--set=key.existingSecret=A_B", "'/key/existingSecret'"),
        ("--set=metrics.port=1", "additional properties 'port' not allowed"),
        ("--set=metrics.serviceMonitor.interval=30", "'/metrics/serviceMonitor/interval': got number, want string"),
        ("--set=metrics.serviceMonitor.interval=soon", "'/metrics/serviceMonitor/interval'"),
        ("--set=metrics.prometheusRule.rules={}", "additional properties 'rules' not allowed"),
        ("--set=metrics.dashboard.labels.x=1", "'/metrics/dashboard/labels/x': got number, want string"),
        ("--set=podLabels.x=1", "'/podLabels/x': got number, want string"),
    ],
)
def test_schema_refuses(value, said):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        template(value)
    assert said in caught.value.stderr


def test_schema_allows_what_a_parent_chart_adds(render):
    assert render("--set=global.region=eu")
