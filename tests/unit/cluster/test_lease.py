from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from trireme.cluster.lease import (
    Action,
    Lease,
    Sighting,
    Terms,
    claim,
    decide,
    manifest,
    of_object,
    release,
    sight,
)

TERMS = Terms()
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
OURS = Lease(version="7", holder="we", seconds=15, transitions=3)
THEIRS = Lease(version="8", holder="they", seconds=40, transitions=3)
NOBODYS = Lease(version="9", holder="", seconds=15, transitions=3)


def test_the_times_have_client_gos_proportions() -> None:
    assert (TERMS.renew_seconds, TERMS.attempt_seconds, TERMS.retry_seconds) == (10, 5, 2)


@pytest.mark.parametrize(
    ("last", "found", "seen"),
    [
        pytest.param(None, None, Sighting(None, 100), id="never there: free at once"),
        pytest.param(None, NOBODYS, Sighting(NOBODYS, 100), id="released: free at once"),
        pytest.param(None, THEIRS, Sighting(THEIRS, 140), id="new to us: its whole time, by the holder's word"),
        pytest.param(Sighting(THEIRS, 101), THEIRS, Sighting(THEIRS, 101), id="unchanged: the time runs on"),
        pytest.param(Sighting(OURS, 101), THEIRS, Sighting(THEIRS, 140), id="changed: the time begins anew"),
        pytest.param(Sighting(THEIRS, 101), NOBODYS, Sighting(NOBODYS, 100), id="released under our eyes"),
        pytest.param(Sighting(THEIRS, 101), None, Sighting(None, 140), id="deleted: its leader may not know"),
        pytest.param(Sighting(None, 101), None, Sighting(None, 101), id="still missing"),
    ],
)
def test_what_is_known_after_a_look(last: Sighting | None, found: Lease | None, seen: Sighting) -> None:
    assert sight(last, found, now=100) == seen


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        pytest.param(Sighting(None, 100), Action.CREATE, id="missing"),
        pytest.param(Sighting(None, 100.1), Action.WAIT, id="missing, and not yet free"),
        pytest.param(Sighting(NOBODYS, 100), Action.TAKE, id="nobody's"),
        pytest.param(Sighting(THEIRS, 100), Action.TAKE, id="another's, silent for its time"),
        pytest.param(Sighting(THEIRS, 100.1), Action.WAIT, id="another's"),
        pytest.param(Sighting(OURS, 0), Action.RENEW, id="ours, and over"),
        pytest.param(Sighting(OURS, 115), Action.RENEW, id="ours"),
    ],
)
def test_what_follows(seen: Sighting, action: Action) -> None:
    assert decide(seen, "we", now=100) == action


@pytest.mark.parametrize(
    ("found", "body"),
    [
        pytest.param(
            None,
            {
                "spec": {
                    "holderIdentity": "we",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2026-01-02T03:04:05.000678Z",
                    "acquireTime": "2026-01-02T03:04:05.000678Z",
                    "leaseTransitions": 0,
                }
            },
            id="create",
        ),
        pytest.param(
            THEIRS,
            {
                "metadata": {"resourceVersion": "8"},
                "spec": {
                    "holderIdentity": "we",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2026-01-02T03:04:05.000678Z",
                    "acquireTime": "2026-01-02T03:04:05.000678Z",
                    "leaseTransitions": 4,
                },
            },
            id="take",
        ),
        pytest.param(
            OURS,
            {
                "metadata": {"resourceVersion": "7"},
                "spec": {
                    "holderIdentity": "we",
                    "leaseDurationSeconds": 15,
                    "renewTime": "2026-01-02T03:04:05.000678Z",
                },
            },
            id="renew",
        ),
    ],
)
def test_a_claim(found: Lease | None, body: object) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    assert claim(found, "we", TERMS, elsewhere) == body


def test_a_release() -> None:
    assert release(OURS, NOW) == {
        "metadata": {"resourceVersion": "7"},
        "spec": {"holderIdentity": None, "renewTime": "2026-01-02T03:04:05.000678Z"},
    }


def test_a_manifest() -> None:
    assert manifest("ns", "trireme", {"spec": {"holderIdentity": "we"}}) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "trireme", "namespace": "ns"},
        "spec": {"holderIdentity": "we"},
    }


@pytest.mark.parametrize(
    ("spec", "lease"),
    [
        pytest.param(
            {"holderIdentity": "they", "leaseDurationSeconds": 40, "leaseTransitions": 3}, THEIRS, id="complete"
        ),
        pytest.param({}, Lease("8", "", 15, 0), id="empty"),
        pytest.param(None, Lease("8", "", 15, 0), id="none"),
    ],
)
def test_a_lease_is_read(spec: object, lease: Lease) -> None:
    assert of_object({"metadata": {"resourceVersion": "8"}, "spec": spec}, TERMS) == lease
