"""A Kubernetes API as thin as aiohttp allows: what the raw client is made of, and the benchmark's own hands."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Object = dict[str, Any]
JOBS = "/apis/trireme.dev/v1alpha1"


class Api:
    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._base = cluster["server"]
        tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pem:
                pem.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
                pem.write(base64.b64decode(user["client-key-data"]))
                pem.flush()
                tls.load_cert_chain(pem.name)
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0), headers=headers, timeout=aiohttp.ClientTimeout(total=None)
        )

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, body: Object | None = None, *, fine: tuple[int, ...] = ()) -> Object:
        """Raises RuntimeError with the server's words, unless the status is `fine`."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = json.dumps(body) if body is not None else None
        async with self._session.request(
            method, self._base + path, data=data, headers={"Content-Type": kind}
        ) as response:
            answer = await response.read()
            if response.status >= 400 and response.status not in fine:
                raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
            decoded: Object = json.loads(answer)
            return decoded

    async def post(self, path: str, body: bytes) -> None:
        """The answer is read and not looked at."""
        async with self._session.post(
            self._base + path, data=body, headers={"Content-Type": "application/json"}
        ) as response:
            await response.read()
            response.raise_for_status()

    async def watch(self, path: str) -> AsyncIterator[Object]:
        """Every event from now on, until the server ends it."""
        async with self._session.get(f"{self._base}{path}?watch=1&timeoutSeconds=3600") as response:
            response.raise_for_status()
            buffer = b""
            async for chunk in response.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)
