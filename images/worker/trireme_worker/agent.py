"""The agent of one pod: join, learn the generation, run one process a slot, until the coordinator says how it ends.

A generation that ends by another pod's failure is followed by the next one: the processes are stopped, the pod stays.
The agent's last value is the pod's Termination; writing it down and exiting is `__main__`'s. Only the coordinator ends
a generation: a rank's failure is reported, and the answer says whose failure it was.
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
from typing import Any, TypeVar
from urllib.parse import urlencode

from trireme.contract import codec, environ, exits, names, wire
from trireme.contract.environ import BadEnvironment, PodEnvironment
from trireme.contract.wire import Failure, Joined, Order, Stand, State, Termination

from trireme_worker import member, network
from trireme_worker.client import Client
from trireme_worker.lastword import Speaker
from trireme_worker.link import Link, Lost
from trireme_worker.local import LocalService
from trireme_worker.localranks import LocalRanks, Pod
from trireme_worker.member import Member, NoGeneration
from trireme_worker.membership import GROW_SECONDS, Limits, Terms
from trireme_worker.output import Output
from trireme_worker.processes import CannotStart, check
from trireme_worker.rendezvous import Rendezvous
from trireme_worker.server import Refused, Request
from trireme_worker.service import CoordinatorService

FORWARDED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
STOPPING = (signal.SIGTERM, signal.SIGINT)
STOP_SECONDS = 1.0
"""For ranks to end when a peer has failed: what they compute together cannot succeed any more."""
CANCEL_SECONDS = 0.1
"""Between two tries to cancel what waits."""
PARTING_SECONDS = 1.0
"""For the other pods to hear of a failure from a coordinator that goes; who does not is told by its successor."""

ASK_SECONDS = 5.0
"""For Horovod to notice that a peer is gone: a second where the process died, never where its node did."""
COMMIT_SECONDS = 300.0
"""Between two commits of an elastic state, at most: so long a change of the membership waits for one."""

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long what may be missing."""

    silence_seconds: float = wire.SILENCE_SECONDS
    lost_seconds: float = 4 * wire.SILENCE_SECONDS
    """For the coordinator to answer again, once the pod has joined."""
    successor_seconds: float = 300.0
    """The same where lost pods are replaced: another worker 0 may have to be made, on another node. A pod that is cut
    off from all others gives up no sooner."""
    grow_seconds: float = GROW_SECONDS
    """A generation of an elastic job lives at least so long before newcomers end it."""


PATIENCE = Patience()


