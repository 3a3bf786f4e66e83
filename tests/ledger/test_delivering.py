"""Files on their way out: names claimed once, staged before they are published, closed when all is done, settled after that."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import update

from tests.ledger.acts import GO, LATER, TIME, Acts, entry, owed, parcel, sha, together
from transload.ledger import Lost, Received, Trouble, now
from transload.ledger.deliveries import _close_first
from transload.ledger.schema import deliveries
from transload.model import DeliveryState, Name, Receipt, Spooled, Staged, Verify
from transload.names import versioned

BOTH = [owed("a.csv"), owed("a.csv", "mirror")]


# One delivery


def test_a_delivery_has_all_that_its_parcel_needs(ledger, acts):
    number = acts.bring("a.csv", b"hello")
    claim = acts.take_out()
    [due] = ledger.deliveries.due(claim.id)
    assert (number, "lake", Name("a.csv"), DeliveryState.OWED) == (due.arrival, due.target, due.name, due.state)
    assert (b"a.csv", 1, 5, TIME, sha(b"hello")) == (due.path, due.version, due.size, due.modified, due.sha256)
    assert (None, None, None, 0, False, False) == (due.token, due.key, due.tried, due.attempts, due.replace, due.superseded)


def test_what_was_staged_is_known_to_the_one_who_comes_after_a_death(ledger, acts):
    acts.bring()
    claim = acts.take_out()
    [due] = acts.stage(claim)
    ledger.claims.died(["w1"])
    again = Acts(ledger, worker="w2").take_out()
    [found] = ledger.deliveries.due(again.id)
    assert (DeliveryState.STAGED, f"tmp-{due.id}", f"transload-{due.id}-{claim.id}") == (found.state, found.token, found.key)
    assert claim.id == found.tried


def test_a_delivered_file_has_its_level_and_its_event(ledger, acts):
    number = acts.bring()
    acts.deliver()
    [made] = ledger.view.deliveries(number)
    assert ("delivered", "hash", None) == (made.state, made.verified, made.reason)
    assert ["seen", "received", "delivered lake", "delivered"] == acts.events(number)
    assert acts.take_out() is None


def test_only_bytes_of_this_node_are_taken_unless_the_spool_is_shared(ledger, acts):
    acts.bring()
    assert Acts(ledger, node="n2").take_out() is None
    assert ledger.claims.deliver("w2", "orders", "lake", node=None, files=10, size=10) is not None


def test_batches_of_deliveries_keep_to_files_and_bytes(ledger, acts):
    for number in range(4):
        acts.bring(f"{number}.csv", b"x" * 40)
    assert [2, 2] == [len(ledger.deliveries.due(acts.take_out(size=100).id)) for _ in range(2)]
    assert acts.take_out() is None


def test_a_source_file_is_touched_only_after_every_required_destination_was_verified(ledger, acts):
    """Invariant 4."""
    number = acts.bring("a.csv", b"hello", [*BOTH, owed("a.csv", "copy", required=False)])
    acts.deliver("lake", settle=True)
    assert "ready" == acts.state(number)
    assert ledger.claims.settle("w1", "orders", "carrier", files=10) is None
    acts.deliver("mirror", settle=True)
    assert "delivered" == acts.state(number)
    assert ledger.claims.settle("w1", "orders", "carrier", files=10) is not None


def test_a_home_is_settled_on_its_node_alone(ledger, acts):
    acts.bring("a.csv", b"hello", [owed("a.csv", "lake")])
    acts.deliver("lake", settle=True)
    assert ledger.claims.settle("w2", "orders", "carrier", files=10, node="n2") is None
    assert ledger.claims.settle("w1", "orders", "carrier", files=10, node="n1") is not None


def test_two_destinations_that_are_done_at_the_same_moment_close_the_file(ledger, other, acts):
    number = acts.bring("a.csv", b"hello", BOTH)
    there = Acts(other, worker="w2")
    mine, theirs = acts.take_out("lake"), there.take_out("mirror")
    dues = acts.stage(mine), there.stage(theirs)
    second = threading.Thread(target=there.publish, args=(theirs, dues[1]))
    with ledger.database.write() as connection:
        # The first has written its delivery and has not committed yet when the second comes.
        _close_first(connection, [number])
        connection.execute(update(deliveries).where(deliveries.c.id == dues[0][0].id).values(state="delivered", claim=None))
        second.start()
        assert "ready" == acts.state(number)
    second.join()
    assert "delivered" == acts.state(number)


def test_a_delivery_that_failed_for_now_is_held_until_its_time(ledger, acts):
    number = acts.bring()
    claim = acts.take_out()
    [due] = ledger.deliveries.due(claim.id)
    later = now() + LATER
    ledger.deliveries.troubled(claim.id, [Trouble(due.id, "no answer", later)], settle=False)
    ledger.claims.done(claim.id)
    [made] = ledger.view.deliveries(number)
    assert ("owed", "no answer", later, 1) == (made.state, made.reason, made.next_try, made.attempts)
    assert ["seen", "received", "held lake"] == acts.events(number)
    assert acts.take_out() is None
    # That it goes on to wait for the same reason is no news; another reason is.
    for reason, told in (("no answer", 1), ("refused", 2)):
        ledger.hand.afresh([acts.route])
        claim = acts.take_out()
        ledger.deliveries.troubled(claim.id, [Trouble(due.id, reason, later)], settle=False)
        ledger.claims.done(claim.id)
        assert told == acts.events(number).count("held lake")
    assert "ready" == acts.state(number)


def test_a_required_delivery_that_failed_fails_its_arrival(ledger, acts):
    number = acts.bring()
    claim = acts.take_out()
    [due] = ledger.deliveries.due(claim.id)
    ledger.deliveries.troubled(claim.id, [Trouble(due.id, "no such bucket")], settle=True)
    assert ("failed", "no such bucket") == (acts.state(number), ledger.view.arrival(number).reason)
    assert ["seen", "received", "failed lake", "failed"] == acts.events(number)
    assert ledger.claims.settle("w1", "orders", "carrier", files=10) is None


def test_a_failed_optional_delivery_leaves_the_arrival_delivered(ledger, acts):
    number = acts.bring("a.csv", b"hello", [owed("a.csv"), owed("a.csv", "copy", required=False)])
    claim = acts.take_out("copy")
    [due] = ledger.deliveries.due(claim.id)
    ledger.deliveries.troubled(claim.id, [Trouble(due.id, "no such bucket")], settle=False)
    ledger.claims.done(claim.id)
    assert "ready" == acts.state(number)
    acts.deliver("lake")
    assert "delivered" == acts.state(number)


def test_the_arrival_fails_when_the_last_required_delivery_has_ended(ledger, acts):
    number = acts.bring("a.csv", b"hello", BOTH)
    claim = acts.take_out("mirror")
    [due] = ledger.deliveries.due(claim.id)
    ledger.deliveries.troubled(claim.id, [Trouble(due.id, "no such bucket")], settle=False)
    assert "ready" == acts.state(number)
    acts.deliver("lake")
    assert "failed" == acts.state(number)


def test_a_zombie_stages_publishes_and_settles_nothing(ledger, acts):
    number = acts.bring()
    claim = acts.take_out()
    dues = ledger.deliveries.due(claim.id)
    ledger.claims.died(["w1"])
    for act in (
        lambda: acts.stage(claim) or ledger.deliveries.staged(claim.id, []),
        lambda: acts.publish(claim, dues),
        lambda: ledger.deliveries.troubled(claim.id, [Trouble(dues[0].id, "x")], settle=False),
        lambda: ledger.deliveries.superseded(claim.id, dues, settle=False),
        lambda: ledger.deliveries.renamed(claim.id, dues[0], lambda n: versioned(dues[0].name, n)),
        lambda: ledger.deliveries.settle_begun(claim.id, [number]),
        lambda: ledger.deliveries.settled(claim.id, [number], "removed"),
        lambda: ledger.deliveries.unsettled(claim.id, [Trouble(number, "x")]),
    ):
        with pytest.raises(Lost):
            act()
    assert ["owed"] == [one.state for one in ledger.view.deliveries(number)]
    assert ["seen", "received"] == acts.events(number)


# Names


def test_a_name_with_other_bytes_becomes_the_next_version(ledger, acts):
    acts.bring("in/a.csv", b"one", [owed("a.csv")])
    acts.bring("out/a.csv", b"two", [owed("a.csv")])
    acts.bring("new/a.csv", b"three", [owed("a.csv")])
    assert ["a.csv", "a.v2.csv", "a.v3.csv"] == acts.names()


def test_the_same_bytes_share_a_name(ledger, acts):
    first = acts.bring("in/a.csv", b"same", [owed("a.csv")])
    second = acts.bring("out/a.csv", b"same", [owed("a.csv")])
    assert ["a.csv", "a.csv"] == acts.names()
    acts.deliver()
    assert ("delivered", "delivered") == (acts.state(first), acts.state(second))


def test_the_same_bytes_share_a_later_version_of_a_name(ledger, acts):
    for folder, data in (("x", b"one"), ("y", b"two"), ("z", b"two")):
        acts.bring(f"{folder}/a.csv", data, [owed("a.csv")])
    assert ["a.csv", "a.v2.csv", "a.v2.csv"] == acts.names()


def test_a_name_that_is_taken_fails_where_the_route_says_so(ledger, acts):
    first = acts.bring("in/a.csv", b"one", [owed("a.csv", conflict="fail")])
    second = acts.bring("out/a.csv", b"two", [owed("a.csv", conflict="fail")])
    assert ("ready", "failed") == (acts.state(first), acts.state(second))
    assert f"lake: arrival {first} already has the name a.csv at lake" == ledger.view.arrival(second).reason
    third = acts.bring("new/a.csv", b"one", [owed("a.csv", conflict="fail")])
    assert "ready" == acts.state(third)


def test_a_newer_file_takes_the_name_and_the_older_is_owed_no_more(ledger, acts):
    older = acts.bring("in/a.csv", b"one", [owed("a.csv", conflict="replace")])
    newer = acts.bring("out/a.csv", b"two", [owed("a.csv", conflict="replace")])
    claim = acts.take_out()
    [due] = ledger.deliveries.due(claim.id)
    assert (older, True, True) == (due.arrival, due.replace, due.superseded)
    ledger.deliveries.superseded(claim.id, [due], settle=False)
    ledger.claims.done(claim.id)
    assert ("delivered", "skipped lake") == (acts.state(older), acts.events(older)[-2])
    [made] = acts.deliver()
    assert (newer, False) == (made.arrival, made.superseded)


def test_a_file_that_replaces_waits_for_the_older_one_of_that_name(ledger, acts):
    acts.bring("in/a.csv", b"one", [owed("a.csv", conflict="replace")])
    claim = acts.take_out(files=1)
    acts.bring("out/a.csv", b"two", [owed("a.csv", conflict="replace")])
    assert acts.take_out() is None
    acts.publish(claim, acts.stage(claim))
    ledger.claims.done(claim.id)
    assert acts.take_out() is not None


def test_the_same_bytes_under_a_name_to_replace_are_not_superseded_by_each_other(ledger, acts):
    """A source would be removed before the destination has its bytes."""
    acts.bring("in/a.csv", b"same", [owed("a.csv", conflict="replace")])
    second = acts.bring("out/a.csv", b"same", [owed("a.csv", conflict="replace")])
    first_claim = acts.take_out(files=1)
    acts.publish(first_claim, acts.stage(first_claim))
    ledger.claims.done(first_claim.id)
    [due] = ledger.deliveries.due(acts.take_out().id)
    assert (second, False) == (due.arrival, due.superseded)


@pytest.mark.parametrize(("conflict", "names"), [("version", ["a.csv", "a.v2.csv"]), ("replace", ["a.csv", "a.csv"]), ("fail", ["a.csv"])])
def test_a_group_that_wants_one_name_twice_claims_it_once(ledger, acts, conflict, names):
    acts.see(entry("in/a.csv"), entry("out/a.csv"))
    acts.receive(acts.fetch(), b"one", b"two", owes=[owed("a.csv", conflict=conflict)])
    assert names == acts.names()


def test_one_file_may_owe_two_names_at_one_remote(ledger, acts):
    number = acts.bring("a.csv", b"hello", [owed("a.csv"), owed("copy/a.csv", target="copy")])
    assert ["lake", "copy"] == [due.target for due in acts.deliver()]
    assert "delivered" == acts.state(number)


def test_a_name_that_a_foreign_file_has_is_left_to_it(ledger, acts):
    number = acts.bring("a.csv", b"hello")
    acts.bring("b.csv", b"other", [owed("a.v2.csv")])
    claim = acts.take_out()
    due = ledger.deliveries.due(claim.id)[0]
    assert Name("a.v3.csv") == ledger.deliveries.renamed(claim.id, due, lambda n: versioned(due.name, n))
    assert "renamed lake" == acts.events(number)[-1]
    ledger.claims.done(claim.id)
    acts.bring("c.csv", b"third", [owed("a.csv")])
    assert ["a.v3.csv", "a.v2.csv", "a.v4.csv"] == acts.names()


def test_a_foreign_file_under_a_name_that_two_share_is_left_to_it(ledger, acts):
    acts.bring("in/a.csv", b"same", [owed("a.csv")])
    acts.bring("out/a.csv", b"same", [owed("a.csv")])
    claim = acts.take_out()
    second = ledger.deliveries.due(claim.id)[1]
    assert Name("a.v2.csv") == ledger.deliveries.renamed(claim.id, second, lambda n: versioned(second.name, n))


def test_names_that_are_no_utf8_are_owed_as_the_bytes_that_they_are(ledger, acts):
    acts.bring(b"caf\xe9.csv", b"one", [owed(b"caf\xe9.csv")])
    acts.bring(b"caf\xc3\xa9.csv", b"two", [owed(b"caf\xc3\xa9.csv")])
    assert [b"caf\xe9.csv", b"caf\xc3\xa9.csv"] == [due.name.raw for due in acts.deliver()]


@pytest.mark.timeout(120)
def test_two_processes_at_once_claim_each_name_once(url, ledger):
    program = """
