"""The commands by which people take a hand: adopt, pause, resume, skip, retry. Each is written into the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from transload.cli.base import (
    UNWELL,
    WELL,
    ConfigOption,
    JsonOption,
    RouteNames,
    app,
    chosen,
    connecting,
    counted,
    load,
    path_of,
    reading,
    refuse_stranded,
    say,
    show_json,
    warn,
    who,
    writing,
)
from transload.errors import ConfigError, LedgerAway, TransloadError

if TYPE_CHECKING:
    from transload.adopt import Adopted

RouteName = Annotated[str, typer.Argument(metavar="ROUTE", help="The route.")]


@app.command()
def adopt(
    routes: RouteNames = None,
    config: ConfigOption = None,
    *,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be marked.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Mark all that is there now as known, without moving it.

    For those who come from another tool: what the routes would take now is never fetched, unless it changes. What is known
    already stays as it is.
    """
    from transload.adopt import adopt as adopted

    loaded = load(config)
    documents, well = [], True
    with reading(loaded) if dry else writing(loaded) as ledger, connecting(loaded) as opened:
        for route in chosen(loaded, routes):
            try:
                done = adopted(route, ledger, opened, who(), dry=dry)
            except LedgerAway:
                raise
            except TransloadError as error:
                warn(f"{route.name}: nothing was marked: {error}")
                well = False
            else:
                documents.append({"route": route.name, "adopted": [path_of(one.path, one.text) for one in done.files]} | _counts(done))
                if not as_json and route.source.server:
                    say(f"{route.name}: nothing to adopt: what our servers receive is taken when it arrives")
                elif not as_json:
                    _say_adopted(route.name, done, dry=dry)
    if as_json:
        show_json(documents)
    return WELL if well else UNWELL


def _counts(done: Adopted) -> dict[str, int]:
    return {"known": done.known, "unwanted": done.unwanted}


def _say_adopted(route: str, done: Adopted, *, dry: bool) -> None:
    for entry in done.files if dry else ():
        say(f"{route}: {entry.text}")
    word = "would be marked as known" if dry else "marked as known"
    say(f"{route}: {counted(len(done.files), 'file')} {word}; {done.known:,} known before, {done.unwanted:,} not the route's")


@app.command()
def pause(route: RouteName, config: ConfigOption = None) -> int:
    """Hold a route until it is resumed.

    It does not look, fetch or deliver under `transload up`; a `transload run` by hand still does.
    """
    return _pause(route, config, paused=True)


@app.command()
def resume(route: RouteName, config: ConfigOption = None) -> int:
    """Let a paused route go on."""
    return _pause(route, config, paused=False)


def _pause(name: str, config: ConfigOption, *, paused: bool) -> int:
    loaded = load(config, secrets=False)
    route = loaded.route(name).name
    with writing(loaded) as ledger:
        before = ledger.looks.declare([route])[route].paused
        if before != paused:
            ledger.looks.pause(route, paused=paused)
            ledger.hand.note(who(), "pause" if paused else "resume", route)
    word = "paused" if paused else "going on"
    say(f"{route}: {word}" if before != paused else f"{route}: was {'paused' if paused else 'not paused'} already")
    return WELL


@app.command()
def skip(
    number: Annotated[int, typer.Argument(metavar="ID", help="The arrival's number, as `transload ls` shows it.")],
    why: Annotated[str, typer.Option("--why", metavar="REASON", help="The reason, for those who come later.")],
    config: ConfigOption = None,
) -> int:
    """Give a file up, with a reason.

    It is not fetched or delivered any more, and no longer makes the exit code 1. `transload retry` takes it up again.
    """
    if not why.strip():
        raise ConfigError("skip: --why wants a reason")
    with writing(load(config, secrets=False)) as ledger:
        row = ledger.view.arrival(number)
        if row is None:
            raise ConfigError(_none(number))
        if row.state in ("delivered", "skipped"):
            warn(f"{number}: nothing to skip, it is {row.state}: {row.text}")
            return UNWELL
        ledger.hand.skip(number, who(), why.strip())
    say(f"{number}: skipped: {row.text}")
    return WELL


@app.command()
def retry(
    numbers: Annotated[list[int], typer.Argument(metavar="ID", help="The arrivals' numbers, as `transload ls` shows them.")],
    config: ConfigOption = None,
) -> int:
    """Try failed, held, quarantined or skipped files again.

    With all their attempts: at the next run, or at once where `transload up` is running. What has not come through its steps
    goes through those that its route has now.
    """
    loaded = load(config, secrets=False)
    with writing(loaded) as ledger:
        rows = {number: ledger.view.arrival(number) for number in numbers}
        lost = [number for number, row in rows.items() if row is None]
        if lost:
            raise ConfigError("\n".join(map(_none, lost)))
        for number, row in rows.items():
            if row is not None:
                refuse_stranded(loaded, number, row.route)
        done = set(ledger.hand.retry(list(rows), who(), {route.name: route.recipe for route in loaded.routes if route.recipe is not None}))
    for number, row in rows.items():
        if row is not None and number in done:
            say(f"{number}: will be tried again: {row.text}")
        elif row is not None:
            warn(f"{number}: nothing to try again, it is {row.state}: {row.text}")
    return WELL if len(done) == len(rows) else UNWELL


def _none(number: int) -> str:
    return f"there is no arrival {number}; transload ls shows the numbers"
