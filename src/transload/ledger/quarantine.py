"""Quarantine, as the ledger sees it: what is kept apart, and what people decide of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from transload.errors import Missing
from transload.ledger.claims import fence
from transload.ledger.database import Database, now
from transload.ledger.memory import taken
from transload.ledger.plain import rows

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Apart(NamedTuple):
    """A file in quarantine, as `quarantine ls` shows it; `state` is held, released or discarded."""

    arrival: int
    route: str
    text: str
    version: int
    size: int
    sha256: str
    node: str
    reason: str
    at: int
    state: str
    who: str | None
    why: str | None
    decided: int | None


class Quarantine:
    """What is kept apart; one transaction per call."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def put(self, claim: int, arrival: int, node: str, reason: str) -> None:
        """This arrival is kept apart; a copy of its bytes lies in the quarantine of `node` already."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            rows(connection, _STOP, reason, at, arrival, claim)
            rows(connection, _PUT, node, reason, at, arrival)
            rows(connection, _EVENT, arrival, at, "quarantined", reason)
            taken(connection, [arrival])

    def list(self, state: str | None = "held", limit: int = 100) -> Sequence[Apart]:
        """What is kept apart, newest first."""
        where = "" if state is None else "where q.state = ?"
        values = () if state is None else (state,)
        with self._db.read() as connection:
            return [
                Apart(*row) for row in rows(connection, f"{_LIST} {where} order by q.at desc, q.arrival desc limit {int(limit)}", *values)
            ]

    def get(self, arrival: int) -> Apart:
        """One of them; raises Missing."""
        with self._db.read() as connection:
            return _get(connection, arrival)

    def release(self, arrival: int, who: str, why: str) -> None:
        """It goes on with the steps that it was received under; what they have against it holds no more, for this arrival alone."""
        self._decide(arrival, "released", who, why)

    def discard(self, arrival: int, who: str, why: str) -> None:
        """It is skipped for good; its bytes may go."""
        self._decide(arrival, "discarded", who, why)

    def wanted(self, hashes: Sequence[str]) -> set[str]:
        """Those of `hashes` whose bytes somebody may still want."""
        with self._db.read() as connection:
            return {
                row[0] for row in rows(connection, "select sha256 from quarantine where state <> 'discarded' and sha256 in ?", list(hashes))
            }

    def _decide(self, arrival: int, state: str, who: str, why: str) -> None:
        at = now()
        with self._db.write() as connection:
            found = _get(connection, arrival)
            if found.state != "held":
                message = f"arrival {arrival} was {found.state} before, by {found.who}: {found.why}"
                raise Missing(message)
            rows(
                connection, "update quarantine set state = ?, who = ?, why = ?, decided = ? where arrival = ?", state, who, why, at, arrival
            )
            then, reason = ("received", None) if state == "released" else ("skipped", f"discarded by {who}: {why}")
            rows(connection, _GO, then, reason, at, arrival)
            rows(connection, _EVENT, arrival, at, state, f"by {who}: {why}")
            rows(connection, "insert into audit (at, who, what, subject, reason) values (?, ?, ?, ?, ?)", at, who, state, str(arrival), why)


def _get(connection: Connection, arrival: int) -> Apart:
    row = rows(connection, f"{_LIST} where q.arrival = ?", arrival).first()
    if row is None:
        message = f"arrival {arrival} is not in quarantine"
        raise Missing(message)
    return Apart(*row)


_EVENT = "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)"
_STOP = "update arrivals set state = 'quarantined', reason = ?, next_try = null, claim = null, updated = ? where id = ? and claim = ?"
_GO = "update arrivals set state = ?, reason = ?, next_try = null, attempts = 0, deaths = 0, updated = ? where id = ?"
_PUT = (
    "insert into quarantine (arrival, sha256, size, node, reason, at, state) select id, sha256, size, ?, ?, ?, 'held' from arrivals "
    "where id = ? on conflict (arrival) do update set node = excluded.node, reason = excluded.reason, at = excluded.at, state = 'held', "
    "who = null, why = null, decided = null"
)
_LIST = (
    "select q.arrival, a.route, a.text, a.version, q.size, q.sha256, q.node, q.reason, q.at, q.state, q.who, q.why, q.decided "
    "from quarantine q join arrivals a on a.id = q.arrival"
)
