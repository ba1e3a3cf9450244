"""reconcile(key): look at the caches, ask `lifecycle` what to do, have it done. Twice, or half of it, does no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trireme.cluster.errors import ApiError
from trireme.cluster.informer import Informer, Key
from trireme.contract import wire
from trireme.controller import planning
from trireme.controller.effects import Effects
from trireme.controller.jobs import Job, Jobs
from trireme.controller.memory import Memory, Parsed
from trireme.controller.nodes import Nodes
from trireme.controller.progress import Poller, Target
from trireme.lifecycle.decide import decide, rejected
from trireme.lifecycle.decision import Decision, PodDeletion
from trireme.lifecycle.observe import observe
from trireme.lifecycle.pod import Pod, lives
from trireme.lifecycle.policies.deadline import ttl_left
from trireme.lifecycle.policies.nodes import overdue
from trireme.plan.plan import Plan
from trireme.spec.status import JobStatus

RULE_AGAIN_SECONDS = 0.5
"""After a ruling that the coordinator did not take; it waits for one for some seconds."""


def utc_now() -> datetime:
    """Whole seconds: Kubernetes' times hold no more."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Reconciler:
    jobs: Jobs
    pods: Callable[[str], Informer[Pod]]
    """The informer of a namespace."""
    effects: Effects
    poller: Poller
    nodes: Nodes
    key: bytes
    """The operator's key."""
    now: Callable[[], datetime] = utc_now
    _memories: dict[Key, Memory] = field(default_factory=dict)

    async def __call__(self, key: Key) -> None:
        """Raises ApiError: try again later."""
        job = self.jobs.get(key)
        if job is None or "deletionTimestamp" in job["metadata"]:  # its objects follow it, with us or without
            self._memories.pop(key, None)
            self.poller.drop(key)
            self.effects.launcher.forget_shared(key[0])
            return
        memory = self._memory(key, job)
        await self.effects.recheck_strangers(key, memory)
        status = JobStatus.model_validate(job.get("status") or {})
        parsed = memory.parsed = await planning.parsed(job, status, memory.parsed, self.effects.launcher)
        decision = await self._decide(key, parsed, status, memory)
        opening = bool(decision.create) and not memory.tried and status.observed_generation is None
        if not opening and not await self.effects.say(key, job, decision, memory):
            return
        if decision.remove_job:
            await self.effects.remove(key, memory.uid)
            return
        await self.effects.delete(key, decision.delete, memory)
        await self.effects.expire(key, decision.expire, memory)
        if parsed.plan is not None:
            await self._create(key, parsed.plan, decision, memory)
            if decision.renew:
                await self.effects.renew(key, parsed.plan, memory)
        self._poll(key, decision, memory)
        if decision.ruling is not None and not await self.poller.rule(key, decision.ruling):
            self.effects.queue.add_after(key, RULE_AGAIN_SECONDS)
        if parsed.unavailable:
            self.effects.queue.add_after(key, parsed.ask_again_at - _clock())
        if decision.look_again_seconds is not None:
            self.effects.queue.add_after(key, decision.look_again_seconds)

    def forget(self) -> None:
        """All that is remembered of jobs: others may have worked meanwhile."""
        self._memories.clear()

    async def _create(self, key: Key, planned: Plan, decision: Decision, memory: Memory) -> None:
        try:
            await self.effects.create(key, planned, decision.create, memory)
        except ApiError as error:
            if error.not_found and planned.gang is not None:  # the kind of its group has gone from the cluster
                self.effects.launcher.forget_served()
                memory.parsed = None
            raise

    async def _decide(self, key: Key, parsed: Parsed, status: JobStatus, memory: Memory) -> Decision:
        informer = self.pods(key[0])
        pods, now = memory.see(informer.of(key), informer.version), self.now()
        if parsed.plan is None:
            said = rejected(parsed.generation, status, parsed.errors, now)
            left, gone = ttl_left(parsed.ttl_seconds, said, now), tuple(_at_work(pods, memory.uid))
            return Decision(said, delete=gone, look_again_seconds=left, remove_job=left is not None and left <= 0)
        late = [pod.node for pod in overdue(pods, now) if pod.owner_uid == memory.uid]
        observed = observe(
            parsed.plan,
            pods,
            report=self.poller.report(key),
            status=status,
            silent=self.poller.silent(key),
            refused=memory.refused,
            unavailable=parsed.unavailable,
            nodes=await self.nodes.states(late) if late else {},
        )
        return decide(parsed.plan, observed, status, now)

    def _memory(self, key: Key, job: Job) -> Memory:
        """A fresh one for a job that took the name of another."""
        uid = job["metadata"]["uid"]
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid:
            memory = self._memories[key] = Memory(uid)
            self.poller.drop(key)
        return memory

    def _poll(self, key: Key, decision: Decision, memory: Memory) -> None:
        if decision.poll_coordinator:
            token = wire.token(self.key, memory.uid)
            self.poller.want(key, Target(memory.uid, decision.poll_coordinator, token))
        else:
            self.poller.drop(key)


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _at_work(pods: list[Pod], uid: str) -> Iterator[PodDeletion]:
    """Pods of a job that a change has made invalid: they must not outlive its verdict."""
    for pod in pods:
        if pod.owner_uid == uid and lives(pod) and not pod.deleting:
            yield PodDeletion(pod.name, pod.uid)
