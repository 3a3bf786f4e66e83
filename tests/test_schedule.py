from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from transload.config import From
from transload.cron import Cron, CronFault
from transload.schedule import EVERY, next_run

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def source(**more) -> From:
    return From.model_validate({"remote": "box"} | more)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def fires(line: str, zone: str, after: str, count: int) -> list[datetime]:
    cron, found = Cron(line, zone), [at(after)]
    for _ in range(count):
        found.append(cron.next(found[-1]))
    return found[1:]


def test_an_interval_begins_at_once():
    assert NOW == next_run("r", source(every="15m"), NOW, None)


def test_an_interval_counts_from_the_last_look():
    assert NOW + 10 * MINUTE == next_run("r", source(every="15m"), NOW, NOW - 5 * MINUTE)


def test_a_route_that_does_not_say_looks_every_minute():
    assert NOW + EVERY == next_run("r", source(), NOW, NOW)
    assert MINUTE == EVERY


def test_a_missed_interval_is_made_up_for_once_or_skipped():
    last = NOW - 50 * MINUTE
    assert next_run("r", source(every="15m"), NOW, last) <= NOW
    assert NOW + 10 * MINUTE == next_run("r", source(every="15m", missed="skip"), NOW, last)


def test_a_cron_line_begins_with_its_next_time():
    assert at("2026-03-04T12:15Z") == next_run("r", source(cron="*/15 * * * *"), NOW, None)


def test_a_cron_line_is_read_in_its_zone():
    assert at("2026-03-05T06:30-05:00") == next_run("r", source(cron="30 6 * * *", zone="America/New_York"), NOW, NOW)


def test_a_missed_cron_time_is_made_up_for_once_or_skipped():
    last = NOW - timedelta(days=3)
    line = {"cron": "0 6 * * *"}
    assert at("2026-03-02T06:00Z") == next_run("r", source(**line), NOW, last)
    assert at("2026-03-05T06:00Z") == next_run("r", source(**line, missed="skip"), NOW, last)


def test_jitter_is_the_same_everywhere_and_different_for_routes_and_times():
    one = source(cron="0 6 * * *", jitter="10m")
    first = next_run("a", one, NOW, NOW)
    assert first == next_run("a", source(cron="0 6 * * *", jitter="10m"), NOW, NOW)
    assert first != next_run("b", one, NOW, NOW)
    due = at("2026-03-05T06:00Z")
    assert due <= first < due + 10 * MINUTE
    later = next_run("a", one, first, first)
    assert timedelta(days=1) != later - first


def test_jitter_spreads_over_its_whole_width():
    late = [next_run(f"r{number}", source(every="1h", jitter="10m"), NOW, NOW) - NOW - timedelta(hours=1) for number in range(200)]
    assert timedelta() <= min(late) < MINUTE
    assert 9 * MINUTE < max(late) < 10 * MINUTE


def test_a_daily_time_fires_once_when_the_clock_goes_back():
    assert [at("2026-10-25T02:30+02:00"), at("2026-10-26T02:30+01:00")] == fires("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+02:00", 2)


def test_a_daily_time_that_the_clock_jumps_over_fires_once_that_day():
    expected = [at("2026-03-29T03:30+02:00"), at("2026-03-30T02:30+02:00")]
    assert expected == fires("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", 2)


def test_an_hourly_line_follows_the_time_that_passes_in_autumn():
    found = fires("30 * * * *", "Europe/Berlin", "2026-10-25T01:30+02:00", 4)
    assert [timedelta(hours=1)] * 3 == [later - sooner for sooner, later in pairwise(found)]


def test_an_hourly_line_follows_the_time_that_passes_in_spring():
    found = fires("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30+01:00", 6)
    assert [timedelta(minutes=30)] * 5 == [later - sooner for sooner, later in pairwise(found)]


def test_fixed_hours_around_the_jump_fire_once_each():
    expected = [at("2026-03-29T03:00+02:00"), at("2026-03-29T03:30+02:00"), at("2026-03-30T02:00+02:00")]
    assert expected == fires("0,30 2,3 * * *", "Europe/Berlin", "2026-03-29T01:30+01:00", 3)


def test_a_zone_with_half_an_hour_of_summer_time_is_no_different():
    found = fires("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00Z", 3)
    assert 3 == len({moment.date() for moment in found})
    assert [timedelta(days=1)] == [found[2] - found[1]]


@pytest.mark.parametrize("line", ["", "* * * *", "* * * * * *", "61 * * * *", "x * * * *", "R * * * *", "H 3 * * *", "@daily"])
def test_a_line_of_another_shape_is_refused(line):
    with pytest.raises(CronFault, match="five fields"):
        Cron(line)


@pytest.mark.parametrize("line", ["0 0 * * fri", "0 0 * mar *", "*/5 8-18 1,15 * mon-fri", "0 0 l * *"])
def test_names_of_days_and_months_are_understood(line):
    assert Cron(line).next(NOW) > NOW


def test_a_date_that_never_comes_is_refused():
    with pytest.raises(CronFault, match="never comes"):
        Cron("0 0 30 2 *")
