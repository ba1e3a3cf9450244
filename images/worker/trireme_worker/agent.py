"""The agent of one pod: join, learn the generation, run one process a slot, and end together with the other pods.

Its last value is the pod's Termination; writing it down and exiting is `__main__`'s. Only the coordinator ends a
generation: a rank's failure is reported, and the answer says whose failure it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import trireme.contract
from trireme.contract import codec, environ, exits, names, wire
from trireme.contract.environ import BadEnvironment, Meeting, PodEnvironment
from trireme.contract.ranks import places
from trireme.contract.wire import Failure, Generation, Order, State, Termination

import trireme_worker
from trireme_worker import local, member, network, verdict
from trireme_worker.client import Client
from trireme_worker.coordinator import Terms
from trireme_worker.lastword import Speaker
from trireme_worker.link import Link, Lost
from trireme_worker.local import LocalService
from trireme_worker.member import Member, NoGeneration
from trireme_worker.output import Output, Tail
from trireme_worker.processes import CannotStart, Processes, check
from trireme_worker.rendezvous import Rendezvous
from trireme_worker.server import Refused, Request
from trireme_worker.service import CoordinatorService

FORWARDED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
STOPPING = (signal.SIGTERM, signal.SIGINT)

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long what may be missing."""

    silence_seconds: float = wire.SILENCE_SECONDS
    lost_seconds: float = 4 * wire.SILENCE_SECONDS
    """For the coordinator to answer again, once the pod has joined."""


PATIENCE = Patience()