@dataclass(frozen=True)
class _Again:
    """The pod joins the next generation."""

    grace_seconds: float
    well: bool = False
    """Nobody has failed: the membership changes."""


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
        self._patience = patience
        if env.restart_scope not in environ.RESTART_SCOPES:
            raise BadEnvironment(f"a restart of {env.restart_scope!r} is none of {', '.join(environ.RESTART_SCOPES)}")
        try:
            self._coordinator_at = network.split_address(env.coordinator)
            pod = Pod(env, command, base, network.interface_of(env.pod_ip), output)
        except ValueError as error:
            raise BadEnvironment(str(error)) from error
        self._pod = pod
        self._restarts = env.restart_scope == environ.SCOPE_FAILED
        self._independent = self._restarts and bool(env.independent)
        self._speaker = Speaker(env.role, env.index)
        self._client = Client(*self._coordinator_at, token)
        self._link = Link(self._client)
        self._lost_seconds = patience.successor_seconds if self._restarts else patience.lost_seconds
        self._member = Member(env, self._link, self._lost_seconds)
        self._news = asyncio.Event()
        self._ranks = LocalRanks(pod, self._news.set)
        self._local = LocalService(env.slots + env.shards, self._ranks.reported, self._view, self._ranks.regroup)
        self._service: CoordinatorService | None = None
        if (env.role, env.index) == (names.ROLE_WORKER, 0):
            self._service = CoordinatorService(self._terms(), token, shards=int(base.get(environ.PS_SERVERS, 0)))
        self._generation = 0
        self._waiting = False
        """For the other pods, which the coordinator knows and the log says."""
        self._since = 0
        """The first generation whose processes still run; 0: none do."""
        self._stands: dict[int, Stand] = {}
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

    def _terms(self) -> Terms:
        env = self._env
        return Terms(
            env.replicas, env.join_seconds, env.servers, self._restarts, self._independent, env.attempt,
            hang_seconds=env.hang_seconds, silence_seconds=self._patience.silence_seconds,
            limits=Limits(env.min_replicas, env.max_replicas, grow_seconds=self._patience.grow_seconds)
            if env.max_replicas
            else None,
        )  # fmt: skip

    async def _live(self) -> Termination:
        try:
            check(self._pod.command)
            await self._open()
            while True:
                self._start(await self._unless_stopped(self._join()))
                ended = await self._unless_stopped(self._attend())
                if isinstance(ended, Termination):
                    return ended
                await self._unless_stopped(self._halt(ended))
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

    async def _join(self) -> Joined:
        say = self._pod.output.say
        with network.reserve_port() as holder:
            done = bool(self._since) and self._ranks.state() is State.DONE
            return await self._member.join(
                holder.getsockname()[1],
                self._since,
                lambda missing: say(f"waiting for {', '.join(missing)}" if missing else "waiting for the others"),
                done=done,
            )

    def _start(self, joined: Joined) -> None:
        assert joined.generation is not None
        self._generation, self._waiting = joined.generation.number, joined.done
        if self._local.rendezvous is not None:
            self._local.rendezvous.close()
        self._local.rendezvous = Rendezvous(self._link, self._generation, self._lost_seconds)
        if self._since and not joined.done:
            self._ranks.go_on(joined.generation)
        elif not self._since:
            self._since = 0 if joined.done else self._generation
            self._ranks.start(joined.generation, self._local, done=joined.done)

    async def _halt(self, again: _Again) -> None:
        """Stops the processes, unless they can go on with the next generation."""
        touch = asyncio.ensure_future(self._keep_in_touch())
        try:
            if not await self._regrouped(again):
                await self._ranks.stop(again.grace_seconds)
                self._since = 0
        finally:
            touch.cancel()
            await asyncio.gather(touch, return_exceptions=True)

    async def _regrouped(self, again: _Again) -> bool:
        """Whether all processes of the pod ask for their next place, or have ended well."""
        regroup, store = self._ranks.regroup, self._local.rendezvous
        connected = store is not None and store.connected >= self._env.slots
        if not (regroup.elastic and self._ranks.whole and connected):
            return False
        if again.well:
            regroup.announce(self._generation)
        end = time.monotonic() + (COMMIT_SECONDS if again.well else ASK_SECONDS)
        while not regroup.all_ask and (left := end - time.monotonic()) > 0:
            if self._ranks.state() is not State.RUNNING:
                break
            self._news.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)
        return (regroup.all_ask and self._ranks.whole) or self._ranks.state() is State.DONE

    async def _keep_in_touch(self) -> None:
        """The next generation waits for a pod that takes its time, as long as it is heard of."""
        while self._env.max_replicas:
            await asyncio.sleep(wire.BEAT_SECONDS)
            with contextlib.suppress(Lost, Refused):
                await self._member.beat(State.RUNNING, {}, None, {})

    async def _attend(self) -> Termination | _Again:
        """Beats until the orders are to finish, to stop or to join again."""
        while True:
            try:
                orders = await self._beat()
            except Lost as error:
                return self._speaker.lost(str(error), self._ranks.failures, at=time.time())
            except Refused as refusal:
                if refusal.status is not HTTPStatus.CONFLICT or not self._restarts:
                    raise
                again = await self._join_successor(refusal.reason)
                if again is not None:
                    return again
                continue
            if orders is None or orders.order is Order.CONTINUE:
                continue
            if orders.order is Order.DUMP:
                self._pod.output.say("the job makes no step: here is where every rank is")
                self._stands = await self._ranks.stands()
            elif orders.order is Order.FINISH:
                return Termination(exits.SUCCESS)
            elif orders.order is Order.REJOIN:
                return self._again(orders.cause)
            elif orders.cause is not None:
                return self._judged(orders.cause)

    async def _beat(self) -> wire.Orders | None:
        """None when there is something new to say before the coordinator has answered."""
        self._news.clear()
        state, moved, stands = self._ranks.state(), self._ranks.moved(), self._stands
        regroup = self._ranks.regroup
        said = self._member.beat(
            state, moved, self._ranks.failure(), stands, rigid=regroup.rigid, asks=regroup.asks,
            finished=self._ranks.finished(),
        )  # fmt: skip
        orders = await self._until_news(said)
        if orders is not None:
            self._ranks.told(moved)
            self._stands = {}
            if state is State.DONE and orders.order is Order.CONTINUE and not self._waiting:
                self._waiting = True
                self._pod.output.say("the ranks of this pod are done: waiting for the others")
        return orders

    async def _join_successor(self, reason: str) -> _Again | None:
        """The coordinator is another one and does not know this pod. None: the processes go on in their generation."""
        self._pod.output.say(f"the coordinator does not know this pod: {reason}")
        if self._independent:
            joined = await self._join()
            if joined.generation is not None and joined.generation.number == self._generation:
                return None
        return _Again(self._quickly())

    def _again(self, cause: Failure | None) -> _Again:
        """Processes of a pod that was told to stop may save with their peers for as long as its grace lasts."""
        if cause is None:
            self._pod.output.say(f"generation {self._generation} has ended: the membership changes")
            return _Again(self._env.grace_seconds, well=True)
        who = f"{wire.pod_label(cause)}: {cause.message}"
        self._pod.output.say(f"generation {self._generation} has ended: {who}")
        told = cause.rank is None and cause.exit_code == exits.TERMINATED
        return _Again(self._env.grace_seconds if told else self._quickly())

    def _quickly(self) -> float:
        return min(STOP_SECONDS, self._env.grace_seconds)

    def _judged(self, cause: Failure) -> Termination:
        own = list(self._ranks.failures)
        if cause.exit_code == exits.HUNG and cause.rank is not None:  # found by the coordinator, who has no log
            own.append(replace(cause, log_tail=self._ranks.tail(cause.rank)))
        return self._speaker.judged(cause, own, at=time.time())

    async def _part(self, termination: Termination) -> None:
        """Stops the processes, says goodbye; the coordinator's own agent goes last."""
        well = termination.exit_code == exits.SUCCESS
        grace = self._env.grace_seconds
        if not (well or self._told_to_stop.done() or self._env.shards):
            grace = self._quickly()
        stopping = asyncio.ensure_future(self._ranks.stop(grace))
        if termination.exit_code != exits.COORDINATOR_LOST:
            await self._member.goodbye(self._ranks.moved(), termination.failure)
        await stopping
        if self._service is not None and self._service.port:
            await self._wait_for_others(self._service, brief=self._restarts and not well)

    async def _wait_for_others(self, service: CoordinatorService, *, brief: bool) -> None:
        """Until they have heard how it ended; a pod that was told to stop has little time for it."""
        others = service.deserted((self._env.role, self._env.index))
        if not (brief or self._told_to_stop.done()):
            await _first(others, self._told_to_stop)
            return
        seconds = PARTING_SECONDS if brief else environ.AGENT_SECONDS - member.GOODBYE_SECONDS
        await _first(others, asyncio.ensure_future(asyncio.sleep(seconds)))

    def _failed(self, code: int, message: str) -> Termination:
        return self._speaker.failed(code, message, at=time.time())

    async def _view(self, request: Request) -> bytes:
        """Of the parameter server; who asks, or serves, is a process of this pod."""
        target = f"{request.path}?{urlencode(request.query)}" if request.query else request.path
        held = wire.JOIN_POLL_SECONDS if request.method == "GET" else 0.0
        patience = self._lost_seconds
        return await self._link.ask(request.method, target, request.body, hold_seconds=held, patience_seconds=patience)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._stop, number)
        for number in FORWARDED:
            loop.add_signal_handler(number, self._ranks.signal, number)

    def _stop(self, number: int) -> None:
        """The processes hear it in the same moment; everything else follows."""
        if not self._told_to_stop.done():
            self._ranks.ending(number)
            self._ranks.regroup.close()
            self._told_to_stop.set_result(number)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises _ToldToStop when that comes first."""
        done = await _first(work, self._told_to_stop)
        if done is None:
            raise _ToldToStop(self._told_to_stop.result())
        return done.result()

    async def _until_news(self, work: Coroutine[Any, Any, T]) -> T | None:
        news = asyncio.ensure_future(self._news.wait())
        try:
            done = await _first(work, news)
            return done.result() if done is not None else None
        finally:
            news.cancel()


async def _first(work: Coroutine[Any, Any, T], interruption: asyncio.Future[Any]) -> asyncio.Task[T] | None:
    """The work when it is done; None, and the work cancelled, when the interruption comes first."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, interruption}, return_when=asyncio.FIRST_COMPLETED)
        return task if task.done() else None
    finally:
        while not task.done():  # wait_for of Python 3.11 and older may lose a cancellation that comes with its result
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)
        await asyncio.gather(task, return_exceptions=True)
