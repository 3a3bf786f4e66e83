"""Batches in somebody's hands: ended, taken away, alone after deaths, failed as poison; who is alive; acts by hand."""

from __future__ import annotations

import signal

import pytest
from sqlalchemy import select

from tests.ledger.acts import LATER, Acts, entry, owed, python, until
from transload.errors import Missing
from transload.ledger import Presence, Trouble, Worker, now
from transload.ledger.claims import POISON_AFTER
from transload.ledger.schema import audit
from transload.ledger.suspects import ALONE_AFTER


def worker(name="w1", beat=None, role="up"):
    return Worker(name, "n1", 1, "here", role, now(), now() if beat is None else beat)


# Deaths


def test_a_claim_is_open_until_it_is_done(ledger, acts):
    acts.see(entry())
    claim = acts.fetch()
    assert ([claim.id], 1) == ([one.id for one in ledger.claims.open()], ledger.view.busy())
    ledger.claims.done(claim.id)
    assert ([], 0) == (ledger.claims.open(), ledger.view.busy())


def test_numbers_of_claims_are_never_used_twice(ledger, acts):
    acts.see(entry())
    numbers = []
    for _ in range(3):
        claim = acts.fetch()
        numbers.append(claim.id)
        ledger.claims.done(claim.id)
    assert sorted(set(numbers)) == numbers


def test_all_that_a_dead_process_held_is_due_again(ledger, acts):
    acts.bring("a.csv")
    acts.see(entry("b.csv"), entry("c.csv"))
    held = [acts.fetch(files=1), acts.fetch(files=1), acts.take_out()]
    there = Acts(ledger, worker="w2")
    assert (None, None) == (there.fetch(), there.take_out())
    assert len(held) == ledger.claims.died(["w1", "w9"])
    assert (2, 1) == (len(ledger.arrivals.wanted(there.fetch().id)), len(ledger.deliveries.due(there.take_out().id)))
    assert 0 == ledger.claims.died(["w1"])


def test_a_claim_that_is_done_twice_is_done_once(ledger, acts):
    acts.see(entry())
    claim = acts.fetch()
    ledger.claims.done(claim.id, died=True)
    ledger.claims.done(claim.id, died=True)
    assert 1 == acts.column("deaths", ledger.arrivals.wanted(acts.fetch().id)[0].id)


def test_a_file_that_kills_its_process_goes_alone_and_then_fails_while_the_others_flow(ledger, acts):
    """Invariant 5."""
    numbers = acts.see(*(entry(f"{n}.csv") for n in range(4)))
    for _ in range(ALONE_AFTER):
        acts.fetch()
        ledger.claims.died(["w1"])
    bad, *good = numbers
    for _ in range(POISON_AFTER - ALONE_AFTER):
        assert [bad] == [one.id for one in ledger.arrivals.wanted(acts.fetch(files=1).id)]
        ledger.claims.died(["w1"])
    assert ("failed", f"the process died {POISON_AFTER} times with this file in hand") == (
        acts.state(bad),
        ledger.view.arrival(bad).reason,
    )
    for number in good:
        claim = acts.fetch()
        assert [number] == [one.id for one in ledger.arrivals.wanted(claim.id)]
        acts.receive(claim, str(number).encode())
    assert ["ready"] * 3 == [acts.state(number) for number in good]


def suspect_of(ledger, acts, *more: str) -> int:
    """A file that saw two deaths; `more` are files that saw none."""
    [bad] = acts.see(entry("bad.csv"))
    for _ in range(ALONE_AFTER):
        acts.fetch()
        ledger.claims.died(["w1"])
    acts.see(*map(entry, more))
    return bad


def held_by(ledger, claim) -> list[str]:
    return [one.entry.text for one in ledger.arrivals.wanted(claim.id)] if claim else []


def test_what_saw_two_deaths_is_alone_in_the_hands_of_its_worker(ledger, acts):
    suspect_of(ledger, acts, "a.csv", "b.csv")
    first = acts.fetch(files=1)
    assert ["a.csv"] == held_by(ledger, first)
    second = acts.fetch()
    assert ["b.csv"] == held_by(ledger, second)
    assert acts.fetch() is None
    ledger.claims.done(first.id)
    first = acts.fetch()
    assert ["a.csv"] == held_by(ledger, first)
    acts.receive(first, b"1")
    acts.receive(second, b"2")
    acts.see(entry("c.csv"))
    acts.receive(acts.fetch(), b"3")
    alone = acts.fetch()
    assert ["bad.csv"] == held_by(ledger, alone)
    acts.see(entry("d.csv"))
    assert acts.fetch() is None
    assert ["d.csv"] == held_by(ledger, Acts(ledger, worker="w2").fetch())
    ledger.claims.done(alone.id)