class _ToldToStop(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(f"the pod was told to stop ({exits.signal_name(number)})")
        self.number = number


class Agent:
    """Made inside a running loop. Raises BadEnvironment when the environment cannot be right."""

    def __init__(
        self,
        env: PodEnvironment,
        token: str,
        command: Sequence[str],
        base: Mapping[str, str],
        output: Output,
        patience: Patience = PATIENCE,
    ) -> None:
        self._env = env
        self._command = command
        self._base = base
        self._output = output
        self._patience = patience
        try:
            self._coordinator_at = network.split_address(env.coordinator)
            self._interface = network.interface_of(env.pod_ip)
        except ValueError as error:
            raise BadEnvironment(str(error)) from error
        self._speaker = Speaker(env.role, env.index)
        self._client = Client(*self._coordinator_at, token)
        self._link = Link(self._client)
        self._member = Member(env, self._link, patience.lost_seconds)
        self._local = LocalService(env.slots + env.shards, self._reported, self._view)
        self._processes = Processes(output, self._process_ended)
        self._service: CoordinatorService | None = None
        if (env.role, env.index) == (names.ROLE_WORKER, 0):
            terms = Terms(env.replicas, env.join_seconds, env.servers, patience.silence_seconds)
            self._service = CoordinatorService(terms, token, shards=int(base.get(environ.PS_SERVERS, 0)))
        self._active = 0
        self._ranks: dict[str, int] = {}
        """Of this pod, by the labels of their processes."""
        self._ending = False
        self._failures: list[Failure] = []
        self._moved: dict[int, wire.Progress] = {}
        self._news = asyncio.Event()
        self._told_to_stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self) -> Termination:
        """The pod's life. Raises BadEnvironment."""
        self._handle_signals()
        try:
            termination = await self._live()
            await self._part(termination)
            progress = self._service.progress() if self._service is not None else None
            return replace(termination, progress=progress)
        finally:
            self._client.close()
            await self._local.close()
            if self._service is not None:
                await self._service.close()

    async def _live(self) -> Termination:
        try:
            check(self._command)
            await self._open()
            generation = await self._unless_stopped(self._join())
            self._start(generation)
            return await self._unless_stopped(self._attend())
        except CannotStart as error:
            return self._failed(error.code, str(error))
        except NoGeneration as error:
            return self._speaker.judged(error.failure, (), at=time.time())
        except Lost as error:
            who = names.pod_label(names.ROLE_WORKER, 0)
            return self._failed(exits.PEER_MISSING, f"{who} has not answered for {self._env.join_seconds} s ({error})")
        except _ToldToStop as error:
            return self._failed(128 + error.number, str(error))
        except Refused as refusal:
            code = exits.COORDINATOR_LOST if refusal.status is HTTPStatus.CONFLICT else exits.BAD_ENVIRONMENT
            return self._failed(code, f"the coordinator at {self._env.coordinator} refused: {refusal.reason}")
        except codec.BadMessage as error:
            return self._failed(exits.BAD_ENVIRONMENT, f"{self._env.coordinator} is no coordinator: {error}")

    async def _open(self) -> None:
        await self._local.start()
        if self._service is not None:
            port = self._coordinator_at[1]
            try:
                await self._service.start(self._env.pod_ip, port)
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else error
                raise BadEnvironment(f"the coordinator cannot listen on {self._env.pod_ip}:{port}: {reason}") from error

    async def _join(self) -> Generation:
        with network.reserve_port() as holder:
            return await self._member.join(
                holder.getsockname()[1], lambda missing: self._output.say(f"waiting for {', '.join(missing)}")
            )

    def _start(self, generation: Generation) -> None:
        self._local.rendezvous = Rendezvous(self._link, generation.number, self._patience.lost_seconds)
        common = {
            "PYTHONUNBUFFERED": "1",
            **self._base,
            environ.AGENT_URL: self._local.url,
            environ.AGENT_KEY: self._local.key,
            "PYTHONPATH": python_path(self._base),
        }
        if self._env.shards:
            self._start_shard(common)
        if self._env.slots:
            self._start_ranks(generation, common)

    def _start_shard(self, common: Mapping[str, str]) -> None:
        env = self._env
        own = {environ.ROLE: names.ROLE_SERVER, environ.SERVER_INDEX: str(env.index)}
        command = names.SERVER_COMMAND if env.slots else self._command
        self._output.say(f"shard {env.index} of the parameter server here")
        self._processes.start(command, {names.pod_label(names.ROLE_SERVER, env.index): {**common, **own}})

    def _start_ranks(self, generation: Generation, common: Mapping[str, str]) -> None:
        env, members = self._env, generation.members
        position = [(each.role, each.index) for each in members].index((env.role, env.index))
        mine = places([each.slots for each in members])[position]
        meeting = Meeting(
            generation=generation.number,
            hostname=members[position].hostname,
            interface=self._interface,
            rendezvous=(local.ADDRESS, self._local.port),
            master=(generation.master, generation.master_port),
        )
        chosen = {key: self._base[key] for key in environ.INTERFACE_KEYS if self._base.get(key)}
        self._ranks = {str(place.rank): place.rank for place in mine}
        ranks = list(self._ranks.values())
        self._output.say(f"generation {generation.number}: ranks {ranks} of {mine[0].size} here")
        self._active = len(mine)
        self._processes.start(
            self._command,
            {str(place.rank): {**common, **environ.process_environment(place, meeting), **chosen} for place in mine},
        )

    async def _attend(self) -> Termination:
        """Beats until the orders are to finish or to stop."""
        while True:
            self._news.clear()
            moved = dict(self._moved)
            failure = verdict.root(self._failures) if self._failures else None
            try:
                orders = await self._until_news(self._member.beat(self._state(), moved, failure))
            except Lost as error:
                return self._speaker.lost(str(error), self._failures, at=time.time())
            if orders is None:
                continue
            for rank, progress in moved.items():
                if self._moved.get(rank) is progress:
                    del self._moved[rank]
            if orders.order is Order.FINISH:
                return Termination(exits.SUCCESS)
            if orders.order is Order.STOP and orders.cause is not None:
                return self._speaker.judged(orders.cause, self._failures, at=time.time())

    def _state(self) -> State:
        if self._failures:
            return State.FAILED
        return State.RUNNING if self._active or not self._env.slots else State.DONE

    async def _part(self, termination: Termination) -> None:
        """Stops the processes, says goodbye; the coordinator's own agent goes last."""
        self._ending = True
        if not self._told_to_stop.done():
            self._processes.signal(signal.SIGTERM)
        stopping = asyncio.ensure_future(self._processes.stop(self._env.grace_seconds))
        if termination.exit_code != exits.COORDINATOR_LOST:
            await self._member.goodbye(self._moved, termination.failure)
        await stopping
        self._processes.close()
        if self._service is not None and self._service.port:
            await self._wait_for_others(self._service)

    async def _wait_for_others(self, service: CoordinatorService) -> None:
        """Until they have heard how it ended; a pod that was told to stop has little time for it."""
        others = service.deserted((self._env.role, self._env.index))
        if not self._told_to_stop.done():
            await _first(others, self._told_to_stop)
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(others, environ.AGENT_SECONDS - member.GOODBYE_SECONDS)

    def _failed(self, code: int, message: str) -> Termination:
        return self._speaker.failed(code, message, at=time.time())

    def _reported(self, report: wire.Report) -> None:
        self._moved[report.rank] = report.progress

    async def _view(self, request: Request) -> bytes:
        """Of the parameter server; who asks, or serves, is a process of this pod."""
        target = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
        held = wire.JOIN_POLL_SECONDS if request.method == "GET" else 0.0
        patience = self._patience.lost_seconds
        return await self._link.ask(request.method, target, request.body, hold_seconds=held, patience_seconds=patience)

    def _process_ended(self, label: str, code: int, tail: Tail) -> None:
        rank = self._ranks.get(label)
        self._active -= rank is not None
        if self._ending:
            return  # it was told to
        if rank is None:
            code = code or exits.SERVER_ENDED
        if code != exits.SUCCESS:
            self._output.say(f"{'rank ' * (rank is not None)}{label} failed: {exits.describe(code).meaning}")
            self._failures.append(self._speaker.process_failed(rank, code, tail, at=time.time()))
        if code != exits.SUCCESS or not self._active:
            self._news.set()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._stop, number)
        for number in FORWARDED:
            loop.add_signal_handler(number, self._processes.signal, number)

    def _stop(self, number: int) -> None:
        """The processes hear it in the same moment; everything else follows."""
        if not self._told_to_stop.done():
            self._ending = True
            self._processes.signal(number)
            self._told_to_stop.set_result(number)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises _ToldToStop when that comes first."""
        result = await _first(work, self._told_to_stop)
        if result is None:
            raise _ToldToStop(self._told_to_stop.result())
        return result

    async def _until_news(self, work: Coroutine[Any, Any, T]) -> T | None:
        news = asyncio.ensure_future(self._news.wait())
        try:
            return await _first(work, news)
        finally:
            news.cancel()


async def _first(work: Coroutine[Any, Any, T], interruption: asyncio.Future[Any]) -> T | None:
    """The result of the work; None, and the work cancelled, when the interruption comes first."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, interruption}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def python_path(base: Mapping[str, str]) -> str:
    """First where the agent itself was imported from, so that user code imports the same `trireme_worker`."""
    own = [Path(trireme_worker.__file__).parents[1], Path(trireme.contract.__file__).parents[2]]
    given = base.get("PYTHONPATH")
    return os.pathsep.join([*dict.fromkeys(map(str, own)), *([given] if given else [])])
