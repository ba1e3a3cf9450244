"""All manifests of an example, for a fixed UID, token and agent: what tests/golden holds."""

from __future__ import annotations

from typing import Any

from trireme.contract import names
from trireme.plan import manifests as write
from trireme.plan.planner import plan
from trireme.plan.support import support
from trireme.spec.documents import load
from trireme.spec.parse import parse

UID = "11111111-2222-4333-8444-555555555555"
AGENT = "0123456789abcdef" * 4
CONTENT = b"agent.pyz"
TOKEN = "token"


def manifests(text: str) -> list[dict[str, Any]]:
    """In the order in which they are created."""
    (obj,) = (document for document in load(text) if document["kind"] == names.KIND)
    planned = plan(parse({**obj, "metadata": {**obj["metadata"], "uid": UID}}), attempt=0, agent=AGENT)
    supports = support(planned, TOKEN, CONTENT)
    return [*(each.manifest for each in supports), *(write.pod(planned, pod) for pod in planned.pods)]
