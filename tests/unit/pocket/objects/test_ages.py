from datetime import UTC, datetime

import pytest
from trireme.pocket.objects.ages import age, human_duration

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (2 * MINUTE + 3, "2m3s"),
        (5 * MINUTE, "5m"),
        (10 * MINUTE + 1, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 5 * MINUTE, "3h5m"),
        (8 * HOUR + 5 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + HOUR, "2d1h"),
        (8 * DAY + HOUR, "8d"),
        (YEAR, "365d"),
        (2 * YEAR + 3 * DAY, "2y3d"),
        (9 * YEAR, "9y"),
    ],
)
def test_human_duration(seconds, told):
    assert human_duration(seconds) == told


@pytest.mark.parametrize(
    ("timestamp", "told"),
    [("2026-01-01T00:00:00Z", "5s"), ("2026-01-01T01:00:00+01:00", "5s"), (None, "<unknown>"), ("soon", "<invalid>")],
)
def test_age(timestamp, told):
    assert age(timestamp, datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)) == told
