"""Story Q, its end: the right person hears of it, from `run` and from `up`, and status shows what is late."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.commanding import FOLDERS, Place
from tests.crash.until import until
from tests.peers.receiver import Receiver

pytestmark = pytest.mark.xdist_group("tests/stories/test_alerts.py")


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def place(tmp_path, receiver):
    with Place(tmp_path) as place:
        place.config(
            f'{FOLDERS}\n[notify.ops]\nwebhook = "http://{receiver.at}/ops"\ngroup = "0s"\n[[routes]]\nname = "gate"\n'
            'from = { remote = "source", settle = "0s", every = "0.2s" }\nto = [{ remote = "archive" }]\n'
            'steps = [{ kind = "limits", max_size = "5B" }]\nexpect = { every = "1h" }\n'
        )
        yield place


def _told(receiver):
    return [(one["event"], one["subject"]) for _, _, body in receiver.got for one in json.loads(body)["notices"]]


def _age(place, seconds: int = 7200) -> None:
    with closing(sqlite3.connect(place.folder / "data" / "ledger.db")) as ledger:
        ledger.execute("update watches set at = at - ?", (seconds * 1_000_000,))
        ledger.commit()


def test_a_run_tells_at_its_end_and_shows_what_is_late(place, receiver):
    assert 0 == place.give("run").code
    _age(place)
    late = place.give("run")
    assert 1 == late.code
    assert "gate: no file came in 1h" in late.err
    assert ["no file came in 1h"] == place.give("run", "--json").document["routes"][0]["late"]
    assert [("late", "")] == _told(receiver)
    status = place.give("status")
    assert 1 == status.code
    assert "no file came in 1h" in status.err
    place.file("much.csv", "much too much")
    place.file("good.csv", "good")
    assert 1 == place.give("run").code
    assert {("late", ""), ("recovered", ""), ("quarantined", "much.csv")} == set(_told(receiver))
    assert 3 == len(_told(receiver))
    assert [] == place.give("status", "--json").document["routes"][0]["standing"]


def test_what_is_late_is_shown_where_no_process_has_seen_it(place):
    place.give("run")
    _age(place)
    [route] = place.give("status", "--json").document["routes"]
    assert [("late", "no file came in 1h")] == [(one["event"], one["reason"]) for one in route["standing"]]


def test_up_tells_what_was_left_untold_when_it_was_killed_and_stops_no_file(place, receiver):
    receiver.status = 503
    place.file("much.csv", "much too much")
    up = place.begin("up")
    until(lambda: receiver.got)
    place.file("good.csv", "good")
    until(lambda: "good.csv" in place.delivered())
    up.stop(signal.SIGKILL)
    waiting = place.give("status")
    assert "ops: 1 notice to be told" in waiting.out
    assert "ops is away: 127.0.0.1 answered 503" in waiting.err
    receiver.status = 200
    receiver.got.clear()
    with closing(sqlite3.connect(place.folder / "data" / "ledger.db")) as ledger:
        ledger.execute("update remotes set next_try = null")
        ledger.commit()
    up = place.begin("up")
    until(lambda: receiver.got)
    until(lambda: place.give("status", "--json").document["notices"] == {})
    assert [("quarantined", "much.csv")] == _told(receiver)
    up.stop()


def test_a_target_is_tried_out(place, receiver):
    assert 0 == place.give("test", "ops").code
    assert "Transload: a test of ops" == json.loads(receiver.got[0][2])["title"]
    receiver.status = 404
    refused = place.give("test", "ops")
    assert (1, "ops: send: failed: 127.0.0.1 answered 404\n") == (refused.code, refused.err)
