"""SQL past the expression language, and the one connection that writes: many lines in a statement, and nothing left of what failed."""

from __future__ import annotations

import pytest

from transload.errors import Busy
from transload.ledger.plain import each, rows

HOLD = (
    "insert into names (remote, name, arrival, target) values (?, ?, ?, ?) "
    "on conflict (remote, name) do update set arrival = excluded.arrival, target = excluded.target"
)


def held(ledger):
    with ledger.database.read() as connection:
        return [tuple(row) for row in rows(connection, "select name, arrival, target from names where remote = ? order by arrival", "lake")]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 100])
def test_any_number_of_lines_is_inserted_and_those_that_are_there_are_changed(ledger, count):
    for target in ("first", "second"):
        lines = [("lake", f"{n}?, (x) values.csv".encode(), n, target) for n in range(count)]
        with ledger.database.write() as connection:
            each(connection, HOLD, lines)
        assert [line[1:] for line in lines] == held(ledger)


def test_a_line_that_cannot_be_written_takes_all_along_and_the_next_transaction_knows_nothing_of_it(ledger):
    with pytest.raises(Busy), ledger.database.write() as connection:
        each(connection, HOLD, [("lake", b"a.csv", 1, "out"), ("lake", b"b.csv", None, "out")])
    assert [] == held(ledger)
    with ledger.database.write() as connection:
        each(connection, HOLD, [("lake", b"c.csv", 3, "out")])
    assert [(b"c.csv", 3, "out")] == held(ledger)


def test_what_raises_inside_a_transaction_leaves_nothing_and_keeps_nobody_from_writing(ledger, other):
    with pytest.raises(ZeroDivisionError), ledger.database.write() as connection:
        each(connection, HOLD, [("lake", b"a.csv", 1, "out")])
        raise ZeroDivisionError
    with other.database.write() as connection:
        each(connection, HOLD, [("lake", b"b.csv", 2, "out")])
    with ledger.database.write() as connection:
        each(connection, HOLD, [("lake", b"c.csv", 3, "out")])
    assert [(b"b.csv", 2, "out"), (b"c.csv", 3, "out")] == held(ledger)


def test_what_is_written_is_seen_by_others_at_once_though_the_connection_is_kept(ledger, other):
    for number in range(3):
        with ledger.database.write() as connection:
            each(connection, HOLD, [("lake", b"%d.csv" % number, number, "out")])
        assert number + 1 == len(held(other))
