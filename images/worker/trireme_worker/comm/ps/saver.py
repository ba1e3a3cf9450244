"""When a server writes its checkpoint: every so often, after a goodbye, and when it is asked to.

By a thread of its own: a disk may take longer for a save than a server may be silent.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from trireme_worker.comm.ps.checkpoint import Checkpoints
from trireme_worker.comm.ps.errors import Reason, Refused
from trireme_worker.comm.ps.shard import Shard
from trireme_worker.comm.ps.slot import Status

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks whether a save is due; goodbyes of one look share a save."""


class Saver:
    """`seconds`: from the end of a save, or of a try, to the next."""

    def __init__(self, checkpoints: Checkpoints, shard: Shard, seconds: float) -> None:
        self._checkpoints = checkpoints
        self._shard = shard
        self._seconds = seconds
        self._tried = time.monotonic()
        self._saving = threading.Lock()
        self._asked = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ps-save", daemon=True)
        self._thread.start()

    def save(self) -> Path:
        """Saves every range that is no other server's backup, after the save that is under way. Raises Refused.

        Of what a view is moving the latest copy may still be here.
        """
        with self._saving:
            self._asked.clear()  # before anything is read: who asks from now on asks for the next one
            slots = [slot for slot in list(self._shard.slots.values()) if slot.status is not Status.BACKUP]
            try:
                return self._checkpoints.save(slots)
            except OSError as error:
                raise Refused(Reason.FAILED, f"the checkpoint could not be written: {error}") from error
            finally:
                self._tried = time.monotonic()

    def soon(self) -> None:
        """What there is now is saved at the next look."""
        self._asked.set()

    def close(self) -> None:
        """No save begins any more."""
        self._closed.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            if self._asked.is_set() or time.monotonic() - self._tried > self._seconds:
                self._try()

    def _try(self) -> None:
        try:
            self.save()
        except Refused as error:
            log.error("%s", error)
        except Exception:  # no memory for a copy of the states, say: there may be when the next one is due
            log.exception("the checkpoint could not be written")
