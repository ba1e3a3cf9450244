"""Discovery: one question for all who ask, asked anew when the answer is old or proved wrong."""

from __future__ import annotations

import asyncio
from typing import Any

from support.warp import warped
from trireme.cluster.discovery import Discovery

KINDS = [("a/v1", "One"), ("a/v1", "Two"), ("b/v1", "One")]


class Api:
    def __init__(self) -> None:
        self.served = {"a/v1": frozenset({"One", "Other"})}
        self.asked: list[str] = []

    async def kinds(self, api_version: str) -> frozenset[str]:
        self.asked.append(api_version)
        await asyncio.sleep(1)
        return self.served.get(api_version, frozenset())


def test_an_answer_holds_for_a_while_and_for_everybody() -> None:
    async def main() -> None:
        api: Any = Api()
        discovery = Discovery(api, KINDS)
        answers = await asyncio.gather(discovery.served(), discovery.served())
        assert answers == [{("a/v1", "One")}] * 2
        assert api.asked == ["a/v1", "b/v1"]
        api.served = {}
        await asyncio.sleep(200)
        assert await discovery.served() == {("a/v1", "One")}
        assert await discovery.served(fresh_seconds=100) == frozenset()
        api.served = {"b/v1": frozenset({"One"})}
        discovery.forget()
        assert await discovery.served() == {("b/v1", "One")}
        assert len(api.asked) == 6

    warped(main())
