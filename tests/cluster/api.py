"""A bare client of a Kubernetes API server: requests and what they answered, nothing hidden, nothing retried."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Reply:
    """One answer; the body of an answer that is not JSON is under `raw`."""

    code: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def metadata(self) -> dict[str, Any]:
        return self.body.get("metadata", {})

    @property
    def version(self) -> str:
        return self.metadata["resourceVersion"]

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.body.get("items", ())]

    @property
    def causes(self) -> list[str]:
        causes = (self.body.get("details") or {}).get("causes") or ()
        return sorted(f"{cause.get('reason')}:{cause.get('field')}" for cause in causes)

    @property
    def refusal(self) -> dict[str, Any]:
        """What a client can rely on in a Status."""
        details = self.body.get("details") or {}
        return {
            "code": self.code,
            "kind": self.body.get("kind"),
            "status": self.body.get("status"),
            "reason": self.body.get("reason"),
            "statusCode": self.body.get("code"),
            "causes": self.causes,
            "details": {key: details[key] for key in ("name", "kind", "group") if key in details},
        }


class Api:
    """A connection to one server."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(self, method: str, path: str, body: Any = None, media: str = JSON, accept: str = JSON) -> Reply:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        data = None if text is None else io.BytesIO(text.encode())
        headers = {"Accept": accept} | ({} if data is None else {"Content-Type": media})
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            text = await answer.text()
            try:
                parsed = json.loads(text)
            except ValueError:
                parsed = {"raw": text}
            return Reply(answer.status, parsed, {key.lower(): value for key, value in answer.headers.items()})

    async def watch(self, path: str, during: Callable[[], Awaitable[None]] | None = None) -> list[dict[str, Any]]:
        """Every event of a watch until the server ends it; `during` runs once it has begun."""
        async with self._session.get(path, headers={"Accept": JSON}) as answer:
            if answer.status != 200:
                return [{"http": answer.status}]
            if during is not None:
                await during()
            return [json.loads(line) async for line in answer.content if line.strip()]

    async def eventually(self, path: str, code: int, seconds: float = 30) -> bool:
        """Whether GET answers with this code before the time is over."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if (await self("GET", path)).code == code:
                        return True
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return False


@asynccontextmanager
async def connect(kubeconfig: dict[str, Any]) -> AsyncIterator[Api]:
    """A client of the current context's cluster."""
    async with session(kubeconfig) as opened:
        yield Api(opened)


@asynccontextmanager
async def session(kubeconfig: dict[str, Any]) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections to the current context's cluster, with its user's credentials."""
    context = _named(kubeconfig, "contexts", kubeconfig["current-context"])["context"]
    cluster = _named(kubeconfig, "clusters", context["cluster"])["cluster"]
    user = _named(kubeconfig, "users", context["user"])["user"]
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    connector = aiohttp.TCPConnector(ssl=_tls(cluster, user))
    async with aiohttp.ClientSession(cluster["server"], headers=headers, connector=connector) as opened:
        yield opened


def _named(kubeconfig: dict[str, Any], field: str, name: str) -> dict[str, Any]:
    return next(entry for entry in kubeconfig[field] if entry["name"] == name)


def _tls(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=cluster.get("certificate-authority"), cadata=_decoded(cluster.get("certificate-authority-data"))
    )
    certificate, key = user.get("client-certificate"), user.get("client-key")
    if certificate:
        context.load_cert_chain(certificate, key)
    elif "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile(suffix=".pem") as chain:
            pem = (_decoded(user["client-key-data"]) or "") + (_decoded(user["client-certificate-data"]) or "")
            Path(chain.name).write_text(pem, encoding="ascii")
            context.load_cert_chain(chain.name)
    return context


def _decoded(data: str | None) -> str | None:
    return None if data is None else base64.b64decode(data).decode("ascii")
