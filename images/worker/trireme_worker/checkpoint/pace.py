"""When to save, and when to ask the others whether one must. Pure: time enters as `now`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

VOTE_SECONDS = 0.1
"""Between two votes, about: a vote costs a collective of a few bytes, which short steps would feel."""
VOTE_STEPS = 10
"""Most steps between two votes: steps may suddenly take longer."""
_VOTE = struct.Struct("!q??B")


@dataclass(frozen=True)
class Policy:
    """When `Training.step` saves, whichever comes first, and how many checkpoints are kept. Raises ValueError."""

    every_seconds: float | None = 60.0
    every_steps: int | None = None
    keep: int = 3

    def __post_init__(self) -> None:
        for name in ("every_seconds", "every_steps"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be greater than 0, got {value}")
        if self.keep < 1:
            raise ValueError(f"keep must be at least 1, got {self.keep}")


@dataclass(frozen=True)
class Vote:
    """What one rank says at a step."""

    step: int
    stopping: bool
    """It was told to stop."""
    due: bool
    """By its clock; rank 0's counts."""
    gap: int
    """Steps until the next vote; rank 0's counts."""

    def encode(self) -> bytes:
        return _VOTE.pack(self.step, self.stopping, self.due, self.gap)

    @classmethod
    def decode(cls, data: bytes) -> Vote:
        return cls(*_VOTE.unpack(data))


@dataclass(frozen=True)
class Outcome:
    save: bool
    stop: bool


class Pace:
    """One rank's view; all ranks come to the same outcome at the same step."""

    def __init__(self, policy: Policy, step: int, now: float) -> None:
        self._policy = policy
        self._saved_at = now
        self._voted = (step, now)
        self._next_vote = step + 1

    def saved(self, now: float) -> None:
        """Or tried to."""
        self._saved_at = now

    def due_by_steps(self, step: int) -> bool:
        every = self._policy.every_steps
        return every is not None and step % every == 0

    def vote(self, step: int, stopping: bool, now: float) -> Vote | None:
        """None between two votes."""
        if step < self._next_vote:
            return None
        seconds = self._policy.every_seconds
        voted_step, voted_at = self._voted
        pace = max(now - voted_at, 0.0) / max(step - voted_step, 1)
        gap = VOTE_STEPS if pace * VOTE_STEPS <= VOTE_SECONDS else max(1, int(VOTE_SECONDS / pace))
        self._voted = (step, now)
        return Vote(step, stopping, seconds is not None and now - self._saved_at >= seconds, gap)

    def count(self, votes: Sequence[Vote]) -> Outcome:
        """Of all ranks, in their order. Raises ValueError when they are not at the same step."""
        steps = {vote.step for vote in votes}
        if len(steps) > 1:
            raise ValueError(f"all ranks must call it at the same step, and they are at {sorted(steps)[:10]}")
        self._next_vote = votes[0].step + votes[0].gap
        stop = any(vote.stopping for vote in votes)
        return Outcome(stop or votes[0].due, stop)
