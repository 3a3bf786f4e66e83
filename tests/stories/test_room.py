"""A disk that is too full: what a run does about it, and what it says."""

from __future__ import annotations

import pytest

from tests import mounted
from tests.commanding import FOLDERS, ROUTE, Place


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path) as place:
        yield place


def test_a_run_without_room_ends_and_says_so_and_the_next_with_room_brings_all(place):
    head = '[transload]\nspool = {{ min_free = "{}" }}\n'
    place.file("a.csv")
    place.config(head.format("900TB") + FOLDERS + ROUTE)
    short = place.give("run")
    assert 1 == short.code
    assert "files: 1 file seen, 0 fetched (0 B), 0 delivered to archive, 1 held" in short.out
    assert "of which 900.0 TB are to stay free" in short.err
    assert place.give("run", "--json").document["routes"][0]["failures"][0]["path"] == "a.csv"
    place.config(head.format("1MB") + FOLDERS + ROUTE)
    assert 0 == place.give("run").code
    assert ["a.csv"] == list(place.delivered())


def test_a_run_without_room_throws_away_what_is_not_needed_and_goes_on(place, tmp_path):
    with mounted.image(tmp_path / "disk", 16) as disk:
        head = f'[transload]\ndata = "{disk}/data"\nspool = {{ keep = "0s", min_free = "7MB" }}\n'
        place.config(head + FOLDERS + ROUTE)
        for name in ("a.csv", "b.csv", "c.csv"):
            place.file(name, name * 700_000)
            done = place.give("run")
            assert (0, "") == (done.code, done.err), done
        assert {"a.csv", "b.csv", "c.csv"} == place.delivered().keys()
