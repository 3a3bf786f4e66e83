"""What went out, as the ledger tells it to those who look at it again."""

from __future__ import annotations

from sqlalchemy import update

from tests.ledger.acts import owed, sha
from transload.ledger.rescans import Window
from transload.ledger.schema import arrivals

HOOK = [owed(remote="@hook:orders", target="@hook")]


def went_out(ledger, *hashes: str) -> list[int]:
    return [one.arrival for one in ledger.rescans.sent(list(hashes), Window(), "n1")]


def test_hashes_come_in_their_order_each_once(ledger, acts):
    for name, data in (("a.csv", b"1"), ("b.csv", b"1"), ("c.csv", b"2"), ("d.csv", b"3")):
        acts.bring(name, data)
    wanted = sorted(map(sha, (b"1", b"2", b"3")))
    assert wanted[:2] == ledger.rescans.hashes("", 2)
    assert wanted[2:] == ledger.rescans.hashes(wanted[1], 2)
    assert [] == ledger.rescans.hashes(wanted[2], 2)


def test_what_is_only_owed_has_not_gone_out_but_is_named_with_what_has(ledger, acts):
    number = acts.bring("a.csv")
    assert [] == went_out(ledger, sha(b"hello"))
    assert [number] == [one.row.id for one in ledger.rescans.bearers(sha(b"hello"), 0, 10)]
    acts.deliver()
    assert [number] == went_out(ledger, sha(b"hello"))


def test_a_hook_has_been_given_a_file_only_where_that_passed_its_steps(ledger, acts):
    number = acts.bring("a.csv", owes=HOOK)
    acts.deliver("@hook:orders")
    assert [number] == went_out(ledger, sha(b"hello"))
    with ledger.database.write() as connection:
        connection.execute(update(arrivals).values(state="quarantined"))
    assert [] == went_out(ledger, sha(b"hello"))
    assert [] == ledger.rescans.bearers(sha(b"hello"), 0, 10)


def test_a_file_is_accused_once(ledger, acts):
    number = acts.bring("a.csv")
    for detail in ("rescanned: X", "rescanned: Y"):
        ledger.rescans.accuse([(number, detail)])
    assert ["rescanned: X"] == [one.detail for one in ledger.view.events(number) if one.what == "infected"]
