"""What an arrival owes: its deliveries, each with a name at its destination that no other file holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from transload.ledger.plain import each, rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from transload.ledger.database import Database
    from transload.ledger.entries import Received
    from transload.model import Name


@dataclass(frozen=True, slots=True)
class Owed:
    """One delivery to make: to which remote, under which name, and what to do if another file has that name.

    `other` gives the name for the n-th file that wants it (name.v2.csv). `fault` is why it can never be made.
    """

    target: str
    remote: str
    name: Name | None
    required: bool
    conflict: Literal["version", "replace", "fail"]
    other: Callable[[Name, int], Name]
    fault: str = ""


@dataclass(slots=True)
class Owing:
    """What was written: how many deliveries are open, and which arrivals failed because a required one never can be made."""

    open: int = 0
    refused: dict[int, str] = field(default_factory=dict)


def owe(database: Database, connection: Connection, route: str, got: Sequence[Received], deliver: Mapping[str, int], at: int) -> Owing:
    """Write the deliveries that these arrivals of `route` owe, and claim their names; those to the remotes of `deliver` with its claims."""
    outcome = Owing()
    if not got:
        return outcome
    database.alone(connection, "names")
    holders = _Holders(connection, got)
    made: list[tuple[Any, ...]] = []
    log: list[tuple[Any, ...]] = []
    for one in got:
        for owed in one.owed:
            name, reason = _named(one, owed, holders)
            raw, text = (b"", "") if name is None else (name.raw, name.text)
            state = "failed" if reason else "owed"
            claim = None if reason else deliver.get(owed.remote)
            replace = owed.conflict == "replace"
            made.append((one.arrival, owed.target, route, owed.remote, raw, text, owed.required, state, reason, replace, claim, at))
            outcome.open += not reason
            if reason:
                log.append((one.arrival, owed.target, at, state, reason))
                if owed.required:
                    outcome.refused.setdefault(one.arrival, f"{owed.target}: {reason}")
    each(connection, _OWE, made)
    each(connection, _HOLD, holders.claimed())
    each(connection, "insert into events (arrival, target, at, what, detail) values (?, ?, ?, ?, ?)", log)
    return outcome


class _Holders:
    """Who holds which name, and with which bytes: those that are wanted are looked up together, others when asked for."""

    def __init__(self, connection: Connection, got: Sequence[Received]) -> None:
        self._connection = connection
        self._held: dict[tuple[str, bytes], tuple[int, str] | None] = {}
        self._claimed: dict[tuple[str, bytes], tuple[str, bytes, int, str]] = {}
        wanted: dict[str, list[bytes]] = {}
        for one in got:
            for owed in one.owed:
                if owed.name is not None:
                    wanted.setdefault(owed.remote, []).append(owed.name.raw)
        for remote, raw in wanted.items():
            self._held |= dict.fromkeys(((remote, name) for name in raw), None)
            self._ask(remote, raw)

    def _ask(self, remote: str, raw: list[bytes]) -> None:
        for name, arrival, sha256 in rows(self._connection, _HELD, remote, raw):
            self._held[remote, name] = (arrival, sha256 or "")

    def get(self, remote: str, name: Name) -> tuple[int, str] | None:
        key = (remote, name.raw)
        if key not in self._held:
            self._held[key] = None
            self._ask(remote, [name.raw])
        return self._held[key]

    def put(self, remote: str, name: Name, target: str, arrival: int, sha256: str) -> None:
        self._held[remote, name.raw] = (arrival, sha256)
        self._claimed[remote, name.raw] = (remote, name.raw, arrival, target)

    def claimed(self) -> list[tuple[str, bytes, int, str]]:
        """What is to be written down."""
        return list(self._claimed.values())


def _named(one: Received, owed: Owed, holders: _Holders) -> tuple[Name | None, str | None]:
    """The name that this delivery gets, or why it can never be made."""
    name, sha256 = owed.name, one.spooled.sha256
    if name is None:
        return None, owed.fault
    held = holders.get(owed.remote, name)
    if held is not None and held[1] != sha256:
        if owed.conflict == "fail":
            return name, f"arrival {held[0]} already has the name {name.text} at {owed.remote}"
        if owed.conflict == "version":
            name = _free(name, owed, sha256, holders)
            held = holders.get(owed.remote, name)
    if held is None or held[1] != sha256:
        holders.put(owed.remote, name, owed.target, one.arrival, sha256)
    return name, None


def _free(name: Name, owed: Owed, sha256: str, holders: _Holders) -> Name:
    """The first of name.v2, name.v3, ... that nobody holds, or that holds the same bytes."""
    number = 2
    while True:
        other = owed.other(name, number)
        held = holders.get(owed.remote, other)
        if held is None or held[1] == sha256:
            return other
        number += 1


_OWE = (
    "insert into deliveries (arrival, target, route, remote, name, text, required, state, reason, replace, claim, updated) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_HELD = "select n.name, n.arrival, a.sha256 from names n left join arrivals a on a.id = n.arrival where n.remote = ? and n.name in ?"
_HOLD = (
    "insert into names (remote, name, arrival, target) values (?, ?, ?, ?) "
    "on conflict (remote, name) do update set arrival = excluded.arrival, target = excluded.target"
)
