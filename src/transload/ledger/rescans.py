"""Looking again at what was delivered, as the ledger sees it: whose bytes went out, what was found in them, where they went."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transload.ledger.database import Database, now
from transload.ledger.entries import KEEP_VERDICT
from transload.ledger.plain import each, rows
from transload.ledger.processing import Found
from transload.ledger.view import Row

INFECTED = "infected"
"""What the event of a delivered file is called in which something bad was found afterwards: once for each arrival."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was delivered by this route (any, if None), from `since` on and before `until` (microseconds since 1970)."""

    route: str | None = None
    since: int | None = None
    until: int | None = None


class Sent(NamedTuple):
    """Bytes that went out in a window, by one route and one recipe.

    `arrival` is the first that had them, `here` whether one of them was received on this node, `files` how many were delivered
    themselves, `split` how many as what was made of them; `last` is when the last of them was delivered.
    """

    sha256: str
    route: str
    recipe: str | None
    size: int
    arrival: int
    here: bool
    node: str | None
    files: int
    split: int
    last: int


class Known(NamedTuple):
    """What a scan once found in bytes, and with what."""

    found: str
    facts: dict[str, str]


class Bearer(NamedTuple):
    """An arrival whose bytes went out, or are to; `parent` is what it was made of, `released` says that somebody let it on knowing."""

    row: Row
    parent: int | None
    released: bool


