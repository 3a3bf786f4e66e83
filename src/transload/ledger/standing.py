"""How things stand: what is owed, waiting, in trouble; asked by plans, explanations and `status`, and never written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import case, create_engine, func, inspect, or_, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from transload.errors import LedgerAway
from transload.ledger.database import Database
from transload.ledger.schema import arrivals, deliveries, still_open

T = TypeVar("T")
_CHUNK = 5000
_OPEN = ("seen", "received", "ready")


class Stand(NamedTuple):
    """Where one arrival stands."""

    id: int
    source: str
    path: bytes
    text: str
    version: int
    size: int | None
    modified: int | None
    state: str
    reason: str | None
    next_try: int | None
    settle: str


class Open(NamedTuple):
    """A delivery that is still owed, with its arrival."""

    arrival: int
    source: str
    path: bytes
    text: str
    size: int | None
    modified: int | None
    target: str
    remote: str
    name: str
    reason: str | None
    next_try: int | None


class Trouble(NamedTuple):
    """How many arrivals of a route are in trouble."""

    held: int = 0
    quarantined: int = 0
    failed: int = 0


_STAND = tuple(getattr(arrivals.c, name) for name in Stand._fields)
_OPEN_COLUMNS = (
    deliveries.c.arrival,
    *(getattr(arrivals.c, name) for name in ("source", "path", "text", "size", "modified")),
    *(getattr(deliveries.c, name) for name in ("target", "remote", "text", "reason", "next_try")),
)


class Standing:
    """Reads how things stand; each method is one consistent view."""

    def __init__(self, database: Database) -> None:
        """In this database."""
        self._db = database

    def of(self, numbers: Iterable[int]) -> dict[int, Stand]:
        """Where these arrivals stand."""
        found = {}
        with self._db.read() as connection:
            for chunk in _chunks(numbers):
                for row in connection.execute(select(*_STAND).where(arrivals.c.id.in_(chunk))):
                    found[row.id] = Stand(*row)
        return found

    def waiting(self, route: str) -> list[Stand]:
        """What was seen and is not fetched yet."""
        query = select(*_STAND).where(arrivals.c.state == "seen", arrivals.c.route == route).order_by(arrivals.c.id)
        with self._db.read() as connection:
            return [Stand(*row) for row in connection.execute(query)]

    def owed(self, route: str) -> list[Open]:
        """What was fetched and is not delivered yet, an arrival's deliveries together."""
        query = select(*_OPEN_COLUMNS).join(arrivals, arrivals.c.id == deliveries.c.arrival)
        query = query.where(deliveries.c.route == route, still_open)
        with self._db.read() as connection:
            return [Open(*row) for row in connection.execute(query.order_by(deliveries.c.arrival, deliveries.c.id))]

    def tally(self) -> dict[str, dict[str, int]]:
        """How many arrivals each route has in each state."""
        query = select(arrivals.c.route, arrivals.c.state, func.count()).group_by(arrivals.c.route, arrivals.c.state)
        found: dict[str, dict[str, int]] = {}
        with self._db.read() as connection:
            for route, state, count in connection.execute(query):
                found.setdefault(route, {})[state] = int(count)
        return found

    def oldest(self) -> dict[str, int]:
        """For each route the moment at which its oldest undelivered file was first seen."""
        query = select(arrivals.c.route, func.min(arrivals.c.first_seen)).where(arrivals.c.state.in_(_OPEN))
        with self._db.read() as connection:
            return {route: int(at) for route, at in connection.execute(query.group_by(arrivals.c.route))}

    def troubles(self) -> dict[str, Trouble]:
        """For each route how many arrivals are held, quarantined and failed."""
        waits = deliveries.c.reason.is_not(None) & still_open
        stuck = select(deliveries.c.arrival).where(waits)
        held = or_(
            arrivals.c.state.in_(("seen", "received")) & arrivals.c.reason.is_not(None),
            arrivals.c.state.in_(("received", "ready")) & arrivals.c.id.in_(stuck),
        )
        bad = or_(arrivals.c.state.in_(("failed", "quarantined")), held)
        counts = (_count(held), _count(arrivals.c.state == "quarantined"), _count(arrivals.c.state == "failed"))
        query = select(arrivals.c.route, *counts).where(bad).group_by(arrivals.c.route)
        with self._db.read() as connection:
            return {route: Trouble(*map(int, row)) for route, *row in connection.execute(query)}


def is_there(url: str) -> bool:
    """Whether there is a ledger at `url` already; raises LedgerAway when that cannot be told. Nothing is made."""
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        path = Path(parts.database or "")
        return path.exists() and path.stat().st_size > 0
    engine = create_engine(parts.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            return inspect(connection).has_table("arrivals")
    except DBAPIError as error:
        cause = str(error.orig).strip().splitlines()[0]
        raise LedgerAway(f"the ledger {parts.render_as_string(hide_password=True)} cannot be used: {cause}") from error
    finally:
        engine.dispose()


def _count(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _chunks(items: Iterable[T]) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
