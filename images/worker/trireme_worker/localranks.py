"""This pod's part of a generation: its ranks and its shard of a parameter server, how they fare and how far they are.

One object for the pod's life; `start` and `stop` may follow each other any number of times. It knows no coordinator.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trireme.contract
from trireme.contract import environ, exits, names, wire
from trireme.contract.environ import Meeting, PodEnvironment
from trireme.contract.ranks import Place, places
from trireme.contract.wire import Failure, Generation, Member, Progress, Stand, State

import trireme_worker
from trireme_worker import local, stands, verdict
from trireme_worker.lastword import Speaker
from trireme_worker.local import LocalService
from trireme_worker.output import Output, Tail
from trireme_worker.processes import Processes
from trireme_worker.regroup import Regroup


@dataclass(frozen=True)
class Pod:
    """What the agent was started with."""

    env: PodEnvironment
    command: Sequence[str]
    base: Mapping[str, str]
    """Environment that the processes inherit."""
    interface: str
    """Network interface that carries the pod's address."""
    output: Output


class LocalRanks:
    """`changed()` is called in the loop when a process has failed or all ranks have ended; of a job whose members are
    independent, when any has."""

    def __init__(self, pod: Pod, changed: Callable[[], None]) -> None:
        self._pod = pod
        self._changed = changed
        self._speaker = Speaker(pod.env.role, pod.env.index)
        self._processes = Processes(pod.output, self._ended)
        self._ranks: dict[str, int] = {}
        """By the labels of their processes."""
        self._active = 0
        self._finished: set[str] = set()
        """Labels of ranks that have ended with code 0."""
        self._stopping = False
        self._moved: dict[int, Progress] = {}
        self.failures: list[Failure] = []
        self.regroup = Regroup(pod.env.slots, changed)

    def start(self, generation: Generation, service: LocalService, *, done: bool) -> None:
        """`done`: the ranks were, so that only a shard is started. Raises processes.CannotStart."""
        self._stopping, self.failures = False, []
        self._finished.clear()
        common = {
            "PYTHONUNBUFFERED": "1",
            **self._pod.base,
            environ.AGENT_URL: service.url,
            environ.AGENT_KEY: service.key,
            "PYTHONPATH": python_path(self._pod.base),
        }
        if self._pod.env.shards:
            self._start_shard(common)
        if done:
            self._pod.output.say("the ranks of this pod were done before it came: waiting for the others")
        elif self._pod.env.slots:
            self._start_ranks(generation, service.port, common)

    def go_on(self, generation: Generation) -> None:
        """The processes that run are members of the next generation too."""
        _, mine = self._own(generation)
        self._ranks = dict(zip(self._ranks, (place.rank for place in mine), strict=True))
        ranks = list(self._ranks.values())
        self._pod.output.say(f"generation {generation.number}: ranks {ranks} of {mine[0].size} go on here")
        self.regroup.go_on(generation.number, mine)

    @property
    def whole(self) -> bool:
        """Whether every rank of the pod runs."""
        return self._active == self._pod.env.slots and not self.failures

    def signal(self, number: int) -> None:
        self._processes.signal(number)

    def ending(self, number: int) -> None:
        """Passes on a signal that means the end: how processes end from now on is nobody's failure."""
        self._stopping = True
        self._processes.signal(number)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL when the grace is over. No process is left, and no progress that was not told."""
        if not self._stopping:
            self.ending(signal.SIGTERM)
        await self._processes.stop(grace_seconds)
        self._ranks, self._active = {}, 0
        self._finished.clear()
        self._moved.clear()

    def state(self) -> State:
        if self.failures:
            return State.FAILED
        return State.RUNNING if self._active or not self._pod.env.slots else State.DONE

    def failure(self) -> Failure | None:
        return verdict.root(self.failures) if self.failures else None

    def finished(self) -> tuple[int, ...]:
        """Ranks that have ended well, and are not stopped."""
        return tuple(sorted(self._ranks[label] for label in self._finished))

    def reported(self, report: wire.Report) -> None:
        """A process speaks under the rank with which it was started."""
        self._moved[self._ranks.get(str(report.rank), report.rank)] = report.progress

    def moved(self) -> dict[int, Progress]:
        """Of ranks that moved since it was last told."""
        return dict(self._moved)

    def told(self, moved: Mapping[int, Progress]) -> None:
        for rank, progress in moved.items():
            if self._moved.get(rank) is progress:
                del self._moved[rank]

    async def stands(self) -> dict[int, Stand]:
        """Where the ranks are that run; their stacks are in the log then."""
        running = self._processes.running()
        return await stands.dump({rank: running[label] for label, rank in self._ranks.items() if label in running})

    def tail(self, rank: int) -> tuple[str, ...]:
        """The last lines of a rank that runs."""
        label = next((label for label, each in self._ranks.items() if each == rank), "")
        known = self._processes.running().get(label)
        return known[1].lines() if known is not None else ()

    def _start_shard(self, common: Mapping[str, str]) -> None:
        env = self._pod.env
        own = {environ.ROLE: names.ROLE_SERVER, environ.SERVER_INDEX: str(env.index)}
        command = names.SERVER_COMMAND if env.slots else self._pod.command
        self._pod.output.say(f"shard {env.index} of the parameter server here")
        self._processes.start(command, {names.pod_label(names.ROLE_SERVER, env.index): {**common, **own}})

    def _start_ranks(self, generation: Generation, store_port: int, common: Mapping[str, str]) -> None:
        base = self._pod.base
        member, mine = self._own(generation)
        meeting = Meeting(
            generation=generation.number,
            hostname=member.hostname,
            interface=self._pod.interface,
            rendezvous=(local.ADDRESS, store_port),
            master=(generation.master, generation.master_port),
        )
        chosen = {key: base[key] for key in environ.INTERFACE_KEYS if base.get(key)}
        self._ranks = {str(place.rank): place.rank for place in mine}
        ranks = list(self._ranks.values())
        self._pod.output.say(f"generation {generation.number}: ranks {ranks} of {mine[0].size} here")
        self._active = len(mine)
        self.regroup.begin(generation.number, mine)
        self._processes.start(
            self._pod.command,
            {str(place.rank): {**common, **environ.process_environment(place, meeting), **chosen} for place in mine},
        )

    def _own(self, generation: Generation) -> tuple[Member, tuple[Place, ...]]:
        """This pod in the generation, and the places of its ranks."""
        env, members = self._pod.env, generation.members
        position = [(each.role, each.index) for each in members].index((env.role, env.index))
        return members[position], places([each.slots for each in members])[position]

    def _ended(self, label: str, code: int, tail: Tail) -> None:
        rank = self._ranks.get(label)
        self._active -= rank is not None
        if self._stopping:
            return  # it was told to
        if rank is None:
            code = code or exits.SERVER_ENDED
        if code != exits.SUCCESS:
            self._pod.output.say(f"{'rank ' * (rank is not None)}{label} failed: {exits.describe(code).meaning}")
            self.failures.append(self._speaker.process_failed(rank, code, tail, at=time.time()))
        elif rank is not None:
            self._finished.add(label)
        if code != exits.SUCCESS or not self._active or self._pod.env.independent:
            self._changed()


def python_path(base: Mapping[str, str]) -> str:
    """First where the agent itself was imported from, so that user code imports the same `trireme_worker`."""
    own = [Path(trireme_worker.__file__).parents[1], Path(trireme.contract.__file__).parents[2]]
    given = base.get("PYTHONPATH")
    return os.pathsep.join([*dict.fromkeys(map(str, own)), *([given] if given else [])])
