"""What became of the nodes whose pods should have gone. Asked one by one and only then: a watch would cost a large
cluster more than the pods do, and an operator of one namespace may not have it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import NODES
from trireme.lifecycle.observe import NodeState

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
"""Many pods, of many jobs, may have been on a node that is lost."""


class Nodes:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, tuple[float, NodeState]] = {}
        self._told = False

    async def states(self, names: Iterable[str]) -> Mapping[str, NodeState]:
        """Without those that we may not ask for. Raises ApiError for what may succeed later."""
        wanted = sorted(set(names))
        found = await asyncio.gather(*map(self._state, wanted))
        return {name: state for name, state in zip(wanted, found, strict=True) if state is not None}

    async def _state(self, name: str) -> NodeState | None:
        now = asyncio.get_running_loop().time()
        self._known = {each: known for each, known in self._known.items() if now - known[0] < FRESH_SECONDS}
        if name in self._known:
            return self._known[name][1]
        try:
            state = _state_of(await self._client.get(NODES, None, name))
        except ApiError as error:
            if error.status == 403:
                self._forbidden(error)
                return None
            if not error.not_found:
                raise
            state = NodeState.GONE
        self._known[name] = now, state
        return state

    def _forbidden(self, error: ApiError) -> None:
        if not self._told:
            log.warning("pods on lost nodes are left to Kubernetes: no right to get nodes error=%s", error)
        self._told = True


def _state_of(node: Mapping[str, object]) -> NodeState:
    status = node.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    ready = next((each.get("status") for each in conditions or () if each.get("type") == "Ready"), None)
    return NodeState.READY if ready == "True" else NodeState.NOT_READY
