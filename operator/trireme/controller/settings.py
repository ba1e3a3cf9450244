"""What may be set about the operator. Each setting says its unit, its default and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    kubeconfig: Path | None = None
    """Which cluster. Default: KUBECONFIG, ~/.kube/config, the pod's service account."""
    context: str | None = None
    """Context of the kubeconfig. Default: its current one."""
    namespaces: tuple[str, ...] = ()
    """Namespaces to watch. Default: all; a tenant's operator has rights in its own only."""
    key_file: Path = field(default_factory=lambda: Path.home() / ".trireme" / "operator.key")
    """The operator's key, from which the jobs' tokens are made. Default: below the home folder, created when it is not
    there. Replicas share one; with a new one running jobs show no progress: their coordinators know the old tokens."""
    workers: int = 8
    """Jobs reconciled at the same time. They wait for the network most of the time; more gain nothing on one core."""
    writes_per_second: float = 2000.0
    """Writes to the API server in the long run: a bound for a bug of ours, above what a control plane takes (on two
    cores: 220 pod creations a second). The brake is `write_concurrency`; others' share is the API server's to keep."""
    write_burst: int = 2000
    """Writes that may go at once after a pause."""
    write_concurrency: int = 32
    """Writes under way at once. Beyond this an API server only queues them."""
    status_seconds: float = 1.0
    """Shortest time between two status writes of a job whose phase stays: watchers see steady progress, and
    etcd does not see every pod."""
    progress_seconds: float = 2.0
    """Shortest time between two questions to a job's coordinator while it has no news."""
    progress_concurrency: int = 512
    """Coordinators asked at once. Each holds its question, and a connection, while it has no news: of more jobs each is
    asked the later. A process has 1,024 files in many places."""
    resync_seconds: float = 300.0
    """How often all jobs are listed and looked at again, should an event have been lost."""
    probe_port: int | None = None
    """TCP port of /healthz. Default: none; the chart sets it."""
    metrics_port: int | None = None
    """TCP port of /metrics. Default: none; the chart sets it."""
    metrics_address: str = "127.0.0.1"
    """Where /metrics listens. Default: loopback, since it asks nobody who they are; in a pod 0.0.0.0."""
    leader_elect: bool = False
    """Compete for a lease, and write only while it is ours. Default: no, a lone operator needs none; the chart's
    replicas do."""
    lease_namespace: str = "default"
    """Where the lease is. The chart names the operator's own namespace."""
    lease_name: str = "trireme-operator"
    """The lease. Operators that look after the same jobs share one; two that do not, in one namespace, need two."""
    lease_seconds: int = 15
    """A leader that fell silent is replaced after so long and one retry (17 s); the other times of the election follow
    from it (cluster.lease.Terms). Shorter ones lose the lead to every hiccup of the API server."""
