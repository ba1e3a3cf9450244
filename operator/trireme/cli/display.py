"""What `trireme run` shows while a job runs: a live line on a terminal, plain lines when piped.

The job's logs go by above; nothing here decides anything.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

STYLES = {"Pending": "yellow", "Running": "cyan", "Succeeded": "green", "Failed": "red"}


class Screen(Console):
    """Its reader may leave (`trireme run | head`): the job goes on, and its exit code counts."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


class Display:
    """Context manager; `job` shows a new state of the job, `log` whole lines of a pod's log."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = ""
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None, detail="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def log(self, lines: str) -> None:
        """One call for many lines costs about as much as for one."""
        self._console.print(Text(lines), soft_wrap=True)

    def job(self, job: dict[str, Any]) -> None:
        status = job.get("status", {})
        progress = status.get("progress", {})
        phase = status.get("phase", "Pending")
        self._bar.update(
            self._task,
            description=f"[{STYLES.get(phase, 'white')}]{phase}[/]",
            completed=progress.get("step", 0),
            total=progress.get("totalSteps"),
            detail=progress_line(progress) or printable(status.get("message", "")),
        )
        message = printable(status.get("message", ""))
        if "observedGeneration" in status and message != self._said:
            self._said = message
            if phase == "Succeeded" and (reached := progress_line(progress)):
                self._say(f"last progress: {reached}", phase)
            self._say(message, phase)

    def _say(self, text: str, phase: str) -> None:
        self._console.print(Text(f"trireme: {text}", style=STYLES.get(phase, "")), soft_wrap=True)


def printable(text: str) -> str:
    """A job's own words without colours and with control characters spelt out: they must not steer a terminal."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in click.unstyle(text.expandtabs())
    )


def progress_line(progress: dict[str, Any]) -> str:
    """`120/300 (40%) loss 0.31, 12s left`; an empty string before the first report."""
    if "step" not in progress:
        return ""
    total = progress.get("totalSteps")
    text = f"{progress['step']}/{total} ({progress.get('percent', 0)}%)" if total else f"step {progress['step']}"
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(progress.get("metrics", {}).items()))
    left = f", {progress['etaSeconds']}s left" if progress.get("etaSeconds") else ""
    return f"{text} {metrics}{left}".rstrip()


def summary(job: dict[str, Any]) -> str:
    """The last lines about a finished job: its message, and where it failed the log of the rank that did."""
    status = job["status"]
    lines = [printable(status["message"])]
    if progress := progress_line(status.get("progress", {})):
        lines.append(f"last progress: {progress}")
    failure = status.get("failure", {})
    if failure.get("logTail"):
        rank = f", rank {failure['rank']}" if "rank" in failure else ""
        lines.append(f"last lines of {failure['pod']}{rank}:")
        lines += [f"    {printable(line)}" for line in failure["logTail"]]
    return "\n".join(lines)