def test_what_has_to_be_alone_is_not_kept_waiting_for_ever(ledger, acts):
    suspect_of(ledger, acts, "a.csv")
    busy = acts.fetch()
    assert acts.fetch() is None
    acts.see(entry("b.csv"))
    ledger.claims._suspects._waiting["w1"] -= 45
    assert acts.fetch() is None
    acts.receive(busy, b"1")
    assert ["bad.csv"] == held_by(ledger, acts.fetch())


def test_a_delivery_that_kills_its_process_fails_with_its_arrival(ledger, acts):
    number = acts.bring()
    for _ in range(POISON_AFTER):
        assert acts.take_out() is not None
        ledger.claims.died(["w1"])
    assert acts.take_out() is None
    assert ("failed", ["seen", "received", "failed lake", "failed"]) == (acts.state(number), acts.events(number))


def test_a_settling_that_kills_its_process_is_given_up_and_the_file_stays_delivered(ledger, acts):
    number = acts.bring()
    acts.deliver(settle=True)
    for _ in range(POISON_AFTER):
        assert ledger.claims.settle("w1", "orders", "carrier", files=10) is not None
        ledger.claims.died(["w1"])
    assert ledger.claims.settle("w1", "orders", "carrier", files=10) is None
    assert ("delivered", "failed", "unsettled") == (acts.state(number), acts.column("settle", number), acts.events(number)[-1])


def test_a_file_that_came_in_after_all_has_no_deaths_any_more(ledger, acts):
    [number] = acts.see(entry())
    acts.fetch()
    ledger.claims.died(["w1"])
    acts.receive(acts.fetch(), b"hello")
    assert 0 == acts.column("deaths", number)


# Who is there


def test_workers_come_beat_and_go(ledger, other):
    ledger.fleet.join(worker(beat=1))
    assert ledger.fleet.beat("w1")
    [found] = other.fleet.workers()
    assert ("w1", "n1", "up") == (found.id, found.node, found.role)
    assert found.beat > 1
    ledger.fleet.leave("w1")
    assert ([], False) == (other.fleet.workers(), ledger.fleet.beat("w1"))


def test_a_worker_that_joins_again_is_there_once(ledger):
    ledger.fleet.join(worker())
    ledger.fleet.join(worker(role="run"))
    assert ["run"] == [one.role for one in ledger.fleet.workers()]


def test_a_lock_is_one_process_at_a_time(ledger, other):
    assert ledger.presence.hold("keeper")
    assert ledger.presence.hold("keeper")
    assert (False, False, False) == (other.presence.hold("keeper"), other.presence.free("keeper"), ledger.presence.free("keeper"))
    ledger.presence.release("keeper")
    ledger.presence.release("keeper")
    assert other.presence.free("keeper")
    assert other.presence.hold("keeper")


@pytest.mark.timeout(120)
def test_a_lock_ends_with_its_process_and_not_before(url, ledger):
    program = "print(ledger.presence.hold(me), flush=True)\nsys.stdin.readline()"
    with python(program, url, "w7") as process:
        assert "True\n" == process.stdout.readline()
        assert not ledger.presence.free("w7")
        assert not ledger.presence.is_dead(worker("w7"))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert until(lambda: ledger.presence.is_dead(worker("w7")))


def test_a_silent_process_is_dead_after_a_while_though_its_lock_holds(ledger, other):
    other.presence.hold("w1")
    patient = Presence(ledger.database, silence=0.05)
    frozen = worker(beat=12345)
    assert not patient.is_dead(frozen)
    assert until(lambda: patient.is_dead(frozen))
    assert not patient.is_dead(frozen._replace(beat=frozen.beat + 1))


def test_a_clock_that_differs_kills_nobody(ledger, other):
    other.presence.hold("w1")
    assert not ledger.presence.is_dead(worker(beat=now() - 365 * 24 * LATER))
    assert not ledger.presence.is_dead(worker(beat=now() + 365 * 24 * LATER))


def test_closing_a_ledger_gives_its_locks_back(url, ledger):
    from transload.ledger import Ledger

    other = Ledger(url)
    assert other.presence.hold("w2")
    other.close()
    assert ledger.presence.free("w2")


