"""Steps, as the ledger sees them: received, owed only afterwards, split, kept apart; and what a node takes with it."""

from __future__ import annotations

import pytest

from tests.ledger.acts import LATER, Acts, entry, owed, sha
from transload.errors import Missing
from transload.ledger import Lost, Received, Trouble, now
from transload.ledger.processing import Done, Found, Made
from transload.ledger.view import Query
from transload.model import Spooled

SECOND = 1_000_000
RECIPE = ("d1", '[{"kind": "limits"}]')


def bring(acts: Acts, name: str = "a.zip", data: bytes = b"hello", recipe: tuple[str, str] = RECIPE) -> int:
    """A file that is received under a recipe."""
    [number] = acts.see(entry(name, len(data)))
    claim = acts.fetch()
    assert claim is not None
    [wanted] = acts.ledger.arrivals.wanted(claim.id)
    got = [Received(wanted.id, wanted.entry, Spooled("part", len(data), sha(data)))]
    acts.ledger.arrivals.received(
        claim.id, acts.route, acts.source, acts.node, got, skip_same=False, worker=acts.worker, deliver=(), recipe=recipe
    )
    acts.ledger.claims.done(claim.id)
    return number


def process(acts: Acts, node: str = "n1"):
    """A process claim, and what is in it."""
    claim = acts.ledger.claims.process(acts.worker, acts.route, f"@steps:{node}", node=node, files=10, size=1 << 40)
    return claim, acts.ledger.processing.items(claim.id) if claim else []


def split(acts: Acts, *members: str, settle: bool = False) -> None:
    claim, [item] = process(acts)
    made = [Made(entry(f"a.zip!/{name}", 5), Spooled("", 5, sha(name.encode())), [owed(name)]) for name in members]
    acts.ledger.processing.done(claim.id, acts.route, "n1", [Done(item, made=made)], settle=settle)
    acts.ledger.claims.done(claim.id)


def test_what_waits_for_its_steps_owes_nothing_and_is_done_where_its_bytes_lie(ledger, acts):
    number = bring(acts)
    assert "received" == acts.state(number)
    assert [] == ledger.view.deliveries(number)
    assert (None, []) == process(acts, "n2")
    assert [("process", "orders", "", 1, 5)] == [one for one in ledger.claims.due(["orders"], "n1") if one[0] == "process"]
    assert [] == [one for one in ledger.claims.due(["orders"], "n2") if one[0] == "process"]
    claim, [item] = process(acts)
    assert (number, sha(b"hello"), "d1") == (item.id, item.sha256, item.recipe)
    assert [{"kind": "limits"}] == ledger.processing.recipe("d1")
    assert [] == ledger.processing.recipe("unknown")
    ledger.processing.done(claim.id, acts.route, "n1", [Done(item, [owed("a.zip")])], settle=False)
    assert "ready" == acts.state(number)
    acts.deliver()
    assert "delivered" == acts.state(number)


def test_members_of_one_name_are_versions_and_so_is_a_file_of_the_source_that_is_called_so(ledger, acts):
    bring(acts)
    acts.see(entry("a.zip!/x.csv", 5))
    split(acts, "x.csv", "x.csv", "y.csv")
    assert [("a.zip!/x.csv", 1), ("a.zip!/x.csv", 2), ("a.zip!/x.csv", 3), ("a.zip!/y.csv", 1)] == sorted(
        (row.text, row.version) for row in ledger.view.list(Query()) if "!" in row.text
    )


def test_members_are_arrivals_of_their_own_and_their_source_is_settled_after_the_last(ledger, acts):
    number = bring(acts)
    split(acts, "x.csv", "y.csv", settle=True)
    assert "split" == acts.state(number)
    assert {"x.csv", "y.csv"} == set(acts.names())
    first = acts.take_out(files=1)
    acts.publish(first, acts.stage(first), settle=True)
    ledger.claims.done(first.id)
    assert "none" == acts.column("settle", number)
    acts.deliver(settle=True)
    assert ("split", "owed") == (acts.state(number), acts.column("settle", number))
    assert "delivered" == acts.events(number)[-1]
    claim = ledger.claims.settle("w1", "orders", "carrier", files=10)
    assert [number] == [one.id for one in ledger.deliveries.settling(claim.id)]


def test_a_worker_that_was_thought_dead_records_nothing(ledger, acts):
    number = bring(acts)
    claim, [item] = process(acts)
    ledger.claims.died(["w1"])
    for late in (
        lambda: ledger.processing.done(claim.id, acts.route, "n1", [Done(item, [owed("a.zip")])], settle=False),
        lambda: ledger.processing.found(claim.id, [Found(number, item.sha256, "scan", "clean")]),
        lambda: ledger.quarantine.put(claim.id, number, "n1", "bad"),
    ):
        with pytest.raises(Lost):
            late()
    assert "received" == acts.state(number)
    assert [] == ledger.view.deliveries(number)
    assert {} == ledger.processing.verdicts([item.sha256])


