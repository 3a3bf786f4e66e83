"""Looks at a source: what is new, what is remembered, who looks."""

from __future__ import annotations

import time

import pytest

from tests.ledger.acts import GO, LATER, TIME, entry, together
from transload.ledger import Found, Lost, now
from transload.ledger.view import Query
from transload.model import ArrivalState


def claim_of(ledger, route="orders", worker="w1", next_run=None):
    return ledger.looks.claim(worker, route, "carrier", next_run)


# What was found


def test_a_new_file_becomes_an_arrival_with_its_event(ledger, acts):
    [number] = acts.see(entry("in/a.csv", 7, etag="e1", link="http://x/a"))
    row = ledger.view.arrival(number)
    assert ("seen", 1, 7, b"in/a.csv", "in/a.csv") == (row.state, row.version, row.size, row.path, row.text)
    assert ["seen"] == acts.events(number)


def test_what_was_found_is_remembered_but_not_taken_yet(ledger, acts):
    [number] = acts.see(entry("a.csv", 7, etag="e1", precision=60.0))
    known = ledger.looks.known("orders", "carrier", [b"a.csv", b"b.csv"])
    assert [b"a.csv"] == list(known)
    assert (number, 1, False, 7, TIME, 60.0, "e1") == tuple(known[b"a.csv"])


def test_another_route_and_another_source_remember_for_themselves(ledger, acts):
    acts.see(entry())
    assert {} == ledger.looks.known("other", "carrier", [b"a.csv"])
    assert {} == ledger.looks.known("orders", "elsewhere", [b"a.csv"])


def test_numbers_of_arrivals_are_never_used_twice(ledger, acts):
    first = acts.see(entry("a.csv"), entry("b.csv"))
    claim = acts.fetch()
    ledger.arrivals.gone(claim.id, first, "gone")
    ledger.claims.done(claim.id)
    assert max(first) < min(acts.see(entry("c.csv"), entry("d.csv")))


def test_a_file_that_waits_is_held_until_its_time_with_a_reason(ledger, acts):
    until = now() + LATER
    ledger.looks.record(None, "orders", "carrier", [Found(entry(), reason="too young", until=until)])
    [row] = ledger.view.list(Query())
    assert ("seen", "too young", until) == (row.state, row.reason, row.next_try)
    assert acts.fetch() is None


def test_news_of_a_file_not_fetched_yet_changes_it_and_makes_no_second_one(ledger, acts):
    [number] = acts.see(entry("a.csv", 5))
    grown = entry("a.csv", 9, TIME + 1, etag="e2")
    ledger.looks.record(None, "orders", "carrier", [Found(grown, arrival=number, reason="still growing", until=1)])
    [row] = ledger.view.list(Query())
    assert (number, 9, "still growing") == (row.id, row.size, row.reason)
    known = ledger.looks.known("orders", "carrier", [b"a.csv"])[b"a.csv"]
    assert (number, 9, TIME + 1, "e2", False) == (known.arrival, known.size, known.modified, known.etag, known.taken)


def test_news_of_a_file_in_somebodys_hands_waits(ledger, acts):
    [number] = acts.see(entry("a.csv", 5))
    acts.fetch()
    ledger.looks.record(None, "orders", "carrier", [Found(entry("a.csv", 9), arrival=number)])
    assert 5 == ledger.view.arrival(number).size


def test_a_new_version_stands_beside_the_old_one(ledger, acts):
    first = acts.bring("a.csv", b"one")
    [second] = acts.see(entry("a.csv", 6, TIME + 1), version=2)
    assert first != second
    assert [(second, 2, "seen"), (first, 1, "ready")] == [(row.id, row.version, row.state) for row in ledger.view.list(Query())]
    assert (second, 2, False) == ledger.looks.known("orders", "carrier", [b"a.csv"])[b"a.csv"][:3]


@pytest.mark.parametrize("state", [ArrivalState.SKIPPED, ArrivalState.FAILED])
def test_a_change_that_the_route_does_not_want_is_written_down_and_never_fetched(ledger, acts, state):
    acts.bring("a.csv", b"one")
    ledger.looks.record(None, "orders", "carrier", [Found(entry("a.csv", 9), 2, None, state, "it changed")])
    row = ledger.view.list(Query())[0]
    assert (state.value, "it changed") == (row.state, row.reason)
    assert [state.value] == acts.events(row.id)
    assert ledger.looks.known("orders", "carrier", [b"a.csv"])[b"a.csv"].taken
    assert acts.fetch() is None


def test_what_is_adopted_is_known_and_not_fetched(ledger, acts):
    ledger.looks.adopt("orders", "carrier", [entry("a.csv"), entry("b.csv")], "adopted by anna")
    assert [("skipped", "adopted by anna")] * 2 == [(row.state, row.reason) for row in ledger.view.list(Query())]
    assert acts.fetch() is None
    assert all(known.taken for known in ledger.looks.known("orders", "carrier", [b"a.csv", b"b.csv"]).values())


def test_a_file_adopted_while_a_look_goes_on_stays_adopted(ledger, acts):
    ledger.looks.adopt("orders", "carrier", [entry("a.csv")], "adopted by anna")
    ledger.looks.record(None, "orders", "carrier", [Found(entry("a.csv")), Found(entry("b.csv"))])
    assert [("b.csv", "seen"), ("a.csv", "skipped")] == [(row.text, row.state) for row in ledger.view.list(Query())]


