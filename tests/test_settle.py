"""Settling: the source is removed or moved only when every required destination has the file, and only if it is still that file."""

from __future__ import annotations

import os

import pytest

from tests.crash.scene import held, table
from tests.engine.byhand import Yard
from tests.remotes.places import FAR, PATIENCE, VARIABLE, Place

MOVE = 'after = { move = "done" }'
DELETE = 'after = "delete"'


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.xdist_group("tests/test_settle.py")) for kind in FAR])
def far(request, tmp_path) -> Place:
    """An empty place of each kind."""
    fixture, at = FAR[request.param]
    return at(request.getfixturevalue(fixture), tmp_path)


def _from(yard, place: Place, route: str, **more: str) -> Yard:
    """A route from that place, which takes files at once."""
    return yard(route, source='remote = "far", settle = "0s"', more=table("far", place.make(timeout=PATIENCE)), **more)


@pytest.mark.parametrize(
    ("route", "left"),
    [
        ('after = "keep"', {b"a.csv": b"1", b"in/b.csv": b"2"}),
        (DELETE, {}),
        (MOVE, {b"done/a.csv": b"1", b"done/in/b.csv": b"2"}),
    ],
    ids=["keep", "delete", "move"],
)
def test_the_source_is_settled_as_the_route_says(yard, far, route, left):
    far.plant(b"a.csv", b"1")
    far.plant(b"in/b.csv", b"2")
    it = _from(yard, far, route)
    it.hand.go()
    assert {"a.csv": b"1", "in/b.csv": b"2"} == it.delivered
    assert left == held(far)
    it.hand.go()
    assert {"a.csv": b"1", "in/b.csv": b"2"} == it.delivered
    assert 2 == len(it.hand.rows())
    assert left == held(far)


def test_what_was_moved_there_before_is_never_moved_over(yard, far):
    far.plant(b"done/a.csv", b"older")
    far.plant(b"a.csv", b"newer")
    it = _from(yard, far, MOVE)
    it.hand.go()
    assert {"a.csv": b"newer"} == it.delivered
    assert {b"done/a.csv": b"older", b"done/a.v2.csv": b"newer"} == held(far)
    assert "settled" == it.hand.events("a.csv")[-1]


def test_a_source_that_changed_after_its_delivery_stays_and_is_the_next_version(yard, far):
    far.plant(b"a.csv", b"first")
    it = _from(yard, far, DELETE)
    _deliver_only(it)
    far.plant(b"a.csv", b"second!", modified=1700000500.0)
    it.hand.work_off()
    assert {b"a.csv": b"second!"} == held(far)
    it.hand.go()
    assert {b"first", b"second!"} == set(it.delivered.values())
    assert {} == held(far)


def _deliver_only(it: Yard) -> None:
    """Everything but the settling."""
    from transload.ledger import Claims

    settle = Claims.settle
    Claims.settle = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        it.hand.go()
    finally:
        Claims.settle = settle  # type: ignore[method-assign]
    assert {"delivered"} == set(it.hand.states().values())


def test_a_source_that_somebody_took_away_is_settled(yard, far):
    far.plant(b"a.csv", b"1")
    it = _from(yard, far, DELETE)
    _deliver_only(it)
    if not (it.folder / "none").exists():
        _taken(it, far)
    it.hand.work_off()
    assert {} == held(far)
    assert "done" == it.hand.row("a.csv").settle


def _taken(it: Yard, far: Place) -> None:
    with far.connect() as session:
        for entry in list(session.list("", recursive=True)):
            session.remove(entry)


def test_a_name_that_was_settled_is_new_again(yard, far):
    it = _from(yard, far, DELETE)
    for number in range(3):
        far.plant(b"daily.csv", b"day %d" % number)
        it.hand.go()
    assert {"daily.csv": b"day 0", "daily.v2.csv": b"day 1", "daily.v3.csv": b"day 2"} == it.delivered
    assert {} == held(far)


def test_the_very_same_file_put_there_again_after_its_settling_is_taken_again(yard):
    it = yard(DELETE)
    for _ in range(2):
        it.put("a.csv", b"same")
        it.hand.go()
    assert {} == it.at("src")
    assert {"a.csv": b"same"} == it.delivered
    assert {"delivered"} == set(it.hand.states().values())


