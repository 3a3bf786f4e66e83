"""Why one file was skipped, is held, or is not sent yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from transload.errors import TransloadError
from transload.model import Entry, Name, unspell
from transload.plan.judge import Judge, Planned
from transload.plan.whole import Opener, deliveries_owed

if TYPE_CHECKING:
    from transload.config import Config, Route
    from transload.ledger import Ledger, Trip
    from transload.ledger.view import Row
    from transload.protocols import Session


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is to say of one file: `routes` that could take it, `arrivals` that it made, and what is in the way."""

    there: bool | None
    size: int | None
    modified: int | None
    error: str | None
    away: Trip | None
    routes: Sequence[Planned]
    arrivals: Sequence[Row]
    paused: Sequence[str]
    looking: Mapping[str, Sequence[str]]


def explain(config: Config, ledger: Ledger | None, opened: Opener, remote: str, path: str) -> Answer:
    """Look at `path` (in its safe spelling) on `remote`, and say what each route makes of it; Rejected when it can be no path."""
    raw = unspell(path)
    routes = [route for route in config.routes if route.source.remote == remote]
    judges = {route.name: Judge(route, ledger) for route in routes}
    places = [(route, entry) for route in routes if (entry := _within(judges[route.name].selector.folders, raw))]
    asked = places[0][1] if places else _alone(raw)
    found, error = None, None
    try:
        with opened(remote) as session:
            found = session.stat(asked)
            for route, entry in places:
                _look_for_marker(judges[route.name], session, entry)
    except TransloadError as refused:
        error = str(refused)
    arrivals = [row for row in ledger.view.called(asked.text) if row.source == remote and row.path == asked.path] if ledger else []
    planned = [one for route, entry in places for one in _judged(route, judges[route.name], ledger, entry, found)]
    rows = ledger.looks.rows() if ledger else {}
    return Answer(
        there=None if error else found is not None,
        size=found.size if found else None,
        modified=found.modified if found else None,
        error=error,
        away=ledger.fleet.trips().get(remote) if ledger else None,
        routes=planned,
        arrivals=arrivals,
        paused=[route.name for route, _ in places if route.name in rows and rows[route.name].paused],
        looking={route.name: judges[route.name].selector.folders for route in routes},
    )


def _judged(route: Route, judge: Judge, ledger: Ledger | None, entry: Entry, found: Entry | None) -> list[Planned]:
    """What is owed of the file first, then what a look would make of it."""
    owed = [one for one in deliveries_owed(route, ledger) if one.path == entry.path] if ledger else []
    if found is None:
        return owed
    now = replace(found, folder=entry.folder, name=entry.name)
    if not route.source.recursive and b"/" in entry.name.raw:
        return [*owed, judge.planned(now, "skip", "it lies in a folder below the route's path, and recursive is false", None)]
    judged = judge.judge([now])
    return owed + [one for one in judged if one.action in ("fetch", "wait") or not owed]


def _look_for_marker(judge: Judge, session: Session, entry: Entry) -> None:
    """Have the judge know the file's marker, as a listing would."""
    marks = judge.selector.marks
    mark = None if marks is None else marks.of(entry)
    there = None if mark is None else session.stat(mark)
    if mark is not None and there is not None:
        judge.selector.gather([replace(there, folder=mark.folder, name=mark.name)])


def _within(folders: Sequence[str], raw: bytes) -> Entry | None:
    """The file as a listing of one of these folders would name it."""
    for folder in folders:
        above = b"" if folder in ("", ".") else folder.rstrip("/").encode("utf-8", "surrogateescape") + b"/"
        if raw == above.rstrip(b"/") and raw:
            return _alone(raw)
        if raw.startswith(above) and len(raw) > len(above) and not (not above and raw.startswith(b"/")):
            return Entry(folder, Name(raw[len(above) :]))
    return None


def _alone(raw: bytes) -> Entry:
    """The file in its own folder."""
    folder, slash, base = raw.rpartition(b"/")
    return Entry((folder or slash).decode("utf-8", "surrogateescape"), Name(base))
