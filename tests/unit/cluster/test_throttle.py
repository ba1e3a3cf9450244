from __future__ import annotations

import asyncio

from support.warp import clock, warped
from trireme.cluster.throttle import Throttle


def started(throttle: Throttle, count: int, seconds: float = 0, pause: float = 0) -> list[float]:
    """When each of `count` writes of `seconds` begins, all asked for at time `pause`."""
    times: list[float] = []

    async def write() -> None:
        async with throttle:
            times.append(clock())
            await asyncio.sleep(seconds)

    async def main() -> None:
        await asyncio.sleep(pause)
        await asyncio.gather(*(write() for _ in range(count)))

    warped(main())
    return times


def test_after_a_burst_the_rate_holds() -> None:
    assert started(Throttle(rate=10, burst=3, concurrency=99), 6, pause=5) == [5, 5, 5, 5.1, 5.2, 5.3]


def test_a_long_pause_saves_no_more_than_the_burst() -> None:
    assert started(Throttle(rate=10, burst=1, concurrency=99), 3, pause=3600) == [3600, 3600.1, 3600.2]


def test_no_more_are_under_way_than_allowed() -> None:
    assert started(Throttle(rate=1000, burst=99, concurrency=2), 5, seconds=1, pause=1) == [1, 1, 2, 2, 3]


def test_who_gives_up_waiting_frees_its_place() -> None:
    async def main() -> None:
        throttle = Throttle(rate=1, burst=1, concurrency=1)
        async with throttle:
            pass
        waiting = asyncio.create_task(throttle.__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with asyncio.timeout(3), throttle:
            assert clock() == 2

    warped(main())
