"""The follower with a cluster made of values; the clock jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from support.warp import warped
from trireme.cli.follow import Follower
from trireme.cli.lines import Line, Mark
from trireme.cluster.errors import ApiError, Unreachable

T0 = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
ENDED = {"terminated": {"exitCode": 0}}
Step = str | float | Exception


class Mirror:
    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self._objects: dict[str, dict[str, Any]] = {}

    def objects(self) -> list[dict[str, Any]]:
        return list(self._objects.values())

    def put(self, name: str, obj: dict[str, Any] | None) -> None:
        if obj is None:
            del self._objects[name]
        else:
            self._objects[name] = obj
        self._changed.set()


class Scene:
    """Logs are scripts, one a connection: lines, pauses in seconds, errors; after the last one they are empty."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.jobs, self.pods = Mirror(self.changed), Mirror(self.changed)
        self.scripts: dict[str, list[list[Step]]] = {}
        self.since: list[str | None] = []
        self.shown: list[str] = []
        self.waits: list[str] = []
        self.broken = False
        self.seen: dict[str, Mark] = {}

    def job(self, phase: str, message: str = "") -> None:
        self.jobs.put("digits", {"status": {"phase": phase, "message": message}})

    def pod(self, index: int, state: dict[str, Any] | None, uid: str = "") -> None:
        metadata = {
            "name": f"digits-worker-{index}", "namespace": "team", "uid": uid or f"u{index}", "resourceVersion": "1",
        }  # fmt: skip
        statuses = [{"name": "trainer", "state": state}] if state else []
        phase = "Running" if state == RUNNING else "Succeeded" if state == ENDED else "Pending"
        self.pods.put(
            metadata["name"],
            {
                "metadata": metadata,
                "spec": {"containers": [{"name": "trainer"}]},
                "status": {"phase": phase, "containerStatuses": statuses},
            },
        )

    async def read(self, pod: str, *, follow: bool, since_time: str | None) -> AsyncGenerator[Line, None]:
        assert follow
        self.since.append(since_time)
        scripts = self.scripts.get(pod)
        for step in scripts.pop(0) if scripts else ():
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, Exception):
                raise step
            else:
                second, _, text = step.partition(" ")
                yield Line(pod, T0.replace(second=int(second)), f"2026-01-01T00:00:{second}Z", text)

    def show(self, line: Line) -> None:
        if self.broken:
            raise BrokenPipeError
        self.shown.append(line.text)

    def follower(self) -> Follower:
        return Follower(
            self,  # type: ignore[arg-type]
            self.jobs,  # type: ignore[arg-type]
            self.pods,  # type: ignore[arg-type]
            self.changed,
            seen=self.seen,
            show=self.show,
            waiting=self.waits.append,
        )


def follow(act: Callable[[Scene], Coroutine[Any, Any, None]]) -> Scene:
    """The scene after the follower has come to its end; `act` goes on beside it."""

    async def main() -> Scene:
        scene = Scene()
        acting = asyncio.create_task(act(scene))
        await asyncio.sleep(0)
        async with asyncio.timeout(10_000):
            await scene.follower().run()
        await acting
        return scene

    return warped(main())


def test_it_waits_for_pods_says_why_and_ends_with_the_job() -> None:
    async def act(scene: Scene) -> None:
        scene.job("Pending", "Pending: 2/2 unschedulable: Insufficient cpu")
        scene.pod(0, None)
        await asyncio.sleep(5)
        scene.scripts = {"digits-worker-0": [["01 a", 10.0, "11 b"]], "digits-worker-1": [[3.0, "04 c"]]}
        scene.job("Running")
        scene.pod(0, RUNNING)
        await asyncio.sleep(1)
        scene.pod(1, RUNNING)
        await asyncio.sleep(1)
        scene.pod(0, ENDED)
        scene.pod(1, ENDED)
        scene.job("Succeeded")

    scene = follow(act)
    assert scene.shown == ["a", "c", "b"]
    assert scene.waits[0] == "Pending: 2/2 unschedulable: Insufficient cpu"


@pytest.mark.parametrize(
    "break_off",
    [
        pytest.param([], id="ends early"),
        pytest.param([Unreachable("log", "broken")], id="breaks"),
        pytest.param([ApiError("log", 500, "InternalError", "kubelet away")], id="refused"),
    ],
)
def test_a_log_that_breaks_off_goes_on_and_no_line_comes_twice(break_off: list[Step]) -> None:
    async def act(scene: Scene) -> None:
        scene.scripts = {"digits-worker-0": [["01 a", "02 b", *break_off], ["02 b", "02 b2", "03 c", 50.0]]}
        scene.job("Running")
        scene.pod(0, RUNNING)
        await asyncio.sleep(20)
        scene.pod(0, ENDED)
        scene.job("Succeeded")

    scene = follow(act)
    assert scene.shown == ["a", "b", "b2", "c"]
    assert scene.since[:2] == [None, "2026-01-01T00:00:02Z"]


def test_lines_of_one_moment_are_put_in_order() -> None:
    async def act(scene: Scene) -> None:
        scene.scripts = {"digits-worker-0": [[0.05, "02 second"]], "digits-worker-1": [[0.06, "01 first"]]}
        scene.job("Succeeded")
        scene.pod(0, ENDED)
        scene.pod(1, ENDED)

    assert follow(act).shown == ["first", "second"]


def test_what_was_shown_before_is_not_shown_again() -> None:
    async def act(scene: Scene) -> None:
        scene.seen["digits-worker-0"] = Mark(T0.replace(second=2), "2026-01-01T00:00:02Z")
        scene.scripts = {"digits-worker-0": [["01 a", "02 b", "03 c"]]}
        scene.job("Succeeded")
        scene.pod(0, ENDED)

    assert follow(act).shown == ["c"]


def test_a_pod_that_is_replaced_is_followed_anew() -> None:
    async def act(scene: Scene) -> None:
        scene.scripts = {"digits-worker-0": [["01 old", 5.0], ["09 new"]]}
        scene.job("Running")
        scene.pod(0, RUNNING)
        await asyncio.sleep(2)
        scene.pods.put("digits-worker-0", None)
        await asyncio.sleep(10)
        scene.pod(0, ENDED, uid="another")
        scene.job("Succeeded")

    assert follow(act).shown == ["old", "new"]


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_a_reader_that_has_enough_ends_it(phase: str) -> None:
    async def main() -> None:
        scene = Scene()
        scene.scripts = {"digits-worker-0": [["01 a"]]}
        scene.job(phase)
        scene.pod(0, RUNNING if phase == "Running" else ENDED)
        scene.broken = True
        await scene.follower().run()

    with pytest.raises(BrokenPipeError):
        warped(main())


def test_a_job_that_is_deleted_ends_it() -> None:
    async def act(scene: Scene) -> None:
        scene.scripts = {"digits-worker-0": [["01 a", 5.0], [ApiError("log", 404, "NotFound", "gone")]]}
        scene.job("Running")
        scene.pod(0, RUNNING)
        await asyncio.sleep(1)
        scene.jobs.put("digits", None)
        scene.pods.put("digits-worker-0", None)

    assert follow(act).shown == ["a"]
