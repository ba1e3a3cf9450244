from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator


class _Ear(logging.Handler):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.heard = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self.text in record.getMessage():
            self.heard.set()


@contextlib.contextmanager
def ear(text: str) -> Iterator[asyncio.Event]:
    """Set when a log line of ours contains the text."""
    handler, logger = _Ear(text), logging.getLogger("trireme")
    logger.addHandler(handler)
    try:
        yield handler.heard
    finally:
        logger.removeHandler(handler)
