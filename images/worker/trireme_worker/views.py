"""Who serves: the views of a job's parameter server (docs/adr/0012). No I/O and no clock.

The coordinator is the only one that issues views. A view changes when a shard comes, goes or is another process than
before; a shard that only says again that it serves changes nothing. A shard that has seen a higher view has it from
this coordinator's predecessor, which knew more shards than this one: each has the time of a silence to say that it
serves before there is a new view. One without it would have its ranges taken over, from a checkpoint perhaps, while it
has them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from trireme.contract import wire
from trireme.contract.wire import Serving, View


class NotAShard(ValueError):
    """The job has no shard of this index."""


@dataclass(frozen=True)
class _Shard:
    serving: Serving
    heard: float


class Views:
    """`desired`: shards of the job, indices 0..desired-1. `now` is in seconds by any clock that never goes back."""

    def __init__(self, desired: int, silence_seconds: float = wire.SERVING_SILENCE_SECONDS) -> None:
        self._desired = desired
        self._silence = silence_seconds
        self._shards: dict[int, _Shard] = {}
        self._retired: set[str] = set()
        self._seen = 0
        """The highest view that a shard says it has seen."""
        self._patience: float | None = None
        """Until when shards that a predecessor knew are awaited; None: nobody is."""
        self.view = View(0, desired)

    def serve(self, serving: Serving, now: float) -> None:
        """A shard says where it listens. Raises NotAShard.

        A process that was seen to end, or was replaced, does not come back by a word that was late.
        """
        if not 0 <= serving.index < self._desired:
            raise NotAShard(f"server-{serving.index} is none of {self._desired} shards")
        if serving.incarnation in self._retired:
            return
        known = self._shards.get(serving.index)
        if known is not None and known.serving.incarnation != serving.incarnation:
            self._retired.add(known.serving.incarnation)
        self._shards[serving.index] = _Shard(replace(serving, view=0), now)
        if serving.view > max(self._seen, self.view.number):
            self._seen = serving.view
            self._patience = now + self._silence if self._patience is None else self._patience
        self._renew()

    def finish(self, ranks: tuple[int, ...]) -> None:
        """These workers have ended well: a message to the servers, which moves no range."""
        if ranks != self.view.finished:
            self.view = replace(self.view, finished=ranks)

    def ended(self, index: int) -> None:
        """Its process is known to have ended; whoever serves under this index next is another one."""
        shard = self._shards.pop(index, None)
        if shard is not None:
            self._retired.add(shard.serving.incarnation)
            self._renew()

    def tick(self, now: float) -> None:
        """Those that have fallen silent are out; they are welcome back."""
        self._shards = {index: shard for index, shard in self._shards.items() if now - shard.heard < self._silence}
        if self._patience is not None and now >= self._patience:
            self._patience = None
        self._renew()

    def _renew(self) -> None:
        if self._patience is not None and len(self._shards) < self._desired:
            return
        self._patience = None
        servers = tuple(self._shards[index].serving for index in sorted(self._shards))
        if servers != self.view.servers or self._seen > self.view.number:
            self.view = replace(self.view, number=max(self.view.number, self._seen) + 1, servers=servers)
