"""What the looks remember of arrivals: forgotten when the source was settled, taken when it was fetched or is wanted no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, delete, select, update

from transload.ledger.plain import each, rows
from transload.ledger.schema import arrivals, known

if TYPE_CHECKING:
    from transload.ledger.entries import Trouble


def forget(connection: Connection, ids: Iterable[int]) -> None:
    """What the looks remember of these arrivals."""
    found = _remembered(connection, ids)
    if found:
        connection.execute(_FORGET, found)


def taken(connection: Connection, ids: Iterable[int], *, yes: bool = True) -> None:
    """Let the looks take these for done, or not."""
    found = _remembered(connection, ids)
    if found:
        connection.execute(_TAKEN, [row | {"b_taken": yes} for row in found])


def tell_of(connection: Connection, trouble: Trouble, at: int) -> None:
    """An arrival's trouble in its story; that it goes on to wait for the same reason is none. To be called before its row is changed."""
    if trouble.until is None:
        rows(connection, _EVENT, trouble.id, at, trouble.state, trouble.reason)
    else:
        rows(connection, _HELD, at, trouble.reason, trouble.id, trouble.reason)


def end(connection: Connection, state: str, reasons: Mapping[int, str], at: int) -> None:
    """These arrivals end here, each for its reason; what the looks remember of them stays."""
    ended = [(state, why, at, one) for one, why in reasons.items()]
    each(connection, "update arrivals set state = ?, reason = ?, updated = ? where id = ?", ended)
    log = [(one, at, state, why) for one, why in reasons.items()]
    each(connection, _EVENT, log)


def _remembered(connection: Connection, ids: Iterable[int]) -> list[dict[str, Any]]:
    query = select(arrivals.c.id, arrivals.c.route, arrivals.c.source, arrivals.c.path).where(arrivals.c.id.in_(list(ids)))
    return [{"b_arrival": row.id, "b_route": row.route, "b_source": row.source, "b_path": row.path} for row in connection.execute(query)]


_EVENT = "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)"
_HELD = (
    "insert into events (arrival, at, what, detail) select id, ?, 'held', ? from arrivals where id = ? and (reason is null or reason <> ?)"
)
_PLACE = (
    (known.c.route == bindparam("b_route"))
    & (known.c.source == bindparam("b_source"))
    & (known.c.path == bindparam("b_path"))
    & (known.c.arrival == bindparam("b_arrival"))
)
_FORGET = delete(known).where(_PLACE)
_TAKEN = update(known).where(_PLACE).values(taken=bindparam("b_taken"))
