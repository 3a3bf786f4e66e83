"""Adopting: all that a source has now counts as known, without moving it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from transload.match import Hold, Selector, Skip

if TYPE_CHECKING:
    from transload.config import Route
    from transload.ledger import Ledger
    from transload.model import Entry

_CHUNK = 5000


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a source's files: taken as known now, known before, or not the route's."""

    files: Sequence[Entry]
    known: int
    unwanted: int


def adopt(route: Route, ledger: Ledger | None, opened: Callable[[str], AbstractContextManager[Any]], by: str, *, dry: bool) -> Adopted:
    """Mark what `route` would take now, and does not know, as known; `by` says who, for the ledger. `dry`: only tell.

    A route that takes what our servers receive has nothing to adopt: that is taken when it arrives.
    """
    if route.source.server:
        return Adopted((), 0, 0)
    selector = Selector(route.source, datetime.now(UTC))
    with opened(route.source.remote) as session:
        # Nothing is written before the whole is listed: half a listing must not pass for all.
        recursive = route.source.recursive
        listed = [entry for folder in selector.folders for entry in selector.gather(session.list(folder, recursive=recursive))]
    # What has no marker yet is not whole: it is still to come.
    wanted = [entry for entry in listed if not isinstance(selector.judge(entry), Skip | Hold)]
    fresh = [entry for chunk in _chunks(wanted) for entry in _unknown(route, ledger, chunk)]
    if ledger is not None and not dry:
        ledger.looks.declare([route.name])
        for chunk in _chunks(fresh):
            ledger.looks.adopt(route.name, route.source.remote, _unknown(route, ledger, chunk), f"adopted by {by}: it was there before")
        ledger.hand.note(by, "adopt", route.name, f"{len(fresh)} files")
    return Adopted(fresh, len(wanted) - len(fresh), len(listed) - len(wanted))


def _unknown(route: Route, ledger: Ledger | None, entries: Sequence[Entry]) -> list[Entry]:
    known = ledger.looks.known(route.name, route.source.remote, [entry.path for entry in entries]) if ledger else {}
    return [entry for entry in entries if entry.path not in known]


def _chunks(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
