"""What the looks remember of arrivals: forgotten when the source was settled, taken when it was fetched or is wanted no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from transload.ledger.plain import each
from transload.ledger.schema import arrivals, known


def forget(connection: Connection, ids: Iterable[int]) -> None:
    """What the looks remember of these arrivals."""
    rows = _remembered(connection, ids)
    if rows:
        connection.execute(_FORGET, rows)


def taken(connection: Connection, ids: Iterable[int], *, yes: bool = True) -> None:
    """Let the looks take these for done, or not."""
    rows = _remembered(connection, ids)
    if rows:
        connection.execute(_TAKEN, [row | {"b_taken": yes} for row in rows])


def end(connection: Connection, state: str, reasons: Mapping[int, str], at: int) -> None:
    """These arrivals end here, each for its reason; what the looks remember of them stays."""
    ended = [(state, why, at, one) for one, why in reasons.items()]
    each(connection, "update arrivals set state = ?, reason = ?, updated = ? where id = ?", ended)
    log = [(one, at, state, why) for one, why in reasons.items()]
    each(connection, "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)", log)


def _remembered(connection: Connection, ids: Iterable[int]) -> list[dict[str, Any]]:
    query = select(arrivals.c.id, arrivals.c.route, arrivals.c.source, arrivals.c.path).where(arrivals.c.id.in_(list(ids)))
    return [{"b_arrival": row.id, "b_route": row.route, "b_source": row.source, "b_path": row.path} for row in connection.execute(query)]


_PLACE = (
    (known.c.route == bindparam("b_route"))
    & (known.c.source == bindparam("b_source"))
    & (known.c.path == bindparam("b_path"))
    & (known.c.arrival == bindparam("b_arrival"))
)
_FORGET = delete(known).where(_PLACE)
_TAKEN = update(known).where(_PLACE).values(taken=bindparam("b_taken"))
