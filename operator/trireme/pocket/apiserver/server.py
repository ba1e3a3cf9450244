"""The API server's door: TLS, the token, the paths that are no kinds, and streams."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import logging
import platform
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from trireme.pocket.apiserver import bodies, discovery, errors, openapi
from trireme.pocket.apiserver.builtin.kinds import BUILT_IN
from trireme.pocket.apiserver.controllers import Controllers
from trireme.pocket.apiserver.errors import ApiError
from trireme.pocket.apiserver.faults import Faults
from trireme.pocket.apiserver.handlers import Answer, Handlers, Request, check_subresource
from trireme.pocket.apiserver.kinds import Clock, Registry
from trireme.pocket.apiserver.logs import LogSource, container_of, log_options
from trireme.pocket.apiserver.operations import Operations
from trireme.pocket.apiserver.options import is_true
from trireme.pocket.apiserver.paths import Target, parse
from trireme.pocket.apiserver.present import presenter
from trireme.pocket.apiserver.store import HISTORY, Store
from trireme.pocket.apiserver.times import utcnow
from trireme.pocket.apiserver.tls import Tls, make_tls
from trireme.pocket.apiserver.watching import stream

_log = logging.getLogger(__name__)
_encode: Final = msgspec.json.Encoder().encode
_JSON: Final = "application/json"
_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_OPEN_PATHS: Final = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_SHUTDOWN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Running:
    url: str
    tls: Tls
    runner: web.ServerRunner
    controllers: asyncio.Task[None]


class ApiServer:
    """One Kubernetes API server in this process, listening on loopback.

    `token` is the one bearer token that it accepts, until it is given another; `logs` gives the logs of pods; `clock`
    tells the time of stamps; `history` is the number of changes of one resource that watches and pages may go back.
    """

    def __init__(
        self, *, token: str, logs: LogSource | None = None, clock: Clock = utcnow, history: int = HISTORY
    ) -> None:
        self.store = Store(history=history)
        self.faults = Faults(drop_watches=self.store.close_watches)
        self.logs = logs
        self.token = token
        self._clock = clock
        self._registry = Registry()
        for kind in BUILT_IN:
            self._registry.add(kind)
        operations = Operations(self.store, self._registry, clock)
        self._handlers = Handlers(operations)
        self._controllers = Controllers(operations)
        self._controllers.create_first_namespaces()
        self._running: _Running | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens and returns the URL. Raises OSError when the port is taken."""
        tls = make_tls(host, utcnow())
        runner = web.ServerRunner(
            web.Server(self._serve, handler_cancellation=True, access_log=None), shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls.context).start()
        except OSError:
            await runner.cleanup()
            raise
        url = f"https://{host}:{runner.addresses[0][1]}"
        self._running = _Running(url, tls, runner, asyncio.create_task(self._controllers.run()))
        return url

    async def stop(self) -> None:
        """Ends every watch and closes every connection."""
        running, self._running = self._running, None
        if running is None:
            return
        self.store.close_watches()
        running.controllers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running.controllers
        await running.runner.cleanup()

    def kubeconfig(self) -> dict[str, Any]:
        """What a client needs, as the content of a kubeconfig file. Raises RuntimeError before `start`."""
        if self._running is None:
            raise RuntimeError("the API server is not running")
        authority = base64.b64encode(self._running.tls.authority).decode()
        name = "trireme"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {"name": name, "cluster": {"server": self._running.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": name, "user": {"token": self.token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        }

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            self._authenticate(http)
            return await self._route(http)
        except ApiError as error:
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
            return _response(Answer(_encode(error.status), error.code, headers))
        except ConnectionAbortedError:
            if http.transport is not None:
                http.transport.abort()
            raise
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            _log.exception("%s %s", http.method, http.path_qs)
            return _response(Answer(_encode(errors.internal(str(error)).status), 500))

    def _authenticate(self, http: web.BaseRequest) -> None:
        scheme, _, token = http.headers.get("Authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self.token.encode())
        if not known and http.path not in _OPEN_PATHS:
            raise errors.unauthorized()

    async def _route(self, http: web.BaseRequest) -> web.StreamResponse:
        target = parse(http.path)
        if target is None or not target.plural:
            return self._about(http, target)
        watch = is_true(http.query.get("watch", ""))
        verb = target.verb(http.method, watch=watch)
        if self.faults.active:
            name = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
            await self.faults.strike(verb or "", name)
        kind = self._registry.find(target.group, target.version, target.plural)
        if kind is None or (target.namespace is not None and not kind.namespaced):
            raise errors.no_such_path()
        if kind.namespaced and target.name and target.namespace is None:
            raise errors.no_such_path()
        if verb is None or (verb not in kind.verbs and not target.subresource):
            raise errors.method_not_allowed(http.method)
        body = await bodies.read(http) if http.method != "GET" else b""
        request = Request(
            target=target,
            kind=kind,
            verb=verb,
            query=http.query,
            accept=http.headers.get("Accept", ""),
            media=bodies.media_type(http.headers.get("Content-Type")),
            user_agent=http.headers.get("User-Agent", ""),
            body=body,
        )
        if verb == "watch":
            shown = presenter(kind, request.accept, request.query, self._clock)
            lines = stream(self.store, shown, target.namespace, request.query, self.faults)
            return await _stream(http, lines, _JSON)
        if target.subresource == "log":
            check_subresource(kind, target)
            return await self._log(http, request)
        return _response(self._handlers.answer(request))

    async def _log(self, http: web.BaseRequest, request: Request) -> web.StreamResponse:
        namespace, name = request.target.namespace or "", request.target.name
        pod = self.store.get("pods", f"{namespace}/{name}")
        if pod is None:
            raise errors.not_found("", "pods", name)
        container = container_of(pod.value, request.query.get("container"))
        options = log_options(request.query)
        if not pod.value["spec"].get("nodeName"):
            return web.Response(status=204)
        if self.logs is None:
            raise errors.not_in_the_pocket("the logs of pods without a kubelet")
        try:
            return await _stream(http, self.logs.logs(namespace, name, container, options), "text/plain")
        except LookupError as error:
            raise errors.bad_request(str(error)) from error

    def _about(self, http: web.BaseRequest, target: Target | None) -> web.StreamResponse:
        """Health, version, discovery and OpenAPI."""
        if http.method not in ("GET", "HEAD"):
            raise errors.method_not_allowed(http.method) if target else errors.no_such_path()
        path = "/" + http.path.strip("/")
        if target is not None:
            return _found(discovery.resource_list(self._registry, target.group, target.version))
        if path in ("/healthz", "/livez", "/readyz"):
            return web.Response(text="ok")
        if path in ("/api", "/apis"):
            if "as=APIGroupDiscoveryList" in http.headers.get("Accept", ""):
                body = _encode(discovery.aggregated(self._registry, core=path == "/api"))
                return web.Response(body=body, headers={"Content-Type": _AGGREGATED})
            return _found(discovery.versions() if path == "/api" else discovery.group_list(self._registry))
        match path.strip("/").split("/"):
            case ["version"]:
                return _found(_version())
            case ["apis", group]:
                return _found(discovery.group(self._registry, group))
            case ["openapi", "v2"]:
                return web.Response(body=b"", headers={"Content-Type": openapi.V2_MEDIA_TYPE})
            case ["openapi", "v3"]:
                return _found(openapi.index(self._registry))
            case ["openapi", "v3", "api", version]:
                return _found(openapi.document(self._registry, "", version))
            case ["openapi", "v3", "apis", group, version]:
                return _found(openapi.document(self._registry, group, version))
        raise errors.no_such_path()


async def _stream(http: web.BaseRequest, chunks: AsyncIterator[bytes], media: str) -> web.StreamResponse:
    """Sends chunks as they come. What goes wrong before the first becomes an ordinary refusal."""
    first = await anext(chunks, b"")
    response = web.StreamResponse(headers={"Content-Type": media, "Cache-Control": "no-cache, private"})
    response.enable_chunked_encoding()
    await response.prepare(http)
    try:
        if first:
            await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
    await response.write_eof()
    return response


def _response(answer: Answer) -> web.Response:
    return web.Response(body=answer.body, status=answer.code, headers={"Content-Type": _JSON, **answer.headers})


def _found(body: dict[str, Any] | None) -> web.Response:
    if body is None:
        raise errors.no_such_path()
    return _response(Answer(_encode(body)))


def _version() -> dict[str, str]:
    return {
        "major": "1",
        "minor": "36",
        "gitVersion": "v1.36.2+trireme-pocket",
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
