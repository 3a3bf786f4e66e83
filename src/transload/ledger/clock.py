"""A clock that was ahead and has been set back: what waits for times that it gave must not wait until they come."""

from __future__ import annotations

from transload.ledger.claims import ASTRAY, ELSEWHERE
from transload.ledger.database import Database, now
from transload.ledger.plain import rows

AHEAD = 120_000_000
"""How far (microseconds) a time that has been may be from this clock: those of two machines differ a little."""


class Clock:
    """Whether times in the ledger can be believed; one transaction per call."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def was_ahead(self) -> bool:
        """Whether something has happened at a time that is yet to come."""
        with self._db.read() as connection:
            last = [rows(connection, query).scalar() for query in _LAST]
        return max((int(at) for at in last if at is not None), default=0) > now() + AHEAD

    def set_right(self) -> None:
        """What waits for a time is due now, but for what waits for somebody; no look was later than now."""
        at = now()
        with self._db.write() as connection:
            for what, before in (("asked", 0), ("started", 1), ("ended", 1), ("next_run", 0)):
                rows(connection, f"update passes set {what} = ? where {what} > ?", at - before, at)  # noqa: S608 - names of columns
            for what in ("next_try", "since"):
                rows(connection, f"update remotes set {what} = ? where {what} > ?", at, at)  # noqa: S608 - the same
            rows(connection, _ARRIVALS, at, at, ELSEWHERE)
            rows(connection, _DELIVERIES, at, at, ASTRAY)


_LAST = (
    "select at from events order by id desc limit 1",
    "select max(started) from passes",
    "select max(ended) from passes",
    "select max(asked) from passes",
    "select max(since) from remotes",
)
_ARRIVALS = (
    "update arrivals set next_try = ? where next_try > ? and (reason is null or reason <> ?) "
    "and state in ('seen', 'received', 'ready', 'delivered', 'split')"
)
_DELIVERIES = "update deliveries set next_try = ? where next_try > ? and (reason is null or reason <> ?) and state in ('owed', 'staged')"
