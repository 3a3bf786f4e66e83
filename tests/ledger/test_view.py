"""Reading the ledger: lists, a file's life, what is left, what happened, what may be thrown away."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.ledger.acts import LATER, Acts, entry, owed, sha
from transload.ledger import Trouble, now
from transload.ledger.standing import Standing, is_there
from transload.ledger.view import Query


def texts(ledger, **which):
    return [row.text for row in ledger.view.list(Query(**which))]


@pytest.fixture
def many(ledger, acts):
    """A delivered, a ready, a failed, a held and a seen file, and one of another route."""
    numbers = [acts.bring("in/done.csv", b"done")]
    acts.deliver()
    numbers.append(acts.bring("in/ready.csv", b"ready"))
    numbers += acts.see(entry("in/failed.csv"), entry("in/held.csv"), entry("in/seen.csv"))
    claim = acts.fetch()
    ledger.arrivals.troubled(claim.id, [Trouble(numbers[2], "refused"), Trouble(numbers[3], "no answer", now() + LATER)])
    ledger.claims.done(claim.id)
    return [*numbers, *Acts(ledger, "bills", "bank").see(entry("bill.pdf"))]


def test_a_list_is_newest_first_and_as_long_as_asked_for(ledger, many):
    assert list(reversed(many)) == [row.id for row in ledger.view.list(Query())]
    assert ["bill.pdf", "in/seen.csv"] == texts(ledger, limit=2)


def test_a_list_is_narrowed_by_route_state_hash_and_time(ledger, many):
    assert ["bill.pdf"] == texts(ledger, route="bills")
    assert ["in/seen.csv", "in/held.csv"] == texts(ledger, route="orders", state="seen")
    assert ["in/ready.csv"] == texts(ledger, sha256=sha(b"ready"))
    middle = ledger.view.arrival(many[3]).first_seen
    assert {"in/done.csv", "in/ready.csv"} == set(texts(ledger, until=middle))
    assert [] == texts(ledger, since=now() + LATER)


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.pdf", ["bill.pdf"]),
        ("held.csv", ["in/held.csv"]),
        ("in/h???.csv", ["in/held.csv"]),
        ("*e*d*", ["in/held.csv", "in/failed.csv", "in/ready.csv"]),
        ("eld.csv", []),
    ],
)
def test_a_name_is_found_by_its_glob_whole_or_after_a_slash(ledger, many, glob, found):
    names = texts(ledger, name=glob)
    assert found == names


@pytest.mark.parametrize("name", ["100%.csv", "a_b.csv", "wow!.csv", "o'brien.csv", "back\\slash.csv"])
def test_signs_that_mean_something_to_like_mean_themselves(ledger, acts, name):
    acts.see(entry(name), entry("100x.csv"), entry("axb.csv"), entry("wow.csv"))
    assert [name] == texts(ledger, name=name)
    assert [name] == [row.text for row in ledger.view.called(name)]


def test_a_path_is_called_by_its_whole_spelling_or_its_end(ledger, acts):
    acts.see(entry("in/new/a.csv"), entry("a.csv"), entry(b"in/caf\xe9.csv"))
    assert ["a.csv"] == [row.text for row in ledger.view.called("a.csv")]
    assert ["in/new/a.csv"] == [row.text for row in ledger.view.called("new/a.csv")]
    assert [b"in/caf\xe9.csv"] == [row.path for row in ledger.view.called("caf%E9.csv")]
    assert [] == ledger.view.called("ew/a.csv")


def test_an_arrival_that_is_not_there_is_none(ledger):
    assert (None, [], []) == (ledger.view.arrival(4711), list(ledger.view.events(4711)), list(ledger.view.deliveries(4711)))


def test_events_are_appended_in_order_and_never_edited(ledger, acts):
    number = acts.bring()
    before = list(ledger.view.events(number))
    acts.deliver()
    ledger.hand.retry([number], "anna")
    after = list(ledger.view.events(number))
    assert before == after[: len(before)]
    assert sorted(one.at for one in after) == [one.at for one in after]


def test_no_error_is_only_logged(ledger, many):
    """Invariant 6."""
    assert {"in/failed.csv": "refused", "in/held.csv": "no answer"} == {
        row.text: row.reason for row in ledger.view.failures("orders") if row.reason
    }


def test_what_failed_or_is_not_done_is_told(ledger, acts, many):
    assert {"in/ready.csv", "in/failed.csv", "in/held.csv", "in/seen.csv"} == {row.text for row in ledger.view.failures("orders")}
    assert {"ready": 1, "failed": 1, "seen": 2} == ledger.view.standing("orders")


def test_a_failed_optional_delivery_shows_with_its_reason(ledger, acts):
    number = acts.bring("a.csv", b"x", [owed(), owed("a.csv", "mirror", required=False)])
    claim = acts.take_out("mirror")
    [due] = ledger.deliveries.due(claim.id)
    ledger.deliveries.troubled(claim.id, [Trouble(due.id, "no such bucket")], settle=False)
    ledger.claims.done(claim.id)
    acts.deliver()
    assert [(number, "delivered")] == [(row.id, row.state) for row in ledger.view.failures("orders")]
    assert "mirror: no such bucket" == ledger.view.held_reason(number)


def test_what_is_left_counts_open_held_and_given_up(ledger, acts, many):
    left = ledger.view.left("orders", 3)
    assert (2, 1, 0) == left[:3]
    assert left.next_try > now()
    assert (2, 0, 1, None) == ledger.view.left("orders", 1)
    acts.fetch()
    assert 2 == ledger.view.left("orders", 3).open
    assert (1, 0, 0, None) == ledger.view.left("bills", 3)


def test_a_source_to_be_settled_is_left_to_do(ledger, acts):
    acts.bring()
    acts.deliver(settle=True)
    assert 1 == ledger.view.left("orders", 3).open


def test_what_happened_is_counted_after_a_mark(ledger, acts):
    acts.bring("a.csv", b"12345")
    mark = ledger.view.last_event()
    assert {} == ledger.view.happened("orders", mark)
    acts.deliver()
    acts.bring("b.csv", b"123")
    happened = ledger.view.happened("orders", mark)
    assert ((1, 5), (1, 5), (1, 3)) == (happened["delivered", True], happened["delivered", False], happened["received", False])
    assert {} == ledger.view.happened("bills", mark)


def test_counts_are_by_route_and_state(ledger, many):
    counts = {(one.route, one.state): (one.files, one.bytes) for one in ledger.view.counts()}
    assert {("orders", "delivered"): (1, 4), ("orders", "ready"): (1, 5), ("orders", "failed"): (1, 5)}.items() <= counts.items()
    assert (2, 10) == counts["orders", "seen"]
    assert [] == ledger.view.counts(since=now() + LATER)


def test_bytes_are_needed_until_everything_is_done_and_a_while_longer(ledger, acts):
    number = acts.bring("a.csv", b"hello", [owed(), owed("a.csv", "mirror", required=False)])
    hashes = [sha(b"hello"), sha(b"nobody's")]
    soon = now() + LATER
    assert {hashes[1]} == ledger.view.unneeded(hashes, soon)
    acts.deliver()
    assert {hashes[1]} == ledger.view.unneeded(hashes, soon)
    acts.deliver("mirror")
    assert set(hashes) == ledger.view.unneeded(hashes, soon)
    assert {hashes[1]} == ledger.view.unneeded(hashes, now() - LATER)
    acts.age(number, 2 * LATER)
    assert set(hashes) == ledger.view.unneeded(hashes, now() - LATER)


def test_bytes_of_a_source_that_is_to_be_settled_are_needed(ledger, acts):
    acts.bring("a.csv", b"hello")
    acts.deliver(settle=True)
    assert set() == ledger.view.unneeded([sha(b"hello")], now() + LATER)


def test_remembered_paths_are_counted(ledger, many):
    assert (5, 1, 0) == tuple(ledger.view.remembered(*place) for place in (("orders", "carrier"), ("bills", "bank"), ("x", "y")))


# How things stand


def test_how_things_stand_is_told_in_one_go(ledger, many):
    standing = Standing(ledger.database)
    assert {"orders": {"delivered": 1, "ready": 1, "failed": 1, "seen": 2}, "bills": {"seen": 1}} == standing.tally()
    assert (1, 0, 1) == tuple(standing.troubles()["orders"])
    assert {"orders", "bills"} == set(standing.oldest())
    assert ["in/held.csv", "in/seen.csv"] == [one.text for one in standing.waiting("orders")]
    assert [("in/ready.csv", "lake", "in/ready.csv")] == [(one.text, one.remote, one.name) for one in standing.owed("orders")]
    assert {many[0]: "delivered", many[2]: "failed"} == {number: one.state for number, one in standing.of([many[0], many[2]]).items()}


def test_whether_a_ledger_is_there_is_told_without_making_one(bare, ledger, url):
    assert (False, True) == (is_there(bare), is_there(url))
    assert not is_there(bare)


@pytest.mark.parametrize(
    ("which", "index"),
    [
        ("select id from arrivals where claim = 1", "arrivals_claim"),
        ("select id from deliveries where claim = 1", "deliveries_claim"),
        ("select id from arrivals where path = x'61' and route = 'r' and source = 's'", "sqlite_autoindex_arrivals_1"),
        ("select id from arrivals where same_as is null and sha256 in ('a', 'b')", "arrivals_bytes"),
        ("select id from arrivals where text = 'a'", "arrivals_by_text"),
        ("select id from deliveries where arrival = 1", "sqlite_autoindex_deliveries_1"),
        ("select id from events where arrival = 1 order by id", "events_of"),
    ],
)
def test_what_is_asked_for_every_file_goes_by_an_index(folder, which, index):
    from transload.ledger import Ledger

    ledger = Ledger(f"sqlite:///{folder}/plans.db")
    with ledger.database.read() as connection:
        plan = " ".join(str(row[3]) for row in connection.execute(text(f"explain query plan {which}")))
    ledger.close()
    assert index in plan
    assert "SCAN" not in plan


def test_batches_are_taken_by_index_and_without_sorting(folder):
    from transload.ledger import Ledger, claims

    ledger = Ledger(f"sqlite:///{folder}/plans.db")
    wanted = {
        claims._FETCH: "arrivals_by_state",
        claims._SETTLE: "arrivals_settling",
        claims._DELIVER: "deliveries_open",
        claims._DELIVER_HERE: "deliveries_open",
        claims._DUE_DELIVER: "deliveries_open",
    }
    with ledger.database.read() as connection:
        for query, index in wanted.items():
            marks = "(?)" if "in ?" in query else "?"
            plan = " ".join(
                str(row[3])
                for row in connection.exec_driver_sql("explain query plan " + query.replace("in ?", f"in {marks}"), (1,) * query.count("?"))
            )
            assert index in plan, plan
            assert "order by" not in query or "TEMP B-TREE" not in plan, plan
    ledger.close()
