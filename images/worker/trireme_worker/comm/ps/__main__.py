"""`python3 -m trireme_worker.comm.ps`: one server process. Ends on SIGTERM, when its agent sees that all workers are
done; saves a last checkpoint where there is a directory for it. One that cannot go on ends with code 1 and saves
nothing: its ranges are frozen, and the last checkpoint has them."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading

import torch

from trireme_worker.comm.ps import settings
from trireme_worker.comm.ps.errors import ParameterServerError
from trireme_worker.comm.ps.server import Server

log = logging.getLogger("trireme_worker.comm.ps")

SWITCH_SECONDS = 0.0005
"""Between two threads that both run Python: most wait for sockets, and none may wait long for another's bookkeeping."""
GARBAGE = 20_000
"""Objects between two searches for cycles, which messages do not make."""


def tune() -> None:
    """What a process does that is a server and nothing else."""
    sys.setswitchinterval(SWITCH_SECONDS)
    torch.set_num_threads(1)  # a thread a connection is what there is to do at once
    gc.freeze()  # what is imported stays
    gc.set_threshold(GARBAGE)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    tune()
    try:
        told = settings.server()
        server = Server(told, settings.directory(), ended)
    except (ParameterServerError, OSError) as error:
        log.error("the server cannot start: %s", error)
        return 1
    log.info("server %d listens at %s:%d", told.index, server.serving.address, server.serving.port)
    ended.wait()
    if server.failure is not None:
        server.close()
        log.error("server %d cannot go on and ends, another one takes over: %r", told.index, server.failure)
        return 1
    try:
        if told.checkpoints is not None:
            log.info("saved %s", server.last_checkpoint())
    except ParameterServerError as error:
        log.error("%s", error)
        return 1
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