def test_nothing_is_settled_before_every_required_destination_has_it(yard):
    it = yard(DELETE, to='{ remote = "dst" }, { remote = "other" }')
    it.put("a.csv", b"1")
    it.hand.away.add("other")
    it.hand.go()
    assert {"a.csv": b"1"} == it.at("src")
    it.hand.away.clear()
    it.hand.again()
    it.hand.work_off()
    assert {"a.csv": b"1"} == it.delivered
    assert it.delivered == it.at("other")
    assert {} == it.at("src")


def test_a_file_that_failed_stays_at_the_source(yard):
    it = yard(DELETE, to='{ remote = "dst", conflict = "fail" }')
    (it.folder / "dst" / "a.csv").write_bytes(b"foreign")
    it.put("a.csv", b"ours")
    it.put("b.csv", b"2")
    it.hand.go()
    assert {"a.csv": b"ours"} == it.at("src")
    assert {"a.csv": b"foreign", "b.csv": b"2"} == it.delivered


def test_a_clean_up_that_cannot_reach_the_source_is_tried_again_without_a_fetch(yard):
    it = yard(DELETE)
    for name in ("a.csv", "b.csv"):
        it.put(name, name.encode())
    _deliver_only(it)
    it.hand.told.clear()
    it.hand.away.add("src")
    it.hand.work_off()
    assert {"a.csv", "b.csv"} == set(it.at("src"))
    it.hand.away.clear()
    it.hand.again()
    it.hand.work_off()
    assert {} == it.at("src")
    assert [] == [what for what, _, _ in it.hand.told if what == "fetched"]


def test_a_line_that_breaks_while_settling_says_so_only_of_those_left(yard, fake_ftp):
    fake_ftp.files |= {b"f%d" % number: b"%d" % number for number in range(4)}
    it = _ftp(yard, fake_ftp)
    _deliver_only(it)
    count = iter(range(10))
    fake_ftp.replies["DELE"] = lambda _: fake_ftp.hangup.add("DELE") if next(count) == 1 else None
    it.hand.work_off()
    events = {row.text: it.hand.events(row.text) for row in it.hand.rows()}
    gone = {name for name in events if name.encode() not in fake_ftp.files}
    assert gone
    assert {name for name, what in events.items() if "held" in what} == set(events) - {name for name in gone if "settled" in events[name]}
    fake_ftp.hangup.clear()
    fake_ftp.replies.clear()
    it.hand.again()
    it.hand.work_off()
    assert {} == fake_ftp.files
    assert {"done"} == {row.settle for row in it.hand.rows()}


def test_a_source_that_does_not_let_us_remove_is_told_and_keeps_the_file(yard, fake_ftp):
    fake_ftp.files |= {b"a.csv": b"1"}
    fake_ftp.replies["DELE"] = "550 Permission denied."
    it = _ftp(yard, fake_ftp)
    it.hand.go()
    assert {"a.csv": b"1"} == it.delivered
    assert {b"a.csv": b"1"} == fake_ftp.files
    row = it.hand.row("a.csv")
    assert ("delivered", "failed") == (row.state, row.settle)
    assert "ermission denied" in (row.reason or "")
    it.hand.go()
    assert {"a.csv": b"1"} == it.delivered
    fake_ftp.replies.clear()
    it.hand.ledger.hand.retry([row.id], "me")
    it.hand.work_off()
    assert {} == fake_ftp.files


def _ftp(yard, fake_ftp) -> Yard:
    from transload.remotes.ftp import FtpRemote
    from transload.secret import Secret

    settings = {"host": "127.0.0.1", "port": fake_ftp.port, "user": "partner", "password": Secret(env=VARIABLE), "tls": "off"}
    more = table("far", FtpRemote(**settings, timeout=PATIENCE))
    return yard(DELETE, source='remote = "far", settle = "0s"', more=more)


def test_a_move_leaves_folders_that_are_never_listed_again(yard):
    it = yard(MOVE, source='remote = "src", match = "**"')
    it.put("in/a.csv", b"1")
    it.hand.go()
    it.hand.go()
    assert ["in/a.csv"] == [row.text for row in it.hand.rows()]
    assert {"done/in/a.csv": b"1"} == it.at("src")
    assert os.path.isdir(it.folder / "src" / "in")
