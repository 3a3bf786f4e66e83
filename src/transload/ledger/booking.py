"""What changes in homes, as the ledger is told of it: landed, renamed, removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transload.ledger.plain import each
from transload.ledger.taking import Judged, Row, Verdict, numbers
from transload.model import Name

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(slots=True)
class Landed:
    """A whole file whose bytes are in the spool; what the ledger is to know of it.

    `aside` is the name that an older file of that name gets; None: it is gone. `sharers` are the other users of the same home.
    `again` tells afterwards that the same bytes were there already.
    """

    user: str
    path: Name
    size: int
    sha256: str
    protocol: str
    client: str
    verdict: Callable[[Row], Verdict]
    modified: int | None = None
    aside: Name | None = None
    sharers: Sequence[str] = ()
    again: bool = False


@dataclass(slots=True)
class Renamed:
    """A file that has another name in the home; judged anew if no route took it."""

    user: str
    old: Name
    new: Name
    verdict: Callable[[Row], Verdict]
    aside: Name | None = None
    sharers: Sequence[str] = ()


@dataclass(slots=True)
class Removed:
    """A file that is no longer in the home."""

    user: str
    path: Name
    reason: str = "its user removed it"
    sharers: Sequence[str] = ()


Change = Landed | Renamed | Removed


@dataclass(slots=True)
class Book:
    """What is to be written, in the order in which it has to be."""

    node: str
    at: int
    gone: list[tuple[Any, ...]] = field(default_factory=list)
    moved: list[tuple[Any, ...]] = field(default_factory=list)
    passed: list[tuple[Any, ...]] = field(default_factory=list)
    again: list[tuple[Any, ...]] = field(default_factory=list)
    fresh: list[Landed] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)

    def landed(self, one: Landed, older: Row | None) -> None:
        """A new file of that name; the older one is set aside, or is gone."""
        if older is None or (older.sha256, older.user) != (one.sha256, one.user):
            self._aside(older, one.aside)
            self.fresh.append(one)
            return
        one.again = True
        self.again.append((one.modified or older.modified, one.protocol, one.client, self.at, self.at, older.id))
        row = older._replace(updated=self.at, protocol=one.protocol, client=one.client, at=self.at, modified=one.modified or older.modified)
        verdict = one.verdict(row)
        # What a route has taken it has; but a marker that comes again is a new word.
        if verdict.anew or not older.taken:
            self.judged.append(Judged(row, verdict))

    def renamed(self, one: Renamed, row: Row | None, older: Row | None) -> None:
        """Another name; what had that name before is set aside, or is gone."""
        self._aside(older, one.aside)
        if row is None:
            return
        self.moved.append((one.new.raw, one.new.text, self.at, row.id))
        if not row.taken:
            fresh = row._replace(path=one.new.raw, updated=self.at)
            self.judged.append(Judged(fresh, one.verdict(fresh), row.path))

    def removed(self, one: Removed, row: Row | None) -> None:
        """No longer there."""
        if row is not None:
            self.gone.append((one.reason, self.at, row.id))

    def _aside(self, older: Row | None, name: Name | None) -> None:
        if older is not None and name is None:
            self.gone.append(("a newer file took its name", self.at, older.id))
        elif older is not None and name is not None:
            self.moved.append((name.raw, name.text, self.at, older.id))
            if not older.taken:
                self.passed.append((_PASSED, older.id))

    def write(self, connection: Connection) -> list[Judged]:
        """Write it; gives what there is to take."""
        each(connection, GONE, self.gone)
        each(connection, "update uploads set path = ?, text = ?, updated = ? where id = ?", self.moved)
        # Under the name that it was given here it is nobody's arrival, unless its user gives it another.
        each(connection, "update uploads set judge = null, reason = ? where id = ?", self.passed)
        each(connection, _AGAIN, self.again)
        judge(connection, self.judged, self.at)
        return [*self.judged, *self._insert(connection)]

    def _insert(self, connection: Connection) -> list[Judged]:
        found, lines = [], []
        for number, one in zip(numbers(connection, "uploads", len(self.fresh)), self.fresh, strict=True):
            facts = (one.size, one.modified, one.sha256, self.node)
            row = Row(number, one.user, one.path.raw, "here", None, *facts, False, None, one.protocol, one.client, self.at, self.at)
            verdict = one.verdict(row)
            found.append(Judged(row, verdict))
            row = row._replace(taken=verdict.taken, reason=verdict.reason or None, judge=verdict.judge)
            lines.append((number, one.user, one.path.raw, one.path.text, *row[3:]))
        each(connection, _INSERT, lines)
        return found


def names_of(one: Change) -> tuple[Name, ...]:
    """The names that a change is about."""
    return (one.old, one.new) if isinstance(one, Renamed) else (one.path,)


def judge(connection: Connection, judged: Sequence[Judged], at: int) -> None:
    """Write down what the routes say of these."""
    each(
        connection,
        "update uploads set taken = ?, reason = ?, judge = ?, updated = ? where id = ?",
        [(one.verdict.taken, one.verdict.reason or None, one.verdict.judge, at, one.row.id) for one in judged],
    )


GONE = "update uploads set state = 'gone', reason = ?, judge = null, updated = ? where id = ?"
_PASSED = "a newer file took its name before it counted"
_AGAIN = "update uploads set modified = ?, protocol = ?, client = ?, at = ?, updated = ? where id = ?"
_INSERT = (
    'insert into uploads (id, "user", path, text, state, reason, size, modified, sha256, node, taken, judge, protocol, client, at, '
    "updated) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
