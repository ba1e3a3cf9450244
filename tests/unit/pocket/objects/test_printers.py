from datetime import UTC, datetime

import pytest
from trireme.pocket.objects.printers import layout

NOW = datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC)
META = {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}


def cells(kind, **obj):
    drawn = layout(kind)
    values = drawn.cells({"metadata": META, **obj}, NOW)
    assert len(values) == len(drawn.columns)
    return dict(zip((column.name for column in drawn.columns), values, strict=True))


@pytest.mark.parametrize(
    ("kind", "obj", "expected"),
    [
        (
            "Pod",
            {"spec": {"containers": [{"name": "c"}], "nodeName": "n"},
             "status": {"phase": "Running", "podIP": "1.2.3.4"}},
            {"Name": "x", "Ready": "0/1", "Status": "Running", "Restarts": "0", "Age": "9s", "IP": "1.2.3.4",
             "Node": "n", "Nominated Node": "<none>", "Readiness Gates": "<none>"},
        ),
        (
            "Service",
            {"spec": {"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 7070, "protocol": "TCP"}],
                      "selector": {"b": "2", "a": "1"}}},
            {"Name": "x", "Type": "ClusterIP", "Cluster-IP": "None", "External-IP": "<none>", "Port(s)": "7070/TCP",
             "Age": "9s", "Selector": "a=1,b=2"},
        ),
        (
            "Service",
            {"spec": {"type": "LoadBalancer", "ports": [{"port": 1, "nodePort": 30001, "protocol": "UDP"}]}},
            {"Name": "x", "Type": "LoadBalancer", "Cluster-IP": "<none>", "External-IP": "<pending>",
             "Port(s)": "1:30001/UDP", "Age": "9s", "Selector": "<none>"},
        ),
        ("ConfigMap", {"data": {"a": ""}, "binaryData": {"b": ""}}, {"Name": "x", "Data": 2, "Age": "9s"}),
        ("Secret", {"type": "Opaque", "data": {"a": ""}}, {"Name": "x", "Type": "Opaque", "Data": 1, "Age": "9s"}),
        (
            "Event",
            {"type": "Normal", "reason": "Launched", "message": "m\n", "eventTime": "2026-01-01T00:00:00.000000Z",
             "involvedObject": {"kind": "Pod", "name": "p"}, "reportingComponent": "op",
             "series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:04.000000Z"}},
            {"Last Seen": "5s (x2 over 9s)", "Type": "Normal", "Reason": "Launched", "Object": "pod/p", "Subobject": "",
             "Source": "op", "Message": "m", "First Seen": "9s", "Count": 2, "Name": "x"},
        ),
        (
            "Node",
            {"metadata": {**META, "labels": {"node-role.kubernetes.io/worker": ""}}, "spec": {"unschedulable": True},
             "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.36.2"},
                        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}},
            {"Name": "x", "Status": "Ready,SchedulingDisabled", "Roles": "worker", "Age": "9s", "Version": "v1.36.2",
             "Internal-IP": "127.0.0.1", "External-IP": "<none>", "OS-Image": "<unknown>",
             "Kernel-Version": "<unknown>", "Container-Runtime": "<unknown>"},
        ),
        ("Namespace", {"status": {"phase": "Active"}}, {"Name": "x", "Status": "Active", "Age": "9s"}),
        ("Lease", {"spec": {"holderIdentity": "a"}}, {"Name": "x", "Holder": "a", "Age": "9s"}),
        ("ServiceAccount", {}, {"Name": "x", "Secrets": 0, "Age": "9s"}),
        ("CustomResourceDefinition", {}, {"Name": "x", "Created At": "2026-01-01T00:00:00Z"}),
        (
            "RoleBinding",
            {"roleRef": {"kind": "Role", "name": "r"},
             "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "n"}]},
            {"Name": "x", "Role": "Role/r", "Age": "9s", "Users": "", "Groups": "", "ServiceAccounts": "n/s"},
        ),
        (
            "PodDisruptionBudget",
            {"spec": {"minAvailable": 1}},
            {"Name": "x", "Min Available": "1", "Max Unavailable": "N/A", "Allowed Disruptions": 0, "Age": "9s"},
        ),
        (
            "PriorityClass",
            {"value": 5},
            {"Name": "x", "Value": 5, "Global-Default": False, "Age": "9s", "PreemptionPolicy": "PreemptLowerPriority"},
        ),
        ("NetworkPolicy", {"spec": {"podSelector": {}}}, {"Name": "x", "Pod-Selector": "<none>", "Age": "9s"}),
        (
            "Deployment",
            {"spec": {"replicas": 2, "selector": {"matchLabels": {"a": "b"}},
                      "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}},
            {"Name": "x", "Ready": "0/2", "Up-to-date": 0, "Available": 0, "Age": "9s", "Containers": "c",
             "Images": "i", "Selector": "a=b"},
        ),
        ("Unheard", {}, {"Name": "x", "Age": "9s"}),
    ],
)  # fmt: skip
def test_cells(kind, obj, expected):
    assert cells(kind, **obj) == expected
