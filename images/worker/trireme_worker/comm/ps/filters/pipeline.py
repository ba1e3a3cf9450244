"""A chain of filters, made of a configuration that both ends know.

A pipeline is one sender's or one receiver's: it has state, and two threads must not use it at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trireme_worker.comm.ps.filters.half import bf16, fp16
from trireme_worker.comm.ps.filters.int8 import Int8
from trireme_worker.comm.ps.filters.key_caching import KeyCaching
from trireme_worker.comm.ps.filters.kkt import Kkt
from trireme_worker.comm.ps.filters.message import Context, Message, check
from trireme_worker.comm.ps.filters.significantly_modified import SignificantlyModified
from trireme_worker.comm.ps.filters.topk import TopK
from trireme_worker.comm.ps.rows import coalesce


class BadFilter(ValueError):
    """A filter that does not exist, an option that it does not take, or an order that cannot be."""


class Filter(Protocol):
    @property
    def stage(self) -> int:
        """0 selects, 1 rounds, 2 shortens the keys: a chain goes through them in this order."""
        ...

    def encode(self, message: Message, context: Context) -> Message: ...

    def decode(self, message: Message, context: Context) -> Message:
        """The inverse, as far as there is one. Raises BadMessage for whatever `encode` cannot have made."""
        ...


@dataclass(frozen=True)
class Traffic:
    """Bytes of all messages before and after a filter."""

    before: int = 0
    after: int = 0


FILTERS: dict[str, Callable[..., Filter]] = {
    "kkt": Kkt,
    "significantly_modified": SignificantlyModified,
    "topk": TopK,
    "fp16": fp16,
    "bf16": bf16,
    "int8": Int8,
    "key_caching": KeyCaching,
}


class Pipeline:
    """Named filters in the order of sending; none at all is a pipeline too."""

    def __init__(self, filters: Iterable[tuple[str, Filter]] = ()) -> None:
        self._filters = tuple(filters)
        self.traffic = {name: Traffic() for name, _ in self._filters}

    @property
    def needs_values(self) -> bool:
        """Whether `encode` looks at `Context.values`: a sender need not keep them otherwise."""
        return any(isinstance(filtering, Kkt) for _, filtering in self._filters)

    def encode(self, message: Message, context: Context) -> Message:
        """A gradient or values, as `check` wants them, to what is sent. Call it once a message: what is sent again is
        the same result, for the filters have noted what they kept back. Rows come in ascending order, each once.
        """
        if message.indices is not None:
            indices, values = coalesce(message.indices, message.values)
            message = message.but(indices=indices, values=values)
        for name, filtering in self._filters:
            before = message.nbytes
            message = filtering.encode(message, context)
            seen = self.traffic[name]
            self.traffic[name] = Traffic(seen.before + before, seen.after + message.nbytes)
        return message

    def decode(self, message: Message, context: Context) -> Message:
        """The inverse, always float32. Raises BadMessage for what no sender can have meant, UnknownKeys."""
        for _, filtering in reversed(self._filters):
            message = filtering.decode(message, context)
        return check(message, context)

    def whole(self, encoded: Message, context: Context) -> Message:
        """What to send after UnknownKeys: the same message with its indices."""
        for _, filtering in self._filters:
            if isinstance(filtering, KeyCaching):
                return filtering.whole(encoded, context)
        return encoded


def chain(filters: Iterable[str | Mapping[str, Any]] = (), seed: int = 0) -> Pipeline:
    """`["bf16"]`, `[{"name": "topk", "ratio": 0.01}, "int8", "key_caching"]`. Raises BadFilter.

    `seed` is the sender's rank: workers that round alike would err alike.
    """
    made = [_create({"name": item} if isinstance(item, str) else item, seed) for item in filters]
    names = [name for name, _ in made]
    if len(set(names)) < len(names):
        raise BadFilter(f"a filter stands twice in {names}")
    stages = [filtering.stage for _, filtering in made]
    if stages != sorted(stages) or stages.count(1) > 1:
        raise BadFilter(
            f"{names} is no order: first what selects (kkt, significantly_modified, topk), "
            "then one that rounds (fp16, bf16, int8), then key_caching"
        )
    return Pipeline(made)


def _create(config: Mapping[str, Any], seed: int) -> tuple[str, Filter]:
    if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
        raise BadFilter(f'a filter is a name or {{"name": ..., options}}, got {config!r:.200}')
    options = dict(config)
    name = options.pop("name")
    factory = FILTERS.get(name)
    if factory is None:
        raise BadFilter(f"no filter {name!r:.100}: there are {', '.join(FILTERS)}")
    if "seed" in inspect.signature(factory).parameters:
        options.setdefault("seed", seed)
    try:
        inspect.signature(factory).bind(**options)
        return name, factory(**options)
    except (TypeError, ValueError) as error:
        raise BadFilter(f"filter {name}{inspect.signature(factory)}: {error}") from None
