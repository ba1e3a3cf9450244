"""Log lines of many pods: read, merged by time, and filtered by rank. Knows nothing of terminals."""

from __future__ import annotations

import asyncio
import heapq
import re
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from trireme.cluster.client import Client

NO_TIME = datetime.min.replace(tzinfo=UTC)
_RANK = re.compile(r"\[(\d+)\] ")


@dataclass(frozen=True, slots=True)
class Line:
    pod: str
    time: datetime
    stamp: str
    """The time as the kubelet wrote it: nanoseconds."""
    text: str

    @property
    def rank(self) -> int | None:
        """None for what the agent says, and for programs that run without one."""
        found = _RANK.match(self.text)
        return int(found[1]) if found else None


def line(pod: str, raw: bytes) -> Line:
    """Of a log with timestamps. What bears none (a runtime's own complaint) keeps its whole text."""
    text = raw.decode(errors="replace").rstrip("\r")
    stamp, _, rest = text.partition(" ")
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return Line(pod, NO_TIME, "", text)
    return Line(pod, time if time.tzinfo else time.replace(tzinfo=UTC), stamp, rest)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a log has been read: the time of the last line, and how many lines in a row bear it."""

    time: datetime
    stamp: str
    count: int = 1

    def moved(self, line: Line) -> Mark:
        if line.stamp == self.stamp or not line.stamp:
            return Mark(self.time, self.stamp, self.count + bool(line.stamp))
        return Mark(line.time, line.stamp)


START = Mark(NO_TIME, "", 0)


async def after(mark: Mark, lines: AsyncGenerator[Line, None]) -> AsyncGenerator[Line, None]:
    """The lines behind the mark, of a log that is read again from the mark's second."""
    left = mark.count
    async for line in lines:
        if left and line.stamp:
            if (line.time, line.stamp) < (mark.time, mark.stamp):
                continue
            if line.stamp == mark.stamp:
                left -= 1
                continue
            left = 0
        yield line


def wanted(shown: Line, ranks: Collection[int]) -> bool:
    """No ranks: all lines."""
    return not ranks or shown.rank in ranks


@dataclass(frozen=True)
class Source:
    """The logs of one job's trainers and servers."""

    client: Client
    namespace: str
    container: Callable[[str], str | None]
    """By the pod's name."""

    async def read(
        self,
        pod: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since_seconds: int | None = None,
        since_time: str | None = None,
    ) -> AsyncGenerator[Line, None]:
        """Raises ApiError."""
        rest = b""
        chunks = self.client.logs(
            self.namespace, pod, self.container(pod), follow=follow, timestamps=True,
            tail_lines=tail, since_seconds=since_seconds, since_time=since_time,
        )  # fmt: skip
        async with aclosing(chunks):
            async for chunk in chunks:
                *whole, rest = (rest + chunk).split(b"\n")
                for raw in whole:
                    yield line(pod, raw)
        if rest:
            yield line(pod, rest)


async def merged(streams: Sequence[AsyncGenerator[Line, None]]) -> AsyncGenerator[Line, None]:
    """All lines by time; each stream is in order and stays so. Holds one line a stream, and closes all at the end."""
    try:
        heads = await asyncio.gather(*(anext(stream, None) for stream in streams))
        heap = [(head.time, number, head) for number, head in enumerate(heads) if head is not None]
        heapq.heapify(heap)
        while heap:
            time, number, head = heap[0]
            yield head
            following = await anext(streams[number], None)
            if following is None:
                heapq.heappop(heap)
            else:  # a clock that was set back must not reorder a pod's own lines
                heapq.heapreplace(heap, (max(following.time, time), number, following))
    finally:
        for stream in streams:
            await stream.aclose()