class Rescans:
    """What is asked and told when files are looked at again; one transaction per call, and none holds many rows."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def hashes(self, after: str, limit: int) -> list[str]:
        """The next distinct hashes of all that was ever received, in their order."""
        with self._db.read() as connection:
            return [row[0] for row in rows(connection, f"{_HASHES} limit {int(limit)}", after)]

    def sent(self, hashes: Sequence[str], window: Window, node: str) -> list[Sent]:
        """Those of `hashes` that went out in the window, themselves or as what was made of them, in the order of their hashes."""
        between = window.since or 0, 2**62 if window.until is None else window.until
        where, mine = ("", []) if window.route is None else ("and a.route = ?", [window.route])
        with self._db.read() as connection:
            found = rows(connection, _SENT.format(where=where), node, *between, *between, list(hashes), *mine)
            return [Sent(row[0], row[1], row[2], int(row[3]), int(row[4]), bool(row[5]), row[6], *map(int, row[7:])) for row in found]

    def known(self, hashes: Sequence[str]) -> dict[str, list[Known]]:
        """What scans have found in these bytes, each answer once, infected first."""
        found: dict[str, list[Known]] = {}
        with self._db.read() as connection:
            for sha256, told, facts in rows(connection, _KNOWN, list(hashes)):
                found.setdefault(sha256, []).append(Known(told, json.loads(facts)))
        return {sha256: sorted(known, key=lambda one: one.found != "infected") for sha256, known in found.items()}

    def recipes(self) -> list[str]:
        """The digests of all recipes."""
        with self._db.read() as connection:
            return [row[0] for row in rows(connection, "select digest from recipes order by digest")]

    def recipe_of(self, arrival: int) -> str | None:
        """The recipe under which an arrival was received."""
        with self._db.read() as connection:
            digest = rows(connection, "select recipe from arrivals where id = ?", arrival).scalar()
            return None if digest is None else str(digest)

    def tell(self, found: Iterable[Found]) -> None:
        """Append these verdicts."""
        at = now()
        lines = [(one.sha256, one.what, one.found, json.dumps(dict(one.facts)), one.arrival, at) for one in found]
        if not lines:
            return
        with self._db.write() as connection:
            each(connection, KEEP_VERDICT, lines)

    def note(self, arrival: int, what: str, detail: str) -> None:
        """Something to be seen in the life of an arrival."""
        with self._db.write() as connection:
            rows(connection, "insert into events (arrival, at, what, detail) values (?, ?, ?, ?)", arrival, now(), what, detail)

    def accuse(self, told: Sequence[tuple[int, str]]) -> None:
        """These arrivals went out and are infected, with the details: an event for each that has none of that name yet."""
        at = now()
        with self._db.write() as connection:
            each(connection, _ACCUSE, [(arrival, at, INFECTED, detail, arrival, INFECTED) for arrival, detail in told])

    def bearers(self, sha256: str, after: int, limit: int) -> list[Bearer]:
        """The arrivals with these bytes after that one that went out or are to, themselves or as what was made of them."""
        with self._db.read() as connection:
            found = rows(connection, f"{_BEARERS} limit {int(limit)}", sha256, after).all()
            numbers = sorted({one for row in found for one in (row[0], row[-1]) if one is not None})
            spited = {row[0] for row in rows(connection, _SPITED, sha256, numbers) if _is_infection(row[1])} if numbers else set()
        return [Bearer(Row(*row[:-1]), row[-1], bool(spited & {row[0], row[-1]})) for row in found]

    def made_of(self, arrival: int) -> list[Row]:
        """What was made of an arrival, and went out or is to."""
        with self._db.read() as connection:
            return [Row(*row[:-1]) for row in rows(connection, _MADE_OF, arrival)]


def _is_infection(facts: str) -> bool:
    """Whether it was for an infection that somebody answered."""
    return str(json.loads(facts).get("in spite of", "")).startswith("infected")


# A hook is told before the steps: only where the file then passed has it been given anything.
_PASSED = "('ready', 'delivered', 'split')"


def _out(arrival: str) -> str:
    return f"(d.target <> '@hook' or {arrival}.state in {_PASSED})"


# The conditions name the hash alone, so that the index of bytes serves, whatever the planner believes of the rest.
_HASHES = "select distinct sha256 from arrivals where sha256 > ? order by sha256"
_THEN = "d.state = 'delivered' and d.updated >= ? and d.updated < ?"
_SENT = (
    "select sha256, route, recipe, max(size), min(id), max(here), max(node), count(own), count(made), max(coalesce(own, made)) from ("  # noqa: S608
    "select a.sha256, a.route, coalesce(a.recipe, (select p.recipe from arrivals p where p.id = a.parent)) as recipe, a.size, a.id, "
    "case when a.node = ? then 1 else 0 end as here, a.node, "
    f"(select max(d.updated) from deliveries d where d.arrival = a.id and {_THEN} and {_out('a')}) as own, "
    "case when a.state = 'split' then (select max(d.updated) from arrivals c join deliveries d on d.arrival = c.id "
    f"where c.parent = a.id and {_THEN}) end as made "
    "from arrivals a where a.sha256 in ? {where}) went where own is not null or made is not null "
    "group by sha256, route, recipe order by sha256, route"
)
_KNOWN = "select distinct sha256, found, facts from verdicts where what = 'scan' and sha256 in ?"
_ACCUSE = (
    "insert into events (arrival, at, what, detail) select ?, ?, ?, ? "
    "where not exists (select 1 from events where arrival = ? and what = ?)"
)
_ROW = ", ".join(f"a.{name}" for name in Row._fields)
_GOES = "d.state in ('delivered', 'owed', 'staged')"
_HAS = f"exists (select 1 from deliveries d where d.arrival = a.id and {_GOES} and {_out('a')})"  # noqa: S608
_BEARERS = (
    f"select {_ROW}, a.parent from arrivals a where a.sha256 = ? and a.id > ? and ({_HAS} or (a.state = 'split' and exists "  # noqa: S608
    f"(select 1 from arrivals c join deliveries d on d.arrival = c.id where c.parent = a.id and {_GOES}))) order by a.id"
)
_MADE_OF = f"select {_ROW}, a.parent from arrivals a where a.parent = ? and {_HAS} order by a.id"  # noqa: S608
_SPITED = "select arrival, facts from verdicts where what = 'released' and sha256 = ? and arrival in ?"
