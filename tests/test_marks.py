"""Markers at a source: no file is taken before the one that says that it is whole."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.commanding import FOLDERS, ROUTE
from tests.commanding import Place as Commanded
from tests.crash.scene import at_fake_ftp, held, table
from tests.remotes.places import FAR, PATIENCE, Place
from transload.adopt import adopt
from transload.config import From
from transload.match import TAKE, Hold, Selector, Skip, Verdict, Wait
from transload.model import Entry, Name

NOW = datetime(2026, 3, 4, tzinfo=UTC)
THEN = 1_700_000_000_000_000
SOURCE = 'remote = "far", marker = "{name}.done"'


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.xdist_group("tests/test_marks.py")) for kind in FAR])
def far(request, tmp_path) -> Place:
    """An empty place of each kind."""
    fixture, at = FAR[request.param]
    return at(request.getfixturevalue(fixture), tmp_path)


def _entry(name: str | bytes, after: float = 0, *, precision: float = 1.0, settles: bool = True, told: bool = True) -> Entry:
    return Entry("out", Name(name), 5, THEN + round(after * 1e6) if told else None, precision, None, settles)


def _judged(file: Entry, *others: Entry, marker: str = "{name}.done", settle: str = "5s", now: datetime = NOW) -> Verdict:
    source = From.model_validate({"remote": "box", "settle": settle, "marker": marker})
    selector = Selector(source, now)
    selector.gather([file, *others])
    return selector.judge(file)


def test_a_file_is_held_until_its_marker_is_there():
    assert Hold("its marker a.csv.done is not there yet") == _judged(_entry("a.csv"))
    assert Hold("its marker x/a.csv.done is not there yet") == _judged(_entry("x/a.csv"), _entry("a.csv.done"))
    assert Hold("its marker a.csv.done is not there yet") == _judged(_entry("a.csv"), replace(_entry("a.csv.done"), folder="other"))
    assert TAKE == _judged(_entry("a.csv"), _entry("a.csv.done", 1))
    assert TAKE == _judged(_entry("x/a.csv"), _entry("x/a.csv.done"))


def test_a_marker_is_never_taken_itself():
    word = Skip("it is a marker: it says of another file that it is whole")
    assert word == _judged(_entry("a.csv.done"), _entry("a.csv"))
    assert word == _judged(_entry("nobody.done"))
    assert word == _judged(_entry("x/_SUCCESS"), marker="_SUCCESS")


@pytest.mark.parametrize(
    ("marker", "name", "mark"),
    [
        ("{stem}.ok", "x/a.csv", "x/a.ok"),
        ("ready-{name}", "x/a.csv", "x/ready-a.csv"),
        ("_SUCCESS", "x/a.csv", "x/_SUCCESS"),
        ("marks/{folder}/{name}", "x/a.csv", "marks/x/a.csv"),
        ("{name}.done", "caf\u00e9 \u202e.csv", "caf\u00e9 \u202e.csv.done"),
    ],
)
def test_a_marker_is_called_as_the_route_says(marker, name, mark):
    assert isinstance(_judged(_entry(name), marker=marker), Hold)
    assert TAKE == _judged(_entry(name), _entry(mark), marker=marker)


def test_names_that_are_no_text_have_markers_too():
    assert TAKE == _judged(_entry(b"\xff.csv"), _entry(b"\xff.csv.done"))


def test_a_name_that_leaves_no_room_for_a_marker_is_told():
    assert Hold("it can have no marker: the name would be too long") == _judged(_entry("d/" * 2046 + "a.b"))


def test_a_marker_that_is_older_than_its_file_is_not_believed():
    old = Hold("its marker a.csv.done is older than it is: it may be that of an earlier file")
    assert old == _judged(_entry("a.csv", 10), _entry("a.csv.done", 0))
    assert old == _judged(_entry("a.csv", 100), _entry("a.csv.done", 0, precision=60))


def test_what_the_times_do_not_tell_settles_as_without_a_marker():
    listed = _entry("a.csv", 10, precision=60, settles=False), _entry("a.csv.done", 0, precision=60, settles=False)
    assert isinstance(_judged(*listed), Wait)
    assert TAKE == _judged(*listed, settle="0s")
    assert isinstance(_judged(_entry("a.csv", told=False), _entry("a.csv.done")), Wait)


def test_a_file_that_is_certainly_older_than_its_marker_needs_not_settle():
    just_now = datetime.fromtimestamp(THEN / 1e6 + 2, UTC)
    assert TAKE == _judged(_entry("a.csv", 0), _entry("a.csv.done", 1), now=just_now)


def test_over_every_protocol_only_marked_files_arrive(yard, far):
    for name in (b"a.csv", b"a.csv.done", b"in/b.csv", b"in/b.csv.done", b"half.csv", b"in/half.csv"):
        far.plant(name, name)
    it = yard(source=f'{SOURCE}, settle = "0s"', more=table("far", far.make(timeout=PATIENCE)))
    it.hand.go()
    assert {"a.csv": b"a.csv", "in/b.csv": b"in/b.csv"} == it.delivered
    far.plant(b"half.csv.done", b"", time.time())
    it.hand.go()
    assert {"a.csv", "in/b.csv", "half.csv"} == set(it.delivered)
    assert 3 == len(it.hand.rows())


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ('after = "delete"', {b"half.csv": b"half.csv"}),
        ('after = { move = "done" }', {b"half.csv": b"half.csv", b"done/in/b.csv": b"in/b.csv", b"done/in/b.csv.ok": b"in/b.csv.ok"}),
    ],
    ids=["delete", "move"],
)
def test_the_marker_goes_where_its_file_goes(yard, far, after, left):
    for name in (b"in/b.csv", b"in/b.csv.ok", b"half.csv"):
        far.plant(name, name)
    source = 'remote = "far", settle = "0s", marker = "{name}.ok"'
    it = yard(after, source=source, more=table("far", far.make(timeout=PATIENCE)))
    it.hand.go()
    assert {"in/b.csv": b"in/b.csv"} == it.delivered
    assert left == held(far)


def test_a_marker_that_may_speak_of_other_files_stays(yard):
    it = yard('after = "delete"', source='remote = "src", marker = "{stem}.ok"')
    for name in ("a.csv", "a.xml", "a.ok"):
        it.put(name)
    it.hand.go()
    assert {"a.csv", "a.xml"} == set(it.delivered)
    assert {"a.ok"} == set(it.at("src"))


def test_new_bytes_wait_for_a_new_marker(yard):
    it = yard(source='remote = "src", marker = "{name}.done"')
    it.put("a.csv", b"first")
    it.put("a.csv.done", b"")
    it.hand.go()
    it.put("a.csv", b"second, half", modified=1700000100)
    it.hand.go()
    assert {"a.csv": b"first"} == it.delivered
    it.put("a.csv", b"second, whole", modified=1700000200)
    it.put("a.csv.done", b"", modified=1700000201)
    it.hand.go()
    assert {"a.csv": b"first", "a.v2.csv": b"second, whole"} == it.delivered


def test_a_file_that_changes_while_it_is_fetched_waits_for_its_marker_anew(yard, fake_ftp):
    fake_ftp.files |= {b"a.csv": b"old bytes" * 100, b"a.csv.done": b""}
    fake_ftp.modified |= {b"a.csv": 1700000000.0, b"a.csv.done": 1700000000.0}

    def grow(name: bytes) -> None:
        fake_ftp.files[name] = b"new bytes" * 200
        fake_ftp.modified[name] = 1700000500.0
        fake_ftp.changing = lambda _: None

    fake_ftp.changing = grow
    it = yard(source='remote = "ftp", marker = "{name}.done"', more=at_fake_ftp(fake_ftp.port))
    for _ in range(3):
        it.hand.go()
        it.hand.again()
    assert {} == it.delivered
    assert {"a.csv": "skipped"} == it.hand.states()
    fake_ftp.modified[b"a.csv.done"] = 1700000501.0
    it.hand.go()
    assert {"a.csv": b"new bytes" * 200} == it.delivered


def test_what_has_no_marker_yet_is_not_adopted(yard):
    it = yard(source='remote = "src", marker = "{name}.done", identity = "path"')
    for name in ("a.csv", "a.csv.done", "half.csv"):
        it.put(name)
    route = it.hand.config.routes[0]
    found = adopt(route, it.hand.ledger, it.hand.work.open, "me", dry=False)
    assert [b"a.csv"] == [entry.path for entry in found.files]
    it.put("half.csv.done")
    it.hand.go()
    assert {"half.csv"} == set(it.delivered)


def test_plan_and_explain_tell_what_is_missing(tmp_path):
    place = Commanded(tmp_path)
    place.config(FOLDERS + ROUTE.replace("settle", 'marker = "{name}.done", settle'))
    for name in ("a.csv", "b.csv", "b.csv.done"):
        place.file(name, "12345")
    plan = {one["path"]: (one["action"], one["reason"].split(":")[0]) for one in place.give("plan", "--json").document}
    assert {
        "a.csv": ("wait", "its marker a.csv.done is not there yet"),
        "b.csv": ("fetch", "new"),
        "b.csv.done": ("skip", "it is a marker"),
    } == plan
    assert "its marker a.csv.done is not there yet" in place.give("explain", "source:a.csv").out
    assert 0 == place.give("run").code
    os.unlink(place.folder / "in" / "b.csv.done")
    assert "known as arrival 1: delivered" in place.give("explain", "source:b.csv").out
    place.file("a.csv.done")
    assert "would be fetched" in place.give("explain", "source:a.csv").out
