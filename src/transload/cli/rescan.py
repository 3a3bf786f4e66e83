"""The command that looks again at what was delivered: rescan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    warn,
    who,
)
from transload.cli.look import time_of
from transload.units import show_duration

if TYPE_CHECKING:
    from transload.config import Config
    from transload.ledger.rescans import Window
    from transload.ledger.view import Delivered
    from transload.rescan import Find, Tally, Unknown


@app.command()
def rescan(
    route: Annotated[str | None, typer.Option(metavar="ROUTE", help="What this route delivered.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Delivered since then: 2026-01-31, 2026-01-31T12:00, or 7d for seven days ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Delivered before then.")] = None,
    config: ConfigOption = None,
    *,
    again: Annotated[bool, typer.Option("--again", help="Also what was found clean with the signatures of now.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Scan again what was delivered, and name who got a bad file.

    By the scan steps that a route has now, else those that a file was received under; each distinct content once, from the
    spool or the quarantine. An archive is looked at as a whole and in what was delivered of it. Nothing is taken back. Exits 1
    when something is bad or could not be looked at.
    """
    from transload.ledger.rescans import Window
    from transload.rescan import Rescan, Store, Tally

    loaded = load(config, secrets=False)
    window = Window(loaded.route(route).name if route else None, time_of("--since", since), time_of("--until", until))
    found: list[Find | Unknown] = []
    tally = Tally()
    with reading(loaded) as ledger:
        if ledger is not None:
            with Store.opened(loaded) as store, _drawn(quiet=as_json) as drawn:
                looking = Rescan(loaded, ledger, store, window, who(), again=again, told=drawn)
                for one in looking:
                    found.append(one) if as_json else _say_one(one)
                tally = looking.tally
    if as_json:
        show_json(_document(window, tally, found))
    else:
        _say(tally, loaded)
    return WELL if tally.well else UNWELL


def _say_one(one: Find | Unknown) -> None:
    from transload.rescan import Find

    if isinstance(one, Find):
        say_find(one)
    else:
        more = f"; {one.files - 1:,} more with the same bytes" if one.files > 1 else ""
        say(f"not scanned: {one.text} (arrival {one.arrival} of {one.route}): {one.reason}{more}")


def say_find(find: Find) -> None:
    """Tell of a bad file, and of every destination that got it."""
    row = find.row
    version = f", version {row.version}" if row.version > 1 else ""
    word = "infected, and let on by somebody who knew" if find.released else "infected"
    say(f"{word}: {find.signature}: {row.text} (arrival {row.id} of {row.route}{version})")
    _say_copies(find.copies, row.id, "  ")
    for part in find.made:
        say(f"  made of it: {part.row.text} (arrival {part.row.id})")
        _say_copies(part.copies, part.row.id, "    ")


def _say_copies(copies: Sequence[Delivered], arrival: int, before: str) -> None:
    for one in copies:
        if one.state == "delivered":
            say(f"{before}delivered to {one.remote}: {one.text}, {clock(one.updated)}")
        else:
            say(f'{before}still owed to {one.remote}: {one.text}; transload skip {arrival} --why "..." keeps it back')


def _say(tally: Tally, loaded: Config) -> None:
    for one in tally.scanners:
        say(f"looked at by {one['engine']}, signatures {one['signatures'] or 'of no version'}")
    scanned = f"{tally.scanned:,} scanned now, {tally.verified:,} found clean before with the same signatures"
    say(f"{counted(tally.files, 'delivered file')}, {counted(tally.contents, 'distinct content')}: {scanned}")
    bad = f"{counted(tally.infected, 'file')} infected" if tally.infected else "nothing bad was found"
    say(bad + (f", {tally.released:,} more let on by somebody who knew" if tally.released else ""))
    if tally.unscanned:
        say(f"left alone: {counted(tally.unscanned, 'file')}, as the route has no scan step and had none")
    if tally.archives:
        say(f"not scanned as a whole: {counted(tally.archives, 'archive')}; what was delivered of them counts by itself")
    for reason, files in tally.away.items():
        warn(f"not scanned: {counted(files, 'file')}: {reason}")
    for node, files in tally.elsewhere.items():
        warn(f"not scanned: the bytes of {counted(files, 'file')} lie on {node}: rescan there")
    if tally.gone:
        keep = f"the spool keeps them for {show_duration(loaded.spool.keep)} (spool.keep)"
        warn(f"not scanned: the bytes of {counted(tally.gone, 'file')}, delivered until {clock(tally.gone_last)}, are gone: {keep}")


def _document(window: Window, tally: Tally, found: Sequence[Find | Unknown]) -> dict[str, Any]:
    from transload.rescan import Find, Unknown

    return {
        "route": window.route,
        "since": moment(window.since),
        "until": moment(window.until),
        "scanners": [dict(one) for one in tally.scanners],
        "files": tally.files,
        "contents": tally.contents,
        "scanned": tally.scanned,
        "verified": tally.verified,
        "clean": tally.clean,
        "infected": [document_of(one) for one in found if isinstance(one, Find)],
        "unknown": [
            {"id": one.arrival, "route": one.route, **path_of(one.path, one.text), "files": one.files, "reason": one.reason}
            for one in found
            if isinstance(one, Unknown)
        ],
        "away": [{"reason": reason, "files": files} for reason, files in tally.away.items()],
        "gone": {"files": tally.gone, "last_delivered": moment(tally.gone_last)},
        "elsewhere": [{"node": node, "files": files} for node, files in tally.elsewhere.items()],
        "unscanned": tally.unscanned,
        "archives_not_scanned": tally.archives,
    }


def document_of(find: Find) -> dict[str, Any]:
    """A bad file as JSON shows it."""
    row = find.row
    return {
        "id": row.id,
        "route": row.route,
        **path_of(row.path, row.text),
        "version": row.version,
        "size": row.size,
        "sha256": row.sha256,
        "state": row.state,
        "signature": find.signature,
        "released": find.released,
        "made_of": find.parent,
        "deliveries": [_copy(one) for one in find.copies],
        "made": [
            {"id": part.row.id, **path_of(part.row.path, part.row.text), "deliveries": [_copy(one) for one in part.copies]}
            for part in find.made
        ],
    }


def _copy(one: Delivered) -> dict[str, Any]:
    done = one.state == "delivered"
    return {
        "destination": one.target,
        "remote": one.remote,
        "name": one.text,
        "state": one.state,
        "delivered": moment(one.updated) if done else None,
    }


@contextmanager
def _drawn(*, quiet: bool) -> Iterator[Callable[[float, Tally], None]]:
    """A line of progress, where standard error is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _share, _tally: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(compact=True))
    # What is said goes where it was sent, also when that is not the terminal.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        line = bar.add_task("looking", total=1.0)
        yield lambda share, tally: bar.update(
            line, completed=share, description=f"{tally.contents:,} looked at, {tally.infected:,} files infected"
        )
