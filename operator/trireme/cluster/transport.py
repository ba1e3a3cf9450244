"""Requests to one API server: credentials, time-outs, errors in our own words. Knows HTTP, and no verb of Kubernetes.

`kubernetes.aio` brings TLS and credentials with their refreshing. Its typed models stay unused (they cost three times
the CPU, measured), and so do its requests: its JSON and its time-outs are not ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException

from trireme import __version__
from trireme.cluster import kubeconfig
from trireme.cluster.errors import ApiError, BadKubeconfig, Unreachable, from_status
from trireme.cluster.fence import Fence

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0
BUSY_TRIES = 5
BUSY_SECONDS_MAX = 30.0

JSON = "application/json"

BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
"""What a connection that fails raises."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    """None and empty strings are left out."""
    body: Any = None
    content_type: str = JSON
    total_seconds: float | None = REQUEST_SECONDS
    silence_seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def url(self) -> str:
        given = {key: str(value).lower() if isinstance(value, bool) else value for key, value in self.query.items()}
        text = urlencode({key: value for key, value in given.items() if value not in (None, "")})
        return f"{self.path}?{text}" if text else self.path


Answered = Callable[[Request, int, float], None]
"""Called for each answer: the request, the HTTP status (0: there was none), and the seconds to the answer's head."""


def nobody_counts(request: Request, status: int, seconds: float) -> None:
    """The default."""


class Transport:
    """One connection pool."""

    def __init__(
        self, configuration: Configuration, kubeconfig_path: Path | None, context: str | None, fence: Fence | None
    ) -> None:
        configuration.connection_pool_maxsize = 0  # unlimited: watches and logs hold theirs for long
        configuration.client_session_kwargs = {
            "trust_env": False,  # looking for proxies and netrc doubles the CPU
            "trace_configs": [_checking(fence)] if fence is not None else [],
        }
        self._configuration = configuration
        self._source = (kubeconfig_path, context)
        self._renewing = asyncio.Lock()
        self.answered: Answered = nobody_counts
        self._session: aiohttp.ClientSession = RESTClientObject(configuration)._create_pool_manager()
        self._route: dict[str, Any] = {
            "server_hostname": configuration.tls_server_name or None,
            "proxy": configuration.proxy or None,
            "proxy_headers": configuration.proxy_headers or None,
        }

    @classmethod
    async def connect(cls, kubeconfig_path: Path | None, context: str | None, fence: Fence | None = None) -> Transport:
        """Behind a closed `fence` no body is sent, and so no write. Nothing is sent yet. Raises BadKubeconfig."""
        return cls(await kubeconfig.load(kubeconfig_path, context), kubeconfig_path, context, fence)

    async def close(self) -> None:
        await self._session.close()

    async def send(self, request: Request) -> bytes:
        """The whole answer. A server that is too busy, and says for how long, is asked again then."""
        for tries_left in reversed(range(BUSY_TRIES)):
            try:
                async with self.open(request) as response:
                    return await response.read()
            except ApiError as error:
                if not tries_left or not error.retriable or error.retry_after is None:
                    raise
                log.debug("busy request=%s retry_after=%s", request, error.retry_after)
                await asyncio.sleep(min(error.retry_after, BUSY_SECONDS_MAX))
            except BROKEN as error:
                raise unreachable(request, error) from error
        raise AssertionError("the last try returns or raises")

    @contextlib.asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response with a good status; its body is still on its way. Raises ApiError."""
        credentials = await self._credentials(request)
        response = await self._try(request, credentials)
        if response.status == 401:
            response.release()
            await self._renew(request, credentials)
            response = await self._try(request, await self._credentials(request))
        try:
            if response.status >= 400:
                raise await _error(request, response)
            yield response
        finally:
            response.release()  # closes the connection if the body was not read to its end

    async def _try(self, request: Request, credentials: dict[str, str]) -> aiohttp.ClientResponse:
        headers = {
            "Accept": JSON,
            "Content-Type": request.content_type,
            "User-Agent": f"trireme/{__version__}",
            **credentials,
        }
        limits = aiohttp.ClientTimeout(
            total=request.total_seconds, sock_connect=CONNECT_SECONDS, sock_read=request.silence_seconds
        )
        url = self._configuration.host + request.url
        data = None if request.body is None else msgspec.json.encode(request.body)
        began = time.perf_counter()
        try:
            response = await self._session.request(
                request.method, url, headers=headers, data=data, timeout=limits, **self._route
            )
        except BROKEN as error:
            self.answered(request, 0, time.perf_counter() - began)
            raise unreachable(request, error) from error
        self.answered(request, response.status, time.perf_counter() - began)
        return response

    async def _credentials(self, request: Request) -> dict[str, str]:
        """The library looks into the service account's token file from time to time."""
        try:
            schemes: Any = await self._configuration.auth_settings()
        except (ConfigException, OSError) as error:  # somebody is writing it
            raise Unreachable(str(request), f"no credentials: {error}") from error
        return {scheme["key"]: scheme["value"] for scheme in schemes.values()}

    async def _renew(self, request: Request, refused: dict[str, str]) -> None:
        """Short-lived tokens (exec plugins, OIDC) are fetched anew, once for all requests that they were refused to."""
        async with self._renewing:
            if await self._credentials(request) != refused:
                return
            try:
                fresh = await kubeconfig.load(*self._source)
            except BadKubeconfig as error:  # somebody is writing it: the next refusal looks again
                log.warning("credentials cannot be renewed: %s", error)
            else:
                self._configuration.api_key = fresh.api_key
                self._configuration.refresh_api_key_hook = fresh.refresh_api_key_hook


def _checking(fence: Fence) -> aiohttp.TraceConfig:
    """aiohttp calls this "sent" right before it sends a body, and the head with it: connecting and waiting are over."""

    async def before_a_body(*_: object) -> None:
        fence.check()

    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(before_a_body)
    return trace


def unreachable(request: Request, error: Exception) -> Unreachable:
    return Unreachable(str(request), f"{type(error).__name__}: {error}".rstrip(": "))


async def _error(request: Request, response: aiohttp.ClientResponse) -> ApiError:
    try:
        body = msgspec.json.decode(await response.read())
    except (msgspec.DecodeError, *BROKEN):  # not the API server's own words: a proxy's, or half of them
        body = None
    try:
        retry_after = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        retry_after = None
    return from_status(str(request), response.status, response.reason or "", body, retry_after)
