from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from support.warp import warped
from trireme.cluster.errors import ApiError, Unreachable
from trireme.cluster.events import BURST, NOTE_BYTES, PENDING_MAX, SERIES_SECONDS, Recorder, cut
from trireme.cluster.resources import EVENTS, Resource

JOB = {
    "apiVersion": "trireme.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "digits", "namespace": "team", "uid": "u1", "resourceVersion": "7"},
}
NOW = datetime(2026, 1, 1, 12, 0, 0, 250, tzinfo=UTC)
GONE = ApiError("patch", 404, "NotFound", "not found")


class Api:
    """Keeps what was written; `refuse` may raise instead, once for each error."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, Any]] = []
        self.refuse: list[Exception] = []

    async def create(self, resource: Resource, namespace: str, body: Any) -> None:
        await self._write("create", resource, namespace, body)

    async def patch(self, resource: Resource, namespace: str, name: str, body: Any) -> None:
        await self._write("patch", resource, namespace, body)

    async def _write(self, verb: str, resource: Resource, namespace: str, body: Any) -> None:
        assert (resource, namespace) == (EVENTS, "team")
        if self.refuse:
            raise self.refuse.pop(0)
        self.writes.append((verb, body))


async def drain(events: Recorder) -> None:
    """Has everything written that waits."""
    task = asyncio.create_task(events.run())
    await asyncio.sleep(60)
    task.cancel()


def recorder(api: Any, clock: Callable[[], float] = lambda: 0.0) -> Recorder:
    return Recorder(api, instance="trireme-0", clock=clock, now=lambda: NOW)


def test_an_event_says_who_what_and_when() -> None:
    api = Api()

    async def main() -> None:
        events = recorder(api)
        events.record(JOB, "Normal", "Launched", "2/2 pods are created")
        await drain(events)

    warped(main())
    ((verb, event),) = api.writes
    name = event["metadata"].pop("name")
    assert name.startswith("digits.")
    assert (verb, event) == (
        "create",
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"namespace": "team"},
            "regarding": {
                "apiVersion": "trireme.dev/v1alpha1",
                "kind": "TrainingJob",
                "name": "digits",
                "namespace": "team",
                "uid": "u1",
            },
            "type": "Normal",
            "reason": "Launched",
            "action": "Reconcile",
            "note": "2/2 pods are created",
            "eventTime": "2026-01-01T12:00:00.000250Z",
            "reportingController": "trireme.dev/operator",
            "reportingInstance": "trireme-0",
        },
    )


def test_what_repeats_itself_becomes_a_series_and_later_it_is_news_again() -> None:
    api, now = Api(), [0.0]

    async def main() -> None:
        events = recorder(api, lambda: now[0])
        for now[0] in (0.0, 30.0, 60.0, 60.0 + SERIES_SECONDS):
            events.record(JOB, "Warning", "Restarting", "Restarting 1/3: worker-1")
            await drain(events)
        events.record(JOB, "Warning", "Restarting", "Restarting 2/3: worker-0")
        await drain(events)

    warped(main())
    seen = "2026-01-01T12:00:00.000250Z"
    assert [(verb, body.get("note"), body.get("series")) for verb, body in api.writes] == [
        ("create", "Restarting 1/3: worker-1", None),
        ("patch", None, {"count": 2, "lastObservedTime": seen}),
        ("patch", None, {"count": 3, "lastObservedTime": seen}),
        ("create", "Restarting 1/3: worker-1", None),
        ("create", "Restarting 2/3: worker-0", None),
    ]


def test_a_series_whose_event_has_gone_begins_anew() -> None:
    api = Api()

    async def main() -> None:
        events = recorder(api)
        events.record(JOB, "Normal", "Running", "first")
        await drain(events)
        api.refuse = [GONE]
        events.record(JOB, "Normal", "Running", "first")
        await drain(events)

    warped(main())
    assert [verb for verb, _ in api.writes] == ["create", "create"]


def test_one_object_may_not_flood_and_gets_its_voice_back() -> None:
    api, now = Api(), [0.0]

    async def main() -> None:
        events = recorder(api, lambda: now[0])
        for number in range(3 * BURST):
            events.record(JOB, "Warning", f"Reason{number}", "")
            await drain(events)
        assert len(api.writes) == BURST
        other = {**JOB, "metadata": {**JOB["metadata"], "uid": "u2"}}  # type: ignore[dict-item]
        events.record(other, "Warning", "Unschedulable", "")
        now[0] = 60.0
        for number in range(BURST):
            events.record(JOB, "Warning", f"Later{number}", "")
        await drain(events)

    warped(main())
    assert len(api.writes) == BURST + 1 + 2


@pytest.mark.parametrize(
    ("error", "levels"),
    [
        pytest.param(ApiError("create", 429, "TooManyRequests", "busy"), ["DEBUG"] * 2, id="busy"),
        pytest.param(
            ApiError("create", 403, "Forbidden", "no right to"), ["DEBUG", "WARNING", "DEBUG"], id="forbidden"
        ),
        pytest.param(Unreachable("create", "broken"), ["DEBUG"] * 2, id="unreachable"),
    ],
)
def test_what_cannot_be_written_is_dropped_and_the_next_one_goes_on(
    error: ApiError, levels: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    api = Api()
    caplog.set_level(logging.DEBUG, "trireme.cluster.events")

    async def main() -> None:
        api.refuse = [error, error]
        events = recorder(api)
        for reason in ("Launched", "Unschedulable", "Running"):
            events.record(JOB, "Normal", reason, "")
        await drain(events)

    warped(main())
    assert [body["reason"] for _, body in api.writes] == ["Running"]
    assert [record.levelname for record in caplog.records] == levels


def test_a_namespace_that_takes_no_events_does_not_hide_that_another_takes_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "trireme.cluster.events")

    class Closed:
        async def create(self, resource: Resource, namespace: str, body: Any) -> None:
            raise ApiError("create", 403, "Forbidden", f"not in {namespace}")

    async def main() -> None:
        events = recorder(Closed())
        for number, namespace in enumerate(("going", "team", "going", "team")):
            about = {**JOB, "metadata": {**JOB["metadata"], "namespace": namespace}}  # type: ignore[dict-item]
            events.record(about, "Normal", f"Reason{number}", "")
            await drain(events)

    warped(main())
    assert [record.getMessage().split("namespace=")[1] for record in caplog.records] == [
        "going: create: not in going (403 Forbidden)",
        "team: create: not in team (403 Forbidden)",
    ]


def test_an_api_server_that_does_not_answer_is_not_waited_for() -> None:
    async def main() -> list[float]:
        tried = []

        class Silent(Api):
            async def create(self, *_: Any) -> None:
                tried.append(asyncio.get_running_loop().time())
                await asyncio.sleep(3600)

        events = recorder(Silent())
        events.record(JOB, "Normal", "Launched", "")
        events.record(JOB, "Normal", "Running", "")
        writing = asyncio.create_task(events.run())
        await asyncio.sleep(15)
        writing.cancel()
        return tried

    assert warped(main()) == [0.0, 10.0]


def test_recording_never_waits_and_never_grows_without_end() -> None:
    async def main() -> int:
        api = Api()
        events = recorder(api)
        for number in range(2 * PENDING_MAX):
            about = {**JOB, "metadata": {**JOB["metadata"], "uid": f"u{number}"}}  # type: ignore[dict-item]
            events.record(about, "Normal", "Launched", "")
        await drain(events)
        return len(api.writes)

    assert warped(main()) == PENDING_MAX


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [("short", 8, "short"), ("exactly8", 8, "exactly8"), ("more than 8", 8, "more …"), ("ééééé", 8, "éé…")],
)
def test_notes_are_cut_between_characters(text: str, size: int, expected: str) -> None:
    assert cut(text, size) == expected
    assert len(expected.encode()) <= size <= NOTE_BYTES