def test_names_that_are_no_utf8_stay_the_bytes_that_they_are(ledger, acts):
    names = [b"caf\xe9.csv", b"caf\xc3\xa9.csv", b"a\nb.csv", b"'; drop table arrivals; --", "😀\u202e.csv".encode()]
    numbers = acts.see(*(entry(name) for name in names))
    assert names == [ledger.view.arrival(number).path for number in numbers]
    assert len(names) == len({ledger.view.arrival(number).text for number in numbers})
    assert set(names) == set(ledger.looks.known("orders", "carrier", names))
    claim = acts.fetch()
    assert names == [wanted.entry.path for wanted in ledger.arrivals.wanted(claim.id)]


def test_an_entry_comes_back_as_it_was_listed(ledger, acts):
    listed = entry("deep/down/a.csv", 3, TIME, "out/new", etag='W/"1"', link="https://x/?q=1", precision=86400.0)
    acts.see(listed)
    [wanted] = ledger.arrivals.wanted(acts.fetch().id)
    assert listed == wanted.entry


def test_a_size_and_a_time_that_are_not_told_stay_unknown(ledger, acts):
    acts.see(entry("a.csv", None, None))
    [wanted] = ledger.arrivals.wanted(acts.fetch().id)
    assert (None, None) == (wanted.entry.size, wanted.entry.modified)


@pytest.mark.timeout(180)
def test_a_hundred_thousand_names_are_looked_up_in_one_go(ledger, acts, capsys):
    entries = [entry(f"folder/{number:06}_orders.csv") for number in range(100_000)]
    ledger.looks.record(None, "orders", "carrier", [Found(one) for one in entries])
    paths = [one.path for one in entries]
    begun = time.perf_counter()
    known = ledger.looks.known("orders", "carrier", [*paths, b"new.csv"])
    with capsys.disabled():
        print(f"\n100,000 names looked up in {time.perf_counter() - begun:.2f} s")
    assert set(paths) == set(known)


# Whose turn it is


def test_a_look_that_is_not_due_is_nobodys(ledger):
    ledger.looks.declare(["orders"])
    assert claim_of(ledger) is None
    ledger.looks.reschedule("orders", now() + LATER)
    assert claim_of(ledger) is None
    assert [] == ledger.claims.open()


def test_a_look_that_is_due_is_one_workers(ledger, other):
    ledger.looks.declare(["orders"])
    ledger.looks.reschedule("orders", now() - 1)
    claim = claim_of(ledger, next_run=now() + LATER)
    assert ("look", "orders", "carrier", "w1") == claim[1:5]
    assert claim_of(other, worker="w2") is None
    assert claim.id == other.looks.rows()["orders"].claim


def test_a_look_that_ended_is_due_again_at_its_time_only(ledger):
    ledger.looks.declare(["orders"])
    ledger.looks.reschedule("orders", now() - 1)
    claim = claim_of(ledger, next_run=now() + LATER)
    ledger.looks.ended(claim.id, "orders", seen=7, wanted=2, note="one name refused")
    row = ledger.looks.rows()["orders"]
    assert (None, 7, 2, "one name refused", None) == (row.claim, row.seen, row.wanted, row.note, row.error)
    assert row.started <= row.ended
    assert claim_of(ledger) is None
    assert [] == ledger.claims.open()


def test_a_look_that_failed_says_why_and_when_again(ledger):
    ledger.looks.declare(["orders"])
    ledger.looks.ask(["orders"])
    again = now() + LATER
    ledger.looks.ended(claim_of(ledger).id, "orders", seen=0, wanted=0, error="refused", again=again)
    row = ledger.looks.rows()["orders"]
    assert ("refused", again) == (row.error, row.next_run)


def test_a_look_asked_for_goes_at_once_and_once(ledger):
    ledger.looks.declare(["orders"])
    ledger.looks.reschedule("orders", now() + LATER)
    ledger.looks.pause("orders", paused=True)
    asked = ledger.looks.ask(["orders"])
    claim = claim_of(ledger)
    assert ledger.looks.rows()["orders"].started >= asked
    ledger.looks.ended(claim.id, "orders", seen=0, wanted=0)
    assert claim_of(ledger) is None


def test_a_paused_route_does_not_look_by_its_schedule(ledger):
    ledger.looks.declare(["orders"])
    ledger.looks.reschedule("orders", now() - 1)
    ledger.looks.pause("orders", paused=True)
    assert claim_of(ledger) is None
    ledger.looks.pause("orders", paused=False)
    assert claim_of(ledger) is not None


def test_declaring_twice_changes_nothing(ledger, other):
    ledger.looks.declare(["orders"])
    ledger.looks.pause("orders", paused=True)
    assert {"orders", "bills"} == set(other.looks.declare(["orders", "bills"]))
    assert ledger.looks.rows()["orders"].paused


def test_a_look_whose_process_died_is_due_again_at_once(ledger):
    ledger.looks.declare(["orders"])
    ledger.looks.ask(["orders"])
    claim = claim_of(ledger)
    assert 1 == ledger.claims.died(["w1"])
    with pytest.raises(Lost):
        ledger.looks.record(claim.id, "orders", "carrier", [Found(entry())])
    with pytest.raises(Lost):
        ledger.looks.ended(claim.id, "orders", seen=1, wanted=1)
    assert [] == ledger.view.list(Query())
    assert claim_of(ledger, worker="w2") is not None


@pytest.mark.timeout(120)
def test_a_pass_fires_once_however_many_processes_are_awake(url, ledger):
    program = """
for _ in range(40):
    for number in range(20):
        if ledger.looks.claim(me, f"r{number}", "carrier", None):
            print(f"r{number}")
"""
    routes = [f"r{number}" for number in range(20)]
    ledger.looks.declare(routes)
    ledger.looks.ask(routes)
    assert sorted(routes) == sorted(route for told in together(url, GO + program, "w1", "w2") for route in told)
