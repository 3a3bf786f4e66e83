"""The plan of whole routes: everything that their sources list, and all that is still owed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from transload.errors import TransloadError
from transload.ledger import now
from transload.ledger.standing import Standing
from transload.plan.judge import Judge, Planned, held

if TYPE_CHECKING:
    from transload.config import Route
    from transload.ledger import Ledger
    from transload.ledger.standing import Open
    from transload.model import Entry
    from transload.protocols import Reader

Opener = Callable[[str], AbstractContextManager[Any]]
_CHUNK = 5000
_ORDER = ("fetch", "deliver", "wait", "skip")


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """One route's part: its files, those that something happens with first; `error` when its source could not be listed."""

    route: str
    files: Sequence[Planned]
    error: str | None = None
    notes: Sequence[str] = ()


def plan(route: Route, ledger: Ledger | None, opened: Opener) -> RoutePlan:
    """What a run of `route` would do now; connects to its source, and changes nothing anywhere."""
    owed = deliveries_owed(route, ledger) if ledger else []
    notes = ["it is paused: only a run by hand looks"] if ledger and _paused(route, ledger) else []
    if route.source.server:
        return RoutePlan(route.name, owed, None, [*notes, "it takes what our servers receive, when it arrives: nothing is looked for"])
    judge = Judge(route, ledger)
    try:
        with opened(route.source.remote) as session:
            entries, refused = _listed(route, judge, session)
    except TransloadError as error:
        return RoutePlan(route.name, owed, str(error), notes)
    judged = [one for chunk in _chunks(entries) for one in judge.judge(chunk)]
    listed = {one.path for one in judged}
    there = {one.arrival for one in owed}
    files = [*_limited(route, judged), *_gone(route, ledger, listed)]
    files = [one for one in files if one.arrival not in there or one.action in ("fetch", "wait")] + owed
    notes += [f"not listed: {reason}" for reason in refused]
    return RoutePlan(route.name, sorted(files, key=lambda one: _ORDER.index(one.action)), None, notes)


def _listed(route: Route, judge: Judge, session: Reader) -> tuple[list[Entry], list[str]]:
    found: list[Entry] = []
    refused: list[str] = []
    for folder in judge.selector.folders:
        found += judge.selector.gather(session.list(folder, recursive=route.source.recursive))
        refused += getattr(session, "refused", [])
    return judge.selector.sort(found), refused


def _limited(route: Route, judged: Sequence[Planned]) -> Iterator[Planned]:
    """The route's limit is for new files of one look: the others are left for the next."""
    limit, count = route.source.limit, 0
    for one in judged:
        count += one.action == "fetch" and one.arrival is None
        if limit is not None and count > limit and one.action == "fetch" and one.arrival is None:
            yield replace(one, action="wait", reason=f"a run takes {limit} at most (limit)", to=())
        else:
            yield one


def _gone(route: Route, ledger: Ledger | None, listed: set[bytes]) -> list[Planned]:
    """What was seen by an earlier look, and is not there any more."""
    if ledger is None:
        return []
    stands = [one for one in Standing(ledger.database).waiting(route.name) if one.path not in listed]
    reason = "it was seen before, and is not listed any more"
    return [Planned(route.name, one.source, one.path, one.text, one.size, one.modified, "skip", reason, arrival=one.id) for one in stands]


def deliveries_owed(route: Route, ledger: Ledger) -> list[Planned]:
    """What was fetched and is not delivered yet, a file at a time."""
    owed = Standing(ledger.database).owed(route.name)
    return [_delivery(route, list(ones)) for _, ones in groupby(owed, key=lambda one: one.arrival)]


def _delivery(route: Route, ones: Sequence[Open]) -> Planned:
    """One arrival's open deliveries."""
    first, at = ones[0], now()
    due = [one for one in ones if one.next_try is None or one.next_try <= at]
    to = tuple((one.remote, one.name) for one in due or ones)
    if due:
        action, reason = "deliver", f"fetched as arrival {first.arrival}, still owed"
    else:
        soonest = min(ones, key=lambda one: one.next_try or 0)
        action, reason = "wait", f"fetched as arrival {first.arrival}; {soonest.target}: {held(soonest.reason, soonest.next_try or 0)}"
    return Planned(route.name, first.source, first.path, first.text, first.size, first.modified, action, reason, to, first.arrival)


def _paused(route: Route, ledger: Ledger) -> bool:
    row = ledger.looks.rows().get(route.name)
    return row is not None and row.paused


def _chunks(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
