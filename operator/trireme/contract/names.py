"""Every name that more than one file spells: API group, labels, derived object names, ports, mount paths.

Pod names follow RFC 1123 labels, because each becomes a hostname; the longest decides how long a job's name may be.
"""

from __future__ import annotations

import re

GROUP = "trireme.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TrainingJob"
PLURAL = "trainingjobs"
SINGULAR = "trainingjob"
SHORT_NAME = "tj"
CATEGORY = "training"

CONTROLLER = f"{GROUP}/operator"
"""Value of `spec.managedBy` that means us."""

LABEL_JOB = f"{GROUP}/job"
LABEL_ROLE = f"{GROUP}/role"
LABEL_INDEX = f"{GROUP}/index"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_COMPONENT = f"{GROUP}/component"
OPERATOR = "operator"
"""Component of the operator's own pods: the jobs' network policies let these in."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "trireme"
ANNOTATION_PLAN = f"{GROUP}/plan"
"""Hash of the plan that made a pod: a pod of another plan is replaced as long as its job has not started."""
ANNOTATION_AGENT = f"{GROUP}/agent"
"""Hash of the agent in a pod: agents of two versions do not meet in one job."""
ANNOTATION_SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
"""Of the cluster autoscaler; that it is "true" also means that a pod needs no disruption budget."""

KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"
KUEUE_GROUP = "kueue.x-k8s.io/pod-group-name"
KUEUE_GROUP_SIZE = "kueue.x-k8s.io/pod-group-total-count"
KUEUE_RETRIABLE = "kueue.x-k8s.io/retriable-in-group"
KUEUE_INDEX_LABEL = "kueue.x-k8s.io/pod-group-pod-index-label"
VOLCANO_GROUP = "scheduling.k8s.io/group-name"
COSCHEDULING_GROUP = "scheduling.x-k8s.io/pod-group"
LABEL_ZONE = "topology.kubernetes.io/zone"
"""Kubernetes 1.33 and newer copy it from a node to the pods that are bound to it, and so the region's."""

ROLE_WORKER = "worker"
ROLE_SERVER = "server"
"""Of a parameter server's own pods."""

TRAINER_CONTAINER = "trainer"
AGENT_VOLUME = "trireme-agent"
AGENT_MOUNT = "/opt/trireme"
AGENT_FILE = "agent.pyz"
TOKEN_VOLUME = "trireme-token"
TOKEN_MOUNT = "/var/run/secrets/trireme.dev"
TOKEN_FILE = "token"
SHARED_MEMORY_VOLUME = "trireme-shm"
SHARED_MEMORY_MOUNT = "/dev/shm"

SERVER_COMMAND = ("python3", "-m", "trireme_worker.comm.ps")
"""What a shard of the parameter server runs, unless the template of the servers says otherwise."""

COORDINATOR_PORT = 7070
"""TCP port of the coordinator (HTTP, JSON) on the pod of worker 0."""

LABEL_MAX = 63
"""Characters of a DNS label, a hostname and a label value (RFC 1123)."""
MAX_REPLICAS = 100_000
"""Most pods of one role: it bounds the digits of an index, and with them the length of a pod's name."""
JOB_NAME_MAX = LABEL_MAX - len(f"-{ROLE_WORKER}-{MAX_REPLICAS - 1}")
"""The longest job name of which every derived name is still a hostname: 50."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")


def is_dns_label(text: str) -> bool:
    return len(text) <= LABEL_MAX and _DNS_LABEL.match(text) is not None


def pod_name(job: str, role: str, index: int) -> str:
    return f"{job}-{role}-{index}"


def pod_label(role: str, index: int) -> str:
    """How messages name a pod of a job whose name the reader already knows: `worker-2`."""
    return f"{role}-{index}"


def service_name(job: str) -> str:
    """The headless Service behind the pods' hostnames. The prefix keeps names that begin with a digit valid."""
    return f"tj-{job}"


def network_policy_name(job: str) -> str:
    return f"tj-{job}"


def pod_group_name(job: str, digest: str) -> str:
    """The group of one launch; `digest` is the plan's, so that pods of two plans are never counted as one gang."""
    return f"tj-{job}-{digest[:8]}"


def disruption_budget_name(job: str, role: str) -> str:
    return f"tj-{job}-{role}"


def token_secret_name(job: str, uid: str) -> str:
    """Holds part of the UID: what an earlier job of the same name left cannot stand in its successor's way."""
    return f"{job}-token-{uid[:8]}"


def agent_config_name(content_hash: str) -> str:
    """The ConfigMap of one agent version; `content_hash` is hexadecimal."""
    return f"trireme-agent-{content_hash[:12]}"


def pod_hostname(job: str, role: str, index: int, namespace: str) -> str:
    """Resolves to the pod's address from its first moment (the Service publishes addresses that are not ready)."""
    return f"{pod_name(job, role, index)}.{service_name(job)}.{namespace}.svc"


def job_labels(job: str) -> dict[str, str]:
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_JOB: job}


def pod_labels(job: str, role: str, index: int, attempt: int) -> dict[str, str]:
    return {**job_labels(job), LABEL_ROLE: role, LABEL_INDEX: str(index), LABEL_ATTEMPT: str(attempt)}
