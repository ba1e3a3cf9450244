"""What the chart makes for Prometheus and Grafana: only where it is of use, about this release alone, in terms of
metrics that the operator serves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from render_manifests import CHART, NAMESPACE, ROOT

OPERATED = "--api-versions=monitoring.coreos.com/v1"
NAME = "trireme-metrics"
OURS = f'namespace="{NAMESPACE}", job="{NAME}"'
SERVICE_LABELS = {
    "app.kubernetes.io/name": "trireme",
    "app.kubernetes.io/instance": "trireme",
    "app.kubernetes.io/component": "metrics",
}


def made(objects: dict[tuple[str, str], Any]) -> list[str]:
    kinds = ("ConfigMap", "PrometheusRule", "Service", "ServiceMonitor")
    return sorted(kind for kind, _ in objects if kind in kinds)


@pytest.fixture(scope="module")
def operated(render) -> dict[tuple[str, str], Any]:
    """Where the Prometheus operator is."""
    objects: dict[tuple[str, str], Any] = render(OPERATED)
    return objects


@pytest.fixture(scope="module")
def rules(operated) -> list[dict[str, Any]]:
    (group,) = operated["PrometheusRule", NAME]["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ((), ["Service"]),
        ((OPERATED,), ["PrometheusRule", "Service", "ServiceMonitor"]),
        ((OPERATED, "--set=metrics.serviceMonitor.enabled=false"), ["PrometheusRule", "Service"]),
        ((OPERATED, "--set=metrics.prometheusRule.enabled=false"), ["Service", "ServiceMonitor"]),
        (("--set=metrics.dashboard.enabled=true",), ["ConfigMap", "Service"]),
        ((OPERATED, "--set=metrics.enabled=false,metrics.dashboard.enabled=true"), []),
    ],
    ids=["plain-cluster", "prometheus-operator", "no-monitor", "no-rule", "dashboard", "no-metrics"],
)
def test_which_objects(render, arguments, kinds):
    assert made(render(*arguments)) == kinds


def test_no_metrics_without_the_value(render):
    (container,) = render("--set=metrics.enabled=false")["Deployment", "trireme"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert [argument for argument in container["args"] if "metrics" in argument] == []


def test_service_leads_to_every_replica(operated):
    service, deployment = operated["Service", NAME], operated["Deployment", "trireme"]["spec"]
    assert service["spec"] == {
        "clusterIP": "None",
        "selector": deployment["selector"]["matchLabels"],
        "ports": [{"name": "metrics", "port": 9090, "targetPort": "metrics"}],
    }
    (container,) = deployment["template"]["spec"]["containers"]
    assert {"name": "metrics", "containerPort": 9090} in container["ports"]
    assert {"--metrics-port=9090", "--metrics-address=0.0.0.0"} <= set(container["args"])


def test_monitor_finds_the_service(operated):
    monitor = operated["ServiceMonitor", NAME]
    assert monitor["spec"] == {
        "selector": {"matchLabels": SERVICE_LABELS},
        "endpoints": [{"port": "metrics", "interval": "30s"}],
    }
    assert SERVICE_LABELS.items() <= operated["Service", NAME]["metadata"]["labels"].items()


def test_labels_and_interval_of_ones_own(render, maximal):
    objects = render(maximal, OPERATED)

    def labels(kind: str, name: str) -> dict[str, str]:
        found = objects[kind, name]["metadata"]["labels"]
        return {key: value for key, value in found.items() if "kubernetes.io" not in key and key != "helm.sh/chart"}

    assert labels("ServiceMonitor", "salamis-metrics") == {"release": "prometheus"}
    assert labels("PrometheusRule", "salamis-metrics") == {"role": "alerts"}
    assert labels("ConfigMap", "salamis-dashboard") == {"grafana_dashboard": "on"}
    assert objects["ServiceMonitor", "salamis-metrics"]["spec"]["endpoints"][0]["interval"] == "1m"


def test_alerts_are_those_of_the_documentation_for_this_release(rules):
    page = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^- alert: (\w+).*\n  expr: (.+)$", page, re.MULTILINE))
    assert len(documented) == 3

    def everywhere(expression: str) -> str:
        return expression.replace(f"{OURS}, ", "").replace(f"{{{OURS}}}", "")

    assert {rule["alert"]: everywhere(rule["expr"]) for rule in rules} == documented
    assert all(rule["expr"].count(OURS) == 1 for rule in rules)


def test_alerts_ask_for_what_the_operator_serves(rules, served):
    asked = {name for rule in rules for name in re.findall(r"\btrireme_\w+", rule["expr"])}
    assert asked - served == set()
    assert len(asked) == 3


def test_alerts_say_how_bad_it_is_and_what_to_do(rules):
    assert {rule["alert"]: rule["labels"]["severity"] for rule in rules} == {
        "TriremeHasNoLeader": "critical",
        "TriremeRetries": "warning",
        "TriremeLaunchesSlowly": "warning",
    }
    assert all(rule["annotations"].keys() == {"summary", "description"} for rule in rules)


def test_dashboard_arrives_as_it_is(render):
    found = render("--set=metrics.dashboard.enabled=true")["ConfigMap", "trireme-dashboard"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    wanted = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    assert {name: json.loads(text) for name, text in found["data"].items()} == {"trireme.json": wanted}
