"""What changes in homes, as the ledger is told of it: landed, renamed, removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transload.ledger.plain import each
from transload.ledger.taking import Row, Verdict, numbers
from transload.model import Name

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(slots=True)
class Landed:
    """A whole file whose bytes are in the spool; what the ledger is to know of it.

    `aside` is the name that an older file of that name gets; None: it is gone. What became of it is told in `again` (the same bytes
    were there already) and `number`.
    """

    user: str
    path: Name
    size: int
    sha256: str
    protocol: str
    client: str
    verdict: Verdict
    modified: int | None = None
    aside: Name | None = None
    again: bool = False
    number: int = 0
    older: int = 0


@dataclass(slots=True)
class Renamed:
    """A file that has another name in the home; judged anew if no route took it."""

    user: str
    old: Name
    new: Name
    verdict: Callable[[Row], Verdict]
    aside: Name | None = None


@dataclass(slots=True)
class Removed:
    """A file that is no longer in the home."""

    user: str
    path: Name
    reason: str = "its user removed it"


Change = Landed | Renamed | Removed


@dataclass(slots=True)
class Book:
    """What is to be written, in the order in which it has to be."""

    node: str
    at: int
    gone: list[tuple[Any, ...]] = field(default_factory=list)
    moved: list[tuple[Any, ...]] = field(default_factory=list)
    again: list[tuple[Any, ...]] = field(default_factory=list)
    fresh: list[Landed] = field(default_factory=list)
    judged: list[tuple[Row, Verdict]] = field(default_factory=list)

    def landed(self, one: Landed, older: Row | None) -> None:
        """A new file of that name; the older one is set aside, or is gone."""
        one.older = older.id if older else 0
        if older is not None and older.sha256 == one.sha256:
            one.again, one.number = True, older.id
            self.again.append((one.modified or older.modified, one.protocol, one.client, self.at, self.at, older.id))
            # A route that took it has it; but a new upload of a marker is a new word.
            if not older.taken or one.verdict.anew:
                self.judged.append((older._replace(updated=self.at, protocol=one.protocol, client=one.client, at=self.at), one.verdict))
            return
        self._aside(older, one.aside)
        self.fresh.append(one)

    def renamed(self, one: Renamed, row: Row | None, older: Row | None) -> None:
        """Another name; what had that name before is set aside, or is gone."""
        self._aside(older, one.aside)
        if row is None:
            return
        self.moved.append((one.new.raw, one.new.text, self.at, row.id))
        if not row.taken:
            fresh = row._replace(path=one.new.raw, updated=self.at)
            self.judged.append((fresh, one.verdict(fresh)))

    def removed(self, one: Removed, row: Row | None) -> None:
        """No longer there."""
        if row is not None:
            self.gone.append((one.reason, self.at, row.id))

    def _aside(self, older: Row | None, name: Name | None) -> None:
        if older is not None and name is None:
            self.gone.append(("a newer file took its name", self.at, older.id))
        elif older is not None and name is not None:
            self.moved.append((name.raw, name.text, self.at, older.id))

    def write(self, connection: Connection) -> list[tuple[Row, Verdict]]:
        """Write it; gives what there is to take."""
        each(connection, GONE, self.gone)
        each(connection, "update uploads set path = ?, text = ?, updated = ? where id = ?", self.moved)
        each(connection, _AGAIN, self.again)
        judge(connection, self.judged, self.at)
        return [*self.judged, *self._insert(connection)]

    def _insert(self, connection: Connection) -> list[tuple[Row, Verdict]]:
        found, lines = [], []
        for number, one in zip(numbers(connection, "uploads", len(self.fresh)), self.fresh, strict=True):
            one.number = number
            taken, verdict = bool(one.verdict.takes), one.verdict
            reason = verdict.reason or None
            path, how = one.path.raw, (one.protocol, one.client, self.at, self.at)
            row = Row(number, one.user, path, "here", reason, one.size, one.modified, one.sha256, self.node, taken, verdict.judge, *how)
            found.append((row, verdict))
            lines.append((number, one.user, path, one.path.text, *row[3:]))
        each(connection, _INSERT, lines)
        return found


def names_of(one: Change) -> tuple[Name, ...]:
    """The names that a change is about."""
    return (one.old, one.new) if isinstance(one, Renamed) else (one.path,)


def judge(connection: Connection, judged: Sequence[tuple[Row, Verdict]], at: int) -> None:
    """Write down what the routes say of these."""
    each(
        connection,
        "update uploads set taken = ?, reason = ?, judge = ?, updated = ? where id = ?",
        [(bool(verdict.takes), verdict.reason or None, verdict.judge, at, row.id) for row, verdict in judged],
    )


GONE = "update uploads set state = 'gone', reason = ?, judge = null, updated = ? where id = ?"
_AGAIN = "update uploads set modified = ?, protocol = ?, client = ?, at = ?, updated = ? where id = ?"
_INSERT = (
    'insert into uploads (id, "user", path, text, state, reason, size, modified, sha256, node, taken, judge, protocol, client, at, '
    "updated) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
