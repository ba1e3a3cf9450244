"""`watch`: Horovod's elastic state hears that members come or go, so that the job can change without an error, and lets
go of its peers when one of them is lost (hangup.py).

Horovod's own notification service unpickles what it is sent; here a daemon thread asks the pod's agent instead and
calls the state's public `on_hosts_updated`. Outside of a Trireme job it does nothing. It must not import the agent.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any, Protocol
from urllib.parse import urlsplit

from trireme.contract import codec, environ, wire

from trireme_worker.hangup import hangs_up

MIXED = 3
"""horovod.runner.elastic.worker.HostUpdateResult.mixed: the state is synchronised after every change (horovod#3494)."""
ANSWER_SECONDS = 10.0
"""For an answer, beyond the time for which the agent may hold it."""
PAUSE_SECONDS = 1.0
"""After an agent that did not answer."""

_log = logging.getLogger("trireme_worker")


class State(Protocol):
    """What is needed of horovod.common.elastic.State."""

    def on_hosts_updated(self, timestamp: int, update_res: Any) -> None:
        """The next `commit` raises HostsUpdatedInterrupt; a later change has a greater timestamp."""


def watch(state: State) -> None:
    """Call it once, before the function that `hvd.elastic.run` wraps: from then on `state.commit()` notices when pods
    join the job or are to leave it. A state that is not watched takes in newcomers only after a failure, and peers that
    wait for this process when another is lost may be started anew."""
    url, key = os.environ.get(environ.AGENT_URL, ""), os.environ.get(environ.AGENT_KEY, "")
    if not url:
        _log.info("not inside a Trireme job: its membership does not change")
        return
    hangs_up(state)
    threading.Thread(target=_follow, args=(state, url, key), name="trireme-elastic", daemon=True).start()


def _follow(state: State, url: str, key: str) -> None:
    known, pause = 0, threading.Event()
    while True:
        try:
            number = _ask(url, key, known)
        except (OSError, codec.BadMessage) as error:
            _log.debug("the agent does not say who is a member: %s", error)
            pause.wait(PAUSE_SECONDS)
            continue
        if number > known:
            known = number
            state.on_hosts_updated(number, _mixed())


def _mixed() -> Any:
    from horovod.runner.elastic.worker import HostUpdateResult  # only where Horovod is

    return HostUpdateResult(MIXED)


def _ask(url: str, key: str, known: int) -> int:
    """Raises OSError and codec.BadMessage."""
    from http.client import HTTPConnection, HTTPException

    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=wire.JOIN_POLL_SECONDS + ANSWER_SECONDS)
    try:
        connection.request("GET", f"{wire.MEMBERSHIP_PATH}?after={known}", headers={"Authorization": wire.bearer(key)})
        response = connection.getresponse()
        body = response.read(wire.HEADER_MAX)
    except HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if response.status != 200:
        raise OSError(f"the agent answered {response.status}")
    return codec.decode(wire.Membership, body).number
