"""Times as people read and write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from transload.units import duration, show_duration

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [
        ("0s", 0),
        ("0s", 0.00001),
        ("0.25s", 0.25),
        ("0.4s", 0.4),
        ("5s", 5),
        ("12.3s", 12.34),
        ("59.9s", 59.94),
        ("1m", 59.96),
        ("1m", MINUTE),
        ("3m20s", 200),
        ("10m", 10 * MINUTE),
        ("1h", 59 * MINUTE + 59.7),
        ("1h", HOUR),
        ("1h30m", 90 * MINUTE),
        ("2h05m", 2 * HOUR + 5 * MINUTE + 59),
        ("23h59m", DAY - 1),
        ("1d", DAY),
        ("24h01m", DAY + MINUTE),
        ("28h", 28 * HOUR),
        ("47h59m", 2 * DAY - 1),
        ("2d", 2 * DAY),
        ("3d04h", 3 * DAY + 4 * HOUR + 30 * MINUTE),
        ("7d", 7 * DAY),
        ("365d", 365 * DAY),
    ],
)
def test_a_time_reads_as_people_write_it(shown, seconds):
    assert shown == show_duration(seconds)


@pytest.mark.parametrize("text", ["250ms", "0s", "30s", "10m", "1h30m", "28h", "36h", "48h", "7d", "1w", "90d", "3d04h", "1.5h"])
def test_what_the_config_says_is_shown_and_can_be_written_back(text):
    assert duration(text) == duration(show_duration(duration(text)))


@given(some.floats(0, 1000 * DAY))
def test_what_is_shown_can_be_written_and_is_near(seconds):
    back = duration(show_duration(seconds))
    assert abs(back - seconds) <= max(0.06, HOUR if seconds >= 2 * DAY else MINUTE if seconds >= HOUR else 1)
