"""What becomes of a received file in its user's home once it was delivered: `after` of routes from our servers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.servers.landings import USER
from transload.deliver import deliver
from transload.errors import Missing
from transload.intake import Intake
from transload.keeper import Keeper
from transload.ledger.entries import entry_of
from transload.ledger.schema import arrivals
from transload.protocols import SERVER
from transload.remotes.wrap import Sessions
from transload.servers.landing.settling import HomesPlace
from transload.settle import settle
from transload.workplace import Workplace

WORK = {"deliver": deliver, "settle": settle}


@pytest.fixture
def worker():
    """Delivers and settles all that is due at a wharf, in this thread."""
    sessions = Sessions()

    def work(wharf, *kinds):
        places = {SERVER: HomesPlace.of(wharf.ledger, wharf.config.data / "inbox")}
        config, ledger, spool = wharf.config, wharf.ledger, wharf.spool
        place = Workplace(
            config,
            ledger,
            spool,
            Intake(ledger, spool, "n1"),
            "w",
            "n1",
            lambda name: sessions.open(name, config.remotes.get(name) or places[name]),
            once=True,
            beside=places,
        )
        keeper = Keeper(place)
        keeper.begin()
        done = []
        for remote in ("lake", SERVER):
            while claim := keeper.take(remote):
                if kinds and claim.kind not in kinds:
                    ledger.claims.done(claim.id)
                    break
                WORK[claim.kind](place, claim)
                ledger.claims.done(claim.id)
                done.append(claim.kind)
        return done

    yield work
    sessions.close_all()


def lake(wharf) -> dict[str, bytes]:
    root = wharf.folder / "lake"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def settled(wharf) -> list[tuple[str, str | None]]:
    return [(row.settle, row.reason) for row in reversed(wharf.ledger.view.list(_all()))]


def _all():
    from transload.ledger.view import Query

    return Query()


def entry(wharf, number=1):
    with wharf.ledger.database.read() as connection:
        return entry_of(connection.execute(arrivals.select().where(arrivals.c.id == number)).one())


@pytest.fixture
def session(wharves):
    """A session of the homes of a wharf."""

    def of(wharf):
        with HomesPlace.of(wharf.ledger, wharf.config.data / "inbox").connect() as session:
            return session

    return of


def test_a_delivered_file_is_removed_from_the_home(wharves, worker):
    wharf = wharves({"after": "delete"})
    wharf.put("a.csv", b"data")
    wharf.put("x.tmp", b"not taken")
    assert ["deliver", "settle"] == worker(wharf)
    assert ({"a.csv": b"data"}, {"x.tmp": b"not taken"}) == (lake(wharf), wharf.files(hidden=True))
    assert [("done", None)] == settled(wharf)
    assert wharf.landing.sha256(wharf.home, entry(wharf).name) is None
    wharf.put("a.csv", b"data")
    assert [(f"{USER}/a.csv", 1, "delivered"), (f"{USER}/a.csv", 2, "ready")] == wharf.arrivals()


def test_a_delivered_file_is_moved_below_the_routes_folder_and_never_over_another(wharves, worker):
    wharf = wharves({"from": {"path": "in"}, "after": {"move": "done"}})
    wharf.home.make_folder(b"in")
    for number in (1, 2):
        wharf.put("in/a.csv", b"reading %d" % number)
        worker(wharf)
    assert {"in/done/a.csv": b"reading 1", "in/done/a.v2.csv": b"reading 2"} == wharf.files(hidden=True)
    assert [("done", None)] * 2 == settled(wharf)


def test_an_older_version_that_was_set_aside_is_removed_and_not_the_newer_one(wharves, worker):
    wharf = wharves({"after": "delete"})
    wharf.put("a.csv", b"one")
    worker(wharf, "deliver")
    wharf.put("a.csv", b"two")
    assert {"a.csv": b"two", "a.v1.csv": b"one"} == wharf.files()
    worker(wharf, "settle")
    assert {"a.csv": b"two"} == wharf.files()
    worker(wharf)
    assert {} == wharf.files()


def test_a_time_that_the_client_sets_after_the_upload_makes_it_no_other_file(wharves, worker):
    wharf = wharves({"after": "delete"})
    wharf.put("a.csv", b"data")
    wharf.home.set_time(b"a.csv", 1_000_000_000_000_000)
    worker(wharf)
    assert {} == wharf.files()


def test_what_the_user_has_renamed_is_found_and_what_he_has_removed_is_settled(wharves, worker):
    wharf = wharves({"after": "delete"})
    wharf.put("a.csv", b"one")
    wharf.put("b.csv", b"two")
    wharf.rename("a.csv", "mine.csv")
    wharf.remove("b.csv")
    worker(wharf)
    assert ({}, [("done", None)] * 2) == (wharf.files(), settled(wharf))


def test_what_the_operator_has_changed_stays(wharves, worker):
    wharf = wharves({"after": "delete"})
    wharf.put("a.csv", b"data")
    Path(os.fsdecode(wharf.home.root), "a.csv").write_bytes(b"longer than before")
    worker(wharf)
    assert {"a.csv": b"longer than before"} == wharf.files()
    assert "failed" == settled(wharf)[0][0]


def test_a_removal_that_died_half_way_is_finished(wharves, session, monkeypatch):
    wharf = wharves({"after": "delete"})
    wharf.put("a.csv", b"data")
    homes = session(wharf)
    one = entry(wharf)

    def died(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("transload.servers.landing.settling.os.unlink", died)
        homes.remove(one)
    assert {"a.csv": b"data"} == wharf.files()
    assert 4 == homes.stat(one).size
    homes.remove(one)
    assert ({}, None) == (wharf.files(), homes.stat(one))
    with pytest.raises(Missing):
        homes.remove(one)


@pytest.mark.parametrize(("after", "point"), [("delete", "home-removing"), ({"move": "done"}, "home-moving")])
def test_a_new_file_that_takes_the_name_in_that_very_moment_is_left_alone(wharves, worker, monkeypatch, after, point):
    wharf = wharves({"after": after})
    wharf.put("a.csv", b"one")
    worker(wharf, "deliver")

    def meanwhile(name):
        if name == point:
            monkeypatch.undo()
            wharf.put("a.csv", b"two")

    monkeypatch.setattr("transload.servers.landing.settling.crash.point", meanwhile)
    worker(wharf, "settle")
    assert b"two" == wharf.files()["a.csv"]
    worker(wharf)
    assert "a.csv" not in wharf.files()
    assert [("done", None)] * 2 == settled(wharf)


def test_a_new_file_of_the_name_of_one_that_is_gone_is_left_alone(wharves, session):
    wharf = wharves({"after": "delete"})
    wharf.put("a.csv", b"one")
    one = entry(wharf)
    homes = session(wharf)
    homes.remove(one)
    wharf.put("a.csv", b"two")
    assert homes.stat(one) is None
    with pytest.raises(Missing):
        homes.remove(one)
    assert {"a.csv": b"two"} == wharf.files()


def test_a_move_that_died_half_way_is_finished(wharves, session, monkeypatch):
    wharf = wharves({"after": {"move": "done"}})
    wharf.put("a.csv", b"data")
    homes, one = session(wharf), entry(wharf)

    def died(*_, **__):
        raise KeyboardInterrupt

    target = wharf.config.routes[0].after.target(one.name)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("transload.servers.landing.settling.disk.rename_new", died)
        homes.move(one, target)
    assert {"a.csv": b"data"} == wharf.files()
    assert 4 == homes.stat(one).size
    homes.move(one, target)
    assert {"done/a.csv": b"data"} == wharf.files()


def test_bytes_that_no_route_took_are_needed_and_others_only_as_long_as_they_are_owed(wharves, worker):
    wharf = wharves({"after": "delete"})
    wharf.put("a.csv", b"taken")
    wharf.put("x.tmp", b"not taken")
    hashes = [wharf.ledger.uploads.under(USER, b"")[number].sha256 for number in (0, 1)]
    assert set() == wharf.ledger.view.unneeded(hashes, 1 << 62)
    worker(wharf)
    assert {hashes[0]} == wharf.ledger.view.unneeded(hashes, 1 << 62)
    wharf.remove("x.tmp")
    assert set(hashes) == wharf.ledger.view.unneeded(hashes, 1 << 62)
