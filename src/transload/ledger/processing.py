"""Steps, as the ledger sees them: what waits for them, what they found out, and what they made of a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from transload.ledger.claims import fence
from transload.ledger.database import Database, now
from transload.ledger.deliveries import close
from transload.ledger.entries import KEEP_VERDICT, REFUSED, Received, Trouble, below
from transload.ledger.memory import end, taken, tell_of
from transload.ledger.owing import Owed, owe
from transload.ledger.plain import each, rows
from transload.ledger.taking import numbers
from transload.model import Entry, Spooled, spell

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Item(NamedTuple):
    """An arrival that waits for its steps."""

    id: int
    source: str
    version: int
    attempts: int
    first_seen: int
    entry: Entry
    sha256: str
    recipe: str
    released: bool
    """Whether somebody has answered for it: what its steps have against it does not stop it."""
    reason: str | None
    """Why it waited until now."""
    refused: str
    """Why it was bad when it came, before any step; empty for nearly all."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found out about bytes, and for which arrival it was asked."""

    arrival: int
    sha256: str
    what: str
    found: str
    facts: Mapping[str, str] = field(default_factory=dict)
    again: bool = False
    """The arrival waited, and its steps begin anew: the same word about it as the last time is no news."""


@dataclass(frozen=True, slots=True)
class Made:
    """A file that the steps made of an arrival: an arrival of its own, with what it owes."""

    entry: Entry
    spooled: Spooled
    owed: Sequence[Owed]


@dataclass(frozen=True, slots=True)
class Done:
    """The steps of an arrival are done: it owes its own deliveries, or it is replaced by what was made of it."""

    item: Item
    owed: Sequence[Owed] = ()
    made: Sequence[Made] | None = None


class Processing:
    """What lies between receiving and owing; one transaction per call."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def recipe(self, digest: str) -> list[dict[str, Any]]:
        """The steps of a recipe, as tables; none when there is no such recipe."""
        with self._db.read() as connection:
            text = rows(connection, "select steps from recipes where digest = ?", digest).scalar()
        return list(json.loads(text)) if text else []

    def items(self, claim: int) -> list[Item]:
        """The arrivals of a process claim, oldest first."""
        with self._db.read() as connection:
            return [_item(row) for row in rows(connection, _ITEMS, claim)]

    def verdicts(self, hashes: Sequence[str]) -> dict[tuple[str, str], tuple[str, dict[str, str]]]:
        """What was found out about these bytes, by hash and by what was looked for: the worst that ever was, else the latest."""
        known: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}
        with self._db.read() as connection:
            for sha256, what, found, facts in rows(connection, _VERDICTS, list(hashes)):
                # What was once found infected stays so for those bytes, whatever a scanner says later.
                if known.get((sha256, what), ("",))[0] != "infected":
                    known[sha256, what] = found, dict(json.loads(facts))
        return known

    def verdict(self, what: str, sha256: str) -> tuple[str, dict[str, str]] | None:
        """The same of one file's bytes, and one thing that was looked for."""
        return self.verdicts([sha256]).get((sha256, what))

    def latest(self, route: str, source: str, path: bytes, node: str) -> tuple[int, int, str, int | None, int, int] | None:
        """The latest version of a path whose bytes lie on `node`, as (arrival, size, hash, modified, version, first seen)."""
        with self._db.read() as connection:
            row = rows(connection, _LATEST, path, route, source, node).first()
        return None if row is None else tuple(row)

    def found(self, claim: int, found: Iterable[Found]) -> None:
        """Write down what steps have found out, before anything is made of it."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            fresh = [one for one in found if not (one.again and _was_said(connection, one))]
            lines = [(one.sha256, one.what, one.found, json.dumps(dict(one.facts)), one.arrival, at) for one in fresh]
            log = [(one.arrival, at, one.what, _told(one)) for one in fresh]
            each(connection, KEEP_VERDICT, lines)
            each(connection, "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)", log)

    def told(self, claim: int, route: str, got: Received) -> None:
        """This arrival owes what it did not when it came, because it was refused then; what it owes already stays as it is."""
        with self._db.write() as connection:
            fence(connection, claim)
            there = {row[0] for row in rows(connection, "select target from deliveries where arrival = ?", got.arrival)}
            fresh = replace(got, owed=[one for one in got.owed if one.target not in there])
            owe(self._db, connection, route, [fresh], {}, now())

    def done(self, claim: int, route: str, node: str, done: Sequence[Done], *, settle: bool) -> None:
        """In one transaction: these have been through their steps, and what is owed of them is owed."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            mine = {row[0] for row in rows(connection, "select id from arrivals where claim = ? and state = 'received'", claim)}
            done = [one for one in done if one.item.id in mine]
            whole = [one for one in done if one.made is None]
            split = [one for one in done if one.made is not None]
            got = [Received(one.item.id, one.item.entry, Spooled("", one.item.entry.size or 0, one.item.sha256), one.owed) for one in whole]
            got += self._made(connection, route, node, split, at)
            _change(connection, "ready", [one.item.id for one in whole], at)
            _change(connection, "split", [one.item.id for one in split], at)
            refused = owe(self._db, connection, route, got, {}, at).refused
            end(connection, "failed", refused, at)
            idle = [one.arrival for one in got if not one.owed]
            told = {row[0] for row in rows(connection, "select distinct arrival from deliveries where arrival in ?", idle)}
            end(connection, "skipped", {one: "no destination takes it" for one in idle if one not in told}, at)
            # Its hook may have been all that it owed, and that may be done.
            close(connection, sorted({one.item.id for one in done} | {one.arrival for one in got}), at, settle=settle)

    def _made(self, connection: Connection, route: str, node: str, split: Sequence[Done], at: int) -> list[Received]:
        """Rows for what was made, each with its parent."""
        pairs = [(one, made) for one in split for made in one.made or ()]
        had = _had(connection, route, [(one.item.source, made.entry.path) for one, made in pairs])
        lines, log, got = [], [], []
        for number, (one, made) in zip(numbers(connection, "arrivals", len(pairs)), pairs, strict=True):
            entry, item, path = made.entry, one.item, made.entry.path
            version = had[item.source, path] = max(item.version, had.get((item.source, path), 0) + 1)
            facts = (made.spooled.size, entry.modified, entry.precision, made.spooled.sha256, node, at, at, item.id)
            lines.append((number, route, item.source, path, version, entry.folder, spell(path), "ready", *facts))
            log.append((number, at, "made", f"of arrival {item.id}: {made.spooled.size} bytes"))
            got.append(Received(number, entry, made.spooled, made.owed))
        log += [(one.item.id, at, "split", f"into {len(one.made or ())} files") for one in split]
        each(connection, _MADE, lines)
        each(connection, "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)", log)
        return got

    def troubled(self, claim: int, troubles: Iterable[Trouble]) -> None:
        """These did not get through: each is tried again at its time, or has ended in quarantine, or failed."""
        at = now()
        with self._db.write() as connection:
            fence(connection, claim)
            for one in troubles:
                tell_of(connection, one, at)
                state = "received" if one.until is not None else one.state
                rows(connection, _TROUBLE, one.reason, one.until, one.spent, state, at, one.id, claim)
                if one.until is None:
                    taken(connection, [one.id])

    def wait(self, claim: int, route: str, node: str, reason: str, until: int, *, spent: int) -> None:
        """What is due for the steps of this route at this node, and in nobody else's hands, waits until then: nobody answers them.

        A few thousand at a time, each in a transaction of its own: others want to write, too.
        """
        at, more = now(), True
        lock = "" if self._db.sqlite else " for update skip locked"
        while more:
            with self._db.write() as connection:
                fence(connection, claim)
                due = rows(connection, f"{_DUE}{lock}", route, node, claim, at).all()
                told = [(number, at, "held", reason) for number, before in due if before != reason]
                each(connection, "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)", told)
                rows(connection, _WAIT, reason, until, spent, at, [number for number, _ in due])
            more = len(due) == _MANY


