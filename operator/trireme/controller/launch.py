"""Makes a job's objects: what its pods lean on first, then the pods, many at once but never many against a wall."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from trireme.cluster import podview, resources
from trireme.cluster.client import Client
from trireme.cluster.discovery import FRESH_SECONDS, Discovery
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import PODS, Resource
from trireme.contract import names, wire
from trireme.contract.bundle import Agent
from trireme.lifecycle.message import PODS_PENDING
from trireme.lifecycle.observe import NAME_TAKEN, Refusal
from trireme.lifecycle.pod import Pod
from trireme.plan import kueue, manifests
from trireme.plan.manifests import Manifest
from trireme.plan.plan import ApiKind, GroupKind, Plan, PodPlan
from trireme.plan.support import Support, support

FIRST_LANES = 8
"""A refusal (quota, admission) mostly holds for all pods alike: a few meet it before the many are tried."""
LANES = 64
"""Pods of one job that are tried at once, at most; enough to keep the client's throttle busy."""


@dataclass
class Launched:
    """What became of the pods that were tried."""

    pods: list[Pod] = field(default_factory=list)
    """Ours, made now or before."""
    strangers: list[Pod] = field(default_factory=list)
    """Those that others made under our names."""
    refused: Refusal | None = None
    """Of one of them, by the API server."""
    error: ApiError | None = None
    """The API server failed or could not be reached."""


class Launcher:
    def __init__(self, client: Client, key: bytes, agent: Agent) -> None:
        self._client = client
        self._key = key
        self._agent = agent
        self._equipped: set[str] = set()
        """Namespaces that have what all their jobs share: the agent."""
        self._sharing = asyncio.Lock()
        self._discovery = Discovery(client, (*(kind.value for kind in GroupKind), *kueue.KINDS))

    @property
    def agent(self) -> str:
        """Content hash of the agent that new pods get."""
        return self._agent.digest

    async def served(self, fresh_seconds: float = FRESH_SECONDS) -> frozenset[ApiKind]:
        """Which gangs and queues there are here, as of `fresh_seconds` ago at most. Raises ApiError."""
        return await self._discovery.served(fresh_seconds)

    async def support(self, plan: Plan) -> Refusal | None:
        """What the pods lean on. Returns why one object cannot be there. Raises ApiError."""
        wanted = support(plan, wire.token(self._key, plan.job.uid), self._agent.content)
        answers = await asyncio.gather(*((self._share if each.shared else self._lean)(plan, each) for each in wanted))
        return next(filter(None, answers), None)

    def forget_served(self) -> None:
        """One of them turned out not to be served any more."""
        self._discovery.forget()

    def forget_shared(self, namespace: str) -> None:
        """The namespace may have gone, and all with it."""
        self._equipped.discard(namespace)

    async def pods(self, plan: Plan, wanted: Sequence[PodPlan]) -> Launched:
        """More and more at once while all goes well; none is begun after the first refusal or failure."""
        launched = Launched()
        left = iter(wanted)
        begun = FIRST_LANES
        async with asyncio.TaskGroup() as lanes:

            async def lane() -> None:
                nonlocal begun
                for pod in left:
                    await self._pod(plan, pod, launched)
                    if launched.refused or launched.error:
                        return
                    if begun < LANES:
                        begun += 1
                        lanes.create_task(lane())

            for _ in range(FIRST_LANES):
                lanes.create_task(lane())
        return launched

    async def _pod(self, plan: Plan, pod: PodPlan, launched: Launched) -> None:
        namespace = plan.job.namespace
        try:
            try:
                made = await self._client.create(PODS, namespace, manifests.pod(plan, pod))
            except ApiError as error:
                if not error.already_exists:
                    raise
                made = await self._client.get(PODS, namespace, pod.name)
        except ApiError as error:
            if error.refused:
                launched.refused = launched.refused or Refusal(error.message)
            else:
                launched.error = launched.error or error
            return
        record = podview.of_object(made)
        (launched.pods if record.owner_uid == plan.job.uid else launched.strangers).append(record)

    async def _share(self, plan: Plan, wanted: Support) -> Refusal | None:
        """Of many jobs that begin at once in a namespace, one makes it."""
        async with self._sharing:
            if plan.job.namespace in self._equipped:
                return None
            refused = await self._lean(plan, wanted)
            if not refused:
                self._equipped.add(plan.job.namespace)
            return refused

    async def _lean(self, plan: Plan, wanted: Support) -> Refusal | None:
        resource, namespace = resources.of_object(wanted.manifest), plan.job.namespace
        try:
            await self._client.create(resource, namespace, wanted.manifest)
        except ApiError as error:
            if not error.already_exists:
                return _refusal(error)
            if not wanted.unique:
                return await self._found(plan, resource, wanted)
        return None

    async def _found(self, plan: Plan, resource: Resource, wanted: Support) -> Refusal | None:
        """What to say of the object that has the name, unless it is this job's."""
        namespace, name = plan.job.namespace, wanted.manifest["metadata"]["name"]
        found = await self._client.get(resource, namespace, name)
        owners = found["metadata"].get("ownerReferences", ())
        if not any(owner["uid"] == plan.job.uid for owner in owners):
            earlier = any((owner["kind"], owner["name"]) == (names.KIND, plan.job.name) for owner in owners)
            return _taken(f"{resource.kind} {name}", earlier=earlier)
        return await self._follow(resource, found, wanted.manifest["spec"]) if wanted.follows else None

    async def _follow(self, resource: Resource, found: Manifest, spec: Manifest) -> Refusal | None:
        if found["spec"] == spec:
            return None
        change = {"spec": dict.fromkeys(found["spec"]) | spec}
        try:
            await self._client.patch(resource, found["metadata"]["namespace"], found["metadata"]["name"], change)
        except ApiError as error:
            return _refusal(error)
        return None


def _taken(what: str, *, earlier: bool) -> Refusal:
    """`earlier`: by a job that had the name before, with which it goes."""
    if earlier:
        return Refusal(f"waiting for {what} of an earlier job to go", PODS_PENDING)
    return Refusal(f"{what} exists already and belongs to something else: delete it, or rename the job", NAME_TAKEN)


def _refusal(error: ApiError) -> Refusal:
    if not error.refused:
        raise error
    return Refusal(error.message)