def test_that_a_file_goes_on_to_wait_for_the_same_reason_is_no_news(ledger, acts):
    number = bring(acts)
    for reason in ("no answer", "no answer", "busy", "no answer"):
        claim, _ = process(acts)
        ledger.processing.troubled(claim.id, [Trouble(number, reason, 1)])
        ledger.claims.done(claim.id)
    assert ["no answer", "busy", "no answer"] == [one.detail for one in ledger.view.events(number) if one.what == "held"]
    assert 4 == acts.column("attempts", number)


def test_all_that_is_due_for_the_same_steps_waits_together_and_what_is_in_other_hands_does_not(ledger, acts):
    numbers = [bring(acts, f"{at}.csv") for at in range(5)]
    other = ledger.claims.process("w2", acts.route, "@steps:n1", node="n1", files=1, size=1 << 30)
    claim = ledger.claims.process("w1", acts.route, "@steps:n1", node="n1", files=2, size=1 << 30)
    until = now() + LATER
    for _ in range(2):
        ledger.processing.wait(claim.id, acts.route, "n1", "no answer", until, spent=0)
    assert [None] + 4 * ["no answer"] == [acts.column("reason", number) for number in numbers]
    assert [None] + 4 * [until] == [acts.column("next_try", number) for number in numbers]
    assert [0] + 4 * [1] == [acts.events(number).count("held") for number in numbers]
    assert [other.id] + 4 * [None] == [acts.column("claim", number) for number in numbers]
    # By a run of somebody all of it is due at once.
    ledger.hand.afresh([acts.route])
    assert 5 * [None] == [acts.column("next_try", number) for number in numbers]


def test_what_was_once_infected_stays_so(ledger, acts):
    number = bring(acts)
    claim, [item] = process(acts)
    for found in ("clean", "infected", "clean"):
        ledger.processing.found(claim.id, [Found(number, item.sha256, "scan", found, {"signatures": "7"})])
    assert {(item.sha256, "scan"): ("infected", {"signatures": "7"})} == ledger.processing.verdicts([item.sha256, "0" * 64])


def test_of_what_was_found_the_latest_counts_for_each_of_many_bytes(ledger, acts):
    number = bring(acts)
    claim, _ = process(acts)
    for sha256, found, version in (("1" * 64, "clean", "7"), ("2" * 64, "clean", "7"), ("1" * 64, "clean", "8"), ("1" * 64, "ok", "9")):
        ledger.processing.found(claim.id, [Found(number, sha256, "scan", found, {"signatures": version})])
    known = ledger.processing.verdicts([str(digit) * 64 for digit in range(10)])
    assert {("1" * 64, "scan"): ("ok", {"signatures": "9"}), ("2" * 64, "scan"): ("clean", {"signatures": "7"})} == known


def test_what_is_kept_apart_is_decided_once(ledger, acts):
    number = bring(acts)
    claim, _ = process(acts)
    ledger.quarantine.put(claim.id, number, "n1", "infected: X")
    ledger.claims.done(claim.id)
    assert ("quarantined", "infected: X") == (acts.state(number), acts.column("reason", number))
    assert [(number, "held")] == [(one.arrival, one.state) for one in ledger.quarantine.list()]
    assert (None, []) == process(acts)
    ledger.quarantine.release(number, "anna", "ours")
    again, [item] = process(acts)
    assert ("received", True) == (acts.state(number), item.released)
    ledger.claims.done(again.id)
    for decide in (ledger.quarantine.release, ledger.quarantine.discard):
        with pytest.raises(Missing, match="was released before, by anna: ours"):
            decide(number, "ben", "no")
    with pytest.raises(Missing, match="is not in quarantine"):
        ledger.quarantine.get(number + 1)
    assert ([], 1) == (ledger.quarantine.list(), len(ledger.quarantine.list(None)))


def test_what_waits_on_a_node_that_is_away_is_fetched_again_and_goes_through_its_steps(ledger, acts):
    number = bring(acts)
    acts.age(number, 60 * SECOND)
    assert 1 == ledger.arrivals.strand({"n2"})
    there = Acts(ledger, worker="w2", node="n2")
    claim = there.fetch()
    ledger.arrivals.back(claim.id, "n2", [number])
    ledger.claims.done(claim.id)
    assert "received" == acts.state(number)
    assert 1 == len(process(there, "n2")[1])


def test_what_was_made_of_a_file_waits_for_its_node(ledger, acts):
    bring(acts)
    split(acts, "x.csv")
    for row in ledger.view.called("a.zip!/x.csv"):
        acts.age(row.id, 60 * SECOND)
    assert 0 == ledger.arrivals.strand({"n2"})


def test_a_retry_of_what_was_kept_apart_goes_through_the_steps_again(ledger, acts):
    number = bring(acts)
    claim, _ = process(acts)
    ledger.quarantine.put(claim.id, number, "n1", "no sense")
    ledger.claims.done(claim.id)
    assert [number] == ledger.hand.retry([number], "anna")
    assert ("received", 1) == (acts.state(number), len(process(acts)[1]))
