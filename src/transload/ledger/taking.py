"""Arrivals that routes make of uploads: versions, duplicates, and what they owe, inside the transaction that asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from transload.errors import Rejected
from transload.ledger.entries import KEEP_RECIPE, KEEP_VERDICT, NO_STEPS, REFUSED, Received
from transload.ledger.owing import Owed, owe
from transload.ledger.plain import each, rows
from transload.model import Entry, Spooled
from transload.protocols import SERVER

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from transload.ledger.database import Database


class Row(NamedTuple):
    """An upload as the ledger has it."""

    id: int
    user: str
    path: bytes
    state: str
    reason: str | None
    size: int
    modified: int | None
    sha256: str
    node: str
    taken: bool
    judge: int | None
    protocol: str
    client: str
    at: int
    updated: int

    @property
    def told(self) -> str:
        """Where it came from, as a trace tells it."""
        return f"received over {self.protocol} from {self.client} as {self.user}"


@dataclass(frozen=True, slots=True)
class Take:
    """A route takes an upload: under which entry, and what that owes as the version that it turns out to be.

    `owed` raises Rejected when a template makes no safe name of it, and then `told` is what it owes to its hook. `skip_same` skips
    bytes that the route had from another name.
    """

    route: str
    entry: Entry
    owed: Callable[[int], Sequence[Owed]]
    told: Callable[[int], Sequence[Owed]]
    skip_same: bool = False
    recipe: tuple[str, str] | None = None
    """The steps that come first: their digest and text."""
    bad: str = ""
    """Why it is bad in itself: a worker keeps it apart before its first step."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the routes say of an upload: who takes it now, why others do not yet, and when that is to be asked again."""

    takes: Sequence[Take] = ()
    reason: str = ""
    judge: int | None = None
    waits: bool = False
    """A route that does not take it yet may well do so later."""
    by: Sequence[tuple[int, str]] = ()
    """The uploads that said that it is whole, and what they are to be called: they have done what they came for."""
    anew: bool = False
    """It speaks for another file: uploaded again it is a new word, though its bytes are the same."""

    @property
    def taken(self) -> bool:
        """Whether there is nothing left to be judged."""
        return bool(self.takes) and not self.waits


class Judged(NamedTuple):
    """An upload and what the routes say of it; `former` is the path that it had when they were asked before."""

    row: Row
    verdict: Verdict
    former: bytes | None = None


@dataclass(slots=True)
class _Made:
    """What is about to be written."""

    arrivals: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    ends: list[tuple[Any, ...]] = field(default_factory=list)
    owing: dict[str, list[Received]] = field(default_factory=dict)
    touched: list[tuple[Any, ...]] = field(default_factory=list)
    recipes: list[tuple[tuple[str, str], int]] = field(default_factory=list)
    refusals: list[tuple[Any, ...]] = field(default_factory=list)


def take(database: Database, connection: Connection, node: str, judged: Sequence[Judged], at: int) -> int:
    """Make the arrivals that these verdicts say, with all they owe; bytes that the latest version has are no new one. Gives how many."""
    wanted = [(row, one, former) for row, verdict, former in judged for one in verdict.takes]
    if not wanted:
        return 0
    made = _Made()
    paths = {one.entry.path for _, one, _ in wanted} | {_former(row, former) for row, _, former in wanted if former is not None}
    latest = _latest(connection, list(paths))
    first = _first(connection, [row.sha256 for row, _, _ in wanted])
    fresh = []
    for row, one, former in wanted:
        before = latest.get((one.route, one.entry.path))
        if former is not None and (had := latest.get((one.route, _former(row, former)))) and had.upload == row.id:
            continue
        if before is None or one.bad or before.over or before.sha256 != row.sha256:
            fresh.append((row, one, before.version + 1 if before else 1))
        elif before.upload != row.id or row.at >= before.at:
            made.touched.append((row.id, one.entry.etag, at, before.id))
            made.events.append((before.id, at, "received again", f"the same bytes, {row.told}"))
    for number, (row, one, version) in zip(numbers(connection, "arrivals", len(fresh)), fresh, strict=True):
        twin = first.setdefault((one.route, row.sha256), number)
        _make(made, (number, version, None if twin == number else twin), row, one, (node, at))
    _write(database, connection, made, at)
    return len(fresh)


def _former(row: Row, path: bytes) -> bytes:
    return row.user.encode("utf-8", "surrogateescape") + b"/" + path


