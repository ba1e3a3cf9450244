"""Misbehaviour on request: what tests ask of the server to see how clients bear it.

Code in the same process sets the attributes. Unset, the faults cost a request one comparison.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from trireme.pocket.apiserver import errors


@dataclass(frozen=True, slots=True)
class Rule:
    """Answers a share of the requests of some verbs and resources with an error.

    `code` is 403, 409, 410, 422, 429 or 500; empty `verbs` or `resources` match all. Verbs are Kubernetes' (get, list,
    watch, create, update, patch, delete, deletecollection), resources plurals, with `/status` and the like for
    subresources.
    """

    code: int
    share: float = 1.0
    verbs: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    times: int | None = None
    """How often the rule strikes at most; None: without end."""
    retry_after: int = 1
    """Seconds that a 429 tells the client to wait."""
    message: str = "injected"
    """What a refusal says: for 403 and 422 the whole sentence, as quotas, roles and policies word theirs."""

    def meets(self, verb: str, resource: str) -> bool:
        return (not self.verbs or verb in self.verbs) and (not self.resources or resource in self.resources)


@dataclass
class Faults:
    """The faults of one server. Which requests a rule strikes is the same in every run."""

    latency: float = 0.0
    """Seconds that every request waits first."""
    events_per_watch: int | None = None
    """A watch is closed after this many events."""
    refusing: bool = False
    """Connections are closed without an answer."""
    drop_watches: Callable[[], None] = lambda: None
    """Ends every open watch now; the server puts its own function here."""
    _rules: dict[Rule, int] = field(default_factory=dict)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    @property
    def active(self) -> bool:
        return bool(self._rules or self.latency or self.refusing)

    def add(self, rule: Rule) -> None:
        """Adds a rule; rules are tried in the order in which they came."""
        self._rules[rule] = 0

    def struck(self, rule: Rule) -> int:
        """How many requests a rule has met."""
        return self._rules[rule]

    def reseed(self, seed: int) -> None:
        """Chooses other requests for the rules that strike a share of them."""
        self._random = random.Random(seed)

    def clear(self) -> None:
        """Ends all misbehaviour."""
        self._rules.clear()
        self.latency, self.refusing, self.events_per_watch = 0.0, False, None

    async def refuse_for(self, seconds: float) -> None:
        """Answers nobody for a while, and then everybody again."""
        self.refusing = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self.refusing = False

    async def strike(self, verb: str, resource: str) -> None:
        """Does to a request what the rules say. Raises ApiError for a refusal, ConnectionAbortedError for none."""
        if self.refusing:
            raise ConnectionAbortedError
        if self.latency:
            await asyncio.sleep(self.latency)
        for rule, struck in self._rules.items():
            spent = rule.times is not None and struck >= rule.times
            if not spent and rule.meets(verb, resource) and self._random.random() < rule.share:
                self._rules[rule] = struck + 1
                raise _refusal(rule, resource)


def _refusal(rule: Rule, resource: str) -> errors.ApiError:
    match rule.code:
        case 403:
            return errors.ApiError(403, "Forbidden", rule.message, {})
        case 409:
            return errors.stale("", resource, rule.message)
        case 410:
            return errors.expired(f"too old resource version: {rule.message}")
        case 422:
            return errors.ApiError(422, "Invalid", rule.message, {})
        case 429:
            return errors.too_many_requests(rule.retry_after)
    return errors.ApiError(rule.code, "InternalError", f"Internal error occurred: {rule.message}")
