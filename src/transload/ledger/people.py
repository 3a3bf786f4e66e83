"""The accounts of our servers, in the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, delete, select, update

from transload.accounts import Account
from transload.accounts.people import Known
from transload.errors import Conflict
from transload.ledger.database import Database, now
from transload.ledger.schema import users


class People:
    """Who may come in by our servers; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, name: str) -> Known | None:
        """The account of that name, and what changes with every change of it."""
        with self._db.read() as connection:
            row = connection.execute(select(users.c.account, users.c.changed).where(users.c.name == name)).first()
        return None if row is None else Known(Account.model_validate_json(row.account), row.changed)

    def all(self) -> Sequence[Account]:
        """All accounts, by name."""
        with self._db.read() as connection:
            rows = connection.execute(select(users.c.account)).scalars().all()
        return sorted(map(Account.model_validate_json, rows), key=lambda account: account.name)

    def put(self, *accounts: Account, seen: Mapping[str, int] | None = None) -> None:
        """Make these, or replace those of their names: all or none.

        With `seen` only as long as their stamps are still these (none: there is none of that name); Conflict names those where
        it is otherwise.
        """
        with self._db.write() as connection:
            self._db.alone(connection, "users")
            before = self._stamps(connection, [account.name for account in accounts])
            other = [account.name for account in accounts if seen is not None and before.get(account.name) != seen.get(account.name)]
            if other:
                raise Conflict(", ".join(other))
            # No clock is trusted to go forwards: a change is seen by its number being another.
            at = max(now(), *(stamp + 1 for stamp in before.values())) if before else now()
            rows = [{"name": one.name, "account": one.model_dump_json(exclude_defaults=True), "changed": at} for one in accounts]
            connection.execute(delete(users).where(self._db.among(users.c.name, list(before))))
            self._db.add_all(connection, users, rows)

    def remove(self, name: str) -> bool:
        """Take it away; False when there is none of that name."""
        with self._db.write() as connection:
            return bool(connection.execute(delete(users).where(users.c.name == name)).rowcount)

    def stamps(self, names: Collection[str]) -> dict[str, int]:
        """The stamps of those that are (still) there."""
        with self._db.read() as connection:
            return self._stamps(connection, names)

    def _stamps(self, connection: Connection, names: Collection[str]) -> dict[str, int]:
        rows = connection.execute(select(users.c.name, users.c.changed).where(self._db.among(users.c.name, list(names))))
        return {row.name: row.changed for row in rows}

    def rehashed(self, known: Known, password: str) -> None:
        """The same password has got a newer hash; nothing if the account was changed meanwhile. Its stamp stays."""
        told = known.account.model_copy(update={"password": password}).model_dump_json(exclude_defaults=True)
        same = (users.c.name == known.account.name) & (users.c.changed == known.stamp)
        with self._db.write() as connection:
            connection.execute(update(users).where(same).values(account=told))
