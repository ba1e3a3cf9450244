from __future__ import annotations

import asyncio

import pytest
from support.warp import clock, warped
from trireme.cluster.errors import Fenced
from trireme.cluster.fence import Fence


async def ends(fence: Fence) -> str:
    """When and how a long crossing ends."""
    try:
        async with fence.crossing():
            await asyncio.sleep(100)
    except Fenced:
        return f"fenced at {clock():g}"
    return f"done at {clock():g}"


def test_a_new_fence_is_closed() -> None:
    async def main() -> None:
        fence = Fence()
        assert not fence.open
        with pytest.raises(Fenced):
            async with fence.crossing():
                pytest.fail("crossed")

    warped(main())


def test_a_crossing_is_cut_off_when_the_time_is_over() -> None:
    async def main() -> str:
        fence = Fence()
        fence.open_until(10)
        return await ends(fence)

    assert warped(main()) == "fenced at 10"


def test_what_is_under_way_follows_the_time_as_it_moves() -> None:
    async def main() -> list[str]:
        fence = Fence()
        fence.open_until(10)
        crossings = [asyncio.create_task(ends(fence)) for _ in range(2)]
        await asyncio.sleep(9)
        fence.open_until(19)
        crossings.append(asyncio.create_task(ends(fence)))
        return await asyncio.gather(*crossings)

    assert warped(main()) == ["fenced at 19"] * 3


def test_closing_ends_everything_at_once() -> None:
    async def main() -> list[str]:
        fence = Fence()
        fence.open_until(1000)
        early = asyncio.create_task(ends(fence))
        await asyncio.sleep(60)
        late = asyncio.create_task(ends(fence))
        await asyncio.sleep(50)
        fence.close()
        assert not fence.open
        return [await early, await late]

    assert warped(main()) == ["done at 100", "fenced at 110"]


def test_a_renewal_that_comes_too_late_saves_nothing_that_was_cut_off() -> None:
    async def main() -> str:
        fence = Fence()
        fence.open_until(10)
        crossing = asyncio.create_task(ends(fence))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(10, fence.open_until, 20)  # right after the crossing's own end
        return await crossing

    assert warped(main()) == "fenced at 10"


def test_a_failure_of_its_own_is_passed_on() -> None:
    async def main() -> None:
        fence = Fence()
        fence.open_until(10)
        with pytest.raises(ValueError, match="own"):
            async with fence.crossing():
                raise ValueError("own")

    warped(main())
