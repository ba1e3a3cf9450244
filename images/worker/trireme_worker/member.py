"""This pod's conversation with the coordinator: join, beat, goodbye. What to do about it is the agent's."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping

from trireme.contract import codec, names, wire
from trireme.contract.environ import PodEnvironment
from trireme.contract.wire import Failure, Joined, Progress, Stand, State

from trireme_worker.client import Unreachable
from trireme_worker.link import Link
from trireme_worker.server import Refused

GOODBYE_SECONDS = 2.0
"""Nobody waits for a goodbye any longer."""
SPREAD_SECONDS = 1e-3
"""For each pod of the job: they join spread over so long, lest all connect in the same moment."""


class NoGeneration(Exception):
    """The coordinator has given up before a generation formed, the job has failed already, or this pod is out of it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Member:
    """`lost_seconds`: how long a joined pod waits for a coordinator that does not answer."""

    def __init__(self, env: PodEnvironment, link: Link, lost_seconds: float) -> None:
        self._env = env
        self._link = link
        self._lost_seconds = lost_seconds
        self._generation = 0
        self._place = -1
        self._known = False

    async def join(
        self, store_port: int, since: int, waiting: Callable[[tuple[str, ...]], None], *, done: bool = False
    ) -> Joined:
        """The next generation, or the present one if that takes members in. `since`, `done`: as in wire.Join.

        `waiting(missing pods)` is called when they change. Raises NoGeneration, link.Lost and server.Refused.
        """
        env = self._env
        hostname = names.pod_name(env.job, env.role, env.index)
        join = wire.Join(
            env.role, env.index, env.pod_uid, env.slots, env.pod_ip, hostname, env.node_name, store_port, env.domain,
            self._generation, since, self._place, done,
        )  # fmt: skip
        await asyncio.sleep(random.uniform(0, SPREAD_SECONDS * (env.replicas - 1)))
        missing: tuple[str, ...] = ()
        while True:
            joined = await self._ask_to_join(join)
            if joined.failure is not None:
                raise NoGeneration(joined.failure)
            if joined.generation is not None:
                self._generation = joined.generation.number
                members = [(each.role, each.index) for each in joined.generation.members]
                me = env.role, env.index
                self._place = members.index(me) if me in members else -1
                return joined
            if joined.missing != missing:
                missing = joined.missing
                waiting(missing)

    async def beat(
        self,
        state: State,
        progress: Mapping[int, Progress],
        failure: Failure | None,
        stands: Mapping[int, Stand],
        *,
        rigid: bool = False,
        asks: bool = False,
        finished: tuple[int, ...] = (),
    ) -> wire.Orders:
        """Raises link.Lost and server.Refused."""
        answer = await self._link.ask(
            "POST",
            wire.BEAT_PATH,
            self._beat(state, progress, failure, stands, rigid, asks, finished),
            hold_seconds=wire.BEAT_SECONDS,
            patience_seconds=self._lost_seconds,
        )
        return codec.decode(wire.Orders, answer)

    async def goodbye(self, progress: Mapping[int, Progress], failure: Failure | None) -> None:
        """Said once, and only to one that knows this pod; a coordinator that does not hear it notices the silence."""
        if not self._known:
            return
        with contextlib.suppress(Unreachable, Refused):
            body = self._beat(State.LEFT, progress, failure)
            await self._link.try_once("POST", wire.BEAT_PATH, body, seconds=GOODBYE_SECONDS)

    def _beat(
        self,
        state: State,
        progress: Mapping[int, Progress],
        failure: Failure | None,
        stands: Mapping[int, Stand] | None = None,
        rigid: bool = False,
        asks: bool = False,
        finished: tuple[int, ...] = (),
    ) -> bytes:
        env, known = self._env, dict(stands or {})
        return codec.encode(
            wire.Beat(
                env.role, env.index, env.pod_uid, self._generation, state, dict(progress), failure, known, rigid, asks,
                finished,
            )
        )  # fmt: skip

    async def _ask_to_join(self, join: wire.Join) -> wire.Joined:
        answer = await self._link.ask(
            "POST",
            wire.JOIN_PATH,
            codec.encode(join),
            hold_seconds=wire.JOIN_POLL_SECONDS,
            patience_seconds=self._env.join_seconds,
        )
        self._known = True
        return codec.decode(wire.Joined, answer)
