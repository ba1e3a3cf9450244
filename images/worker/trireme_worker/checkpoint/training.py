"""A training's state: saved by all ranks together, taken up by all ranks at the same step.

Every save is one conversation: rank 0 opens a folder, every rank writes its file there, rank 0 commits; after each
sentence all ranks know whether it went well for all. What the ranks hold in common only rank 0 writes; every rank
writes its random number generators and its sharded parts. Reading: docs/adr/0014.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn, Protocol

from trireme.contract import environ

from trireme_worker import reporter
from trireme_worker.checkpoint import manifest as manifests
from trireme_worker.checkpoint import peers as meeting
from trireme_worker.checkpoint import rng, served
from trireme_worker.checkpoint.errors import CannotResume, CheckpointError, SaveFailed, Stopped, Torn
from trireme_worker.checkpoint.folder import Folder
from trireme_worker.checkpoint.manifest import File, Manifest
from trireme_worker.checkpoint.pace import Pace, Policy, Vote
from trireme_worker.checkpoint.peers import Peers, problem, tell

VISIBLE_SECONDS = 20.0
"""What a shared file system gets to show on one node what another has renamed."""
LOOK_SECONDS = 0.2

_log = logging.getLogger("trireme_worker")


class Stateful(Protocol):
    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any) -> Any: ...


class Training:
    """`parts`: whatever has `state_dict` and `load_state_dict`, by name.

    `sharded` names the parts that differ between ranks (FSDP, tensor or pipeline parallel models and their optimizers,
    a data loader with a state): every rank saves its own, and only as many processes can resume. `directory` is for
    scripts outside of a job; inside it is `spec.checkpoint.directory`. With neither, nothing is saved.

    With a parameter server's optimizer among the parts the servers save, and `resume` goes on from their clock.
    """

    def __init__(
        self,
        *,
        policy: Policy = Policy(),  # noqa: B008 (frozen)
        sharded: Collection[str] = (),
        directory: str = "",
        **parts: Stateful,
    ) -> None:
        if unknown := sorted(set(sharded) - parts.keys()):
            raise ValueError(f"sharded names {unknown}, and the parts are {sorted(parts)}")
        self._policy = policy
        self._sharded = tuple(sorted(sharded))
        self._parts = parts
        directory = directory or os.environ.get(environ.CHECKPOINT_DIRECTORY, "")
        self._served = served.among(parts)
        self._folder = Folder(directory) if directory and self._served is None else None
        self._job = environ.job_of(os.environ)
        self._peers: Peers = meeting.Alone()
        self._pace: Pace | None = None
        """From `resume` to `finish`."""
        self._saved: int | None = None
        self._stopping = False
        self._process = os.getpid()
        self._before: Any = None
        """What SIGTERM did before it was ours."""

    def resume(self) -> int:
        """The finished steps of the newest checkpoint that all ranks can read, loaded; 0 when there is none.

        Collective. From here on SIGTERM means: save, then stop. Raises CannotResume when there are checkpoints and
        none is good, or they are another job's or another model's.
        """
        if self._served is not None:
            step = self._served.served_steps
            served.follow(self._parts, step)
            return step
        if self._folder is None:
            _log.info("%s is not set: there are no checkpoints", environ.CHECKPOINT_DIRECTORY)
            return 0
        self._peers = meeting.meet()
        if threading.current_thread() is threading.main_thread():  # nobody else may
            self._before = signal.signal(signal.SIGTERM, self._told_to_stop)
        if self._peers.rank == 0:
            self._folder.sweep()
        step = self._load_newest(self._folder)
        self._pace = Pace(self._policy, step, time.monotonic())
        return step

    def step(self, step: int) -> None:
        """After each finished step, on every rank: saves when it is time.

        A save that fails is a warning and the training goes on; the next one is tried when it is due. After SIGTERM on
        any rank all save, within a tenth of a second of steps or one step, and end: raises Stopped, or SaveFailed when
        that last save fails.
        """
        if self._pace is None:
            return
        vote = self._pace.vote(step, self._stopping, time.monotonic())
        outcome = None
        if vote is not None:
            outcome = self._pace.count([Vote.decode(one) for one in self._peers.gather(vote.encode())])
            if outcome.stop:
                self._stop(step)
        if (outcome is not None and outcome.save) or self._pace.due_by_steps(step):
            try:
                self.save(step)
            except SaveFailed as error:
                if self._peers.rank == 0:
                    _log.warning("%s; the training goes on", error)

    def save(self, step: int) -> None:
        """Now, on every rank. Raises SaveFailed, on every rank; nothing is done when this step is saved already."""
        if self._folder is None or step == self._saved:
            return
        try:
            self._save(self._folder, step)
        finally:
            if self._pace is not None:
                self._pace.saved(time.monotonic())
        self._saved = step
        if self._peers.rank == 0:
            reporter.checkpointed(step)

    def finish(self, step: int) -> None:
        """The last save; SIGTERM does again what it did before `resume`. Raises SaveFailed."""
        self.save(step)
        self._peers.close()
        self._pace = None
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None
        if self._stopping:
            raise Stopped

    def _told_to_stop(self, number: int, frame: Any) -> None:
        if os.getpid() == self._process:
            self._stopping = True
        else:  # a child that was forked with this handler is none of the training
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _stop(self, step: int) -> NoReturn:
        self.save(step)
        self._peers.close()
        raise Stopped

    def _save(self, folder: Folder, step: int) -> None:
        rank = self._peers.rank
        # On every rank, also where it is not written: some parts talk to the other ranks to make it.
        state = {name: part.state_dict() for name, part in self._parts.items()}
        mine = {name: state[name] for name in self._parts if rank == 0 or name in self._sharded}
        token = secrets.token_hex(8)
        opened = self._all(step, token=token, **_tried(lambda: folder.begin(token) if rank == 0 else None))
        token = opened[0]["token"]
        written = self._write(folder, token, {"parts": mine, "rng": rng.capture()})
        try:
            files = [File(one["size"], one["sha256"]) for one in self._all(step, **written)]
            named = {manifests.file_name(each): file for each, file in enumerate(files)}
            manifest = Manifest(step, self._peers.size, self._job, self._sharded, named)
            self._all(step, **_tried(lambda: folder.commit(token, manifest) if rank == 0 else None))
        except SaveFailed:
            if rank == 0:
                folder.abandon(token)
            raise
        if rank == 0 and (failed := _tried(lambda: folder.prune(self._policy.keep))):
            _log.warning("an old checkpoint cannot be removed from %s: %s", folder.path, failed["problem"])

    def _write(self, folder: Folder, token: str, state: dict[str, Any]) -> dict[str, Any]:
        import torch

        def write() -> dict[str, Any]:
            _loadable(state)
            name = manifests.file_name(self._peers.rank)
            file = folder.write(token, name, lambda out: torch.save(state, out))
            return {"size": file.size, "sha256": file.sha256}

        return _tried(write)

    def _all(self, step: int, **mine: Any) -> list[dict[str, Any]]:
        """What all say. Raises SaveFailed when one has a problem, ValueError when they are at different steps."""
        said = tell(self._peers, step=step, **mine)
        if len(steps := {one["step"] for one in said}) > 1:
            raise ValueError(f"all ranks must save at the same step, and they are at {sorted(steps)[:10]}")
        if found := problem(said):
            kept = f"step {self._saved} is still there" if self._saved else "nothing was there before"
            assert self._folder is not None
            raise SaveFailed(f"step {step} is not saved in {self._folder.path}: {found}; {kept}")
        return said

    def _load_newest(self, folder: Folder) -> int:
        """Rank 0 proposes, newest first; the first one that every rank has read, byte for byte, is it."""
        passed = ""
        for step in self._agreed_steps(folder):
            state, trouble = self._read(folder, step)
            if found := problem(tell(self._peers, problem=trouble)):
                passed = passed or f"step {step}: {found}"
                if self._peers.rank == 0:
                    _log.warning("step %d in %s is passed over: %s", step, folder.path, found)
            else:
                self._take(state, step)
                return step
        if passed:
            raise CannotResume(f"no checkpoint in {folder.path} is good ({passed}); to begin anew, empty the directory")
        return 0

    def _agreed_steps(self, folder: Folder) -> Iterator[int]:
        """What rank 0 proposes."""
        steps = _tried(lambda: {"steps": folder.steps()}) if self._peers.rank == 0 else {}
        if found := tell(self._peers, problem=steps.pop("problem", ""))[0]["problem"]:
            raise CannotResume(f"{folder.path} cannot be read: {found}")
        mine = iter(steps.get("steps", ()))
        while (step := tell(self._peers, step=next(mine, None))[0]["step"]) is not None:
            yield step

    def _read(self, folder: Folder, step: int) -> tuple[dict[str, Any], str]:
        """The state for this rank, and what is wrong with it. Collective, up to the manifest."""
        import torch

        proposal = _tried(lambda: {"digest": folder.manifest(step)[1]}) if self._peers.rank == 0 else {}
        digest = tell(self._peers, **proposal)[0].get("digest")
        if digest is None:
            return {}, proposal.get("problem", "")
        try:
            manifest = _seen(folder, step, digest)
            if unfit := self._unfit(manifest):
                return {"unfit": unfit}, ""
            own = manifests.file_name(self._peers.rank)
            state: dict[str, Any] = {"parts": {}}
            for name in dict.fromkeys((manifests.file_name(0), own)):
                if name not in manifest.files:
                    continue  # there are more processes now: this one keeps the seeds that it began with
                path = folder.checked(manifest, name)
                found = torch.load(path, map_location=self._location(), weights_only=True)
                common = {key: value for key, value in found["parts"].items() if key not in self._sharded}
                state["parts"].update(common if name != own else found["parts"])
                if name == own:
                    state["rng"] = found["rng"]
        except (OSError, Torn) as error:
            return {}, str(error)
        return state, ""

    def _location(self) -> Any:
        """Sharded parts are made on the device that they live on; others are copied to it as they are taken."""
        import torch

        on_gpu = self._sharded and torch.cuda.is_initialized()
        return torch.device("cuda", torch.cuda.current_device()) if on_gpu else "cpu"

    def _unfit(self, manifest: Manifest) -> str:
        if self._job and manifest.job and manifest.job != self._job:
            return f"it is of job {manifest.job}: give each job a directory of its own, or empty this one"
        if manifest.sharded != self._sharded:
            return f"it has the sharded parts {list(manifest.sharded)}, and this training has {list(self._sharded)}"
        if self._sharded and manifest.processes != self._peers.size:
            return f"its sharded parts are of {manifest.processes} processes, and there are {self._peers.size} now"
        return ""

    def _take(self, state: dict[str, Any], step: int) -> None:
        """Raises CannotResume, on every rank alike."""
        trouble = state.get("unfit") or self._load(state["parts"])
        if found := problem(tell(self._peers, problem=trouble)):
            assert self._folder is not None
            raise CannotResume(f"step {step} in {self._folder.path}: {found}")
        if "rng" in state:
            rng.restore(state["rng"])
        self._saved = step
        if self._peers.rank == 0:
            _log.info("resumed at step %d", step)
            reporter.checkpointed(step)

    def _load(self, saved: Mapping[str, Any]) -> str:
        """What does not fit; empty when all parts are loaded."""
        if missing := sorted(self._parts.keys() - saved.keys()):
            return f"it has no part {missing}, only {sorted(saved)}"
        for name, part in self._parts.items():
            try:
                part.load_state_dict(saved[name])
            except (LookupError, RuntimeError, TypeError, ValueError) as error:
                return f"part {name} does not fit: {error}"
        return ""


def _seen(folder: Folder, step: int, digest: str) -> Manifest:
    """The manifest that rank 0 has read. Raises Torn when this rank does not get to see it."""
    end = time.monotonic() + VISIBLE_SECONDS
    while True:
        try:
            manifest, found = folder.manifest(step)
            if found == digest:
                return manifest
        except (OSError, Torn):
            found = ""
        if time.monotonic() >= end:
            raise Torn("this rank does not see it: all pods must share the directory")
        time.sleep(LOOK_SECONDS)


def _loadable(state: Mapping[str, Any]) -> None:
    """Raises SaveFailed when a part holds what only an unsafe load would give back."""
    import torch

    for name, part in {**state["parts"], "rng": state["rng"]}.items():
        buffer = io.BytesIO()
        try:
            torch.save(_hollow(part), buffer)
            buffer.seek(0)
            torch.load(buffer, weights_only=True)
        except Exception as error:  # whatever its objects do when they are pickled
            reason = str(error).strip().splitlines()[0]
            raise SaveFailed(f"part {name} is not only tensors, numbers, texts, lists and dicts: {reason}") from error


def _hollow(value: Any) -> Any:
    """The same without the tensors' contents."""
    import torch

    if isinstance(value, torch.Tensor):
        return None
    if type(value) is dict:
        return {key: _hollow(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_hollow(item) for item in value)
    return value


def _tried(work: Any) -> dict[str, Any]:
    """What it returns, or the problem, in words."""
    try:
        return work() or {}
    except OSError as error:
        return {"problem": os.strerror(error.errno) if error.errno else str(error)}
    except (CheckpointError, Torn) as error:
        return {"problem": str(error)}
