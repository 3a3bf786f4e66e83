from __future__ import annotations

import time

import pytest
from pydantic import ValidationError

from transload.errors import Rejected
from transload.steps.limits import Limited


def _ago(seconds):
    return round((time.time() - seconds) * 1_000_000)


@pytest.mark.parametrize("size", [3, 4, 5])
def test_a_file_within_its_limits_goes_on_as_it_is(bench, size):
    assert {"in/a.csv": b"x" * size} == bench.does(Limited(min_size=3, max_size=5, names="*.csv"), b"x" * size, "in/a.csv")
    assert bench.outputs[0].path is None


@pytest.mark.parametrize(
    ("size", "reason"), [(2, "is too small: 2 bytes, the least is 3 bytes"), (6, "is too large: 6 bytes, the most is 5 bytes")]
)
def test_a_size_outside_is_refused_to_the_byte(bench, size, reason):
    with pytest.raises(Rejected, match=reason):
        bench.does(Limited(min_size=3, max_size=5), b"x" * size)


def test_an_empty_file_is_refused_where_one_byte_is_wanted(bench):
    with pytest.raises(Rejected, match="too small: 0 bytes"):
        bench.does(Limited(min_size=1), b"")
    assert {"a.csv": b""} == bench.does(Limited(), b"")


def test_a_size_is_written_as_people_write_it(bench):
    with pytest.raises(Rejected, match=r"1001 bytes \(1.0 kB\), the most is 1000 bytes \(1.0 kB\)"):
        bench.does(Limited(max_size="1kB"), b"x" * 1001)


@pytest.mark.parametrize("name", ["a.csv", "sub/b.csv", b"\xff\xfe.csv", "new\nline.csv", "x.DAT", "deep/y.DAT"])
def test_one_of_the_patterns_is_enough(bench, name):
    assert 1 == len(bench.does(Limited(names=["*.csv", "(?i).*\\.dat"]), b"x", name))


@pytest.mark.parametrize("name", ["a.exe", "a.csv.exe", "a.csv/b", b"\xff", "a.CSV"])
def test_a_name_that_matches_none_is_refused(bench, name):
    with pytest.raises(Rejected, match=r"its name matches none of \*\.csv, \*\.xml"):
        bench.does(Limited(names=["*.csv", "*.xml"]), b"x", name)


def test_an_old_or_new_file_is_refused(bench):
    step = Limited(min_age="1h", max_age="2d")
    assert 1 == len(bench.does(step, b"x", modified=_ago(7200)))
    with pytest.raises(Rejected, match="is too new: modified 1m40s ago, the least is 1h ago"):
        bench.does(step, b"x", modified=_ago(100))
    with pytest.raises(Rejected, match="is too old: modified 3d ago, the most is 2d"):
        bench.does(step, b"x", modified=_ago(3 * 86400))


def test_a_time_ahead_of_our_clock_is_too_new(bench):
    with pytest.raises(Rejected, match="is too new: modified 1h ahead of our clock"):
        bench.does(Limited(min_age=0), b"x", modified=_ago(-3600))


def test_a_file_without_a_time_has_no_age(bench):
    assert 1 == len(bench.does(Limited(min_age="1h", max_age="2d"), b"x"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_size": 2, "max_size": 1}, "min_size is above max_size"),
        ({"min_age": "2h", "max_age": "1h"}, "min_age is above max_age"),
        ({"names": ["[a"]}, "has no ]"),
        ({"names": [""]}, "is empty"),
        ({"max_size": "much"}, "wants a size"),
        ({"sizes": 1}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_are_said(settings, message):
    with pytest.raises(ValidationError, match=message):
        Limited(**settings)
