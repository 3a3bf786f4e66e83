"""Who is alive, and which remotes cannot be reached at present."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, insert, select, text, update

from transload.ledger.database import Database, now
from transload.ledger.plain import rows
from transload.ledger.schema import remotes, workers


class Worker(NamedTuple):
    """A process at work on this ledger."""

    id: str
    node: str
    pid: int
    host: str
    role: str
    started: int
    beat: int


class Trip(NamedTuple):
    """A remote in back-off."""

    name: str
    failures: int
    next_try: int | None
    since: int | None
    reason: str | None


class Fleet:
    """Workers and the state of remotes."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def join(self, worker: Worker) -> None:
        """This process is at work from now on."""
        with self._db.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker.id))
            connection.execute(insert(workers).values(worker._asdict()))

    def beat(self, worker: str) -> bool:
        """Still alive; False when somebody has taken the row away."""
        with self._db.write() as connection:
            return bool(connection.execute(update(workers).where(workers.c.id == worker).values(beat=now())).rowcount)

    def leave(self, worker: str) -> None:
        """This process is at work no more."""
        with self._db.write() as connection:
            connection.execute(delete(workers).where(workers.c.id == worker))

    def workers(self) -> list[Worker]:
        """Every process that has joined and not left."""
        with self._db.read() as connection:
            return [Worker(*row) for row in connection.execute(select(*workers.c).order_by(workers.c.started))]

    def unreachable(self, remote: str, reason: str, until: int, weight: int = 1) -> int:
        """Nobody answers there: no batch is formed for it until then. Gives how often in a row, this one counting `weight`."""
        with self._db.write() as connection:
            values = {"name": remote, "weight": weight, "until": until, "since": now(), "reason": reason}
            return int(connection.execute(_TRIP, values).scalar_one())

    def reachable(self, *names: str) -> list[Trip]:
        """They answer; gives those that did not the last time."""
        away = [trip for name, trip in self.trips().items() if name in names]
        if away:
            with self._db.write() as connection:
                connection.execute(delete(remotes).where(remotes.c.name.in_(names)))
        return away

    def trips(self) -> dict[str, Trip]:
        """Every remote that did not answer last time."""
        with self._db.read() as connection:
            return {row[0]: Trip(*row) for row in rows(connection, "select name, failures, next_try, since, reason from remotes")}


_TRIP = text(
    "insert into remotes (name, failures, next_try, since, reason) values (:name, :weight, :until, :since, :reason) "
    "on conflict (name) do update set failures = remotes.failures + :weight, next_try = :until, reason = :reason returning failures"
)
