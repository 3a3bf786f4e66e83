"""What there is to say of one file that a user has uploaded to our servers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transload.ledger.standing import Standing
from transload.match import Selector, Skip
from transload.model import Entry, Name, unspell
from transload.plan.judge import Planned, standing
from transload.plan.whole import deliveries_owed
from transload.plan.why import Answer
from transload.protocols import SERVER

if TYPE_CHECKING:
    from transload.config import Config, Route
    from transload.ledger import Ledger
    from transload.ledger.standing import Stand
    from transload.ledger.taking import Row


def explain_upload(config: Config, ledger: Ledger | None, path: str) -> Answer:
    """What the ledger knows of USER/PATH (in its safe spelling), and what each route makes of it; Rejected when it can be no path."""
    raw = Name(unspell(path)).raw
    user, _, below = raw.partition(b"/")
    name = Name(below)
    whose = user.decode("utf-8", "surrogateescape")
    routes = [route for route in config.routes if route.source.server]
    row = ledger.uploads.at(whose, name) if ledger else None
    arrivals = [one for one in ledger.view.called(path) if one.source == SERVER and one.path == raw] if ledger else []
    stands = Standing(ledger.database).of([one.id for one in arrivals]) if ledger else {}
    passes = ledger.looks.rows() if ledger else {}
    return Answer(
        there=row is not None,
        size=row.size if row else None,
        modified=row.modified or row.at if row else None,
        error=None,
        away=None,
        routes=[
            _one(route, whose, name, row, [stands[one.id] for one in arrivals if one.route == route.name], ledger)
            for route in routes
            if route.source.user in (None, whose)
        ],
        arrivals=arrivals,
        paused=[route.name for route in routes if route.name in passes and passes[route.name].paused],
        looking={route.name: [f"the home of {route.source.user}" if route.source.user else "every home"] for route in routes},
    )


def _one(route: Route, user: str, name: Name, row: Row | None, stands: list[Stand], ledger: Ledger | None) -> Planned:
    """What this route makes of it: owed of it, taken, or why it is not."""
    path = user.encode("utf-8", "surrogateescape") + b"/" + name.raw
    if ledger is not None:
        owed = [one for one in deliveries_owed(route, ledger) if one.remote == SERVER and one.path == path]
        if owed:
            return owed[-1]
    reason = standing(max(stands, key=lambda one: one.id)) if stands else _judged(route, name, row)
    return Planned(
        route.name, SERVER, path, f"{user}/{name.text}", row.size if row else None, row.modified if row else None, "skip", reason
    )


def _judged(route: Route, name: Name, row: Row | None) -> str:
    """Why it is none of this route's arrivals."""
    selector = Selector(route.source, datetime.now(UTC))
    for folder in selector.folders:
        inside = folder.strip("/").encode("utf-8", "surrogateescape")
        if inside and not name.raw.startswith(inside + b"/"):
            continue
        verdict = selector.judge(Entry("", Name(name.raw[len(inside) + 1 :]) if inside else name, row.size if row else None))
        if isinstance(verdict, Skip):
            return verdict.reason
        return (row.reason if row is not None else None) or "it is no arrival of this route yet"
    return f"it does not lie in {' or '.join(selector.folders)}"
