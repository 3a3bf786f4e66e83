"""The commands that tell what would happen: plan, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from transload.cli.base import (
    UNWELL,
    WELL,
    ConfigOption,
    JsonOption,
    RouteNames,
    app,
    chosen,
    clock,
    connecting,
    counted,
    known_remote,
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
from transload.units import show_size

if TYPE_CHECKING:
    from transload.plan import Answer, Planned, RoutePlan


@app.command()
def plan(routes: RouteNames = None, config: ConfigOption = None, *, as_json: JsonOption = False) -> int:
    """Tell what would be fetched and delivered now.

    Looks at the sources, and says for every other file why not. Changes nothing anywhere. Exits 1 when a source cannot be
    listed.
    """
    from transload.plan import plan as planned

    loaded = load(config)
    with reading(loaded) as ledger, connecting(loaded) as opened:
        plans = [planned(route, ledger, opened) for route in chosen(loaded, routes)]
    files = [one for each in plans for one in each.files]
    if as_json:
        show_json([_document(one) for one in files])
    else:
        _show(files, [each.route for each in plans])
    return _told(plans, notes=not as_json)


def _told(plans: list[RoutePlan], *, notes: bool) -> int:
    for each in plans:
        for note in each.notes if notes else ():
            say(f"{each.route}: {note}")
    for each in plans:
        if each.error:
            warn(f"{each.route}: the source could not be listed: {each.error}")
    return UNWELL if any(each.error for each in plans) else WELL


def _document(one: Planned) -> dict[str, Any]:
    return {
        "route": one.route,
        "remote": one.remote,
        **path_of(one.path, one.text),
        "size": one.size,
        "modified": moment(one.modified),
        "action": one.action,
        "reason": one.reason,
        "to": [{"remote": remote, "name": name} for remote, name in one.to],
    }


def _show(files: list[Planned], routes: list[str]) -> None:
    if files:
        table(("route", "what", "size", "path", "to", "why"), [_cells(one) for one in files], right=(2,))
    counts = {action: [one for one in files if one.action == action] for action in ("fetch", "deliver", "wait", "skip")}
    fetched = counts["fetch"]
    size = show_size(sum(one.size or 0 for one in fetched))
    say(
        f"{', '.join(routes)}: {counted(len(fetched), 'file')} ({size}) to fetch, {len(counts['deliver']):,} to deliver, "
        f"{len(counts['wait']):,} waiting, {len(counts['skip']):,} left alone"
    )


def _cells(one: Planned) -> list[str]:
    size = "?" if one.size is None else show_size(one.size)
    return [one.route, one.action, size, one.text, ", ".join(f"{remote}:{name}" for remote, name in one.to) or "-", one.reason]


@app.command()
def explain(
    file: Annotated[
        str, typer.Argument(metavar="REMOTE:PATH", help="A remote's name, and a path on it as `ls` shows it; server:USER/PATH for uploads.")
    ],
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> int:
    """Tell why a file was skipped, is held, or is not sent.

    Looks at this one file on its remote, lets each route judge it, and asks the ledger what is known of it. Changes nothing.
    """
    from transload.plan import explain as explained
    from transload.plan import explain_upload

    loaded = load(config)
    remote, colon, path = file.partition(":")
    if not colon or not path:
        raise ConfigError(f"{file}: wants REMOTE:PATH, such as {next(iter(loaded.remotes), 'carrier')}:in/report.csv")
    received = remote == "server" and remote not in loaded.remotes
    if not received:
        known_remote(loaded, remote)
    with reading(loaded) as ledger, connecting(loaded) as opened:
        answer = explain_upload(loaded, ledger, path) if received else explained(loaded, ledger, opened, remote, path)
    if as_json:
        show_json(_answer(remote, path, answer))
    else:
        _say(file, answer)
    return UNWELL if answer.error or not (answer.there or answer.arrivals) else WELL


def _answer(remote: str, path: str, answer: Answer) -> dict[str, Any]:
    away = answer.away
    return {
        "remote": remote,
        "path": path,
        "there": answer.there,
        "size": answer.size,
        "modified": moment(answer.modified),
        "error": answer.error,
        "away": {"reason": away.reason, "next_try": moment(away.next_try)} if away else None,
        "routes": [_document(one) for one in answer.routes],
        "paused": list(answer.paused),
        "arrivals": [
            {"id": row.id, "route": row.route, "version": row.version, "state": row.state, "reason": row.reason} for row in answer.arrivals
        ],
    }


def _say(file: str, answer: Answer) -> None:
    if answer.error:
        warn(f"{file}: could not be looked at: {answer.error}")
    elif answer.there:
        size = "size not told" if answer.size is None else show_size(answer.size)
        say(f"{file}: is there, {size}, modified {clock(answer.modified)}")
    else:
        say(f"{file}: is not there now")
    if answer.away:
        say(f"  the remote is away: {answer.away.reason}; tried again at {clock(answer.away.next_try)}")
    for one in answer.routes:
        to = "".join(f"; to {remote}:{name}" for remote, name in one.to)
        paused = " (the route is paused)" if one.route in answer.paused else ""
        say(f"  route {one.route}{paused}: {_WORDS[one.action]}: {one.reason}{to}")
    for name, folders in answer.looking.items():
        if name not in {one.route for one in answer.routes} and answer.there:
            say(f"  route {name}: does not look there, but in {', '.join(folder or 'the base folder' for folder in folders)}")
    if not answer.looking:
        say("  no route takes files from this remote")
    for row in answer.arrivals:
        reason = f": {row.reason}" if row.reason else ""
        say(f"  arrival {row.id} of route {row.route}: {row.state}{reason} (transload trace {row.id})")


_WORDS = {"fetch": "would be fetched now", "deliver": "would be delivered now", "wait": "waits", "skip": "is not taken"}
