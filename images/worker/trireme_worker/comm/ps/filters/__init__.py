"""Filters: what happens to a message between its sender and its receiver, to make it smaller (Li et al., OSDI'14).

They compose: `chain(["topk", "bf16", "key_caching"])` selects, then rounds, then leaves out known keys. Both ends make
the same chain of the same configuration. Selecting filters are for gradients; the others are for values as well.
"""

from trireme_worker.comm.ps.filters.key_caching import UnknownKeys
from trireme_worker.comm.ps.filters.message import BadMessage, Context, Message
from trireme_worker.comm.ps.filters.packing import most_bytes, pack, unpack
from trireme_worker.comm.ps.filters.pipeline import BadFilter, Pipeline, Traffic, chain

__all__ = [
    "BadFilter",
    "BadMessage",
    "Context",
    "Message",
    "Pipeline",
    "Traffic",
    "UnknownKeys",
    "chain",
    "most_bytes",
    "pack",
    "unpack",
]
