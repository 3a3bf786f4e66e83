"""The outbox, on both databases: nothing is owed twice, what is read twice has one key, and every statement uses an index."""

from __future__ import annotations

from sqlalchemy import text

from transload.ledger import Condition, News, now
from transload.notice import Notice

HOUR = 3_600_000_000


def _notice(key: str, at: int = 1000, event: str = "failed") -> Notice:
    return Notice(event, "acl", "a.csv", "why", at, key, "carrier")


def test_a_notice_is_owed_once_to_each_target(ledger, other):
    for book in (ledger.notices, other.notices, ledger.notices):
        book.write(News(notices=[("ops", _notice("1")), ("ops", _notice("2", 900)), ("desk", _notice("1"))]))
    assert {"ops": (2, 900), "desk": (1, 1000)} == ledger.notices.waiting()
    assert [_notice("2", 900), _notice("1")] == ledger.notices.unsent("ops")


def test_what_was_sent_is_not_owed_again(ledger):
    book = ledger.notices
    book.write(News(notices=[("ops", _notice(key)) for key in "123"]))
    before = now()
    claim = book.claim("me", "@notify:ops")
    book.sent(claim.id, "ops", [_notice("1"), _notice("2")])
    ledger.claims.done(claim.id)
    book.write(News(notices=[("ops", _notice(key)) for key in "123"]))
    assert [_notice("3")] == book.unsent("ops")
    [sent] = book.sent_since("ops", before - 1)
    assert before <= sent <= now()
    assert [] == book.sent_since("ops", sent)
    assert [] == ledger.claims.open()


def test_a_condition_stands_until_it_is_over(ledger):
    book = ledger.notices
    first = Condition("late/acl", "late", "acl", "", "no file came", 5, told=False)
    book.write(News(standing=[first], watches=[("a", 1)]))
    book.write(News(standing=[first._replace(told=True)], watches=[("a", 2), ("b", 3)]))
    assert {"late/acl": first._replace(told=True)} == book.conditions()
    assert {"a": 2, "b": 3} == book.watching()
    book.write(News(over=["late/acl", "never/was"]))
    assert {} == book.conditions()


def test_what_went_wrong_is_read_from_the_events(ledger, acts):
    number, begun = acts.bring("bad.csv"), now()
    with ledger.database.write() as connection:
        for what, target in (("held", "box"), ("failed", "box"), ("failed", None), ("infected", None)):
            values = {"arrival": number, "target": target, "at": begun, "what": what, "detail": "no room"}
            connection.execute(
                text("insert into events (arrival, target, at, what, detail) values (:arrival, :target, :at, :what, :detail)"), values
            )
    found = ledger.notices.troubles(begun)
    assert [("failed", "to box: no room"), ("infected", "no room")] == [(one.event, one.reason) for one in found]
    assert {"bad.csv"} == {one.subject for one in found}
    assert [] == ledger.notices.troubles(begun + 1)


def test_what_came_is_told_newest_first_whatever_its_state(ledger, acts):
    numbers = [acts.bring(f"{number}.csv") for number in range(5)]
    with ledger.database.write() as connection:
        for number, state in zip(numbers, ("delivered", "split", "ready", "failed", "received"), strict=True):
            connection.execute(
                text("update arrivals set state = :state, first_seen = :at where id = :id"), {"state": state, "at": number, "id": number}
            )
    route = ledger.view.arrival(numbers[0]).route
    assert [b"4.csv", b"2.csv", b"1.csv", b"0.csv"] == [one.path for one in ledger.notices.came(route)]
    assert numbers[2] == ledger.notices.oldest(route)
    assert ledger.notices.oldest("another") is None


def test_what_could_not_be_scanned_is_counted_by_route(ledger, acts):
    numbers = [acts.bring(f"{number}.csv") for number in range(4)]
    reasons = ("not scanned: nobody answers", "not scanned: it is slow", "waits for a.csv.sha256", None)
    with ledger.database.write() as connection:
        for number, reason in zip(numbers, reasons, strict=True):
            connection.execute(
                text("update arrivals set state = 'received', reason = :reason where id = :id"), {"reason": reason, "id": number}
            )
    [waiting] = ledger.notices.unscanned()
    assert (ledger.view.arrival(numbers[0]).route, 2, "not scanned: it is slow") == waiting
