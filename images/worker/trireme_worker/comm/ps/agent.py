"""The views as the pod's agent gives them (contract.wire: /v1/view)."""

from __future__ import annotations

import http.client
from http import HTTPStatus
from urllib.parse import urlsplit

from trireme.contract import codec, wire
from trireme.contract.wire import Serving, View

ANSWER_SECONDS = 10.0
"""For an answer, beyond the time for which it may be held."""


class AgentDirectory:
    """A `view.Directory`. `url` and `key`: TRIREME_AGENT_URL and TRIREME_AGENT_KEY."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._at = parts.hostname or "", parts.port or 80
        self._key = key

    def announce(self, serving: Serving) -> View:
        return self._ask("POST", wire.VIEW_PATH, codec.encode(serving), 0.0)

    def view(self, after: int, finished: int | None = None) -> View:
        known = "" if finished is None else f"&finished={finished}"
        return self._ask("GET", f"{wire.VIEW_PATH}?after={after}{known}", b"", wire.JOIN_POLL_SECONDS)

    def _ask(self, method: str, target: str, body: bytes, held_seconds: float) -> View:
        """Raises OSError when there is no answer, or none that can be understood."""
        connection = http.client.HTTPConnection(*self._at, timeout=held_seconds + ANSWER_SECONDS)
        try:
            connection.request(method, target, body, {"Authorization": wire.bearer(self._key)})
            response = connection.getresponse()
            data = response.read(wire.RESPONSE_MAX)
            if response.status != HTTPStatus.OK:
                raise OSError(f"the agent answered {response.status} to {method} {target}: {data[:200]!r}")
            return codec.decode(View, data)
        except (http.client.HTTPException, codec.BadMessage) as error:
            raise OSError(f"the agent's answer to {method} {target} cannot be understood: {error}") from error
        finally:
            connection.close()
