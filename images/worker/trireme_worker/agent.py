"""The agent of one pod: join, learn the generation, run one process a slot, and end together with the other pods.

Its last value is the pod's Termination; writing it down and exiting is `__main__`'s. Only the coordinator ends a
generation: a rank's failure is reported, and the answer says whose failure it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import trireme.contract
import trireme_worker
from trireme.contract import codec, environ, exits, names, wire
from trireme.contract.environ import BadEnvironment, Meeting, PodEnvironment
from trireme.contract.ranks import places
from trireme.contract.wire import Failure, Generation, Order, State, Termination
from trireme_worker import local, network, verdict
from trireme_worker.client import Client, Unreachable
from trireme_worker.coordinator import Terms
from trireme_worker.link import Link, Lost
from trireme_worker.local import LocalService
from trireme_worker.output import Output, Tail
from trireme_worker.processes import CannotStart, Processes, check
from trireme_worker.rendezvous import Rendezvous
from trireme_worker.server import Refused
from trireme_worker.service import CoordinatorService

FORWARDED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
STOPPING = (signal.SIGTERM, signal.SIGINT)
FAREWELL_SECONDS = 2.0
"""For the last beat, which nobody waits for longer than this."""
SPREAD_SECONDS = 1e-3
"""For each pod of the job: they join spread over so long, lest all connect in the same moment."""

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long what may be missing."""

    silence_seconds: float = wire.SILENCE_SECONDS
    lost_seconds: float = 4 * wire.SILENCE_SECONDS
    """For the coordinator to answer again, once the pod has joined."""


class _Ended(Exception):
    def __init__(self, termination: Termination) -> None:
        super().__init__(termination)
        self.termination = termination


