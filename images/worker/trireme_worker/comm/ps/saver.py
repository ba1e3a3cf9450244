"""When a server writes its checkpoint: every so often, after a goodbye, and when it is asked to.

By a thread of its own: a disk may take longer for a save than a server may be silent.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from trireme_worker.comm.ps.checkpoint import Checkpoints
from trireme_worker.comm.ps.errors import Reason, Refused
from trireme_worker.comm.ps.shard import Shard
from trireme_worker.comm.ps.slot import Status

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks whether a save is due; goodbyes of one look share a save."""


Saved = Callable[[Path | Refused], None]
"""Hears where everything was saved, or why it was not."""


class Saver:
    """`seconds`: from the end of a save, or of a try, to the next."""

    def __init__(self, checkpoints: Checkpoints, shard: Shard, seconds: float) -> None:
        self._checkpoints = checkpoints
        self._shard = shard
        self._seconds = seconds
        self._tried = time.monotonic()
        self._saving = threading.Lock()
        self._soon = threading.Event()
        self._asked: queue.SimpleQueue[Saved] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ps-save", daemon=True)
        self._thread.start()

    def save(self) -> Path:
        """Saves every range that is no other server's backup, after the save that is under way. Raises Refused.

        Of what a view is moving the latest copy may still be here.
        """
        with self._saving:
            self._soon.clear()  # before anything is read: who asks from now on asks for the next one
            slots = [slot for slot in list(self._shard.slots.values()) if slot.status is not Status.BACKUP]
            try:
                return self._checkpoints.save(slots)
            except OSError as error:
                raise Refused(Reason.FAILED, f"the checkpoint could not be written: {error}") from error
            finally:
                self._tried = time.monotonic()

    def soon(self) -> None:
        """What there is now is saved at the next look."""
        self._soon.set()

    def ask(self, done: Saved) -> None:
        """What there is now is saved at once, but not here: `done` is called by another thread."""
        self._asked.put(done)
        self._hurry.set()

    def close(self) -> None:
        """No save begins any more."""
        self._closed = True
        self._hurry.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closed:
            self._hurry.wait(LOOK_SECONDS)
            self._hurry.clear()
            asked = [self._asked.get() for _ in range(self._asked.qsize())]
            due = asked or self._soon.is_set() or time.monotonic() - self._tried > self._seconds
            if due and not self._closed:
                outcome = self._try()
                for done in asked:
                    done(outcome)

    def _try(self) -> Path | Refused:
        try:
            return self.save()
        except Refused as error:
            log.error("%s", error)
            return error
        except Exception as error:  # no memory for a copy of the states, say: there may be when the next one is due
            log.exception("the checkpoint could not be written")
            return Refused(Reason.FAILED, f"the checkpoint could not be written: {error!r}")
