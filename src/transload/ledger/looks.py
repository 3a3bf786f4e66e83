"""Looks at a source: when the next is due, what is known already, what was found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, and_, delete, func, or_, select, text, update

from transload.ledger.claims import Claim, fence, new_claim
from transload.ledger.database import Database, now
from transload.ledger.plain import each, rows
from transload.ledger.schema import claims, passes
from transload.model import ArrivalState, Entry, spell

T = TypeVar("T")
_CHUNK = 5000


class Known(NamedTuple):
    """What is remembered of a path: its latest version, and whether that was taken already."""

    arrival: int
    version: int
    taken: bool
    size: int | None
    modified: int | None
    precision: float
    etag: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """One file that a look has something to say about: a new arrival, a new version, or news of one not fetched yet.

    `arrival` is the arrival not fetched yet that the news is about, None for a new one. `until` is when to look again.
    """

    entry: Entry
    version: int = 1
    arrival: int | None = None
    state: ArrivalState = ArrivalState.SEEN
    reason: str | None = None
    until: int | None = None


class PassRow(NamedTuple):
    """A route's looks, as `status` shows them."""

    route: str
    paused: bool
    next_run: int | None
    claim: int | None
    asked: int | None
    started: int | None
    ended: int | None
    seen: int
    wanted: int
    note: str | None
    error: str | None


class Looks:
    """The looks of every route at its source."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def declare(self, routes: Sequence[str]) -> dict[str, PassRow]:
        """Make a row for each route that has none; gives all rows."""
        with self._db.write() as connection:
            have = set(connection.execute(select(passes.c.route)).scalars())
            missing = [{"route": route} for route in routes if route not in have]
            if missing:
                connection.execute(text("insert into passes (route) values (:route) on conflict do nothing"), missing)
        return self.rows()

    def rows(self) -> dict[str, PassRow]:
        """Every route's row."""
        with self._db.read() as connection:
            return {row.route: PassRow(*row) for row in connection.execute(select(*passes.c))}

    def ask(self, routes: Sequence[str]) -> int:
        """Have these routes look now, whatever their schedule; gives the moment to compare `started` with."""
        at = now()
        asked = passes.c.route.in_(routes)
        with self._db.write() as connection:
            connection.execute(update(passes).where(asked).values(asked=at))
            # By a clock that was ahead their last look is yet to come.
            connection.execute(update(passes).where(asked, passes.c.started >= at).values(started=at - 1))
            connection.execute(update(passes).where(asked, passes.c.ended >= at).values(ended=at - 1))
        return at

    def reschedule(self, route: str, at: int) -> None:
        """Set when the next look is due."""
        with self._db.write() as connection:
            connection.execute(update(passes).where(passes.c.route == route).values(next_run=at))

    def claim(self, worker: str, route: str, remote: str, next_run: int | None) -> Claim | None:
        """A claim for a look that is due (by its time, or asked for), or None when it is not due, paused or already going on.

        The condition is in the update, so a cluster fires each pass once.
        """
        at = now()
        with self._db.write() as connection:
            row = {"kind": "look", "route": route, "remote": remote, "worker": worker, "begun": at}
            number = new_claim(connection, row)
            due = or_(
                and_(passes.c.next_run <= at, passes.c.paused.is_(False)),
                passes.c.asked > func.coalesce(passes.c.started, 0),
            )
            values: dict[str, Any] = {"claim": number, "started": at}
            if next_run is not None:
                values["next_run"] = next_run
            won = connection.execute(update(passes).where(passes.c.route == route, passes.c.claim.is_(None), due).values(values)).rowcount
            if not won:
                connection.execute(delete(claims).where(claims.c.id == number))
                return None
        return Claim(number, "look", route, remote, worker)

    def ended(
        self, claim: int, route: str, *, seen: int, wanted: int, note: str | None = None, error: str | None = None, again: int | None = None
    ) -> None:
        """The look is over, well or badly; `note` is what it remarked, `again` moves the next one to that time."""
        values: dict[str, Any] = {"claim": None, "ended": now(), "seen": seen, "wanted": wanted, "note": note, "error": error}
        if again is not None:
            values["next_run"] = again
        with self._db.write() as connection:
            fence(connection, claim)
            connection.execute(update(passes).where(passes.c.route == route, passes.c.claim == claim).values(values))
            connection.execute(delete(claims).where(claims.c.id == claim))

    def pause(self, route: str, *, paused: bool) -> None:
        """Hold a route's looks, or let them go on."""
        with self._db.write() as connection:
            connection.execute(update(passes).where(passes.c.route == route).values(paused=paused))

    def known(self, route: str, source: str, paths: Sequence[bytes]) -> dict[bytes, Known]:
        """What is remembered of these paths; 100,000 in one go are well under a second."""
        found: dict[bytes, Known] = {}
        with self._db.read() as connection:
            for chunk in _chunks(paths):
                for path, arrival, version, taken, *facts in rows(connection, _KNOWN, route, source, chunk):
                    found[path] = Known(arrival, version, bool(taken), *facts)
        return found

    def record(self, claim: int | None, route: str, source: str, found: Sequence[Found]) -> None:
        """Write down what a look found: new arrivals, new versions, news of those not fetched yet."""
        at = now()
        for chunk in _chunks(found):
            with self._db.write() as connection:
                if claim is not None:
                    fence(connection, claim)
                self._db.alone(connection, f"look {route}")
                self._record(connection, route, source, self._numbered(connection, route, source, chunk), at)

    def _numbered(self, connection: Connection, route: str, source: str, found: Sequence[Found]) -> list[Found]:
        """Each new one with a version that its path has not had; without those that somebody has written down since the look."""
        fresh = [one.entry.path for one in found if one.arrival is None]
        versions = dict(tuple(row) for row in rows(connection, _VERSIONS, route, source, fresh))
        had: dict[bytes, int] = {}
        # What was settled or gone is forgotten, and what comes after it is new: but not the same arrival. Members have paths, too.
        for path, version in rows(connection, _HAD, route, source, fresh):
            had[path] = max(version, had.get(path, 0))
        numbered = []
        for one in found:
            path = one.entry.path
            if one.arrival is not None or one.version > versions.get(path, 0):
                numbered.append(replace(one, version=had[path] + 1) if one.arrival is None and one.version <= had.get(path, 0) else one)
        return numbered

    def _record(self, connection: Connection, route: str, source: str, found: Sequence[Found], at: int) -> None:
        fresh = [one for one in found if one.arrival is None]
        ids = allocate(connection, len(fresh), sqlite=self._db.sqlite)
        made, learnt, log = [], [], []
        for number, one in zip(ids, fresh, strict=True):
            entry, path, state = one.entry, one.entry.path, one.state.value
            told = (entry.size, entry.modified, entry.precision, entry.etag)
            made.append(
                (
                    number,
                    route,
                    source,
                    path,
                    one.version,
                    entry.folder,
                    entry.link,
                    spell(path),
                    state,
                    one.reason,
                    *told,
                    one.until,
                    at,
                    at,
                )
            )
            learnt.append((route, source, path, number, one.version, state != "seen", *told))
            log.append((number, at, state, one.reason))
        each(connection, _NEW, made)
        each(connection, _LEARN, learnt)
        each(connection, "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)", log)
        self._news(connection, [one for one in found if one.arrival is not None], route, source, at)

    def _news(self, connection: Connection, news: Sequence[Found], route: str, source: str, at: int) -> None:
        changed, learnt = [], []
        for one in news:
            entry, state = one.entry, one.state.value
            told = (entry.size, entry.modified, entry.precision, entry.etag)
            changed.append((*told, entry.link, state, one.reason, one.until, at, one.arrival))
            learnt.append((route, source, entry.path, one.arrival, one.version, state != "seen", *told))
        each(connection, _CHANGE, changed)
        each(connection, _LEARN, learnt)

    def adopt(self, route: str, source: str, entries: Sequence[Entry], reason: str) -> None:
        """Mark these as known without moving them."""
        self.record(None, route, source, [Found(entry, state=ArrivalState.SKIPPED, reason=reason) for entry in entries])


