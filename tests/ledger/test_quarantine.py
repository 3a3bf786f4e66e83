"""Quarantine in the ledger: for how long something is held, which copies are wanted, and who is told of what."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import select, text, update

from tests.ledger.acts import sha
from tests.ledger.test_processing import bring, process
from transload.errors import Missing
from transload.ledger import Ledger, now
from transload.ledger.processing import Done
from transload.ledger.schema import audit
from transload.ledger.schema_of_steps import quarantine

HOUR = 3_600_000_000


def put(ledger, acts, *names: str, data: bytes = b"hello") -> list[int]:
    """These are held; gives their numbers."""
    numbers = [bring(acts, name, data) for name in names]
    claim, _ = process(acts)
    for number in numbers:
        ledger.quarantine.put(claim.id, number, "n1", "infected: X")
    ledger.claims.done(claim.id)
    return numbers


def written(ledger) -> list[tuple[str, str, str, str]]:
    """Who did what to which arrival, and why."""
    with ledger.database.read() as connection:
        found = connection.execute(select(audit.c.who, audit.c.what, audit.c.subject, audit.c.reason).order_by(audit.c.id))
        return [tuple(row) for row in found]


def test_what_was_held_long_enough_is_discarded_in_the_name_of_the_program(ledger, acts):
    first, second = put(ledger, acts, "a", "b")
    assert 0 == ledger.quarantine.expire(now() - HOUR, "too long")
    ledger.quarantine.release(second, "anna", "ours")
    assert 1 == ledger.quarantine.expire(now() + HOUR, "too long")
    assert 0 == ledger.quarantine.expire(now() + HOUR, "too long")
    one = ledger.quarantine.get(first)
    assert ("discarded", "transload", "too long") == (one.state, one.who, one.why)
    assert ("skipped", "received") == (acts.state(first), acts.state(second))
    assert "discarded by transload: too long" == ledger.view.arrival(first).reason
    assert "discarded" == acts.events(first)[-1]
    assert ("transload", "discarded", str(first), "too long") == written(ledger)[-1]


def test_two_that_expire_at_once_discard_each_file_once(url, ledger, acts):
    put(ledger, acts, *map(str, range(20)))
    counts = []

    def expire() -> None:
        mine = Ledger(url)
        try:
            counts.append(mine.quarantine.expire(now() + HOUR, "too long"))
        finally:
            mine.close()

    several = [threading.Thread(target=expire) for _ in range(3)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert 20 == sum(counts)
    assert 20 == len({subject for *_, subject, _ in written(ledger)}) == len(written(ledger))


def test_two_that_decide_at_once_decide_one_thing(url, ledger, acts):
    [number] = put(ledger, acts, "a")
    done, refused = [], []

    def decide(act: str) -> None:
        mine = Ledger(url)
        try:
            getattr(mine.quarantine, act)(number, act, "now")
            done.append(act)
        except Missing as error:
            refused.append(str(error))
        finally:
            mine.close()

    several = [threading.Thread(target=decide, args=[act]) for act in ("release", "discard")]
    with ledger.database.write() as connection:
        connection.execute(update(quarantine).where(quarantine.c.arrival == number).values(reason="infected: Y"))
        for one in several:
            one.start()
        while not ledger.database.sqlite and _waiting(ledger) < 2:
            time.sleep(0.01)
    for one in several:
        one.join()
    [act] = done
    state, then = {"release": ("released", "received"), "discard": ("discarded", "skipped")}[act]
    assert (state, act) == (ledger.quarantine.get(number).state, ledger.quarantine.get(number).who)
    assert then == acts.state(number)
    assert [f"arrival {number} was {state} before, by {act}: now"] == refused
    assert [(act, state, str(number), "now")] == written(ledger)


def _waiting(ledger) -> int:
    """How many sessions wait for a lock that another one has."""
    query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with ledger.database.read() as connection:
        return connection.execute(text(query)).scalar()


def test_a_copy_is_wanted_as_long_as_somebody_may_ask_for_it(ledger, acts):
    hello = sha(b"hello")
    first, second = put(ledger, acts, "a", "b")
    wanted = lambda: ledger.quarantine.wanted([hello, sha(b"other")])  # noqa: E731
    assert {hello} == wanted()
    ledger.quarantine.discard(first, "anna", "no")
    assert {hello} == wanted()
    ledger.quarantine.release(second, "anna", "yes")
    assert {hello} == wanted()
    claim, [item] = process(acts)
    ledger.processing.done(claim.id, acts.route, "n1", [Done(item, [])], settle=False)
    ledger.claims.done(claim.id)
    assert "skipped" == acts.state(second)
    assert set() == wanted()


def test_how_much_is_held_counts_each_hash_once(ledger, acts):
    assert (0, 0) == ledger.quarantine.room()
    put(ledger, acts, "a", "b")
    put(ledger, acts, "c", data=b"other bytes")
    assert (3, 16) == ledger.quarantine.room()


def test_lists_are_of_a_route_and_a_time(ledger, acts):
    [number] = put(ledger, acts, "a")
    listed = lambda **how: [one.arrival for one in ledger.quarantine.list(**how)]  # noqa: E731
    assert [number] == listed(route="orders") == listed(since=now() - HOUR) == listed(state=None, route="orders", since=1)
    assert [] == listed(route="other") == listed(since=now() + HOUR) == listed(state="released")


def test_a_retry_or_a_skip_decides_too(ledger, acts):
    first, second = put(ledger, acts, "a", "b")
    ledger.hand.retry([first], "anna")
    ledger.hand.skip(second, "ben", "no use")
    assert [] == ledger.quarantine.list()
    said = {one.arrival: (one.state, one.who, one.why) for one in ledger.quarantine.list(None)}
    assert {first: ("retried", "anna", "transload retry"), second: ("discarded", "ben", "no use")} == said
    with pytest.raises(Missing, match="was retried before, by anna"):
        ledger.quarantine.discard(first, "ben", "no")
    assert "received" == acts.state(first)
    # A retry is no word for it: found bad again, it is held again, and waits for another word.
    claim, [item] = process(acts)
    assert not item.released
    ledger.quarantine.put(claim.id, first, "n1", "bad again")
    one = ledger.quarantine.get(first)
    assert ("held", None, None, "bad again") == (one.state, one.who, one.why, one.reason)
    ledger.claims.done(claim.id)
    # What was discarded is taken up again like anything that was skipped.
    ledger.hand.retry([second], "anna")
    assert ("received", "retried") == (acts.state(second), ledger.quarantine.get(second).state)


def test_what_is_done_with_its_bytes_is_written_down(ledger, acts):
    [number] = put(ledger, acts, "a")
    ledger.quarantine.note(number, "anna", "handed out", "a look")
    assert "handed out" == acts.events(number)[-1]
    assert [("anna", "handed out", str(number), "a look")] == written(ledger)
    assert "held" == ledger.quarantine.get(number).state
    with pytest.raises(Missing):
        ledger.quarantine.note(number + 1, "anna", "handed out", "a look")
