"""From a job and its status to its plan, or to what stands in the way: a wrong spec, a missing gang or queue."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from trireme.cluster import backoff
from trireme.controller.jobs import Job
from trireme.controller.launch import Launcher
from trireme.controller.memory import Parsed
from trireme.lifecycle import conditions
from trireme.plan import gang, kueue
from trireme.plan.plan import ApiKind
from trireme.plan.planner import plan
from trireme.spec.errors import InvalidSpec
from trireme.spec.lenient import mapping
from trireme.spec.model import JobSpec
from trireme.spec.parse import parse
from trireme.spec.status import JobStatus

FIRST_SECONDS = 5.0
CAP_SECONDS = 60.0
"""Gang schedulers and queues are installed by a person's hand."""


async def parsed(job: Job, status: JobStatus, last: Parsed | None, launcher: Launcher) -> Parsed:
    """`last` again while it holds: a plan of many pods is not made anew at every event. Raises ApiError."""
    basis = job["metadata"]["generation"], status.attempt, status.suspensions
    tries = 0
    if last is not None and (last.generation, last.attempt, last.suspensions) == basis:
        if asyncio.get_running_loop().time() < last.ask_again_at:
            return last
        tries = last.tries
    try:
        typed = parse(job)
    except InvalidSpec as invalid:
        return Parsed(*basis, errors=invalid.errors, ttl_seconds=_ttl(job))
    served = await _served(typed.spec, launcher, again=tries > 0)
    made = plan(
        typed,
        attempt=status.attempt,
        agent=launcher.agent,
        group=gang.choose(typed.spec, served),
        suspensions=status.suspensions,
    )
    missing = gang.unavailable(typed.spec, served) or kueue.unavailable(typed.spec.scheduling, served)
    running = status.start_time is not None and not conditions.is_true(status, conditions.RESTARTING)
    if missing is None or running:  # pods that run have their nodes
        return Parsed(*basis, made)
    seconds = backoff.delay(tries + 1, FIRST_SECONDS, CAP_SECONDS)
    again = asyncio.get_running_loop().time() + seconds
    return replace(Parsed(*basis, made), unavailable=missing, tries=tries + 1, ask_again_at=again)


def _ttl(job: Job) -> int | None:
    said = mapping(mapping(job, "spec"), "cleanup").get("ttlSecondsAfterFinished")
    return said if isinstance(said, int) else None


async def _served(spec: JobSpec, launcher: Launcher, *, again: bool) -> frozenset[ApiKind]:
    """Not asked for by a job that wants neither gang nor queue; anew for one that did not find its own."""
    if not gang.wanted(spec) and kueue.queue_of(spec.scheduling) is None:
        return frozenset()
    return await (launcher.served(FIRST_SECONDS / 2) if again else launcher.served())
