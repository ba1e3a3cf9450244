"""What is wrong with a job, all of it, each problem with its path."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class FieldError:
    path: str
    """As Kubernetes writes it: `spec.worker.template.spec.containers[0].command`."""
    message: str
    """What is wrong and what to do."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidSpec(ValueError):
    """The job cannot run as it is written. `errors` is never empty."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors
