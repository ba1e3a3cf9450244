from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator


class Ear(logging.Handler):
    """Keeps the log lines that contain a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._text = text
        self._heard = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if self._text in line:
            self.lines.append(line)
            self._heard.set()

    async def wait(self, count: int = 1) -> str:
        """The last of so many lines."""
        while len(self.lines) < count:
            self._heard.clear()
            await self._heard.wait()
        return self.lines[count - 1]


@contextlib.contextmanager
def ear(text: str) -> Iterator[Ear]:
    """Hears the lines of ours that contain the text."""
    handler, logger = Ear(text), logging.getLogger("trireme")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
