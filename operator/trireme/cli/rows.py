"""What `trireme get` shows of a job, as values and as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from trireme.cli.display import STYLES, printable
from trireme.pocket.objects.ages import age

BAR_CELLS = 12
HEADINGS = ("NAMESPACE", "NAME", "PHASE", "WORKERS", "PROGRESS", "RESTARTS", "AGE", "MESSAGE")


@dataclass(frozen=True)
class Row:
    namespace: str
    name: str
    phase: str
    workers: str
    percent: int | None
    progress: str
    """`45%`, or `step 120`; empty before the first report."""
    restarts: int
    age: str
    message: str

    def cells(self) -> tuple[str, ...]:
        return (
            self.namespace, self.name, self.phase, self.workers, self.progress, str(self.restarts), self.age,
            self.message,
        )  # fmt: skip


def row(job: dict[str, Any], now: datetime) -> Row:
    metadata, status = job["metadata"], job.get("status") or {}
    progress = status.get("progress") or {}
    return Row(
        namespace=metadata["namespace"],
        name=metadata["name"],
        phase=status.get("phase") or "Pending",
        workers=status.get("workersReady", ""),
        percent=progress.get("percent"),
        progress=progress.get("display", ""),
        restarts=status.get("restarts", 0),
        age=age(metadata.get("creationTimestamp"), now),
        message=printable(status.get("message") or "no operator has looked at it yet"),
    )


def rows(jobs: Iterable[dict[str, Any]], now: datetime | None = None) -> list[Row]:
    at = now or datetime.now(UTC)
    return [row(job, at) for job in jobs]


def columns(lines: Iterable[Sequence[str]], widths: Sequence[int] = ()) -> list[str]:
    """Left-justified columns, three spaces apart, as kubectl prints them; `widths` are the least ones."""
    cells = list(lines)
    found = [max(map(len, column)) for column in zip(*cells, strict=True)]
    wide = [max(width, least) for width, least in zip(found, widths or [0] * len(found), strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip() for line in cells]


def plain(shown: Sequence[Row], *, namespaces: bool) -> list[tuple[str, ...]]:
    """The headings and one tuple of cells a row."""
    first = 0 if namespaces else 1
    return [HEADINGS[first:], *(each.cells()[first:] for each in shown)]


def coloured(shown: Sequence[Row], *, namespaces: bool) -> Table:
    """For a terminal: bars, colours, and messages cut to its width."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in HEADINGS[0 if namespaces else 1 :]:
        table.add_column(heading, no_wrap=heading != "MESSAGE")  # the one column that gets narrower
    for each in shown:
        _, name, phase, workers, progress, *rest = each.cells()
        cells = [
            Text(name),
            Text(phase, style=STYLES.get(phase, "")),
            Text(workers),
            Text(progress) if each.percent is None else bar(each.percent),
            *map(Text, rest[:-1]),
            Text(each.message, no_wrap=True, overflow="ellipsis"),
        ]
        table.add_row(*([Text(each.namespace)] if namespaces else []), *cells)
    return table


def bar(percent: int) -> Text:
    """`━━━━━───────  45%`."""
    done = min(BAR_CELLS, BAR_CELLS * percent // 100)
    return Text.assemble(("━" * done, "cyan"), ("─" * (BAR_CELLS - done), "dim"), f" {percent:3d}%")
