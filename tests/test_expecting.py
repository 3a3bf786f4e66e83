"""Expected files: late is told once, recovered once, whatever the clock, the calendar and the names do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from transload.alerts.standing import Wrong, change
from transload.expecting import Expect, Fine, Late, Received, Waiting, horizon, judge, judge_run
from transload.model import Name, to_micros

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000_000
DAY = 24 * HOUR


def _at(text: str, zone=UTC) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC))


def _file(text: str, name: str = "", size: int = 10, rows: int | None = None, zone=UTC) -> Received:
    return Received(_at(text, zone), Name(name or f"{text[:13].replace(' ', '_')}.csv"), size, rows)


# By a time of day

DAILY = Expect(by="06:00", days="mon-fri")
FRIDAY = _at("2026-11-13 12:00")


def test_nothing_is_late_before_its_time():
    assert Waiting(_at("2026-11-16 06:00")) == judge(DAILY, [], FRIDAY, _at("2026-11-16 05:59:59"))
    assert Fine(_at("2026-11-17 06:00")) == judge(DAILY, [_file("2026-11-16 05:00")], FRIDAY, _at("2026-11-16 05:30"))


def test_what_has_not_come_by_its_time_is_late():
    late = judge(DAILY, [], FRIDAY, _at("2026-11-16 06:00"))
    assert Late("no file came by 2026-11-16 06:00 UTC", _at("2026-11-16 06:00")) == late
    assert isinstance(judge(DAILY, [_file("2026-11-16 06:00")], FRIDAY, _at("2026-11-16 06:00")), Fine)


def test_several_missed_times_are_late_since_the_first():
    late = judge(DAILY, [_file("2026-11-16 05:00")], FRIDAY, _at("2026-11-19 10:00"))
    assert Late("no file came by 2026-11-19 06:00 UTC", _at("2026-11-17 06:00")) == late


def test_a_late_file_is_no_file_of_the_next_day():
    late = [_file("2026-11-16 08:00")]
    assert Fine(_at("2026-11-17 06:00")) == judge(DAILY, late, FRIDAY, _at("2026-11-16 09:00"))
    assert Late("no file came by 2026-11-17 06:00 UTC", _at("2026-11-17 06:00")) == judge(DAILY, late, FRIDAY, _at("2026-11-17 06:00"))


def test_a_feed_that_comes_the_evening_before_is_on_time():
    evenings = [_file(f"2026-11-{day} 17:00") for day in (15, 16, 17, 18)]
    for day in (16, 17, 18, 19):
        came = [one for one in evenings if one.at <= _at(f"2026-11-{day} 06:00")]
        assert isinstance(judge(DAILY, came, FRIDAY, _at(f"2026-11-{day} 06:00")), Fine)


def test_a_feed_that_skipped_a_day_is_not_one_behind_for_ever():
    came = [_file("2026-11-17 05:00"), _file("2026-11-18 05:00")]
    assert isinstance(judge(DAILY, came[:1], FRIDAY, _at("2026-11-17 06:00")), Fine)
    assert isinstance(judge(DAILY, came, FRIDAY, _at("2026-11-18 06:00")), Fine)
    assert isinstance(judge(DAILY, came, FRIDAY, _at("2026-11-19 06:00")), Late)


def test_dates_in_names_tell_which_day_a_file_is_for():
    expect = Expect(by="06:00", match="feed_{now-1d:%Y%m%d}.csv")
    since = _at("2026-02-27 12:00")
    assert isinstance(judge(expect, [_file("2026-02-28 05:00", "feed_20260228.csv")], since, _at("2026-02-28 06:00")), Late)
    month_end = [_file("2026-02-28 05:00", "feed_20260227.csv"), _file("2026-02-28 23:00", "feed_20260228.csv")]
    assert Fine(_at("2026-03-02 06:00")) == judge(expect, month_end, since, _at("2026-02-28 23:30"))
    assert isinstance(judge(expect, month_end, since, _at("2026-03-01 06:00")), Fine)
    late = judge(expect, [*month_end, _file("2026-03-02 05:00", "feed_20260228.csv")], since, _at("2026-03-02 07:00"))
    assert Late("no file came by 2026-03-02 06:00 UTC", _at("2026-03-02 06:00")) == late
    assert isinstance(judge(expect, [_file("2026-03-02 09:00", "feed_20260301.csv")], since, _at("2026-03-02 10:00")), Fine)


def test_a_deadline_is_by_the_clock_of_its_zone():
    expect = Expect(by="02:30", zone="Europe/Berlin")
    spring = judge(expect, [], _at("2026-03-28 12:00"), _at("2026-03-28 13:00"))
    assert Waiting(_at("2026-03-29 01:30")) == spring  # 02:30 is jumped over: 03:30 in summer time
    autumn = judge(expect, [], _at("2026-10-24 12:00"), _at("2026-10-24 13:00"))
    assert Waiting(_at("2026-10-25 00:30")) == autumn  # the first of two
    assert "by 2026-10-25 02:30 Europe/Berlin" in judge(expect, [], _at("2026-10-24 12:00"), _at("2026-10-25 00:30")).reason
    assert Waiting(_at("2026-10-26 01:30")) == judge(expect, [], _at("2026-10-25 00:30"), _at("2026-10-25 01:00"))


@pytest.mark.parametrize(
    ("days", "first"),
    [
        ("last", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("31", ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        ("1, 15", ["2026-02-01", "2026-02-15", "2026-03-01", "2026-03-15"]),
        ("sat-mon", ["2026-01-31", "2026-02-01", "2026-02-02", "2026-02-07"]),
        ("Wed", ["2026-02-04", "2026-02-11", "2026-02-18", "2026-02-25"]),
        ("mon,1", ["2026-02-01", "2026-02-02", "2026-02-09", "2026-02-16"]),
    ],
)
def test_days_are_of_the_week_or_of_the_month(days, first):
    expect, now, found = Expect(by="06:00", days=days), _at("2026-01-30 12:00"), []
    for _ in first:
        told = judge(expect, [], now, now)
        found.append(told.until)
        now = told.until
    assert [_at(f"{day} 06:00") for day in first] == found


def test_years_of_silence_are_judged_at_once():
    assert _at("2011-01-01 06:00") == judge(Expect(by="06:00"), [], _at("2010-12-31 12:00"), _at("2026-01-01 12:00")).since
    assert isinstance(judge(Expect(by="06:00", match="{now:%Y%m%d}"), [], _at("2010-12-31 12:00"), _at("2026-01-01 12:00")), Late)


# Every so often

EVERY = Expect(every="28h", at_least=2)
SUNDAY = _at("2026-11-15 00:00")


def test_something_must_come_every_so_often():
    assert Waiting(SUNDAY + 28 * HOUR) == judge(EVERY, [], SUNDAY, SUNDAY + 28 * HOUR - 1)
    assert Late("0 of 2 files came in 28h", SUNDAY + 28 * HOUR) == judge(EVERY, [], SUNDAY, SUNDAY + 40 * HOUR)
    came = [_file("2026-11-15 20:00", "a"), _file("2026-11-15 10:00", "b")]
    assert Fine(_at("2026-11-16 14:00")) == judge(EVERY, came, SUNDAY, _at("2026-11-16 13:59:59"))
    assert Late("1 of 2 files came in 28h", _at("2026-11-16 14:00")) == judge(EVERY, came, SUNDAY, _at("2026-11-16 14:00"))
    assert Fine(_at("2026-11-17 00:00")) == judge(EVERY, [*came, _file("2026-11-16 15:00", "c")], SUNDAY, _at("2026-11-16 15:00"))


def test_the_same_name_twice_is_one_file():
    assert isinstance(judge(EVERY, [_file("2026-11-15 20:00", "a"), _file("2026-11-15 21:00", "a")], SUNDAY, SUNDAY + 28 * HOUR), Late)
    expect = Expect(by="06:00", at_least=2)
    twice = [_file("2026-11-15 04:00", "a"), _file("2026-11-15 05:00", "a")]
    assert "1 of 2 files came by 2026-11-15 06:00 UTC" == judge(expect, twice, SUNDAY, _at("2026-11-15 06:00")).reason
    assert isinstance(
        judge(Expect(every="28h"), [_file("2026-11-14 20:00", "a"), _file("2026-11-15 21:00", "a")], SUNDAY, SUNDAY + DAY), Fine
    )


# Which files count


@pytest.mark.parametrize(
    ("more", "one", "why"),
    [
        ({"min_size": "1kB"}, {"size": 3}, "; a.csv has 3 B, at least 1.0 kB are wanted"),
        ({"max_size": "1kB"}, {"size": 3000}, "; a.csv has 3.0 kB, at most 1.0 kB are wanted"),
        ({"min_rows": 5}, {"rows": 4}, "; a.csv has 4 rows, at least 5 are wanted"),
        ({"max_rows": 5}, {"rows": 6}, "; a.csv has 6 rows, at most 5 are wanted"),
        ({"min_rows": 5}, {}, "; a.csv is a file whose rows nobody has counted"),
        ({"match": ["*.xml", "b*"]}, {}, ""),
        ({"match": "(?i)A_\\d+\\.CSV"}, {}, ""),
    ],
)
def test_a_file_that_is_not_as_expected_does_not_count_and_is_named(more, one, why):
    came = [_file("2026-11-15 05:00", "a.csv", **one)]
    assert f"no file came by 2026-11-15 06:00 UTC{why}" == judge(Expect(by="06:00", **more), came, SUNDAY, _at("2026-11-15 07:00")).reason
    assert f"no file came in 28h{why}" == judge(Expect(every="28h", **more), came, SUNDAY, SUNDAY + 29 * HOUR).reason


@pytest.mark.parametrize(
    "more",
    [
        {"min_size": 10, "max_size": 10},
        {"min_rows": 5, "max_rows": 5},
        {"match": "in/*.csv"},
        {"match": "**/a_{now:%d}.csv"},
        {"match": "(?i)IN/A_\\d+\\.csv"},
    ],
)
def test_a_file_that_is_as_expected_counts(more):
    came = [_file("2026-11-15 05:00", "in/a_15.csv", rows=5)]
    assert isinstance(judge(Expect(by="06:00", **more), came, SUNDAY, _at("2026-11-15 07:00")), Fine)
    assert isinstance(judge(Expect(every="28h", **more), came, SUNDAY, SUNDAY + 29 * HOUR), Fine)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "wants by, every, or empty = true"),
        ({"by": "06:00", "every": "1h"}, "wants by or every, not both"),
        ({"by": "6:00"}, "wants a time of day"),
        ({"by": "24:00"}, "wants a time of day"),
        ({"by": "06:00", "zone": "Mars"}, "is no time zone"),
        ({"by": "06:00", "days": "mon-"}, "'mon-' is no day"),
        ({"by": "06:00", "days": "32"}, "'32' is no day"),
        ({"by": "06:00", "days": ""}, "'' is no day"),
        ({"by": "06:00", "match": []}, "at least 1 item"),
        ({"by": "06:00", "match": "[a"}, "has no ]"),
        ({"by": "06:00", "match": "{now:%Q}"}, "not a time format"),
        ({"by": "06:00", "match": "x_{now+1d:%Y%m%d}.csv"}, "{now+1d:%Y%m%d} is no time; one is {now:%Y%m%d} or {now-1d:%Y%m%d}"),
        ({"by": "06:00", "match": "x_{now}"}, "{now} is no time"),
        ({"by": "06:00", "match": "x_{now:%Y"}, "{now:%Y is no time"),
        ({"every": "1h", "min_size": 2, "max_size": 1}, "no file could ever count"),
        ({"every": "1h", "at_least": 0}, "greater than or equal to 1"),
        ({"every": "0s"}, "greater than 0"),
    ],
)
def test_what_cannot_be_expected_is_refused(wrong, said):
    with pytest.raises(ValidationError) as told:
        Expect(**wrong)
    assert said in str(told.value)


# What is told


def _step(before, verdict, route, now):
    """What stands then, and what is told."""
    if isinstance(verdict, Waiting):
        return before, ()
    wrong = Wrong(verdict.event, route, "", verdict.reason, verdict.since) if isinstance(verdict, Late) else None
    found = change(f"late/{route}", wrong, before, now)
    return None if found.over else found.standing or before, () if found.notice is None else (found.notice,)


def test_late_and_recovered_are_told_once_and_by_two_under_the_same_key():
    state, told = None, []
    came = [_file("2026-11-16 05:00"), _file("2026-11-19 05:00"), _file("2026-11-20 05:00")]
    for hour in range(24 * 8):
        now = FRIDAY + hour * HOUR
        verdict = judge(DAILY, [one for one in came if one.at <= now], FRIDAY, now)
        assert _step(state, verdict, "acl", now) == _step(state, verdict, "acl", now)
        state, notices = _step(state, verdict, "acl", now)
        told += notices
    assert ["late", "recovered"] == [one.event for one in told]
    assert [_at("2026-11-17 06:00"), _at("2026-11-19 05:00")] == [one.at for one in told]
    first = "no file came by 2026-11-17 06:00 UTC"
    assert [first, f"it is well again; since 2026-11-17 06:00 UTC it was: {first}"] == [one.reason for one in told]
    assert ("acl", "", 2) == (told[0].route, told[0].subject, len({one.key for one in told}))


def test_a_run_that_brings_nothing_is_told_once_until_one_brings_something():
    expect, state, told = Expect(empty=True), None, []
    for at, brought in enumerate([3, 0, 0, 0, 1, 0]):
        state, notices = _step(state, judge_run(expect, brought, at), "acl", at)
        told += [(one.event, one.at) for one in notices]
    assert [("empty", 1), ("recovered", 4), ("empty", 5)] == told
    assert isinstance(judge_run(DAILY, 0, 1), Fine)
    assert isinstance(judge(expect, [], 0, DAY), Fine)


_came = st.lists(st.tuples(st.integers(0, 20 * 24), st.sampled_from("abc"), st.integers(0, 3)), max_size=30)
_expects = st.sampled_from(
    [
        Expect(by="02:30", zone="Europe/Berlin"),
        Expect(by="06:00", days="mon-fri", at_least=2, zone="America/New_York"),
        Expect(by="23:59", days="1,last", zone="Australia/Lord_Howe"),
        Expect(by="06:00", match="a{now:%d}", min_size=1),
        Expect(every="7h", at_least=2),
        Expect(every="30h", match=["a*", "b*"], max_size=2),
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    _came,
    _expects,
    st.sampled_from(["2026-03-20", "2026-10-18", "2026-01-25", "2024-02-20"]),
    st.lists(st.integers(1, 40), min_size=5, max_size=40),
)
def test_late_and_recovered_alternate_and_each_is_told_once(drawn, expect, begin, pauses):
    since = _at(f"{begin} 12:00")
    day = datetime.fromisoformat(begin)
    came = [
        Received(since + hour * HOUR, Name(f"{letter}{(day + timedelta(hours=hour)):%d}{hour % 2 or ''}"), size)
        for hour, letter, size in drawn
    ]
    state, told, now, until = None, [], since, since
    for pause in pauses:
        now += pause * HOUR
        verdict = judge(expect, [one for one in came if one.at <= now], since, now)
        assert verdict == judge(expect, sorted(came, key=hash), since, now)
        if isinstance(verdict, Late):
            assert since < verdict.since <= now
            assert now >= until
        else:
            assert verdict.until > now
            until = verdict.until
        # What came before the horizon need not be known, as long as it is looked often enough.
        begun = horizon(expect, since, now)
        assert isinstance(judge(expect, [one for one in came if begun <= one.at <= now], begun, now), type(verdict))
        state, notices = _step(state, verdict, "r", now)
        told += notices
        assert _step(state, verdict, "r", now) == (state, ())
    assert all(event == ("late", "recovered")[number % 2] for number, event in enumerate(one.event for one in told))
    assert len({one.key for one in told}) == len(told)
    assert (state is not None) == (len(told) % 2 == 1)
