"""Alerts: the right ones hear of what went wrong, each thing once, whatever dies; and no file waits for that."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress

import pytest
from sqlalchemy import text

from tests.engine.byhand import ByHand, Yard
from tests.peers.receiver import Receiver
from tests.test_process import Judge
from transload import crash
from transload.alerts import Finding, tell_all
from transload.config.kinds import STEPS
from transload.expecting import Fine, Late
from transload.lateness import lateness
from transload.ledger import News, now
from transload.model import to_datetime

STEP = 'steps = [{ kind = "judge" }]'
HOUR = 3_600_000_000


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def judge(monkeypatch):
    monkeypatch.setitem(STEPS.ours, "judge", f"{Judge.__module__}:Judge")
    Judge.away = False


@pytest.fixture
def alerts(yard, receiver):
    """A yard whose route is watched, from now on, by the target `ops` (and those in `more`); `told` is what it heard of."""

    def make(route: str = STEP, ops: str = 'group = "0s"', more: str = "", alerts: str = "", to: str = "") -> Yard:
        table = f'[transload.alerts]\n{alerts}\n[notify.ops]\nwebhook = "http://{receiver.at}/ops"\n{ops}\n{more}'
        it = yard(route, more=table, to=f'{{ remote = "dst"{to} }}')
        it.hand.ledger.looks.declare(["r"])
        it.hand.find()
        return it

    return make


def _told(receiver, path="/ops"):
    notices = [one for at, _, body in receiver.got if at == path for one in json.loads(body)["notices"]]
    return [(one["event"], one["subject"], one["reason"]) for one in notices]


def _find_and_tell(it) -> None:
    it.hand.find()
    it.hand.work_off()


def _age(it, sql: str, **values) -> None:
    """Time passes, as far as the ledger knows."""
    with it.hand.ledger.database.write() as connection:
        connection.execute(text(sql), values)


def test_a_file_in_quarantine_is_told_once_with_its_source_and_reason(alerts, receiver):
    it = alerts()
    it.put("in/evil.csv", b"bad")
    it.put("good.csv", b"good")
    it.hand.go()
    for _ in range(3):
        _find_and_tell(it)
    assert [("quarantined", "in/evil.csv", "bad in itself")] == _told(receiver)
    [(_, _, body)] = receiver.got
    told = json.loads(body)
    assert "src" == told["notices"][0]["source"]
    assert "Transload: r: quarantined (1)" == told["title"]
    assert "in/evil.csv" in told["text"]
    assert "bad in itself" in told["text"]


def test_a_file_that_failed_at_a_destination_is_one_notice(alerts, receiver):
    it = alerts("", to=', conflict = "fail"')
    (it.folder / "dst" / "a.csv").write_bytes(b"another")
    it.put("a.csv", b"a")
    it.hand.go()
    assert {"a.csv": "failed"} == it.hand.states()
    _find_and_tell(it)
    [(event, subject, reason)] = _told(receiver)
    assert ("failed", "a.csv") == (event, subject)
    assert reason.startswith("to dst: ")


def test_what_was_before_anybody_was_to_be_told_is_not_told(yard, receiver):
    it = yard(STEP)
    it.put("old.csv", b"bad")
    it.hand.go()
    it.hand.find()
    it.rewrite(STEP, more=f'[notify.ops]\nwebhook = "http://{receiver.at}/ops"\ngroup = "0s"')
    _find_and_tell(it)
    it.put("new.csv", b"bad again")
    it.hand.go()
    _find_and_tell(it)
    assert [("quarantined", "new.csv", "bad in itself")] == _told(receiver)


def test_a_route_says_who_is_told_and_a_target_says_of_what(alerts, receiver):
    more = "".join(f'[notify.{name}]\nwebhook = "http://{receiver.at}/{name}"\ngroup = "0s"\n' for name in ("late", "other"))
    it = alerts(f'{STEP}\nnotify = ["ops", "late"]', more=more.replace('/late"', '/late"\non = ["late"]'))
    it.put("a.csv", b"bad")
    it.hand.go()
    _find_and_tell(it)
    assert ["/ops"] == [path for path, _, _ in receiver.got]


def test_a_target_that_is_away_stops_no_file_and_is_told_when_it_is_back(alerts, receiver):
    receiver.status = 503
    it = alerts()
    for number in range(5):
        it.put(f"{number}.csv", b"bad" if number % 2 else b"good")
        it.hand.go()
        _find_and_tell(it)
    assert 3 == len(it.delivered)
    assert 1 == len(receiver.got), "it is not asked again before its time"
    trip = it.hand.ledger.fleet.trips()["@notify:ops"]
    assert "127.0.0.1 answered 503" in (trip.reason or "")
    assert {"ops": 2} == {name: count for name, (count, _) in it.hand.ledger.notices.waiting().items()}
    receiver.status = 200
    receiver.got.clear()
    it.hand.again()
    it.hand.work_off()
    assert ["1.csv", "3.csv"] == [subject for _, subject, _ in _told(receiver)]
    assert {} == it.hand.ledger.notices.waiting()
    assert {} == it.hand.ledger.fleet.trips()


def test_a_run_asks_a_target_that_is_away_no_sooner_than_others_do(alerts, receiver):
    receiver.status = 503
    it = alerts()
    it.put("a.csv", b"bad")
    it.hand.go()
    it.hand.find()
    for _ in range(3):
        tell_all(it.hand.work)
    assert 1 == len(receiver.got)
    it.hand.again()
    receiver.status = 200
    tell_all(it.hand.work)
    assert {} == it.hand.ledger.notices.waiting()


def test_a_message_that_a_target_refuses_keeps_no_other_from_it(alerts, receiver):
    receiver.refused = b"odd.csv"
    it = alerts(f"{STEP}\n" + 'expect = { every = "1h" }')
    it.put("odd.csv", b"bad")
    it.hand.go()
    _age(it, "update watches set at = at - :much", much=2 * HOUR)
    _age(it, "update events set at = at - :much", much=1000)
    _find_and_tell(it)
    assert ["quarantined", "late"] == [event for event, _, _ in _told(receiver)]
    assert {"ops": 1} == {name: count for name, (count, _) in it.hand.ledger.notices.waiting().items()}
    assert "127.0.0.1 answered 400" in (it.hand.ledger.fleet.trips()["@notify:ops"].reason or "")
    receiver.refused = None
    it.hand.again()
    it.hand.work_off()
    assert {} == it.hand.ledger.notices.waiting()


def test_a_death_between_the_sending_and_the_ledger_tells_it_once_more_and_then_never(alerts, receiver, monkeypatch):
    class Killed(BaseException):
        pass

    def die(name: str) -> None:
        if name == "told":
            raise Killed

    it = alerts()
    it.put("a.csv", b"bad")
    it.hand.go()
    it.hand.find()
    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(crash, "point", die)
        it.hand.work_off()
    for claim in it.hand.ledger.claims.open():
        it.hand.ledger.claims.done(claim.id)
    for _ in range(3):
        _find_and_tell(it)
    assert 2 == len(receiver.got)
    assert 1 == len({json.loads(body)["id"] for _, _, body in receiver.got}), "who gets it twice can tell"


def test_two_processes_that_tell_at_once_tell_it_once(alerts, receiver):
    it = alerts()
    it.put("a.csv", b"bad")
    it.hand.go()
    it.hand.find()
    receiver.wait.clear()
    with ByHand(it.file, name="a run") as run, ByHand(it.file, name="another") as other:
        several = [threading.Thread(target=tell_all, args=[run.work]), threading.Thread(target=tell_all, args=[other.work])]
        several.append(threading.Thread(target=it.hand.work_off))
        for one in several:
            one.start()
            while not receiver.got:
                time.sleep(0.01)
        time.sleep(0.1)
        receiver.wait.set()
        for one in several:
            one.join()
        assert ["a.csv"] == [subject for _, subject, _ in _told(receiver)]
        it.put("b.csv", b"bad")
        it.hand.go()
        it.hand.find()
        tell_all(run.work)
    assert ["a.csv", "b.csv"] == [subject for _, subject, _ in _told(receiver)]


def test_notices_of_one_kind_wait_for_each_other_and_come_as_one(alerts, receiver):
    it = alerts(ops='group = "1h"')
    for number in range(3):
        it.put(f"{number}.csv", b"bad")
        it.hand.go()
        _find_and_tell(it)
    assert [] == receiver.got
    _age(it, "update notices set at = at - :much", much=HOUR)
    _find_and_tell(it)
    assert 1 == len(receiver.got)
    assert 3 == json.loads(receiver.got[0][2])["count"]


def test_more_than_the_rate_waits_and_is_summed_up(alerts, receiver):
    it = alerts(ops='group = "0s"\nrate = 2')
    for number in range(4):
        it.put(f"{number}.csv", b"bad")
        it.hand.go()
        _find_and_tell(it)
    assert 2 == len(receiver.got)
    _age(it, "update notices set sent = sent - :much where sent is not null", much=HOUR)
    _find_and_tell(it)
    assert 3 == len(receiver.got)
    assert ["2.csv", "3.csv"] == [subject for _, subject, _ in _told(receiver)][2:]


# What is expected


def test_late_is_told_once_and_recovered_once(alerts, receiver):
    it = alerts('expect = { every = "1h" }')
    _find_and_tell(it)
    assert [] == receiver.got
    _age(it, "update watches set at = at - :much", much=2 * HOUR)
    for _ in range(3):
        _find_and_tell(it)
    assert [("late", "", "no file came in 1h")] == _told(receiver)
    it.put("a.csv", b"a")
    it.hand.go()
    for _ in range(3):
        _find_and_tell(it)
    assert ["late", "recovered"] == [event for event, _, _ in _told(receiver)]
    assert "no file came in 1h" in _told(receiver)[1][2]


def test_what_went_to_quarantine_has_not_come(alerts, receiver):
    it = alerts(f'{STEP}\nexpect = {{ every = "1h" }}')
    _age(it, "update watches set at = at - :much", much=2 * HOUR)
    it.put("a.csv", b"bad")
    it.hand.go()
    _find_and_tell(it)
    assert ["late", "quarantined"] == sorted(event for event, _, _ in _told(receiver))


def test_files_that_are_too_few_rows_do_not_count(alerts, receiver):
    it = alerts('steps = [{ kind = "format" }]\nexpect = { every = "1h", min_rows = 2 }')
    _age(it, "update watches set at = at - :much", much=2 * HOUR)
    it.put("a.csv", b"x,y\n1,2\n")
    it.hand.go()
    _find_and_tell(it)
    assert [("late", "", "no file came in 1h; a.csv has 1 row, at least 2 are wanted")] == _told(receiver)
    it.put("b.csv", b"x,y\n1,2\n3,4\n")
    it.hand.go()
    _find_and_tell(it)
    assert "recovered" == _told(receiver)[-1][0]


def test_another_expectation_is_watched_anew(alerts, receiver):
    it = alerts('expect = { every = "1h" }')
    _age(it, "update watches set at = at - :much", much=2 * HOUR)
    table = f'[notify.ops]\nwebhook = "http://{receiver.at}/ops"\ngroup = "0s"'
    it.rewrite('expect = { every = "2h" }', more=table)
    _find_and_tell(it)
    assert [] == receiver.got


@pytest.mark.parametrize("match", ["*.csv", "a{now:%Y%m%d}.csv"])
def test_what_came_before_the_watching_began_is_not_late(alerts, match):
    it = alerts("")
    soon = to_datetime(now() + 2 * HOUR)
    it.put("a.csv")
    it.put(f"a{soon:%Y%m%d}.csv")
    it.hand.go()
    _age(it, "update arrivals set first_seen = first_seen - :much", much=HOUR)
    it.rewrite(f'expect = {{ by = "{soon:%H:%M}", match = "{match}" }}')
    it.hand.find()
    book, route = it.hand.ledger, it.hand.work.route("r")
    assert isinstance(lateness(book, route, book.notices.watching(), now() + 3 * HOUR), Fine)
    assert isinstance(lateness(book, route, book.notices.watching(), now() + 30 * HOUR), Late)


def test_a_run_that_brings_nothing_is_told_until_one_brings_something(alerts, receiver):
    it = alerts("expect = { empty = true }")
    for _ in range(3):
        it.hand.go()
        _find_and_tell(it)
    assert [("empty", "", "the run brought no file")] == _told(receiver)
    it.put("a.csv")
    it.hand.go()
    _find_and_tell(it)
    assert "recovered" == _told(receiver)[-1][0]


# What stands wrong


def test_files_that_wait_unscanned_are_told_after_a_time_and_when_they_go_on(alerts, receiver, tmp_path):
    it = alerts(f'steps = [{{ kind = "scan", clamd = "unix:{tmp_path}/nobody.ctl" }}]', alerts='scanner = "5m"')
    it.put("a.csv", b"a")
    it.hand.go()
    assert {"a.csv": "received"} == it.hand.states()
    _find_and_tell(it)
    assert [] == receiver.got
    _age(it, "update conditions set since = since - :much", much=HOUR)
    for _ in range(2):
        _find_and_tell(it)
    [(event, _, reason)] = _told(receiver)
    assert "scanner" == event
    assert reason.startswith("1 file waits: not scanned: ")
    _age(it, "update arrivals set state = 'skipped'")
    _find_and_tell(it)
    assert "recovered" == _told(receiver)[-1][0]


def test_a_short_silence_of_the_scanner_is_nobodys_business(alerts, receiver, tmp_path):
    it = alerts(f'steps = [{{ kind = "scan", clamd = "unix:{tmp_path}/nobody.ctl" }}]')
    it.put("a.csv", b"a")
    it.hand.go()
    it.hand.find()
    _age(it, "update arrivals set state = 'skipped'")
    _find_and_tell(it)
    assert [] == receiver.got
    assert {} == it.hand.ledger.notices.conditions()


def test_a_backlog_that_is_old_and_a_disk_that_is_nearly_full_are_told(alerts, receiver):
    it = alerts(alerts='backlog = "1h"\ndisk = "900TB"')
    Judge.away = True
    it.put("a.csv", b"a")
    it.hand.go()
    _age(it, "update arrivals set first_seen = first_seen - :much", much=2 * HOUR)
    _find_and_tell(it)
    assert {"backlog", "disk"} == {event for event, _, _ in _told(receiver)}


def test_what_stands_wrong_about_a_route_that_is_no_more_is_over_without_a_word(alerts, receiver):
    it = alerts('expect = { every = "1h" }')
    _age(it, "update watches set at = at - :much", much=2 * HOUR)
    _find_and_tell(it)
    it.rewrite("", more=f'[notify.ops]\nwebhook = "http://{receiver.at}/ops"\ngroup = "0s"')
    _find_and_tell(it)
    assert ["late"] == [event for event, _, _ in _told(receiver)]
    assert {} == it.hand.ledger.notices.conditions()


LATE = """
expect = { every = "1h" }
[[routes]]
name = "s"
from = { remote = "other", settle = "0s" }
to = [{ remote = "dst" }]
expect = { every = "1h" }
"""


def test_a_run_of_one_route_forgets_nothing_about_another(alerts, receiver):
    it = alerts(LATE)
    _age(it, "update watches set at = at - :much", much=2 * HOUR)
    _find_and_tell(it)
    assert {"r", "s"} == {one["route"] for _, _, body in receiver.got for one in json.loads(body)["notices"]}
    finding = Finding(it.hand.work, [it.hand.work.route("s")])
    finding.begin()
    finding.look(alone=True)
    it.put("a.csv")
    it.hand.go()
    for _ in range(2):
        _find_and_tell(it)
    assert ["late", "late", "recovered"] == [event for event, _, _ in _told(receiver)]
    assert ["late/s"] == list(it.hand.ledger.notices.conditions())


def test_two_that_find_the_same_at_once_tell_it_once(alerts, receiver, monkeypatch):
    it = alerts(alerts='disk = "900TB"')
    _age(it, "delete from notices")
    _age(it, "delete from conditions")
    book = it.hand.ledger.notices
    both = [Finding(it.hand.work, it.hand.config.routes) for _ in range(2)]

    def after_the_other(found: News) -> None:
        monkeypatch.undo()
        both[1].look(alone=True)
        book.write(found)

    monkeypatch.setattr(book, "write", after_the_other)
    both[0].look(alone=True)
    it.hand.work_off()
    assert ["disk"] == [event for event, _, _ in _told(receiver)]


def test_a_machine_that_is_started_again_is_no_other(alerts, receiver):
    it = alerts(alerts='disk = "900TB"')
    for statement in ("conditions set name = 'disk/there', subject = 'there'", "watches set name = 'disk/there' where name like 'disk/%'"):
        _age(it, f"update {statement}")
    it.hand.find()
    assert {"disk/here", "disk/there"} == set(it.hand.ledger.notices.conditions())
    # After a day it is none any more, and nobody has to hear of that.
    _age(it, "update conditions set since = since - :much", much=25 * HOUR)
    _age(it, "update watches set at = at - :much where name = 'disk/there'", much=25 * HOUR)
    for _ in range(2):
        _find_and_tell(it)
    assert {"disk/here"} == set(it.hand.ledger.notices.conditions())
    assert ["disk", "disk"] == [event for event, _, _ in _told(receiver)]


# A clock that was ahead


def test_a_clock_that_was_ahead_leaves_nothing_untold(alerts, receiver):
    it = alerts(f"{STEP}\n" + 'expect = { every = "1h" }', ops='group = "0s"\nrate = 1')
    ahead = 30 * 24 * HOUR
    it.put("a.csv", b"bad")
    it.hand.go()
    _find_and_tell(it)
    _age(it, "update watches set at = at + :much", much=ahead)
    _age(it, "update notices set at = at + :much, sent = sent + :much", much=ahead)
    it.hand.find()
    with it.hand.ledger.database.write() as connection:
        connection.execute(text("update watches set at = at - :much where name like 'expect/%'"), {"much": 2 * HOUR})
    it.put("b.csv", b"bad")
    it.hand.go()
    _find_and_tell(it)
    assert ["a.csv", "", "b.csv"] == sorted((subject for _, subject, _ in _told(receiver)), key=["a.csv", "", "b.csv"].index)
    assert {"quarantined", "late"} == {event for event, _, _ in _told(receiver)}


def test_what_came_by_a_clock_that_was_ahead_has_come(alerts):
    it = alerts('expect = { every = "1h" }')
    it.put("a.csv")
    it.hand.go()
    _age(it, "update watches set at = at - :much", much=2 * HOUR)
    _age(it, "update arrivals set first_seen = first_seen + :much", much=HOUR)
    assert isinstance(lateness(it.hand.ledger, it.hand.work.route("r"), it.hand.ledger.notices.watching(), now()), Fine)


def test_what_begins_to_wait_by_a_clock_that_was_ahead_begins_anew(alerts, receiver, tmp_path):
    it = alerts(f'steps = [{{ kind = "scan", clamd = "unix:{tmp_path}/nobody.ctl" }}]')
    it.put("a.csv", b"a")
    it.hand.go()
    it.hand.find()
    _age(it, "update conditions set since = since + :much", much=HOUR)
    it.hand.find()
    [one] = it.hand.ledger.notices.conditions().values()
    assert (False, True) == (one.told, one.since <= now())


def test_notices_are_forgotten_in_the_end(alerts):
    it = alerts()
    it.put("a.csv", b"bad")
    it.hand.go()
    it.hand.find()
    it.hand.ledger.notices.forget(now() - HOUR)
    assert 1 == len(it.hand.ledger.notices.unsent("ops"))
    it.hand.ledger.notices.forget(now() + HOUR)
    assert [] == it.hand.ledger.notices.unsent("ops")