def test_a_remote_that_is_away_is_remembered_and_counted_until_it_answers(ledger, other):
    assert 1 == ledger.fleet.unreachable("carrier", "no route", 5)
    assert 4 == other.fleet.unreachable("carrier", "still none", 9, weight=3)
    trip = ledger.fleet.trips()["carrier"]
    assert ("carrier", 4, 9, "still none") == (trip.name, trip.failures, trip.next_try, trip.reason)
    assert trip.since <= now()
    ledger.fleet.reachable("carrier", "lake")
    assert {} == ledger.fleet.trips()


# By hand


def acted(ledger):
    with ledger.database.read() as connection:
        return [
            tuple(row)
            for row in connection.execute(select(audit.c.who, audit.c.what, audit.c.subject, audit.c.reason).order_by(audit.c.id))
        ]


def test_a_skipped_file_is_wanted_no_more_and_its_deliveries_with_it(ledger, acts):
    number = acts.bring("a.csv", b"hello", [owed(), owed("a.csv", "mirror")])
    acts.deliver("mirror")
    ledger.hand.skip(number, "anna", "a test file")
    assert ("skipped", "skipped by anna: a test file") == (acts.state(number), ledger.view.arrival(number).reason)
    assert ["skipped", "delivered"] == [one.state for one in ledger.view.deliveries(number)]
    assert acts.take_out() is None
    assert "skipped" == acts.events(number)[-1]
    assert [("anna", "skip", str(number), "a test file")] == acted(ledger)


def test_what_is_not_there_cannot_be_skipped_or_tried_again(ledger, acts):
    for act in (lambda: ledger.hand.skip(4711, "anna", "x"), lambda: ledger.hand.retry([4711], "anna")):
        with pytest.raises(Missing, match="there is no arrival 4711"):
            act()
    assert [] == acted(ledger)


def test_a_failed_fetch_is_tried_again_by_hand(ledger, acts):
    [number] = acts.see(entry())
    claim = acts.fetch()
    ledger.arrivals.troubled(claim.id, [Trouble(number, "refused")])
    ledger.claims.done(claim.id)
    assert [number] == ledger.hand.retry([number, number], "anna")
    assert ("seen", None, 0) == (acts.state(number), ledger.view.arrival(number).reason, acts.column("attempts", number))
    assert not ledger.looks.known("orders", "carrier", [b"a.csv"])[b"a.csv"].taken
    assert acts.fetch() is not None
    assert [("anna", "retry", str(number), None)] == acted(ledger)


def test_a_failed_delivery_is_tried_again_by_hand_and_nothing_else_with_it(ledger, acts):
    number = acts.bring("a.csv", b"hello", [owed(), owed("a.csv", "mirror")])
    acts.deliver("mirror")
    claim = acts.take_out()
    [due] = ledger.deliveries.due(claim.id)
    ledger.deliveries.troubled(claim.id, [Trouble(due.id, "no such bucket")], settle=False)
    ledger.claims.done(claim.id)
    assert [number] == ledger.hand.retry([number], "anna")
    assert ("ready", ["owed", "delivered"]) == (acts.state(number), [one.state for one in ledger.view.deliveries(number)])
    acts.deliver()
    assert "delivered" == acts.state(number)


def test_a_delivered_file_is_not_tried_again(ledger, acts):
    number = acts.bring()
    acts.deliver()
    assert [] == ledger.hand.retry([number], "anna")
    assert ("delivered", []) == (acts.state(number), acted(ledger))


def test_a_skipped_file_comes_back_by_hand(ledger, acts):
    number = acts.bring()
    ledger.hand.skip(number, "anna", "by mistake")
    assert [number] == ledger.hand.retry([number], "bert")
    acts.deliver()
    assert "delivered" == acts.state(number)


def test_a_run_begins_afresh_with_what_was_tried_before(ledger, acts):
    number = acts.bring()
    [seen] = acts.see(entry("b.csv"))
    out, come = acts.take_out(), acts.fetch()
    [due] = ledger.deliveries.due(out.id)
    ledger.deliveries.troubled(out.id, [Trouble(due.id, "no answer", now() + LATER)], settle=False)
    ledger.arrivals.troubled(come.id, [Trouble(seen, "no answer", now() + LATER)])
    for claim in (out, come):
        ledger.claims.done(claim.id)
    ledger.hand.afresh(["bills"])
    assert (None, None) == (acts.take_out(), acts.fetch())
    ledger.hand.afresh(["orders"])
    assert None not in (acts.take_out(), acts.fetch())
    assert 0 == acts.column("attempts", number)


def test_a_note_is_kept(ledger):
    ledger.hand.note("anna", "pause", "orders", "the partner asked")
    assert [("anna", "pause", "orders", "the partner asked")] == acted(ledger)
