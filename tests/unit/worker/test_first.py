"""What the agent does when it waits for one thing and another comes."""

from __future__ import annotations

import asyncio
import contextlib

from trireme_worker.agent import _first


async def test_work_that_loses_a_cancellation_is_cancelled_again():
    """As asyncio.wait_for does in Python 3.11 and older, when its result comes in the same moment."""
    lost = []

    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        lost.append(True)
        await asyncio.Event().wait()

    interruption: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(interruption.set_result, None)
    assert await asyncio.wait_for(_first(work(), interruption), 5) is None
    assert lost == [True]
