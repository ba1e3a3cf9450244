"""The rights that the chart gives: to the operator what it uses and no more, to the cluster's users their jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from render_manifests import NAMESPACE, template

RULES = [
    {"apiGroups": ["trireme.dev"], "resources": ["trainingjobs"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": ["trireme.dev"], "resources": ["trainingjobs/status"], "verbs": ["patch"]},
    {"apiGroups": ["trireme.dev"], "resources": ["trainingjobs/finalizers"], "verbs": ["update"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["create", "get"]},
    {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["create"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["create", "get"]},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["create", "get", "patch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["scheduling.k8s.io"], "resources": ["podgroups", "workloads"], "verbs": ["create"]},
    {"apiGroups": ["scheduling.volcano.sh", "scheduling.x-k8s.io"], "resources": ["podgroups"], "verbs": ["create"]},
]
NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}
"""Cluster-wide only."""
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}


def arguments(objects: Mapping[tuple[str, str], Any]) -> list[str]:
    (container,) = objects["Deployment", "trireme"]["spec"]["template"]["spec"]["containers"]
    found: list[str] = container["args"]
    return found


def test_least_privilege(default):
    assert default["ClusterRole", "trireme"]["rules"] == [*RULES, NODES]


@pytest.mark.parametrize("rendering", ["default", "namespaced"])
def test_the_lease_is_in_the_releases_namespace(rendering, request):
    objects = request.getfixturevalue(rendering)
    role, binding = objects["Role", "trireme-lease"], objects["RoleBinding", "trireme-lease"]
    assert role["rules"] == [
        {**LEASES, "verbs": ["create"]},
        {**LEASES, "resourceNames": ["trireme"], "verbs": ["get", "patch"]},
    ]
    assert {role["metadata"]["namespace"], binding["metadata"]["namespace"]} == {NAMESPACE}
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "trireme-lease"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "trireme", "namespace": NAMESPACE}]
    assert {f"--lease-namespace={NAMESPACE}", "--lease-name=trireme"} <= set(arguments(objects))


def test_no_wildcards_and_no_reading_of_secrets(default, namespaced, tests):
    objects = [*default.values(), *namespaced.values(), *tests]
    rules = [rule for obj in objects for rule in obj.get("rules", ())]
    assert rules
    assert [rule for rule in rules if "*" in json.dumps(rule)] == []
    assert {verb for rule in rules if "secrets" in rule["resources"] for verb in rule["verbs"]} == {"create"}


def test_namespaced_install_asks_for_nothing_cluster_wide(namespaced):
    assert [kind for kind, _ in namespaced if kind.startswith("Cluster")] == []
    assert "--namespace=vision" in arguments(namespaced)
    assert "--namespace=speech" in arguments(namespaced)


def test_namespaced_install_has_a_role_in_each_namespace(two_namespaces):
    rendered = template(two_namespaces, "--show-only=templates/rbac.yaml")
    objects = [obj for obj in rendered if obj["metadata"]["namespace"] != NAMESPACE]
    assert sorted((obj["kind"], obj["metadata"]["namespace"]) for obj in objects) == [
        ("Role", "speech"), ("Role", "vision"), ("RoleBinding", "speech"), ("RoleBinding", "vision"),
    ]  # fmt: skip
    assert [obj["rules"] for obj in objects if obj["kind"] == "Role"] == [RULES, RULES]
    subject = {"kind": "ServiceAccount", "name": "trireme", "namespace": NAMESPACE}
    assert [obj["subjects"] for obj in objects if obj["kind"] == "RoleBinding"] == [[subject], [subject]]


def test_users_roles_are_aggregated(default):
    def aggregated(name: str) -> set[str]:
        labels = default["ClusterRole", name]["metadata"]["labels"]
        return {label.rpartition("-")[2] for label in labels if "aggregate-to-" in label}

    assert aggregated("trireme-view") == {"view", "edit", "admin"}
    assert aggregated("trireme-edit") == {"edit", "admin"}
    assert default["ClusterRole", "trireme-view"]["rules"][0]["verbs"] == ["get", "list", "watch"]


def test_own_roles_instead_of_the_charts(render):
    assert [kind for kind, _ in render("--set=rbac.create=false") if "Role" in kind] == []
