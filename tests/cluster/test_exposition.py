"""/metrics over HTTP."""

from __future__ import annotations

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge
from trireme.controller.exposition import serving


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("oars", "Oars.", registry=made).set(170)
    return made


@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("", "text/plain", "oars 170.0\n"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text", "# EOF\n"),
    ],
    ids=["plain", "openmetrics"],
)
async def test_it_speaks_what_the_scraper_asks_for(
    registry: CollectorRegistry, accept: str, content_type: str, end: str
) -> None:
    async with serving(registry, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept}) as answer:
            assert (answer.status, answer.content_type) == (200, content_type)
            assert (await answer.text()).endswith(end)
        async with session.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 404


async def test_a_port_that_is_taken_is_an_error_that_names_it(registry: CollectorRegistry) -> None:
    async with serving(registry, "127.0.0.1", 0) as port:
        with pytest.raises(OSError, match=str(port)):
            async with serving(registry, "127.0.0.1", port):
                pass
