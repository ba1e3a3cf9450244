"""Why pods of `trireme run` wait for their volumes: only Events tell, and nobody can ask this cluster for them."""

from __future__ import annotations

import json

from trireme.cli.display import Display, printable
from trireme.cluster.client import Client
from trireme.cluster.errors import ApiError
from trireme.cluster.resources import EVENTS


async def tell_failed_mounts(client: Client, namespace: str, display: Display) -> None:
    """Shows each reason once, with the first pod that has it, until it is cancelled."""
    told: set[str] = set()
    try:
        while True:
            async for line in client.watch(EVENTS, namespace, field_selector="reason=FailedMount"):
                event = json.loads(line)
                note = event["object"].get("note", "")
                if event["type"] == "ADDED" and note not in told:
                    told.add(note)
                    display.log(f"trireme: {event['object']['regarding']['name']}: {printable(note)}")
    except ApiError as error:
        display.log(f"trireme: what keeps pods from their volumes is not shown any more: {error}")