class Agent:
    """Raises BadEnvironment when the environment cannot be right."""

    def __init__(
        self,
        env: PodEnvironment,
        token: str,
        command: Sequence[str],
        base: Mapping[str, str],
        output: Output,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
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
        self._client = Client(*self._coordinator_at, token)
        self._link = Link(self._client)
        self._local = LocalService(env.slots, self._reported)
        self._processes = Processes(output, self._process_ended)
        self._service: CoordinatorService | None = None
        if (env.role, env.index) == (names.ROLE_WORKER, 0):
            terms = Terms(env.replicas, env.join_seconds, patience.silence_seconds)
            self._service = CoordinatorService(terms, token)
        self._generation = 0
        self._active = 0
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
            return self._own(error.code, str(error))
        except _Ended as ended:
            return ended.termination
        except Refused as refusal:
            code = exits.COORDINATOR_LOST if refusal.status == 409 else exits.BAD_ENVIRONMENT
            return self._own(code, f"the coordinator at {self._env.coordinator} refused: {refusal.reason}")

    async def _open(self) -> None:
        await self._local.start()
        if self._service is not None:
            port = self._coordinator_at[1]
            try:
                await self._service.start(self._env.pod_ip, port)
            except OSError as error:
                reason = error.strerror or error
                raise BadEnvironment(f"the coordinator cannot listen on {self._env.pod_ip}:{port}: {reason}") from error

    async def _join(self) -> Generation:
        with network.reserve_port() as holder:
            env = self._env
            hostname = names.pod_name(env.job, env.role, env.index)
            port = holder.getsockname()[1]
            join = wire.Join(
                env.role, env.index, env.pod_uid, env.slots, env.pod_ip, hostname, env.node_name, port
            )
            await asyncio.sleep(random.uniform(0, SPREAD_SECONDS * (env.replicas - 1)))
            missing: tuple[str, ...] = ()
            while True:
                joined = await self._ask_to_join(join)
                if joined.generation is not None:
                    return joined.generation
                if joined.failure is not None:
                    raise _Ended(self._judged(joined.failure))
                if joined.missing != missing:
                    missing = joined.missing
                    self._output.say(f"waiting for {', '.join(missing)}")

    async def _ask_to_join(self, join: wire.Join) -> wire.Joined:
        seconds = self._env.join_seconds
        try:
            answer = await self._link.ask(
                "POST",
                wire.JOIN_PATH,
                codec.encode(join),
                hold_seconds=wire.JOIN_POLL_SECONDS,
                patience_seconds=seconds,
            )
        except Lost as error:
            who = names.pod_label(names.ROLE_WORKER, 0)
            message = f"{who} has not answered for {seconds} s ({error})"
            raise _Ended(self._own(exits.PEER_MISSING, message)) from error
        return codec.decode(wire.Joined, answer)

    def _start(self, generation: Generation) -> None:
        env = self._env
        self._generation = generation.number
        self._local.rendezvous = Rendezvous(self._link, generation.number, self._patience.lost_seconds)
        position = [(member.role, member.index) for member in generation.members].index((env.role, env.index))
        mine = places([member.slots for member in generation.members])[position]
        meeting = Meeting(
            generation=generation.number,
            hostname=generation.members[position].hostname,
            interface=self._interface,
            rendezvous=(local.ADDRESS, self._local.port),
            master=(generation.master, generation.master_port),
        )
        common = {
            "PYTHONUNBUFFERED": "1",
            **self._base,
            environ.AGENT_URL: self._local.url,
            environ.AGENT_KEY: self._local.key,
            "PYTHONPATH": python_path(self._base),
        }
        ranks = [place.rank for place in mine]
        self._output.say(f"generation {generation.number}: {len(generation.members)} pods, ranks {ranks} here")
        self._active = len(mine)
        self._processes.start(
            self._command, {place.rank: common | environ.process_environment(place, meeting) for place in mine}
        )

    async def _attend(self) -> Termination:
        """Beats until the orders are to finish or to stop."""
        while True:
            self._news.clear()
            moved = dict(self._moved)
            try:
                orders = await self._until_news(self._beat(self._state(), moved))
            except Lost as error:
                return self._lost(str(error))
            if orders is None:
                continue
            for rank, progress in moved.items():
                if self._moved.get(rank) is progress:
                    del self._moved[rank]
            if orders.order is Order.FINISH:
                return Termination(exits.SUCCESS)
            if orders.order is Order.STOP and orders.cause is not None:
                return self._judged(orders.cause)

    async def _beat(self, state: State, progress: dict[int, wire.Progress]) -> wire.Orders:
        answer = await self._link.ask(
            "POST",
            wire.BEAT_PATH,
            self._beat_body(state, progress, verdict.root(self._failures) if self._failures else None),
            hold_seconds=wire.BEAT_SECONDS,
            patience_seconds=self._patience.lost_seconds,
        )
        return codec.decode(wire.Orders, answer)

    def _beat_body(self, state: State, progress: dict[int, wire.Progress], failure: Failure | None) -> bytes:
        env = self._env
        return codec.encode(wire.Beat(env.role, env.index, env.pod_uid, self._generation, state, progress, failure))

    def _state(self) -> State:
        if self._failures:
            return State.FAILED
        return State.RUNNING if self._active else State.DONE

    async def _part(self, termination: Termination) -> None:
        """Stops the processes, says goodbye; the coordinator's own agent goes last."""
        self._ending = True
        if not self._told_to_stop.done():
            self._processes.signal(signal.SIGTERM)
        stopping = asyncio.ensure_future(self._processes.stop(self._env.grace_seconds))
        failure = termination.failure
        self._output.say(f"stopping: {failure.message}" if failure is not None else "stopping")
        if termination.exit_code != exits.COORDINATOR_LOST:
            with contextlib.suppress(Unreachable, Refused):
                body = self._beat_body(State.LEFT, self._moved, failure)
                await self._link.try_once("POST", wire.BEAT_PATH, body, seconds=FAREWELL_SECONDS)
        await stopping
        self._processes.close()
        if self._service is not None:
            await self._wait_for_others(self._service)

    async def _wait_for_others(self, service: CoordinatorService) -> None:
        """Until they have heard how it ended; a pod that was told to stop has little time for it."""
        others = service.deserted(self._env.index)
        if not self._told_to_stop.done():
            await _first(others, self._told_to_stop)
            return
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(others, environ.AGENT_SECONDS - FAREWELL_SECONDS)

    def _judged(self, cause: Failure) -> Termination:
        """This pod's last word when the coordinator has named a failure."""
        if cause.exit_code == exits.PEER_MISSING:
            return self._own(exits.PEER_MISSING, cause.message)
        if (cause.role, cause.index) != (self._env.role, self._env.index):
            return Termination(exits.PEER_FAILED, cause=cause)
        whole = next((failure for failure in self._failures if failure.rank == cause.rank), cause)
        return Termination(cause.exit_code, failure=whole)

    def _own(self, code: int, message: str) -> Termination:
        meaning = exits.describe(code)
        failure = Failure(
            self._env.role, self._env.index, code, meaning.reason, message, at=time.time(), signal=meaning.signal
        )
        return Termination(code, failure=failure)

    def _lost(self, message: str) -> Termination:
        """Whatever failed here meanwhile, it may have been for want of worker 0."""
        termination = self._own(exits.COORDINATOR_LOST, f"worker-0 does not answer any more: {message}")
        return replace(termination, failure=verdict.root(self._failures)) if self._failures else termination

    def _reported(self, report: wire.Report) -> None:
        self._moved[report.rank] = report.progress

    def _process_ended(self, rank: int, code: int, tail: Tail) -> None:
        self._active -= 1
        if self._ending:
            return  # it was told to
        if code != exits.SUCCESS:
            meaning = exits.describe(code)
            message = tail.last_error if meaning.kind is exits.Kind.ERROR and tail.last_error else meaning.meaning
            self._output.say(f"rank {rank} failed: {meaning.meaning}")
            self._failures.append(
                Failure(
                    self._env.role, self._env.index, code, meaning.reason, message,
                    at=time.time(), rank=rank, signal=meaning.signal, log_tail=tail.lines(),
                )  # fmt: skip
            )
        if code != exits.SUCCESS or not self._active:
            self._news.set()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._stop, number)
        for number in FORWARDED:
            loop.add_signal_handler(number, self._processes.signal, number)

    def _stop(self, number: int) -> None:
        if not self._told_to_stop.done():
            self._ending = True
            self._processes.signal(number)
            self._told_to_stop.set_result(number)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises _Ended when the pod is told to stop first."""
        result = await _first(work, self._told_to_stop)
        if result is None:
            number = self._told_to_stop.result()
            message = f"the pod was told to stop ({exits.signal_name(number)})"
            raise _Ended(self._own(128 + number, message))
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
    """Where the agent itself was imported from, then what the pod had: user code imports `trireme_worker` from there."""
    own = [str(Path(package.__file__ or "").parents[depth]) for package, depth in _PACKAGES]
    given = base.get("PYTHONPATH")
    return os.pathsep.join([*dict.fromkeys(own), *([given] if given else [])])


_PACKAGES = ((trireme_worker, 1), (trireme.contract, 2))