names = [f"{number}.csv" for number in range(60)]
mine = Acts(ledger, me, worker=me)
for begin in range(0, 60, 10):
    mine.see(*(entry(name) for name in names[begin:begin + 10]))
    claim = mine.fetch()
    mine.receive(claim, *[(me + name).encode() for name in names[begin:begin + 10]])
print("done")
"""
    assert [["done"], ["done"]] == together(url, GO + program, "r1", "r2")
    names = Acts(ledger).names()
    assert (120, 120) == (len(names), len(set(names)))


# Settling


def settling(ledger, acts):
    return ledger.claims.settle(acts.worker, acts.route, acts.source, files=10)


def test_a_settled_file_is_forgotten_so_that_the_next_of_its_name_is_new(ledger, acts):
    number = acts.bring()
    acts.deliver(settle=True)
    claim = settling(ledger, acts)
    [file] = ledger.deliveries.settling(claim.id)
    assert (number, "owed", b"a.csv") == (file.id, file.state, file.entry.path)
    ledger.deliveries.settle_begun(claim.id, [number])
    assert "begun" == ledger.deliveries.settling(claim.id)[0].state
    ledger.deliveries.settled(claim.id, [number], "removed")
    ledger.claims.done(claim.id)
    assert ("done", "delivered") == (ledger.view.arrival(number).settle, acts.state(number))
    assert {} == ledger.looks.known("orders", "carrier", [b"a.csv"])
    assert "settled" == acts.events(number)[-1]
    assert settling(ledger, acts) is None


def test_a_settling_that_was_cut_is_begun_for_the_next_who_looks(ledger, acts):
    number = acts.bring()
    acts.deliver(settle=True)
    claim = settling(ledger, acts)
    ledger.deliveries.settle_begun(claim.id, [number])
    ledger.claims.died(["w1"])
    again = settling(ledger, acts)
    assert ["begun"] == [file.state for file in ledger.deliveries.settling(again.id)]


def test_a_source_that_cannot_be_settled_is_tried_again_or_left_with_the_reason(ledger, acts):
    number = acts.bring()
    acts.deliver(settle=True)
    claim = settling(ledger, acts)
    ledger.deliveries.unsettled(claim.id, [Trouble(number, "busy", now() + LATER)])
    ledger.claims.done(claim.id)
    assert settling(ledger, acts) is None
    ledger.hand.retry([number], "anna")
    claim = settling(ledger, acts)
    assert claim is not None
    ledger.deliveries.unsettled(claim.id, [Trouble(number, "permission denied")])
    assert ("failed", "permission denied") == (ledger.view.arrival(number).settle, ledger.view.arrival(number).reason)
    assert "unsettled" == acts.events(number)[-1]


def test_a_new_version_that_came_meanwhile_is_not_forgotten_with_the_old_one(ledger, acts):
    number = acts.bring("a.csv", b"one")
    acts.deliver(settle=True)
    [newer] = acts.see(entry("a.csv", 9), version=2)
    claim = settling(ledger, acts)
    ledger.deliveries.settled(claim.id, [number], "removed")
    assert newer == ledger.looks.known("orders", "carrier", [b"a.csv"])[b"a.csv"].arrival


def test_a_new_file_of_a_settled_name_is_owed_again_even_with_the_same_bytes(ledger, acts):
    acts.bring("a.csv", b"same")
    acts.deliver(settle=True)
    claim = settling(ledger, acts)
    ledger.deliveries.settled(claim.id, [file.id for file in ledger.deliveries.settling(claim.id)], "removed")
    ledger.claims.done(claim.id)
    again = acts.bring("a.csv", b"same")
    assert ("ready", 2) == (acts.state(again), ledger.view.arrival(again).version)
    assert [again] == [due.arrival for due in acts.deliver(settle=True)]
    assert settling(ledger, acts) is not None


def test_keeping_routes_settle_nothing(ledger, acts):
    acts.bring()
    acts.deliver(settle=False)
    assert settling(ledger, acts) is None


def test_nothing_staged_and_nothing_received_is_nothing_written(ledger, acts):
    acts.bring()
    claim = acts.take_out()
    ledger.deliveries.staged(claim.id, [])
    ledger.deliveries.delivered(claim.id, [], settle=False)
    ledger.deliveries.settled(claim.id, [], "removed")
    assert 0 == acts.take(None, []).owed.open


def test_a_file_that_came_in_without_a_claim_is_received_too(ledger, acts):
    [number] = acts.see(entry())
    acts.take(None, [Received(number, entry(), Spooled("p", 5, sha(b"hello")), [owed()])])
    assert "ready" == acts.state(number)


def test_a_delivery_skipped_while_it_was_on_its_way_is_not_opened_again(ledger, acts):
    number = acts.bring()
    claim = acts.take_out()
    dues = ledger.deliveries.due(claim.id)
    ledger.hand.skip(number, "anna", "not wanted")
    ledger.deliveries.staged(claim.id, [Staged(parcel(dues[0], claim.id), "tmp")])
    assert ["skipped"] == [one.state for one in ledger.view.deliveries(number)]
    ledger.deliveries.delivered(claim.id, [(dues[0], Receipt(parcel(dues[0], claim.id), Verify.SIZE))], settle=True)
    assert ("skipped", ["delivered"]) == (acts.state(number), [one.state for one in ledger.view.deliveries(number)])
