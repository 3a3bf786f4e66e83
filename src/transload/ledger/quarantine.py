"""Quarantine, as the ledger sees it: what is kept apart, and what people decide of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from transload.errors import Missing
from transload.ledger.claims import fence
from transload.ledger.database import Database, now
from transload.ledger.memory import taken
from transload.ledger.plain import each, rows

if TYPE_CHECKING:
    from sqlalchemy import Connection


EXPIRED = "transload"
"""Who discards what was kept apart for as long as the config says."""
_AT_ONCE = 256


class Apart(NamedTuple):
    """A file in quarantine, as `quarantine ls` shows it; `state` is held, released, retried or discarded."""

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


class Room(NamedTuple):
    """How many files are held, and how many bytes they are, each hash once."""

    files: int
    bytes: int


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

    def list(self, state: str | None = "held", limit: int = 100, *, route: str | None = None, since: int | None = None) -> Sequence[Apart]:
        """What is kept apart, newest first; of one route, and what was put here since then."""
        wanted = {"q.state = ?": state, "a.route = ?": route, "q.at >= ?": since}
        given = {text: value for text, value in wanted.items() if value is not None}
        where = f"where {' and '.join(given)}" if given else ""
        with self._db.read() as connection:
            found = rows(connection, f"{_LIST} {where} order by q.at desc, q.arrival desc limit {int(limit)}", *given.values())
            return [Apart(*row) for row in found]

    def room(self) -> Room:
        """How much is held, on all nodes."""
        with self._db.read() as connection:
            return Room(*map(int, rows(connection, _ROOM).first()))

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

    def expire(self, before: int, why: str) -> int:
        """What is held since before that moment is discarded; gives how many. One transaction for a few at a time: it may end anywhere."""
        count = 0
        while gone := self._expire(before, why):
            count += gone
        return count

    def _expire(self, before: int, why: str) -> int:
        at = now()
        with self._db.write() as connection:
            gone = [row[0] for row in rows(connection, _EXPIRE, EXPIRED, why, at, before, _AT_ONCE).all()]
            each(connection, _GO, [("skipped", f"discarded by {EXPIRED}: {why}", at, one) for one in gone])
            each(connection, _EVENT, [(one, at, "discarded", f"by {EXPIRED}: {why}") for one in gone])
            each(connection, _AUDIT, [(at, EXPIRED, "discarded", str(one), why) for one in gone])
            return len(gone)

    def wanted(self, hashes: Sequence[str]) -> set[str]:
        """Those of `hashes` whose copies are wanted: held, or to go through their steps again."""
        with self._db.read() as connection:
            return {row[0] for row in rows(connection, _WANTED, list(hashes))}

    def held(self) -> Sequence[str]:
        """The hashes of all that is held or was discarded."""
        with self._db.read() as connection:
            return [row[0] for row in rows(connection, "select distinct sha256 from quarantine where state in ('held', 'discarded')")]

    def note(self, arrival: int, who: str, what: str, why: str) -> None:
        """Somebody did something with its bytes that changes nothing: in its story, and in the audit. Raises Missing."""
        at = now()
        with self._db.write() as connection:
            _get(connection, arrival)
            rows(connection, _EVENT, arrival, at, what, f"by {who}: {why}")
            rows(connection, _AUDIT, at, who, what, str(arrival), why)

    def uploads(self, node: str) -> dict[int, str]:
        """The uploads that lie in homes of `node` and are not to be read there: held or discarded; by their numbers, and whose they are."""
        with self._db.read() as connection:
            return dict(rows(connection, _UPLOADS, node).all())

    def _decide(self, arrival: int, state: str, who: str, why: str) -> None:
        at = now()
        with self._db.write() as connection:
            # Who decides first has decided: the other waits for that, and is told.
            if rows(connection, _DECIDE, state, who, why, at, arrival).first() is None:
                found = _get(connection, arrival)
                message = f"arrival {arrival} was {found.state} before, by {found.who}: {found.why}"
                raise Missing(message)
            then, reason = ("received", None) if state == "released" else ("skipped", f"discarded by {who}: {why}")
            rows(connection, _GO, then, reason, at, arrival)
            rows(connection, _EVENT, arrival, at, state, f"by {who}: {why}")
            rows(connection, _AUDIT, at, who, state, str(arrival), why)


def decided(connection: Connection, arrival: int, state: str, who: str, why: str, at: int) -> None:
    """Another word about an arrival than `release` or `discard`: what is kept apart of it is "retried" or "discarded" with it."""
    rows(connection, _DECIDED, state, who, why, at, arrival, state)


def _get(connection: Connection, arrival: int) -> Apart:
    row = rows(connection, f"{_LIST} where q.arrival = ?", arrival).first()
    if row is None:
        message = f"arrival {arrival} is not in quarantine"
        raise Missing(message)
    return Apart(*row)


_EVENT = "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)"
_STOP = "update arrivals set state = 'quarantined', reason = ?, next_try = null, claim = null, updated = ? where id = ? and claim = ?"
_AUDIT = "insert into audit (at, who, what, subject, reason) values (?, ?, ?, ?, ?)"
_GO = (
    "update arrivals set state = ?, reason = ?, next_try = null, attempts = 0, deaths = 0, updated = ? "
    "where id = ? and state = 'quarantined'"
)
_DECIDE = "update quarantine set state = ?, who = ?, why = ?, decided = ? where arrival = ? and state = 'held' returning arrival"
_DECIDED = (
    "update quarantine set state = ?, who = ?, why = ?, decided = ? where arrival = ? and state in ('held', 'discarded') and state <> ?"
)
_EXPIRE = (
    "update quarantine set state = 'discarded', who = ?, why = ?, decided = ? where state = 'held' and arrival in "
    "(select arrival from quarantine where state = 'held' and at < ? order by at limit ?) returning arrival"
)
_ROOM = (
    "select coalesce(sum(one.files), 0), coalesce(sum(one.size), 0) from "
    "(select count(*) as files, max(size) as size from quarantine where state = 'held' group by sha256) one"
)
# What goes through its steps again, or failed there, may yet need the copy: the spool keeps bytes only for a time.
_WANTED = (
    "select distinct q.sha256 from quarantine q join arrivals a on a.id = q.arrival where q.sha256 in ? and (q.state = 'held' or "
    "q.state in ('released', 'retried') and a.state in ('received', 'quarantined', 'failed'))"
)
_UPLOADS = (
    'select u.id, u."user" from quarantine q join arrivals a on a.id = q.arrival join uploads u on u.id = a.upload '
    "where q.state in ('held', 'discarded') and u.state = 'here' and u.node = ?"
)
_PUT = (
    "insert into quarantine (arrival, sha256, size, node, reason, at, state) select id, sha256, size, ?, ?, ?, 'held' from arrivals "
    "where id = ? on conflict (arrival) do update set node = excluded.node, reason = excluded.reason, at = excluded.at, state = 'held', "
    "who = null, why = null, decided = null"
)
_LIST = (
    "select q.arrival, a.route, a.text, a.version, q.size, q.sha256, q.node, q.reason, q.at, q.state, q.who, q.why, q.decided "
    "from quarantine q join arrivals a on a.id = q.arrival"
)
