from __future__ import annotations

from datetime import UTC, datetime
from time import process_time

import pytest

from transload.config import From, Move, Route
from transload.match import TAKE, Selector, Skip, Take, Wait
from transload.model import Entry, Name, to_micros

NOW = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)
SECOND = 10**6
DAY = 86400 * SECOND
NOON = to_micros(NOW)


def source(**more) -> From:
    return From.model_validate({"remote": "box", "settle": "0s"} | more)


def entry(
    name: str | bytes = "a.csv", size: int | None = 5, age: float | None = 3600, *, settles: bool = True, precision: float = 1
) -> Entry:
    return Entry("out", Name(name), size, None if age is None else NOON - round(age * SECOND), precision, None, settles)


def judge(one: Entry, **more) -> Take | Skip | Wait:
    return Selector(source(**more), NOW).judge(one)


@pytest.mark.parametrize("name", ["a.part", "A.PART", "x/y.tmp", "a.filepart", "a.partial", "a.$$$", "a.crdownload", ".hidden", "x/.y.csv"])
def test_temporary_names_are_never_taken(name):
    assert Skip("its name is one of the temporary ones") == judge(entry(name))
    assert TAKE == judge(entry(name), temporary=[])


def test_the_list_of_temporary_names_can_be_another():
    assert isinstance(judge(entry("a.csv"), temporary="*.CSV"), Skip)
    assert TAKE == judge(entry("a.tmp"), temporary="*.CSV")


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("a.xml", {"match": "*.csv"}, "its name does not match"),
        ("old_a.csv", {"match": "*.csv", "exclude": "old_*"}, "its name is excluded"),
        ("old/a.csv", {"exclude": ["x", "old/**"]}, "its name is excluded"),
        ("x/a.csv", {"recursive": False}, "it lies deeper than the route looks"),
        ("x/y/a.csv", {"depth": 2}, "it lies deeper than the route looks"),
    ],
)
def test_a_skipped_file_is_told_why(name, more, reason):
    assert Skip(reason) == judge(entry(name), **more)


def test_names_match_by_glob_or_regex():
    assert TAKE == judge(entry("in/HOMEofficeroll3_20260101.csv"), match="(?i).*homeofficeroll\\d+_\\d{8}\\.csv")
    assert TAKE == judge(entry("in/a.csv"), match=["*.xml", "in/*"])
    assert TAKE == judge(entry("x/a.csv"), depth=2)
    assert TAKE == judge(entry(b"\xff.csv"), match="*.csv")


def test_size_is_bounded_and_an_untold_one_passes():
    assert TAKE == judge(entry(size=10), min_size=10, max_size=10)
    assert Skip("smaller than min_size (9 B < 10 B)") == judge(entry(size=9), min_size=10)
    assert Skip("larger than max_size (2.0 kB > 1.0 kB)") == judge(entry(size=2000), max_size="1kB")
    assert TAKE == judge(entry(size=None), min_size=10, max_size=10)


def test_old_files_are_skipped_and_young_ones_wait_until_they_are_old_enough():
    assert Skip("older than max_age (30s)") == judge(entry(age=31), max_age="30s")
    assert TAKE == judge(entry(age=30), max_age="30s")
    assert Wait("younger than min_age (10m)", NOON + 301 * SECOND) == judge(entry(age=300), min_age="10m")
    assert TAKE == judge(entry(age=601), min_age="10m")
    assert TAKE == judge(entry(age=None), min_age="10m", max_age="20m")


def test_a_coarse_time_is_taken_to_be_as_young_as_it_may_be():
    assert isinstance(judge(entry(age=610, precision=60), min_age="10m"), Wait)
    assert TAKE == judge(entry(age=660, precision=60), min_age="10m")


def test_a_file_is_settled_by_its_time_where_that_can_be_trusted():
    again = Wait("it may still be being written: taken if it is the same after 5s", NOON + 5 * SECOND, again=True)
    assert TAKE == judge(entry(age=5), settle="5s")
    assert again == judge(entry(age=4), settle="5s")
    assert again == judge(entry(age=-3600), settle="5s")
    assert again == judge(entry(age=3600, settles=False), settle="5s")
    assert again == judge(entry(age=None), settle="5s")
    assert TAKE == judge(entry(age=None, settles=False), settle="0s")


def test_what_was_moved_after_delivery_is_never_taken_again():
    route = Route.model_validate({"name": "r", "from": {"remote": "box"}, "to": [{"remote": "o"}], "after": {"move": "done/"}})
    assert Move(move="done") == route.after
    selector = Selector(route.source, NOW)
    assert Skip("it was moved there after delivery") == selector.judge(entry("done/a.csv"))
    assert TAKE == selector.judge(entry("done.csv"))
    assert TAKE == selector.judge(entry("x/done/a.csv"))


def test_the_order_is_the_route_s():
    entries = [entry("b", age=10), entry("a", age=None), entry("c", age=20), entry("d", age=10)]
    assert ["c", "b", "d", "a"] == [str(one.name) for one in Selector(source(), NOW).sort(entries)]
    assert ["b", "d", "c", "a"] == [str(one.name) for one in Selector(source(order="newest"), NOW).sort(entries)]
    assert ["a", "b", "c", "d"] == [str(one.name) for one in Selector(source(order="name"), NOW).sort(entries)]


def test_folders_hold_the_date_of_the_route_s_zone():
    paths = ["/out/{now:%Y%m%d}", "/out/{now-1d:%Y%m%d}", "fixed"]
    assert ("/out/20260304", "/out/20260303", "fixed") == Selector(source(path=paths), NOW).folders
    assert ("/out/20260305", "/out/20260304", "fixed") == Selector(source(path=paths, zone="Asia/Tokyo"), NOW).folders
    assert ("",) == Selector(source(), NOW).folders


def test_named_groups_are_given():
    selector = Selector(source(match="(?i)(?P<site>[a-z]+)_.*"), NOW)
    assert {"site": "Tartu"} == selector.groups(entry("x/Tartu_1.csv"))


def test_a_destination_takes_what_its_match_says():
    route = Route.model_validate({"name": "r", "from": {"remote": "b"}, "to": [{"remote": "o", "match": "*.csv"}, {"remote": "o"}]})
    assert [True, True] == [to.takes(Name("x/a.csv")) for to in route.to]
    assert [False, True] == [to.takes(Name("a.xml")) for to in route.to]


def test_a_hundred_thousand_files_are_judged_in_no_time():
    entries = [entry(f"site{number % 20}/acl_homeofficeroll{number}.csv") for number in range(100_000)]
    seconds = []
    for _ in range(5):
        selector = Selector(source(match="*.csv", settle="5s"), NOW)
        begin = process_time()
        taken = sum(selector.judge(one) is TAKE for one in entries)
        seconds.append(process_time() - begin)
        assert len(entries) == taken
    assert min(seconds) < 0.15
