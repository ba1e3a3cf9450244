"""What ends a command that has something to clean up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def on_stop(stop: Callable[[], object]) -> None:
    """Has the running event loop call `stop` on Ctrl-C, on SIGTERM and when the terminal is closed.

    On Ctrl-C also where the parent ignores it, as a shell does for what a script starts in the background. A hang-up
    that is ignored (nohup) stays so.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop)
