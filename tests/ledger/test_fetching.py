"""Files on their way in: claimed in batches, received once, versions and twins told apart, tried again, failed, fetched again."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import update

from tests.ledger.acts import LATER, SECOND, TIME, Acts, entry, owed, sha
from transload.ledger import Found, Lost, Received, Trouble, now
from transload.ledger.schema import arrivals
from transload.ledger.view import Query
from transload.model import Spooled


def known_of(ledger, path=b"a.csv"):
    return ledger.looks.known("orders", "carrier", [path]).get(path)


# Batches


def test_a_batch_holds_no_more_files_than_asked_for(ledger, acts):
    numbers = acts.see(*(entry(f"{number}.csv") for number in range(5)))
    batches = [[one.id for one in ledger.arrivals.wanted(acts.fetch(files=2).id)] for _ in range(3)]
    assert [numbers[:2], numbers[2:4], numbers[4:]] == batches
    assert acts.fetch() is None


def test_a_batch_holds_no_more_bytes_than_asked_for_but_always_one_file(ledger, acts):
    acts.see(entry("a", 60), entry("b", 60), entry("c", 500), entry("d", None))
    sizes = []
    while claim := acts.fetch(size=100):
        sizes.append([one.entry.size for one in ledger.arrivals.wanted(claim.id)])
    assert [[60], [60], [500], [None]] == sizes


def test_a_batch_is_no_more_than_its_share_of_what_is_due(ledger, acts):
    acts.see(*(entry(f"{number}.csv") for number in range(10)))
    claim = ledger.claims.fetch("w1", "orders", "carrier", files=100, size=1 << 40, spread=3)
    assert 4 == len(ledger.arrivals.wanted(claim.id))


def test_files_go_in_the_order_in_which_they_were_found(ledger, acts):
    numbers = acts.see(entry("z"), entry("m"), entry("a"))
    assert numbers == [one.id for one in ledger.arrivals.wanted(acts.fetch().id)]


def test_two_workers_never_hold_the_same_file(ledger, other, acts):
    acts.see(*(entry(f"{number}.csv") for number in range(10)))
    mine, theirs = acts.fetch(files=6), Acts(other, worker="w2").fetch()
    held = [{one.id for one in each.arrivals.wanted(claim.id)} for each, claim in ((ledger, mine), (other, theirs))]
    assert ([6, 4], set()) == ([len(one) for one in held], held[0] & held[1])


def test_a_batch_that_ends_leaves_the_rest_due_at_once(ledger, acts):
    acts.see(entry("a.csv"), entry("b.csv"))
    claim = acts.fetch()
    one, _ = ledger.arrivals.wanted(claim.id)
    acts.take(claim, [Received(one.id, one.entry, Spooled("p", 1, sha(b"x")))])
    ledger.claims.done(claim.id)
    assert [b"b.csv"] == [one.entry.path for one in ledger.arrivals.wanted(acts.fetch().id)]


def test_what_is_due_is_counted_by_route_and_remote(ledger, acts):
    acts.bring("a.csv", b"hello", [owed("a.csv"), owed("a.csv", "mirror")])
    acts.see(entry("b.csv", 7), entry("c.csv", 8))
    bills = Acts(ledger, "bills")
    bills.see(entry("x.csv", 1))
    assert {
        ("fetch", "orders", "", 2, 15),
        ("deliver", "orders", "lake", 1, 5),
        ("deliver", "orders", "mirror", 1, 5),
    } == set(ledger.claims.due(["orders"], "n1"))
    assert ("fetch", "bills", "", 1, 1) in ledger.claims.due(["orders", "bills"], "n1")
    acts.fetch()
    assert not [one for one in ledger.claims.due(["orders"], "n1") if one[0] == "fetch"]


# Received


def test_a_received_file_is_ready_with_its_hash_and_its_deliveries(ledger, acts):
    number = acts.bring("a.csv", b"hello")
    row = ledger.view.arrival(number)
    assert ("ready", 5, sha(b"hello")) == (row.state, row.size, row.sha256)
    [made] = ledger.view.deliveries(number)
    assert ("lake", "lake", b"a.csv", True, "owed", 0) == (made.target, made.remote, made.name, made.required, made.state, made.attempts)
    assert ["seen", "received"] == acts.events(number)
    assert known_of(ledger).taken


def test_a_file_is_received_once_however_often_its_bytes_come(ledger, acts):
    number = acts.bring()
    assert acts.fetch() is None
    assert "ready" == acts.state(number)


def test_the_size_that_was_received_counts_and_not_the_one_listed(ledger, acts):
    acts.see(entry("a.csv", None))
    acts.receive(acts.fetch(), b"hello")
    assert 5 == ledger.view.list(Query())[0].size
    assert known_of(ledger).size is None


def test_deliveries_to_be_made_on_the_spot_are_claimed_with_the_receipt(ledger, acts):
    acts.see(entry("a.csv"), entry("b.csv"))
    claim = acts.fetch()
    outcome = acts.receive(claim, b"one", b"two", owes=None, spot=["lake"])
    [made] = outcome.claims
    assert ("deliver", "orders", "lake", "w1") == made[1:5]
    assert 2 == len(ledger.deliveries.due(made.id))
    assert acts.take_out() is None
    ledger.claims.done(made.id)
    assert acts.take_out() is not None


def test_a_file_that_no_destination_takes_is_skipped_and_not_waited_for(ledger, acts):
    number = acts.bring("a.csv", b"hello", owes=[])
    assert ("skipped", "no destination takes it") == (acts.state(number), ledger.view.arrival(number).reason)
    assert (0, 0) == ledger.view.left("orders", 3)[:2]


def test_a_file_whose_only_destination_can_never_take_it_has_failed(ledger, acts):
    [number] = acts.see(entry())
    bad = owed()
    bad = type(bad)("lake", "lake", None, True, "version", bad.other, fault="the name is too long")
    outcome = acts.receive(acts.fetch(), b"hello", owes=[bad])
    assert {number: "lake: the name is too long"} == outcome.owed.refused
    assert ("failed", "lake: the name is too long") == (acts.state(number), ledger.view.arrival(number).reason)
    assert ["seen", "received", "failed lake", "failed"] == acts.events(number)


def test_an_optional_destination_that_can_never_take_it_does_not_fail_it(ledger, acts):
    [number] = acts.see(entry())
    bad = type(owed())("copy", "mirror", None, False, "version", owed().other, fault="the name is too long")
    acts.receive(acts.fetch(), b"hello", owes=[owed(), bad])
    assert "ready" == acts.state(number)
    acts.deliver()
    assert "delivered" == acts.state(number)


# Versions and twins


def test_new_bytes_are_a_second_version(ledger, acts):
    first = acts.bring("a.csv", b"one")
    acts.deliver()
    second = acts.bring("a.csv", b"second", version=2)
    assert [("a.csv", 2, "ready"), ("a.csv", 1, "delivered")] == [(row.text, row.version, row.state) for row in ledger.view.list(Query())]
    assert [sha(b"one"), sha(b"second")] == [ledger.view.arrival(number).sha256 for number in (first, second)]
    assert (second, 2, True) == known_of(ledger)[:3]


def test_the_same_bytes_with_a_new_time_are_no_version_and_the_time_is_remembered(ledger, acts):
    first = acts.bring("a.csv", b"one")
    acts.deliver()
    [second] = acts.see(entry("a.csv", 3, TIME + 60 * SECOND), version=2)
    outcome = acts.receive(acts.fetch(), b"one")
    assert (1, [], 0) == (outcome.unchanged, outcome.taken, outcome.owed.open)
    assert ledger.view.arrival(second) is None
    assert ["seen", "received", "delivered lake", "delivered", "touched"] == acts.events(first)
    assert (first, 1, True, 3, TIME + 60 * SECOND) == known_of(ledger)[:5]
    assert "delivered" == acts.state(first)
    assert acts.take_out() is None


def test_old_bytes_that_come_back_are_a_version_again(ledger, acts):
    acts.bring("a.csv", b"one")
    acts.bring("a.csv", b"two!", version=2)
    third = acts.bring("a.csv", b"one", version=3)
    assert ("ready", 3) == (acts.state(third), ledger.view.arrival(third).version)
    assert (third, 3) == known_of(ledger)[:2]


def test_the_same_bytes_under_another_name_are_linked_and_delivered(ledger, acts):
    first = acts.bring("a.csv", b"same")
    second = acts.bring("b.csv", b"same")
    third = acts.bring("c.csv", b"same")
    assert [None, first, first] == [acts.column("same_as", number) for number in (first, second, third)]
    assert "ready" == acts.state(second)
    assert f"the same as of {first}" in (ledger.view.events(second)[1].detail or "")


def test_the_same_bytes_under_another_name_are_skipped_where_the_route_says_so(ledger, acts):
    first = acts.bring("a.csv", b"same")
    [second] = acts.see(entry("b.csv", 4))
    outcome = acts.receive(acts.fetch(), b"same", skip_same=True)
    assert (1, []) == (outcome.duplicates, outcome.taken)
    assert ("skipped", f"same bytes as arrival {first}") == (acts.state(second), ledger.view.arrival(second).reason)
    assert [] == ledger.view.deliveries(second)
    assert known_of(ledger, b"b.csv").taken


def test_twins_in_one_group_are_found_too(ledger, acts):
    first, second = acts.see(entry("a.csv"), entry("b.csv"))
    outcome = acts.receive(acts.fetch(), b"same", b"same", skip_same=True)
    assert ([first], "skipped") == (outcome.taken, acts.state(second))


def test_empty_files_are_never_skipped_as_twins(ledger, acts):
    acts.see(entry("a.csv", 0), entry("b.csv", 0))
    assert 0 == acts.receive(acts.fetch(), b"", b"", skip_same=True).duplicates


def test_the_same_bytes_on_another_route_are_no_twin(ledger, acts):
    acts.bring("a.csv", b"same")
    number = Acts(ledger, "bills").bring("a.csv", b"same")
    assert acts.column("same_as", number) is None


# Trouble


def test_a_file_that_could_not_be_fetched_is_held_until_its_time(ledger, acts):
    [number] = acts.see(entry())
    claim = acts.fetch()
    later = now() + LATER
    ledger.arrivals.troubled(claim.id, [Trouble(number, "no answer", later)])
    ledger.claims.done(claim.id)
    row = ledger.view.arrival(number)
    assert ("seen", "no answer", later) == (row.state, row.reason, row.next_try)
    assert 1 == acts.column("attempts", number)
    assert ["seen", "held"] == acts.events(number)
    assert acts.fetch() is None


def test_a_try_that_is_not_to_count_does_not_count(ledger, acts):
    [number] = acts.see(entry())
    claim = acts.fetch()
    ledger.arrivals.troubled(claim.id, [Trouble(number, "busy", 1, spent=False)])
    assert 0 == acts.column("attempts", number)
    ledger.claims.done(claim.id)
    assert acts.fetch() is not None


@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_a_file_that_ended_badly_is_known_and_left_alone(ledger, acts, state):
    [number] = acts.see(entry())
    claim = acts.fetch()
    ledger.arrivals.troubled(claim.id, [Trouble(number, "refused", state=state)])
    ledger.claims.done(claim.id)
    assert (state, "refused") == (acts.state(number), ledger.view.arrival(number).reason)
    assert ["seen", state] == acts.events(number)
    assert known_of(ledger).taken
    assert acts.fetch() is None


def test_a_file_that_was_gone_is_skipped_and_new_when_it_comes_back(ledger, acts):
    [number] = acts.see(entry())
    claim = acts.fetch()
    ledger.arrivals.gone(claim.id, [number], "it was gone")
    ledger.claims.done(claim.id)
    assert ("skipped", None) == (acts.state(number), known_of(ledger))
    [again] = acts.see(entry())
    assert (True, 2, "seen") == (number != again, ledger.view.arrival(again).version, acts.state(again))


def test_a_file_that_fails_never_stops_another_file(ledger, acts):
    """Invariant 5."""
    bad, good = acts.see(entry("bad.csv"), entry("good.csv"))
    claim = acts.fetch()
    ledger.arrivals.troubled(claim.id, [Trouble(bad, "refused")])
    wanted = ledger.arrivals.wanted(claim.id)
    assert [good] == [one.id for one in wanted]
    acts.receive(claim, b"hello")
    assert ("failed", "ready") == (acts.state(bad), acts.state(good))


# Skipped by hand while it was in somebody's hands


def test_a_file_skipped_while_it_was_being_fetched_stays_skipped(ledger, acts):
    skipped, kept = acts.see(entry("a.csv"), entry("b.csv"))
    claim = acts.fetch()
    wanted = ledger.arrivals.wanted(claim.id)
    ledger.hand.skip(skipped, "anna", "not wanted")
    group = [Received(one.id, one.entry, Spooled("p", 5, sha(one.entry.path)), [owed(one.entry.path)]) for one in wanted]
    outcome = acts.take(claim, group)
    assert ([kept], "skipped", "ready") == (outcome.taken, acts.state(skipped), acts.state(kept))
    assert [] == ledger.view.deliveries(skipped)


# Stranded


def test_what_lies_undelivered_on_a_node_that_is_away_is_fetched_again(ledger, acts):
    number = acts.bring("a.csv", b"hello")
    acts.age(number, 60 * SECOND)
    assert 1 == ledger.arrivals.strand({"n2"})
    assert ("seen", "ready") == (acts.state(number), "ready")
    there = Acts(ledger, worker="w2", node="n2")
    claim = there.fetch()
    [wanted] = ledger.arrivals.wanted(claim.id)
    assert sha(b"hello") == wanted.sha256
    ledger.arrivals.back(claim.id, "n2", [number])
    ledger.claims.done(claim.id)
    assert ["seen", "received", "stranded", "fetched again"] == acts.events(number)
    assert acts.take_out() is None
    there.deliver()
    assert "delivered" == acts.state(number)


def test_what_our_own_servers_received_waits_for_its_node(ledger, acts):
    number = acts.bring("a.csv", b"hello")
    acts.age(number, 60 * SECOND)
    with ledger.database.write() as connection:
        connection.execute(update(arrivals).where(arrivals.c.id == number).values(source="@server"))
    assert 0 == ledger.arrivals.strand({"n2"})
    assert "ready" == acts.state(number)


def test_what_lies_on_a_living_node_is_not_stranded(ledger, acts):
    acts.age(acts.bring("a.csv"), 60 * SECOND)
    assert 0 == ledger.arrivals.strand({"n1", "n2"})


def test_a_node_that_is_started_anew_has_some_seconds_to_come_back(ledger, acts):
    acts.bring("a.csv")
    assert 0 == ledger.arrivals.strand({"n2"})


def test_what_is_delivered_does_not_need_its_node(ledger, acts):
    number = acts.bring("a.csv")
    acts.deliver()
    acts.age(number, 60 * SECOND)
    assert 0 == ledger.arrivals.strand({"n2"})


# Taken away


def test_a_zombie_records_nothing(ledger, acts):
    [number] = acts.see(entry())
    claim = acts.fetch()
    wanted = ledger.arrivals.wanted(claim.id)
    ledger.claims.died(["w1"])
    received = Received(number, wanted[0].entry, Spooled("p", 5, sha(b"hello")), [owed()])
    for act in (
        lambda: acts.take(claim, [received]),
        lambda: ledger.arrivals.troubled(claim.id, [Trouble(number, "x")]),
        lambda: ledger.arrivals.gone(claim.id, [number], "x"),
        lambda: ledger.arrivals.back(claim.id, "n1", [number]),
        lambda: ledger.looks.record(claim.id, "orders", "carrier", [Found(entry("b.csv"))]),
    ):
        with pytest.raises(Lost, match="taken away"):
            act()
    assert (["seen"], [], False) == (acts.events(number), list(ledger.view.deliveries(number)), known_of(ledger).taken)


def test_twenty_thousand_files_of_one_content_do_not_slow_each_other_down(ledger, acts, capsys):
    acts.see(*(entry(f"{number}.csv") for number in range(3000)))
    times = []
    while claim := acts.fetch(files=250):
        begun = time.perf_counter()
        acts.receive(claim, *[b"same"] * 250)
        times.append(time.perf_counter() - begun)
    with capsys.disabled():
        print(f"\n250 twins received in {times[0] * 1000:.0f} ms at first, in {times[-1] * 1000:.0f} ms after {len(times) * 250:,}")
    assert 3000 == ledger.view.left("orders", 3).open
