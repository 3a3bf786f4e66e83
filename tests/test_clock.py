"""A clock that was ahead and was set back: looks and tries go on by the time that it has now."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.commanding import FOLDERS, ROUTE, Place
from tests.ledger.acts import Acts, entry, owed
from transload.keeper import Keeper
from transload.ledger import Ledger, now

HOUR = 3_600_000_000
AHEAD = ("update passes set asked = asked + :much, started = started + :much, ended = ended + :much", "update events set at = at + :much")


def ahead(ledger: Ledger, *statements: str) -> None:
    """What has happened happened by a clock that was an hour ahead."""
    with ledger.database.write() as connection:
        for statement in (*AHEAD, *statements):
            connection.execute(text(statement), {"much": HOUR})


@pytest.fixture
def ledger(url):
    ledger = Ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path) as place:
        place.config(FOLDERS + ROUTE.replace("settle", 'every = "1s", settle'))
        yield place


@pytest.fixture
def late(place):
    """A run that was an hour ahead of the clock as it is now."""
    place.file("first.csv")
    assert 0 == place.give("run").code
    ledger = Ledger(f"sqlite:///{place.folder}/data/ledger.db")
    ahead(ledger)
    ledger.close()
    place.file("second.csv")
    return place


def test_a_run_looks_though_its_last_look_is_yet_to_come(late):
    told = late.give("run", "--json")
    assert 0 == told.code
    assert 1 == told.document["routes"][0]["fetched"]
    assert {"first.csv", "second.csv"} == set(late.delivered())


def test_up_looks_though_its_last_look_is_yet_to_come(late):
    up = late.begin("up")
    up.until("the clock was set back")
    up.until("delivered files=1")
    assert 0 == up.stop().code
    assert {"first.csv", "second.csv"} == set(late.delivered())


def test_a_worker_notices_that_its_clock_was_set_back(yard):
    it = yard(source='remote = "src", settle = "0s", every = "15m"')
    work = replace(it.hand.work, once=False)
    keeper = Keeper(work)
    keeper.begin()
    it.put("a.csv")
    it.hand.away.add("dst")
    it.hand.go()
    assert 1 == len(it.hand.ledger.fleet.trips())
    ahead(it.hand.ledger, "update passes set next_run = next_run + :much", "update remotes set next_try = next_try + :much")
    assert {} == keeper.due()
    keeper._clock += HOUR / 1e6
    assert {"src": 1, "dst": 1} == keeper.due()
    assert it.hand.ledger.looks.rows()["r"].next_run <= now() + HOUR / 4


def test_what_waits_for_a_time_that_is_far_away_now_is_due(ledger):
    acts = Acts(ledger)
    acts.bring("a.csv")
    acts.bring("b.csv", owes=[owed("b.csv", "away")])
    ledger.claims.astray("orders", {"lake": "lake"}, now() + HOUR)
    ledger.fleet.unreachable("lake", "silence", now() + HOUR)
    acts.see(entry("c.csv"))
    assert not ledger.clock.was_ahead()
    ahead(
        ledger,
        "update remotes set since = since + :much",
        "update arrivals set next_try = first_seen + :much",
        "update deliveries set next_try = updated + :much where reason is null",
    )
    assert ledger.clock.was_ahead()
    assert None is acts.take_out() is acts.fetch()
    ledger.clock.set_right()
    trip = ledger.fleet.trips()["lake"]
    assert max(trip.next_try or 0, trip.since or 0) <= now()
    assert acts.take_out() is not None
    assert acts.fetch() is not None
    assert acts.take_out("away") is None, "it waits for somebody, not for a time"