def _had(connection: Connection, route: str, paths: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], int]:
    """The latest version of each of these paths that there is: steps may give two files one name, or one that a source has."""
    found: dict[tuple[str, bytes], int] = {}
    for source in {one for one, _ in paths}:
        wanted = list(dict.fromkeys(path for one, path in paths if one == source))
        for at in range(0, len(wanted), _MANY):
            for path, version in rows(connection, _HAD, route, source, wanted[at : at + _MANY]):
                found[source, path] = max(version, found.get((source, path), 0))
    return found


def _was_said(connection: Connection, one: Found) -> bool:
    """Whether this is what was found out last for the same arrival."""
    before = rows(connection, _SAID, one.sha256, one.what, one.arrival).first()
    return before is not None and tuple(before) == (one.found, json.dumps(dict(one.facts)))


def _told(one: Found) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in one.facts.items())
    return f"{one.found} ({facts})" if facts else one.found


def _item(row: Any) -> Item:
    number, source, version, attempts, first_seen, folder, path, size, modified, precision, etag, sha256, *steps = row
    recipe, reason, released, facts = steps
    entry = Entry(folder, below(bytes(path), folder), size, modified, precision, etag, settles=False)
    refused = str(json.loads(facts)["reason"]) if facts else ""
    return Item(number, source, version, attempts, first_seen, entry, sha256, recipe or "", bool(released), reason, refused)


def _change(connection: Connection, state: str, ids: Sequence[int], at: int) -> None:
    sql = "update arrivals set state = ?, claim = null, reason = null, next_try = null, deaths = 0, updated = ? where id = ?"
    each(connection, sql, [(state, at, one) for one in ids])


_ITEMS = (
    "select id, source, version, attempts, first_seen, folder, path, size, modified, precision, etag, sha256, recipe, reason, "  # noqa: S608
    "exists (select 1 from quarantine q where q.arrival = arrivals.id and q.state = 'released'), "
    f"(select v.facts from verdicts v where v.sha256 = arrivals.sha256 and v.what = '{REFUSED}' and v.arrival = arrivals.id "
    "order by v.id desc limit 1) "
    "from arrivals where claim = ? and state = 'received' order by id"
)
_MANY = 5000
_DUE = (
    "select id, reason from arrivals where state = 'received' and route = ? and node = ? and (claim is null or claim = ?) "  # noqa: S608
    f"and (next_try is null or next_try <= ?) order by id limit {_MANY}"
)
_WAIT = "update arrivals set reason = ?, next_try = ?, attempts = attempts + ?, updated = ?, claim = null where id in ?"
_SAID = "select found, facts from verdicts where sha256 = ? and what = ? and arrival = ? order by id desc limit 1"
_VERDICTS = (
    "select sha256, what, found, facts from verdicts "
    "where id in (select max(id) from verdicts where sha256 in ? group by sha256, what, found) order by id"
)
_LATEST = (
    "select id, size, sha256, modified, version, first_seen from arrivals where path = ? and route = ? and source = ? and node = ? "
    "and sha256 is not null order by version desc limit 1"
)
_HAD = "select path, version from arrivals where route = ? and source = ? and path in ?"
_MADE = (
    "insert into arrivals (id, route, source, path, version, folder, text, state, size, modified, precision, sha256, node, first_seen, "
    "updated, parent) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TROUBLE = (
    "update arrivals set reason = ?, next_try = ?, attempts = attempts + ?, state = ?, updated = ?, claim = null where id = ? and claim = ?"
)