def allocate(connection: Connection, count: int, *, sqlite: bool) -> list[int]:
    """`count` arrival numbers never used before, in order."""
    if not count:
        return []
    if sqlite:
        last = connection.execute(text("select seq from sqlite_sequence where name = 'arrivals'")).scalar() or 0
        return list(range(last + 1, last + 1 + count))
    query = text("select nextval('arrivals_id_seq') from generate_series(1, :count)")
    return [int(number) for number in connection.execute(query, {"count": count}).scalars()]


_KNOWN = "select path, arrival, version, taken, size, modified, precision, etag from known where route = ? and source = ? and path in ?"
_VERSIONS = "select path, version from known where route = ? and source = ? and path in ?"
_HAD = "select path, version from arrivals where route = ? and source = ? and path in ?"
_NEW = (
    "insert into arrivals (id, route, source, path, version, folder, link, text, state, reason, size, modified, precision, etag, next_try, "
    "first_seen, updated) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_LEARN = (
    "insert into known (route, source, path, arrival, version, taken, size, modified, precision, etag) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (route, source, path) do update set arrival = excluded.arrival, "
    "version = excluded.version, taken = excluded.taken, size = excluded.size, modified = excluded.modified, "
    "precision = excluded.precision, etag = excluded.etag"
)
_CHANGE = (
    "update arrivals set size = ?, modified = ?, precision = ?, etag = ?, link = ?, state = ?, reason = ?, next_try = ?, updated = ? "
    "where id = ? and state = 'seen' and claim is null"
)


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
