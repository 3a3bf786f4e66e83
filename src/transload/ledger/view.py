"""Reading the ledger: lists, a file's whole life, counts, what is left to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Select, case, func, literal, or_, select

from transload.ledger.database import Database, now
from transload.ledger.schema import arrivals, claims, deliveries, events, has_failed, is_untaken, known, still_open, unsettled, uploads
from transload.ledger.schema_of_steps import quarantine


@dataclass(frozen=True, slots=True)
class Query:
    """Which arrivals to list; None means any."""

    route: str | None = None
    state: str | None = None
    since: int | None = None
    until: int | None = None
    name: str | None = None
    sha256: str | None = None
    after: int | None = None
    limit: int = 100


class Row(NamedTuple):
    """An arrival as lists show it."""

    id: int
    route: str
    source: str
    path: bytes
    text: str
    version: int
    size: int | None
    sha256: str | None
    state: str
    reason: str | None
    attempts: int
    next_try: int | None
    settle: str
    first_seen: int
    updated: int


class Delivered(NamedTuple):
    """A delivery as a trace shows it."""

    target: str
    remote: str
    name: bytes
    text: str
    required: bool
    state: str
    reason: str | None
    verified: str | None
    attempts: int
    next_try: int | None
    updated: int


class Event(NamedTuple):
    """Something that happened to an arrival."""

    at: int
    target: str | None
    what: str
    detail: str | None


class Count(NamedTuple):
    """How many arrivals of a route are in a state, how many bytes, and the oldest."""

    route: str
    state: str
    files: int
    bytes: int
    oldest: int


class Left(NamedTuple):
    """What a route still has to do: due or in hand now, held until later, given up for now; and when the next held one goes on."""

    open: int
    held: int
    given_up: int
    next_try: int | None


_ROW = tuple(getattr(arrivals.c, name) for name in Row._fields)
_DELIVERED = tuple(getattr(deliveries.c, name) for name in Delivered._fields)


class View:
    """What commands and pages read; nothing here writes."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def list(self, query: Query) -> list[Row]:
        """Arrivals, newest first."""
        with self._db.read() as connection:
            return [Row(*row) for row in connection.execute(_select(query))]

    def arrival(self, number: int) -> Row | None:
        """One arrival."""
        with self._db.read() as connection:
            row = connection.execute(select(*_ROW).where(arrivals.c.id == number)).first()
        return Row(*row) if row else None

    def called(self, text: str) -> Sequence[Row]:
        """The arrivals whose path has this safe spelling, or ends in it after a slash; newest first."""
        with self._db.read() as connection:
            exact = connection.execute(select(*_ROW).where(arrivals.c.text == text).order_by(arrivals.c.id.desc()).limit(100)).all()
            ends = arrivals.c.text.like("%/" + _literal(text), escape="!")
            rows = exact or connection.execute(select(*_ROW).where(ends).order_by(arrivals.c.id.desc()).limit(100)).all()
        return [Row(*row) for row in rows]

    def deliveries(self, number: int) -> Sequence[Delivered]:
        """What an arrival owes, and how far that is."""
        with self._db.read() as connection:
            return [
                Delivered(*row)
                for row in connection.execute(select(*_DELIVERED).where(deliveries.c.arrival == number).order_by(deliveries.c.id))
            ]

    def events(self, number: int) -> Sequence[Event]:
        """All that happened to an arrival, in order."""
        columns = (events.c.at, events.c.target, events.c.what, events.c.detail)
        with self._db.read() as connection:
            return [Event(*row) for row in connection.execute(select(*columns).where(events.c.arrival == number).order_by(events.c.id))]

    def counts(self, *, since: int | None = None) -> Sequence[Count]:
        """Arrivals by route and state, of those updated since then."""
        query = select(
            arrivals.c.route, arrivals.c.state, func.count(), func.coalesce(func.sum(arrivals.c.size), 0), func.min(arrivals.c.first_seen)
        )
        if since is not None:
            query = query.where(arrivals.c.updated >= since)
        with self._db.read() as connection:
            rows = connection.execute(query.group_by(arrivals.c.route, arrivals.c.state)).all()
        return [Count(row[0], row[1], int(row[2]), int(row[3]), int(row[4])) for row in rows]

    def left(self, route: str, attempts: int, *, patience: int | None = None, fetching: bool = True) -> Left:
        """What there is still to do for a route; what is held after `attempts` tries counts as given up for now.

        So does what was never tried and waits until after the moment `patience`: for its age, for its destination. Without
        `fetching` what is still to be fetched does not count.
        """
        at = now()
        mine, states = arrivals.c.route == route, ("seen", "received") if fetching else ("received",)
        parts = [
            select(arrivals.c.claim, arrivals.c.next_try, arrivals.c.attempts).where(mine, arrivals.c.state.in_(states)),
            select(deliveries.c.claim, deliveries.c.next_try, deliveries.c.attempts).where(deliveries.c.route == route, still_open),
            select(arrivals.c.settle_claim, arrivals.c.next_try, literal(0)).where(
                mine, unsettled, (arrivals.c.state + "").in_(("delivered", "split"))
            ),
        ]
        total = Left(0, 0, 0, None)
        with self._db.read() as connection:
            for part in parts:
                work = part.subquery()
                later = work.c[0].is_(None) & (work.c[1] > at)
                gives_up = work.c[2] >= attempts
                if patience is not None:
                    gives_up |= (work.c[2] == 0) & (work.c[1] > patience)
                spent, held = later & gives_up, later & ~gives_up
                query = select(func.count(), _count(held), _count(spent), func.min(case((held, work.c[1]))))
                count, waiting, given_up, soonest = connection.execute(query).one()
                times = [moment for moment in (total.next_try, soonest) if moment is not None]
                open_ = total.open + int(count) - int(waiting) - int(given_up)
                total = Left(open_, total.held + int(waiting), total.given_up + int(given_up), min(times) if times else None)
        return total

    def failures(self, route: str, *, limit: int = 1000) -> Sequence[Row]:
        """The arrivals of a route that failed, were quarantined or are not done yet, and those with a failed delivery."""
        troubled = arrivals.c.state.in_(("failed", "quarantined", "seen", "received", "ready"))
        failed = arrivals.c.id.in_(select(deliveries.c.arrival).where(deliveries.c.route == route, has_failed))
        parts = [select(*_ROW).where(arrivals.c.route == route, which).order_by(arrivals.c.id).limit(limit) for which in (troubled, failed)]
        with self._db.read() as connection:
            found = {row.id: Row(*row) for part in parts for row in connection.execute(part)}
        return [found[number] for number in sorted(found)][:limit]

    def standing(self, route: str) -> dict[str, int]:
        """How many arrivals of a route are in each state that is not a good end."""
        states = ("failed", "quarantined", "seen", "received", "ready")
        query = select(arrivals.c.state, func.count()).where(arrivals.c.state.in_(states), arrivals.c.route == route)
        with self._db.read() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query.group_by(arrivals.c.state))}

    def held_reason(self, number: int) -> str | None:
        """Why a delivery of this arrival is not done, if one is not."""
        query = select(deliveries.c.target, deliveries.c.reason).where(deliveries.c.arrival == number, deliveries.c.reason.is_not(None))
        with self._db.read() as connection:
            row = connection.execute(query.limit(1)).first()
        return f"{row.target}: {row.reason}" if row else None

    def last_event(self) -> int:
        """The number of the newest event: what comes after it is newer."""
        with self._db.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(events.c.id), 0))).scalar_one())

    def happened(self, route: str, after: int) -> dict[tuple[str, bool], tuple[int, int]]:
        """What happened to a route's arrivals after that event: (what, of a delivery) to (how often, how many bytes)."""
        query = select(events.c.what, events.c.target.is_not(None), func.count(), func.coalesce(func.sum(arrivals.c.size), 0))
        query = query.join(arrivals, arrivals.c.id == events.c.arrival).where(events.c.id > after, arrivals.c.route == route)
        with self._db.read() as connection:
            return {
                (row[0], bool(row[1])): (int(row[2]), int(row[3]))
                for row in connection.execute(query.group_by(events.c.what, events.c.target.is_not(None)))
            }

    def unneeded(self, hashes: Sequence[str], before: int) -> set[str]:
        """Those of `hashes` that no open arrival needs, none has touched since `before`, and no upload that no route took yet.

        What is kept apart needs none: it has a copy of its own.
        """
        open_ = arrivals.c.state.in_(("received", "ready")) | arrivals.c.settle.in_(("owed", "begun"))
        owing = select(deliveries.c.id).where(deliveries.c.arrival == arrivals.c.id, deliveries.c.state.in_(("owed", "staged"))).exists()
        apart = quarantine.c.arrival == arrivals.c.id, quarantine.c.state.in_(("held", "discarded"))
        young = (arrivals.c.updated >= before) & ~select(quarantine.c.arrival).where(*apart).exists()
        needed = select(arrivals.c.sha256).where(arrivals.c.sha256.in_(hashes), or_(open_, owing, young))
        waiting = select(uploads.c.sha256).where(uploads.c.sha256.in_(hashes), is_untaken)
        with self._db.read() as connection:
            return set(hashes) - set(connection.execute(needed).scalars()) - set(connection.execute(waiting).scalars())

    def remembered(self, route: str, source: str) -> int:
        """How many paths of a source are known."""
        with self._db.read() as connection:
            return int(
                connection.execute(
                    select(func.count()).select_from(known).where(known.c.route == route, known.c.source == source)
                ).scalar_one()
            )

    def busy(self) -> int:
        """How many claims are open."""
        with self._db.read() as connection:
            return int(connection.execute(select(func.count()).select_from(claims)).scalar_one())


def _select(query: Query) -> Select[Any]:
    chosen = select(*_ROW).order_by(arrivals.c.id.desc()).limit(query.limit)
    for column, value in ((arrivals.c.route, query.route), (arrivals.c.state, query.state), (arrivals.c.sha256, query.sha256)):
        chosen = chosen if value is None else chosen.where(column == value)
    if query.after is not None:
        chosen = chosen.where(arrivals.c.id < query.after)
    if query.since is not None:
        chosen = chosen.where(arrivals.c.first_seen >= query.since)
    if query.until is not None:
        chosen = chosen.where(arrivals.c.first_seen < query.until)
    if query.name is not None:
        pattern = _literal(query.name).replace("*", "%").replace("?", "_")
        chosen = chosen.where(or_(arrivals.c.text.like(pattern, escape="!"), arrivals.c.text.like("%/" + pattern, escape="!")))
    return chosen


def _count(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _literal(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
