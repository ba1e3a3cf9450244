from __future__ import annotations

import asyncio

from support.warp import clock, warped
from trireme.cluster.queue import WorkQueue


def test_a_key_waits_once_however_often_it_is_added() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for key in ("a", "b", "a", "a"):
            queue.add(key)
        assert len(queue) == 2
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        assert len(queue) == 0

    warped(main())


def test_a_key_added_while_at_work_comes_again_afterwards_and_not_before() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        second = asyncio.create_task(queue.get())
        await asyncio.sleep(1)
        assert not second.done()
        queue.done("a")
        assert await second == "a"
        queue.done("a")
        assert len(queue) == 0

    warped(main())


def test_no_two_workers_have_one_key() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        at_work: set[str] = set()
        handled: list[str] = []

        async def worker() -> None:
            while True:
                key = await queue.get()
                assert key not in at_work
                at_work.add(key)
                await asyncio.sleep(1)
                handled.append(key)
                at_work.remove(key)
                queue.done(key)

        workers = [asyncio.create_task(worker()) for _ in range(4)]
        for key in "abcabcabc":
            queue.add(key)
            await asyncio.sleep(0.4)
        await asyncio.sleep(10)
        for task in workers:
            task.cancel()
        assert {key: handled.count(key) for key in "abc"} == {"a": 3, "b": 3, "c": 3}

    warped(main())


def test_of_several_delays_the_shortest_counts() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        for seconds in (5, 2, 9):
            queue.add_after("a", seconds)
        assert await queue.get() == "a"
        assert clock() == 2
        queue.done("a")
        await asyncio.sleep(20)
        assert len(queue) == 0

    warped(main())


def test_a_key_that_keeps_failing_comes_ever_later_until_it_succeeds() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        delays = [queue.retry("a") for _ in range(12)]
        for failures, seconds in enumerate(delays, 1):
            whole = min(30, 0.2 * 2 ** (failures - 1))
            assert whole / 2 <= seconds <= whole
        queue.succeeded("a")
        assert queue.retry("a") <= 0.2

    warped(main())


def test_it_tells_how_long_each_key_was_due() -> None:
    async def main() -> None:
        waits: list[float] = []
        queue: WorkQueue[str] = WorkQueue(waits.append)
        queue.add("a")
        queue.add("a")
        queue.add("b")
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        assert [0 <= wait < 60 for wait in waits] == [True, True]

    warped(main())


def test_a_server_that_asks_for_more_time_gets_it() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        assert queue.retry("a", asked=7) == 7
        assert queue.retry("a", asked=3600) == 30
        assert await queue.get() == "a"
        assert clock() == 7

    warped(main())
