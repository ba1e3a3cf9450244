"""Carries out a Decision, one kind of action after the other. Decides nothing, except not to repeat itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from trireme.cluster import backoff, podview
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.informer import Key
from trireme.cluster.queue import WorkQueue
from trireme.cluster.resources import PODS, TRAINING_JOBS
from trireme.controller import pacing
from trireme.controller.jobs import Job, Jobs
from trireme.controller.journal import Journal
from trireme.controller.launch import Launcher
from trireme.controller.memory import Memory
from trireme.controller.statuspatch import status_patch
from trireme.lifecycle.decision import Decision, PodDeletion, PodExpiry
from trireme.lifecycle.observe import Refusal
from trireme.plan.plan import Plan, PodPlan
from trireme.spec.status import JobStatus

log = logging.getLogger(__name__)

HOLD_FIRST_SECONDS = 1.0
HOLD_CAP_SECONDS = 60.0
"""Quota and policies change by a person's hand, names become free when an earlier job has gone."""
RENEW_SECONDS = 60.0
"""A job whose pods wait for a big image asks a handful of questions so often at most."""


@dataclass(frozen=True)
class Effects:
    """Every method raises ApiError for what may succeed later."""

    client: Client
    jobs: Jobs
    queue: WorkQueue[Key]
    launcher: Launcher
    journal: Journal
    status_seconds: float

    async def say(self, key: Key, job: Job, decision: Decision, memory: Memory) -> bool:
        """Writes status if there is news and it is time. False: the job has changed, and what was decided is void."""
        written = job.get("status") or {}
        patch = status_patch(written, decision.status)
        if not patch:
            return True
        waits = pacing.may_wait(written, decision.status)
        quiet, phase = memory.quiet_writes if waits else 0, decision.status.phase
        early = memory.said_at + pacing.pause(quiet, phase, self.status_seconds) - _clock()
        if early > 0 and not (decision.ahead or decision.delete) and phase == written.get("phase"):
            self.queue.add_after(key, early)
            return True
        body = {"metadata": {"resourceVersion": job["metadata"]["resourceVersion"]}, "status": patch}
        try:
            answer = await self.client.patch(TRAINING_JOBS, *key, body, subresource="status")
        except ApiError as error:
            if not (error.conflict or error.not_found):
                raise
            await self._reread(key, memory.uid)
            self.queue.add(key)
            return False
        memory.said_at = _clock()
        memory.quiet_writes = quiet + waits
        self.jobs.put(answer)
        self.journal.told(job, JobStatus.model_validate(written), decision.status)
        if decision.ahead:
            self.queue.add(key)
        log.info("status job=%s/%s message=%r", *key, decision.status.message)
        return True

    async def delete(self, key: Key, pods: Sequence[PodDeletion], memory: Memory) -> None:
        await asyncio.gather(*(self._delete(key, pod, memory) for pod in pods))

    async def create(self, key: Key, plan: Plan, wanted: Sequence[PodPlan], memory: Memory) -> None:
        """What the pods lean on, then the pods; after a refusal nothing for a while."""
        if not wanted:
            memory.refused = None
            return
        if self._held(key, memory):
            return
        if not await self._reread(key, memory.uid):  # no event tells of a deletion that nobody watched
            return
        log.info("create job=%s/%s pods=%d first=%s", *key, len(wanted), wanted[0].name)
        if not memory.tried:
            memory.tried = True
            self.queue.add(key)  # to tell of it
        if memory.supported != plan.digest:
            refused = await self.launcher.support(plan)
            if refused:
                self._hold(key, memory, refused)
                return
            memory.supported = plan.digest
        first = not memory.created and len(wanted) == len(plan.pods)
        launched = await self.launcher.pods(plan, wanted)
        if first:
            self.journal.launched(self.jobs.get(key), launched.pods)
        memory.created |= {pod.name: pod for pod in launched.pods}
        memory.strangers |= {pod.name: pod for pod in launched.strangers}
        if launched.error:
            raise launched.error
        if launched.refused or launched.strangers:
            self._hold(key, memory, launched.refused)
            return
        memory.holds = 0
        if memory.refused:
            memory.refused = None
            self.queue.add(key)

    async def renew(self, key: Key, plan: Plan, memory: Memory) -> None:
        """What the pods lean on, where somebody has deleted it: no informer shows that."""
        if _clock() < memory.renewed_at + RENEW_SECONDS or not await self._reread(key, memory.uid):
            return
        memory.renewed_at = _clock()
        self.launcher.forget_shared(key[0])
        if refused := await self.launcher.support(plan):
            log.warning("renew job=%s/%s refused=%r", *key, refused.words)

    async def recheck_strangers(self, key: Key, memory: Memory) -> None:
        """No informer shows them: ask whether they have gone."""
        if not memory.strangers or self._held(key, memory):
            return
        for name in tuple(memory.strangers):
            try:
                pod = podview.of_object(await self.client.get(PODS, key[0], name))
            except ApiError as error:
                if not error.not_found:
                    raise
                del memory.strangers[name]
            else:
                memory.strangers[name] = pod
        if memory.strangers:
            self._hold(key, memory, memory.refused)

    async def _delete(self, key: Key, pod: PodDeletion, memory: Memory) -> None:
        try:
            await self.client.delete(PODS, key[0], pod.name, uid=pod.uid, grace_seconds=0 if pod.force else None)
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise
        memory.deleted.add(pod.uid)
        log.info("delete job=%s/%s pod=%s uid=%s%s", *key, pod.name, pod.uid, " by force" if pod.force else "")

    async def expire(self, key: Key, pods: Sequence[PodExpiry], memory: Memory) -> None:
        """Once a pod: its kubelet does the rest."""
        await asyncio.gather(*(self._expire(key, pod) for pod in pods if pod.uid not in memory.expired))
        memory.expired.update(pod.uid for pod in pods)

    async def _expire(self, key: Key, pod: PodExpiry) -> None:
        body = {"metadata": {"uid": pod.uid}, "spec": {"activeDeadlineSeconds": 1}}
        try:
            await self.client.patch(PODS, key[0], pod.name, body)
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise
        else:
            log.info("expire job=%s/%s pod=%s uid=%s", *key, pod.name, pod.uid)

    async def remove(self, key: Key, uid: str) -> None:
        """The job itself; what belongs to it follows by owner reference."""
        try:
            await self.client.delete(TRAINING_JOBS, *key, uid=uid, propagation="Background")
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise
        log.info("remove job=%s/%s uid=%s", *key, uid)

    async def _reread(self, key: Key, uid: str) -> bool:
        """Whether the job is still what we think it is; if not, its key is queued."""
        try:
            live = await self.client.get(TRAINING_JOBS, *key)
        except ApiError as error:
            if not error.not_found:
                raise
            self.jobs.drop(key, uid)
            self.queue.add(key)
            return False
        if self.jobs.put(live):
            self.queue.add(key)
            return False
        return live["metadata"]["uid"] == uid and "deletionTimestamp" not in live["metadata"]

    def _held(self, key: Key, memory: Memory) -> bool:
        """Whether it is too early to create; then the key comes again in time."""
        seconds = memory.hold_until - _clock()
        if seconds > 0:
            self.queue.add_after(key, seconds)
        return seconds > 0

    def _hold(self, key: Key, memory: Memory, refused: Refusal | None) -> None:
        memory.holds += 1
        seconds = backoff.delay(memory.holds, HOLD_FIRST_SECONDS, HOLD_CAP_SECONDS)
        memory.refused = refused
        memory.hold_until = _clock() + seconds
        words = refused.words if refused else ""
        log.info("hold job=%s/%s seconds=%.1f refused=%r strangers=%d", *key, seconds, words, len(memory.strangers))
        self.queue.add(key)


def _clock() -> float:
    return asyncio.get_running_loop().time()
