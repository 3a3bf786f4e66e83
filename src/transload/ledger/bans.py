"""Wrong logins at our servers, in the ledger, so that a restart forgives nobody."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from transload.accounts.people import Ban
from transload.ledger.database import Database
from transload.ledger.schema import bans


class Bans:
    """Who has tried wrong passwords, how often, and until when nobody listens; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def strike(self, counts: Mapping[str, Callable[[Ban | None], Ban]]) -> Sequence[Ban]:
        """One more wrong login for each of these keys: what was known of it goes into its function, what comes out is kept."""
        with self._db.write() as connection:
            self._db.alone(connection, "bans")
            rows = connection.execute(_ROWS.where(self._db.among(bans.c.address, list(counts))))
            before = {row.address: Ban(*row) for row in rows}
            after = [count(before.get(key)) for key, count in counts.items()]
            for ban in after:
                row = dict(zip(_COLUMNS, ban, strict=True))
                put = (sqlite.insert if self._db.sqlite else postgresql.insert)(bans).values(row)
                connection.execute(put.on_conflict_do_update(index_elements=["address"], set_=row))
            return after

    def all(self) -> Sequence[Ban]:
        """All that is known, the newest first."""
        with self._db.read() as connection:
            return [Ban(*row) for row in connection.execute(_ROWS.order_by(bans.c.last.desc()))]

    def lift(self, keys: Collection[str]) -> int:
        """Forget these; tells how many there were."""
        with self._db.write() as connection:
            return connection.execute(delete(bans).where(self._db.among(bans.c.address, list(keys)))).rowcount

    def forget(self, before: int) -> None:
        """Forget those whose last wrong login, and ban, lie before that time."""
        over = (bans.c.last < before) & or_(bans.c.until.is_(None), func.coalesce(bans.c.until, 0) < before)
        with self._db.write() as connection:
            connection.execute(delete(bans).where(over))


_COLUMNS = ("address", "strikes", "last", "until", "reason")
_ROWS = select(*(bans.c[name] for name in _COLUMNS))
