"""The commands that tell of arrivals: ls, trace."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transload.cli.base import (
    UNWELL,
    WELL,
    ConfigOption,
    JsonOption,
    app,
    clock,
    counted,
    load,
    moment,
    path_of,
    reading,
    say,
    show_json,
    table,
    warn,
)
from transload.errors import ConfigError
from transload.units import duration, show_size

if TYPE_CHECKING:
    from transload.ledger import Ledger
    from transload.ledger.view import Row


class State(StrEnum):
    """What `ls --state` takes: the states of an arrival, and held."""

    SEEN = "seen"
    RECEIVED = "received"
    READY = "ready"
    DELIVERED = "delivered"
    SPLIT = "split"
    SKIPPED = "skipped"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    HELD = "held"


@app.command()
def ls(  # noqa: PLR0913, PLR0917 - one for each option
    route: Annotated[str | None, typer.Option(metavar="ROUTE", help="Of this route.")] = None,
    state: Annotated[State | None, typer.Option(help="In this state; held: waiting, with a reason.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="First seen since then: 2026-01-31, 2026-01-31T12:00, or 2h for two hours ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="First seen before then.")] = None,
    name: Annotated[str | None, typer.Option(metavar="GLOB", help="Whose path, or its last parts, match this: *.csv.")] = None,
    sha256: Annotated[str | None, typer.Option("--hash", metavar="SHA256", help="With these bytes.")] = None,
    after: Annotated[int | None, typer.Option(metavar="ID", help="Further down the list than this one: the next page.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 100,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> int:
    """List arrivals, newest first.

    An arrival is one version of one file that was seen at a source and that a route wants.
    """
    from transload.ledger.view import Query

    loaded = load(config, secrets=False)
    query = Query(
        route=loaded.route(route).name if route else None,
        state=state.value if state else None,
        since=time_of("--since", since),
        until=time_of("--until", until),
        name=name,
        sha256=sha256.lower() if sha256 else None,
        after=after,
        limit=limit,
    )
    with reading(loaded) as ledger:
        rows = _listed(ledger, query) if ledger else []
    if as_json:
        show_json([document(row) for row in rows])
    elif rows:
        heads = ("id", "route", "state", "size", "first seen", "path", "reason")
        table(heads, [_cells(row) for row in rows], right=(0, 3))
        if len(rows) == limit:
            warn(f"the next page, if there is more: --after {rows[-1].id}")
    else:
        say("no such arrivals" if ledger else "nothing has arrived yet: transload run")
    return WELL


def _listed(ledger: Ledger, query: Any) -> list[Row]:
    from dataclasses import replace

    if query.state != "held":
        return ledger.view.list(query)
    # Held is no state but a reason to wait, with an open state.
    rows = [row for state in ("seen", "received", "ready") for row in ledger.view.list(replace(query, state=state))]
    with_reason = [row._replace(reason=row.reason or ledger.view.held_reason(row.id)) for row in rows]
    return sorted((row for row in with_reason if row.reason), key=lambda row: -row.id)[: query.limit]


def _cells(row: Row) -> list[str]:
    size = "?" if row.size is None else show_size(row.size)
    version = f" (version {row.version})" if row.version > 1 else ""
    return [str(row.id), row.route, row.state, size, clock(row.first_seen), row.text + version, row.reason or ""]


def document(row: Row) -> dict[str, Any]:
    """An arrival as JSON shows it."""
    return {
        "id": row.id,
        "route": row.route,
        "remote": row.source,
        **path_of(row.path, row.text),
        "version": row.version,
        "size": row.size,
        "sha256": row.sha256,
        "state": row.state,
        "reason": row.reason,
        "first_seen": moment(row.first_seen),
        "updated": moment(row.updated),
    }


def time_of(option: str, text: str | None) -> int | None:
    """The moment that an option names, in microseconds since 1970; ConfigError says what it wants."""
    from transload.model import to_micros

    if text is None:
        return None
    try:
        if re.fullmatch(r"[\d.]+\s*(ms|[smhdw]).*", text):
            return to_micros(datetime.now(UTC)) - round(duration(text) * 1e6)
        return to_micros(datetime.fromisoformat(text))
    except ValueError:
        raise ConfigError(f'{option} {text}: wants a time such as 2026-01-31, 2026-01-31T12:00Z, or "2h" for two hours ago') from None


# trace


@app.command()
def trace(
    what: Annotated[str, typer.Argument(metavar="ID_or_PATH", help="An arrival's number, or a path, or the end of one.")],
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> int:
    """Tell the whole life of a file.

    Every event, its hash, its destinations, and how far each copy was checked.
    """
    with reading(load(config, secrets=False)) as ledger:
        rows = _traced(ledger, what) if ledger else []
        lives = [_life(ledger, row) for row in rows] if ledger else []
    if not lives:
        warn(f"{what}: no arrival has this number or path; transload ls --name '*{what}*' may find it")
        return UNWELL
    if as_json:
        show_json(lives)
        return WELL
    for at, life in enumerate(lives):
        if at:
            say()
        _tell(life)
    return WELL


def _traced(ledger: Ledger, what: str) -> list[Row]:
    row = ledger.view.arrival(int(what)) if what.isdecimal() and len(what) < 19 else None
    return [row] if row else list(ledger.view.called(what))


def _life(ledger: Ledger, row: Row) -> dict[str, Any]:
    made = [
        {
            "destination": one.target,
            "remote": one.remote,
            "name": one.text,
            "required": one.required,
            "state": one.state,
            "reason": one.reason,
            "verified": one.verified,
            "attempts": one.attempts,
            "next_try": moment(one.next_try),
            "updated": moment(one.updated),
        }
        for one in ledger.view.deliveries(row.id)
    ]
    events = [
        {"at": moment(one.at), "destination": one.target, "what": one.what, "detail": one.detail} for one in ledger.view.events(row.id)
    ]
    return document(row) | {
        "attempts": row.attempts,
        "next_try": moment(row.next_try),
        "source": row.settle,
        "deliveries": made,
        "events": events,
    }


def _tell(life: dict[str, Any]) -> None:
    version = f", version {life['version']}" if life["version"] > 1 else ""
    say(f"arrival {life['id']}: {life['path']}{version}")
    size = "size not told" if life["size"] is None else f"{show_size(life['size'])} ({life['size']:,} bytes)"
    say(f"  route {life['route']}, from {life['remote']}, {size}, sha256 {life['sha256'] or 'not known yet'}")
    say(f"  {life['state']}" + (f": {life['reason']}" if life["reason"] else "") + _again(life))
    for one in life["deliveries"]:
        checked = f", {_CHECKED.get(one['verified'], one['verified'])}" if one["verified"] and one["state"] == "delivered" else ""
        optional = "" if one["required"] else " (optional)"
        reason = f": {one['reason']}" if one["reason"] else ""
        say(f"  to {one['remote']}: {one['name']}{optional}: {one['state']}{checked}{reason}{_again(one)}")
    for event in life["events"]:
        where = f" {event['destination']}" if event["destination"] else ""
        say(f"  {event['at']}  {event['what']}{where}" + (f": {event['detail']}" if event["detail"] else ""))


_CHECKED = {
    "size": "its size was checked there",
    "hash": "its hash was checked there",
    "read-back": "it was read back and compared",
    "none": "it was told",
}


def _again(one: dict[str, Any]) -> str:
    """When it is tried again, and, of what was tried before, how often it was and when last: the story tells only of the first."""
    if not one["next_try"] or one["state"] not in ("seen", "received", "owed", "staged"):
        return ""
    words = [f"tried {counted(one['attempts'], 'time')}"] if one["attempts"] else []
    words += [f"last at {one['updated']}"] if one["attempts"] or one["state"] == "received" else []
    return f"; {', '.join([*words, 'tried again'])} at {one['next_try']}"
