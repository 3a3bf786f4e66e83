"""The accounts of our servers, in the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import delete, insert, select, update

from transload.accounts import Account
from transload.accounts.people import Known
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

    def put(self, account: Account) -> None:
        """Make it, or replace the one of that name."""
        self.put_all([account])

    def put_all(self, accounts: Collection[Account]) -> None:
        """The same for many: all of them or none."""
        with self._db.write() as connection:
            self._db.alone(connection, "users")
            for account in accounts:
                told = account.model_dump_json(exclude_defaults=True)
                before = connection.execute(select(users.c.changed).where(users.c.name == account.name)).scalar()
                if before is None:
                    connection.execute(insert(users).values(name=account.name, account=told, changed=now()))
                else:
                    # No clock is trusted to go forwards: a change is seen by its number being another.
                    row = {"account": told, "changed": max(now(), before + 1)}
                    connection.execute(update(users).where(users.c.name == account.name).values(row))

    def remove(self, name: str) -> bool:
        """Take it away; False when there is none of that name."""
        with self._db.write() as connection:
            return bool(connection.execute(delete(users).where(users.c.name == name)).rowcount)

    def stamps(self, names: Collection[str]) -> dict[str, int]:
        """The stamps of those that are (still) there."""
        with self._db.read() as connection:
            rows = connection.execute(select(users.c.name, users.c.changed).where(self._db.among(users.c.name, list(names))))
            return {row.name: row.changed for row in rows}

    def rehashed(self, known: Known, password: str) -> None:
        """The same password has got a newer hash; nothing if the account was changed meanwhile. Its stamp stays."""
        told = known.account.model_copy(update={"password": password}).model_dump_json(exclude_defaults=True)
        same = (users.c.name == known.account.name) & (users.c.changed == known.stamp)
        with self._db.write() as connection:
            connection.execute(update(users).where(same).values(account=told))
