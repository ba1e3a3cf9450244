"""A table as one worker uses it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from trireme_worker.comm.ps.memory import Layout, Staging
from trireme_worker.comm.ps.operation import Request
from trireme_worker.comm.ps.sieve import Sieve
from trireme_worker.comm.ps.table import Table


@dataclass(eq=False)
class Registered:
    """A table as this worker uses it."""

    table: Table
    layout: Layout
    outgoing: Staging
    incoming: Staging
    sieve: Sieve
    numbers: list[int] = field(default_factory=list)
    """Of each range, the last push."""
    pushing: set[int] = field(default_factory=set)
    """Ranges with a push that has not ended yet; there is at most one."""
    _turn: threading.Condition = field(default_factory=threading.Condition)

    def take_turn(self, push: Request) -> None:
        """Waits until the range's last push has ended: a number belongs to one push."""
        index = push.index

        def answered(number: int) -> None:
            self.numbers[index] = push.number

        def ended() -> None:
            with self._turn:
                self.pushing.discard(index)
                self._turn.notify_all()

        with self._turn:
            self._turn.wait_for(lambda: index not in self.pushing)
            self.pushing.add(index)
            self.numbers[index] += 1
        push.answered, push.ended, push.renumbered = answered, ended, self.numbered(index)

    def staging(self, tensors: Sequence[Tensor], back: bool = False) -> Staging:
        """For tensors on their way to the servers or, `back`, from them: shaped as registered, or one that is flat."""
        if len(tensors) == 1 != len(self.layout.sizes):
            return Staging(Layout([self.table.length]))
        return self.incoming if back else self.outgoing

    def last(self, index: int) -> Callable[[], tuple[int, bool]]:
        """What a pull must know whenever it is sent: the number of a range's last push, and whether it has ended."""

        def known() -> tuple[int, bool]:
            number = self.numbers[index]
            return number, index not in self.pushing

        return known

    def numbered(self, index: int) -> Callable[[int], None]:
        """Takes the number of a range's last push from an answer."""

        def answered(number: int) -> None:
            self.numbers[index] = number

        return answered