def _make(made: _Made, numbers: tuple[int, int, int | None], row: Row, one: Take, how: tuple[str, int]) -> None:
    (number, version, twin), (node, at) = numbers, how
    entry = one.entry
    if twin is not None and one.skip_same and row.size and not one.bad:
        state, reason, owed, recipe = _Begins("skipped", f"same bytes as arrival {twin}")
    else:
        state, reason, owed, recipe = _begins(one, version)
    detail = f"{row.told}: {row.size} bytes" + (f", the same as of {twin}" if twin else "")
    targets = ", ".join(owing.target for owing in owed)
    made.events.append((number, at, "received", f"{detail}; owed to {targets}" if targets else detail))
    if reason is not None:
        made.events.append((number, at, state, reason))
    facts = (row.size, entry.modified, entry.precision, entry.etag, row.sha256, twin, node, at, at, row.id)
    if one.bad:
        made.events.append((number, at, REFUSED, one.bad))
        made.refusals.append((row.sha256, REFUSED, "bad", json.dumps({"reason": one.bad}), number, at))
    if recipe:
        made.recipes.append((recipe, number))
    made.arrivals.append((number, one.route, SERVER, entry.path, version, entry.folder, entry.text, state, reason, *facts))
    if owed:
        made.owing.setdefault(one.route, []).append(Received(number, entry, Spooled("", row.size, row.sha256), owed))


class _Begins(NamedTuple):
    """How an arrival begins."""

    state: str
    reason: str | None = None
    owed: Sequence[Owed] = ()
    recipe: tuple[str, str] | None = None


def _begins(one: Take, version: int) -> _Begins:
    if one.bad:
        return _Begins("received", recipe=one.recipe or NO_STEPS)
    try:
        owed = one.owed(version)
    except Rejected:
        # Who takes it through its steps finds the same, and can keep its bytes apart.
        return _Begins("received", owed=one.told(version), recipe=one.recipe or NO_STEPS)
    if one.recipe:
        return _Begins("received", owed=owed, recipe=one.recipe)
    return _Begins("ready", owed=owed) if owed else _Begins("skipped", "no destination takes it")


def _write(database: Database, connection: Connection, made: _Made, at: int) -> None:
    each(connection, "update arrivals set upload = ?, etag = ?, updated = ? where id = ?", made.touched)
    each(connection, _INSERT, made.arrivals)
    for digest, steps in {recipe for recipe, _ in made.recipes}:
        rows(connection, KEEP_RECIPE, digest, steps, at)
    each(connection, "update arrivals set recipe = ? where id = ?", [(recipe[0], number) for recipe, number in made.recipes])
    each(connection, KEEP_VERDICT, made.refusals)
    for route, got in made.owing.items():
        for number, reason in owe(database, connection, route, got, {}, at).refused.items():
            made.ends.append((reason, at, number))
            made.events.append((number, at, "failed", reason))
    each(connection, "update arrivals set state = 'failed', reason = ?, updated = ? where id = ?", made.ends)
    each(connection, "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)", made.events)


class _Before(NamedTuple):
    id: int
    version: int
    sha256: str
    upload: int
    at: int
    over: bool


def _latest(connection: Connection, paths: list[bytes]) -> dict[tuple[str, bytes], _Before]:
    """The latest version of each path, by route; `over` when a file with its bytes that comes now is a new one all the same."""
    found: dict[tuple[str, bytes], _Before] = {}
    for path, route, number, version, sha256, state, settle, upload, seen, refused in rows(connection, _LATEST, SERVER, list(set(paths))):
        before = found.get((route, path))
        if before is None or before.version < version:
            # What was settled is gone from the home; what ended badly is given another chance.
            over = settle == "done" or state in ("failed", "quarantined") or bool(refused)
            found[route, path] = _Before(number, version, sha256, upload, seen, over)
    return found


def _first(connection: Connection, hashes: list[str]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for sha256, number, route in rows(connection, _FIRST, list(set(hashes))):
        found[route, sha256] = min(number, found.get((route, sha256), number))
    return found


def numbers(connection: Connection, table: str, count: int) -> list[int]:
    """The next `count` numbers of a table, ours until the transaction ends."""
    if not count:
        return []
    if connection.dialect.name != "sqlite":
        sql = f"select nextval(pg_get_serial_sequence('{table}', 'id')) from generate_series(1, {int(count)})"  # noqa: S608
        return [int(row[0]) for row in rows(connection, sql)]
    last = int(rows(connection, "select seq from sqlite_sequence where name = ?", table).scalar() or 0)
    return list(range(last + 1, last + 1 + count))


_LATEST = (
    "select path, route, id, version, sha256, state, settle, upload, updated, (state = 'received' and exists (select 1 from verdicts v "  # noqa: S608
    f"where v.sha256 = arrivals.sha256 and v.what = '{REFUSED}' and v.arrival = arrivals.id)) as refused "
    "from arrivals where source = ? and path in ?"
)
_FIRST = "select sha256, id, route from arrivals where same_as is null and sha256 in ?"
_INSERT = (
    "insert into arrivals (id, route, source, path, version, folder, text, state, reason, size, modified, precision, etag, sha256, "
    "same_as, node, first_seen, updated, upload) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
