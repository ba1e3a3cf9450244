"""The TrainingJobs as last seen, each no older than what we ourselves wrote to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trireme.spec.parse import ours

Key = tuple[str, str]
Job = dict[str, Any]


def key_of(job: Job) -> Key:
    return job["metadata"]["namespace"], job["metadata"]["name"]


class Jobs:
    """By namespace and name, those that are ours to run (`spec.managedBy`): of the others nothing is known behind here.

    Objects come from events, lists and answers to our writes, in any order.
    """

    def __init__(self) -> None:
        self._jobs: dict[Key, Job] = {}

    def get(self, key: Key) -> Job | None:
        return self._jobs.get(key)

    def all(self) -> Iterable[Job]:
        return self._jobs.values()

    def put(self, job: Job) -> bool:
        """False when it is no news: we have this version, or a later one."""
        key = key_of(job)
        if not ours(job):  # for good; what we had under its name has gone
            return self._jobs.pop(key, None) is not None
        known = self._jobs.get(key)
        if known is not None and _version(job) <= _version(known):
            return False
        self._jobs[key] = job
        return True

    def drop(self, key: Key, uid: str) -> bool:
        """False when it is not there, or there is another of its name by now."""
        known = self._jobs.get(key)
        if known is None or known["metadata"]["uid"] != uid:
            return False
        del self._jobs[key]
        return True

    def older_than(self, version: int) -> list[Job]:
        """Jobs last seen before the API server's state `version`."""
        return [job for job in self._jobs.values() if _version(job) <= version]


def _version(job: Job) -> int:
    """Resource versions grow (KEP-5504: they may be compared as numbers)."""
    return int(job["metadata"]["resourceVersion"])
