"""Uploads to our own servers: landed, renamed, removed, judged; and the arrivals that routes make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from transload.ledger.booking import GONE, Book, Change, Landed, Removed, Renamed, judge, names_of
from transload.ledger.database import Database, now
from transload.ledger.plain import each, rows
from transload.ledger.taking import Judged, Row, Take, Verdict, take
from transload.model import Name

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Uploads:
    """The life of an upload, one transaction per call."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def record(self, node: str, changes: Sequence[Change]) -> int:
        """All of these, in one transaction; no two of them about the same name of a user. Gives how many arrivals that makes."""
        at = now()
        with self._db.write() as connection:
            there = _there(connection, [(user, path.raw) for one in changes for path in names_of(one) for user in (one.user, *one.sharers)])

            def at_(one: Change, path: Name) -> Row | None:
                return next((row for user in (one.user, *one.sharers) if (row := there.get((user, path.raw)))), None)

            book = Book(node, at)
            for one in changes:
                if isinstance(one, Landed):
                    book.landed(one, at_(one, one.path))
                elif isinstance(one, Renamed):
                    book.renamed(one, at_(one, one.old), at_(one, one.new))
                else:
                    book.removed(one, at_(one, one.path))
            return take(self._db, connection, node, book.write(connection), at)

    def judged(self, node: str, verdicts: Sequence[Judged]) -> int:
        """These were judged anew; what was changed meanwhile is left alone. Gives how many arrivals that makes."""
        at = now()
        with self._db.write() as connection:
            ids = [one.row.id for one in verdicts]
            found = {row.id: row for row in _rows(connection, f"{_SELECT} where id in ?", ids)} if ids else {}
            fresh = [
                one
                for one in verdicts
                if (here := found.get(one.row.id)) and (here.path, here.updated, here.state) == (one.row.path, one.row.updated, "here")
            ]
            judge(connection, fresh, at)
            spoken = [(reason, number) for one in fresh for number, reason in one.verdict.by]
            each(connection, "update uploads set taken = true, judge = null, reason = ? where id = ?", spoken)
            return take(self._db, connection, node, fresh, at)

    def below(self, users: Sequence[str], old: Name, new: Name, verdict: Callable[[Row], Verdict], node: str) -> int:
        """The folder `old` of a home has the name `new` now, and all that lies in it; what no route took is judged anew."""
        at = now()
        with self._db.write() as connection:
            moved, judged = [], []
            # Nothing was there when the folder got its name: what is known to lie there was taken away by hand.
            each(connection, GONE, [(_TAKEN_AWAY, at, row.id) for user in users for row in _under(connection, user, new.raw)])
            for row in (row for user in users for row in _under(connection, user, old.raw)):
                path = new.raw + row.path[len(old.raw) :]
                moved.append((path, Name(path).text, at, row.id))
                if not row.taken:
                    fresh = row._replace(path=path, updated=at)
                    judged.append(Judged(fresh, verdict(fresh), row.path))
            each(connection, "update uploads set path = ?, text = ?, updated = ? where id = ?", moved)
            judge(connection, judged, at)
            return take(self._db, connection, node, judged, at)

    # What is there

    def at(self, user: str, path: Name, sharers: Sequence[str] = ()) -> Row | None:
        """The whole file that is there, if that user has sent it, or one of those who share the home."""
        with self._db.read() as connection:
            return next(iter(_there(connection, [(one, path.raw) for one in (user, *sharers)]).values()), None)

    def number(self, number: int) -> Row | None:
        """The upload of that number."""
        with self._db.read() as connection:
            return next(iter(_rows(connection, f"{_SELECT} where id = ?", number)), None)

    def under(self, user: str, folder: bytes) -> list[Row]:
        """All that is in a folder of a home, and below; all of it where the folder is empty."""
        with self._db.read() as connection:
            return _under(connection, user, folder)

    def due(self, node: str, limit: int = 256) -> list[Row]:
        """What is to be judged anew now, longest first."""
        with self._db.read() as connection:
            return _rows(connection, _DUE, node, now(), limit)

    def next_due(self, node: str) -> int | None:
        """When something is to be judged anew."""
        with self._db.read() as connection:
            found = rows(connection, _NEXT, node).scalar()
            return None if found is None else int(found)

    def here(self, node: str, before: int, limit: int) -> list[Row]:
        """What is in homes of this node, newest first, below the number `before`."""
        with self._db.read() as connection:
            return _rows(
                connection, f"{_SELECT} where state = 'here' and node = ? and id < ? order by id desc limit ?", node, before, limit
            )

    def newest(self) -> int:
        """The number of the newest of all, 0 for none."""
        with self._db.read() as connection:
            return int(rows(connection, "select coalesce(max(id), 0) from uploads").scalar())

    def last(self, node: str, newest: int) -> int:
        """When something was last written about a file of this node, of those up to the number `newest`."""
        with self._db.read() as connection:
            return int(rows(connection, "select coalesce(max(updated), 0) from uploads where node = ? and id <= ?", node, newest).scalar())

    def lost(self, ids: Sequence[int], reason: str) -> None:
        """These files are in no home any more."""
        at = now()
        with self._db.write() as connection:
            each(connection, GONE, [(reason, at, one) for one in ids])

    def moved(self, number: int, path: Name) -> None:
        """This file is there now."""
        with self._db.write() as connection:
            rows(connection, "update uploads set path = ?, text = ?, updated = ? where id = ?", path.raw, path.text, now(), number)

    def untaken(self) -> int:
        """How many files are in homes that no route took."""
        with self._db.read() as connection:
            return int(rows(connection, "select count(*) from uploads where state = 'here' and not taken").scalar())


def _there(connection: Connection, places: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], Row]:
    """The files that are at these paths of these users."""
    by_user: dict[str, list[bytes]] = {}
    for user, path in places:
        by_user.setdefault(user, []).append(path)
    found: dict[tuple[str, bytes], Row] = {}
    for user, paths in by_user.items():
        for row in _rows(connection, _AT, user, paths):
            found[user, row.path] = row
    return found


def _under(connection: Connection, user: str, folder: bytes) -> list[Row]:
    if not folder:
        return _rows(connection, f"{_SELECT} where state = 'here' and \"user\" = ? order by path", user)
    # 0x30 follows the slash: all that begins with the folder and a slash lies between the two.
    return _rows(
        connection, f"{_SELECT} where state = 'here' and \"user\" = ? and path > ? and path < ?", user, folder + b"/", folder + b"0"
    )


def _rows(connection: Connection, sql: str, *values: Any) -> list[Row]:
    return [Row(*row)._replace(taken=bool(row[9])) for row in rows(connection, sql, *values)]


_TAKEN_AWAY = "it is no longer in the home"
_COLUMNS = 'id, "user", path, state, reason, size, modified, sha256, node, taken, judge, protocol, client, at, updated'
_SELECT = f"select {_COLUMNS} from uploads"  # noqa: S608
_AT = f"{_SELECT} where state = 'here' and \"user\" = ? and path in ?"
_DUE = f"{_SELECT} where state = 'here' and not taken and node = ? and judge <= ? order by judge limit ?"
_NEXT = "select min(judge) from uploads where state = 'here' and not taken and node = ?"

__all__ = ["Change", "Judged", "Landed", "Removed", "Renamed", "Row", "Take", "Uploads", "Verdict"]
