"""What noted.py writes, read as it grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Note:
    what: str
    """started, ready or step"""
    rank: int
    generation: int
    step: int
    at: float
    """Seconds on the monotonic clock."""


@dataclass
class Notes:
    path: Path
    _offset: int = 0
    _found: list[Note] = field(default_factory=list)

    def all(self) -> list[Note]:
        """In the order in which they were written; a line that is being written is left out."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offset += len(whole)
            self._found += map(_note, whole.decode().splitlines())
        return self._found

    def after(self, at: float) -> list[Note]:
        return [note for note in self.all() if note.at > at]


def _note(line: str) -> Note:
    what, rank, generation, step, at = line.split()
    return Note(what, int(rank), int(generation), int(step), float(at))
