"""The commands that move files: run, up."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from transload.cli.base import ConfigOption, JsonOption, RouteNames, Stopped, app, chosen, counted, load, say, show_json, warn
from transload.cli.beside import Beside, follow
from transload.errors import ConfigError
from transload.units import show_duration, show_size

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from transload.app import Transload
    from transload.config import Config
    from transload.summary import RouteSummary, Summary

_SHOWN = 20
_HOOKED = "its hook"
_LEAVING = 5.0
_PARTS = ("servers", "worker")


@app.command()
def run(routes: RouteNames = None, config: ConfigOption = None, *, as_json: JsonOption = False) -> int:
    """Fetch and deliver once what is new.

    Looks once at the source of each route, fetches and delivers in parallel what is new and what was left over, and says
    what was done. Exits 1 while any file of these routes is failed, quarantined, held or late, or a source cannot be looked
    at. Beside a running `transload up` it hands over to that one, and waits. Ctrl-C and SIGTERM finish what is in hand or
    put it back (130, 143).
    """
    from transload.app import Transload
    from transload.cli.progress import Progress

    loaded = load(config)
    copies = max((len(route.destinations) for route in chosen(loaded, routes)), default=1)
    progress = Progress(quiet=as_json, copies=copies)
    with _logged(loaded):
        with _stopped_by_signals(), progress, Transload(loaded, told=progress.told) as transload:
            try:
                summary = transload.run(*(routes or []))
            except Stopped:
                warn("stopping: what is in hand is finished or put back")
                raise
        _note(summary)
    if as_json:
        show_json(summary.document())
    else:
        _show(summary, loaded)
    return summary.exit_code


@app.command()
def up(
    only: Annotated[str, typer.Option(metavar="PARTS", help=f"Which parts, with commas: {', '.join(_PARTS)}.")] = ",".join(_PARTS),
    config: ConfigOption = None,
    *,
    followed: Annotated[bool, typer.Option("--follow", hidden=True)] = False,
) -> int:
    """Run our servers and all routes for ever, each when it is due.

    Ends at SIGTERM or Ctrl-C, with what is in hand finished or put back. SIGHUP reloads the config: all of it or, where
    it has a fault, nothing. Host key and certificate are made in the data folder where they are missing. Logs to the
    files of the config, and in plain lines to standard output.
    """
    from transload import log
    from transload.app import Transload

    parts = {part.strip() for part in only.split(",")}
    unknown = sorted(parts - set(_PARTS))
    if unknown:
        raise ConfigError(f'--only: there is no part "{unknown[0]}"; this version has {", ".join(_PARTS)}')
    loaded = load(config)
    with _logged(loaded, sys.stdout):
        told = log.get("transload.worker" if followed else "transload")
        with (
            # Left last: our servers are closed before their worker is told to end.
            _beside(loaded, parts) as worker,
            Transload(loaded, told=lambda what, files, size: told.info(what, files=files, bytes=size) if files else None) as transload,
        ):
            signals = _signals()
            transload.start(parts=parts - {"worker"} if worker else parts, landed=worker.wake if worker else lambda: None)
            if worker:
                worker.begin()
            told.info("up", routes=[route.name for route in loaded.routes if route.enabled], config=str(loaded.file))
            if followed:
                threading.Thread(target=follow, args=[transload.wake, signals], name="transload-follow", daemon=True).start()
            # What a start leaves behind stays: the collector of cycles need not go through it again and again.
            gc.collect()
            gc.freeze()
            while _next(signals) == signal.SIGHUP:
                if _reload(transload, config, told) and worker:
                    worker.reload()
            told.info("stopping: what is in hand is finished or put back")
            if worker:
                worker.expect_end()
        told.info("stopped")
    _leave()
    return 0


def _leave() -> None:
    """End the process soon: a step or a hook that never returns was put back, but its thread would be waited for without an end."""
    timer = threading.Timer(_LEAVING, os._exit, [0])
    timer.daemon = True
    timer.start()


@contextmanager
def _beside(config: Config, parts: set[str]) -> Iterator[Beside | None]:
    """The worker in a process of its own, where there are servers that it could disturb."""
    if config.servers.any and parts == set(_PARTS):
        with Beside(config.file) as worker:
            yield worker
    else:
        yield None


def _signals() -> SimpleQueue[int]:
    """Where SIGTERM, SIGINT and SIGHUP arrive from now on; a second Ctrl-C ends the process at once."""
    arrived: SimpleQueue[int] = SimpleQueue()

    def note(number: int, _frame: object) -> None:
        if number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
        arrived.put(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    return arrived


def _next(signals: SimpleQueue[int]) -> int:
    """The next signal. One that comes in the moment before this thread begins to wait does not wake it: so it wakes by itself."""
    while True:
        with suppress(Empty):
            return signals.get(timeout=0.5)


def _reload(transload: Transload, config: Path | None, told: FilteringBoundLogger) -> bool:
    from transload import log

    try:
        loaded = load(config)
        old = transload.config
        transload.change(loaded)
        if loaded.log != old.log:
            _log_to(loaded, sys.stdout)
            told = log.get("transload")
    except ConfigError as error:
        for line in str(error).splitlines():
            told.error("the new config was refused whole, the old one goes on", fault=line)
        return False
    told.info("the new config is in force", routes=[route.name for route in loaded.routes if route.enabled])
    return True


@contextmanager
def _logged(config: Config, stdout: TextIO | None = None) -> Iterator[None]:
    from transload import log

    _log_to(config, stdout)
    try:
        yield
    finally:
        log.stop()


def _log_to(config: Config, stdout: TextIO | None) -> None:
    from transload import log

    wanted = config.log
    log.setup(wanted.monitor, wanted.error, form=wanted.format, level=wanted.level, keep=wanted.keep, stdout=stdout)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise Stopped in here, once; a second Ctrl-C ends the process at once."""

    def stop(number: int, _frame: object) -> None:
        # Some supervisors send SIGTERM twice: to the process, and to its group.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise Stopped(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    yield


def _note(summary: Summary) -> None:
    """The log has the same as the screen, and each failure."""
    from transload import log

    told = log.get("transload.run")
    for route in summary.routes:
        for one in route.failures:
            told.error("not delivered" if one["path"] else "the source could not be looked at", route=route.route, **one)
        counts = ("seen", "fetched", "delivered", "skipped", "held", "quarantined", "failed", "bytes", "seconds", "destinations")
        told.info("the run has ended", route=route.route, **{word: getattr(route, word) for word in counts})


def _show(summary: Summary, config: Config) -> None:
    from transload.workplace import hooks_of

    hooks = hooks_of(config)
    for route in summary.routes:
        say(_line(route))
        for to in config.route(route.route).destinations:
            say(f"  {_HOOKED if to.remote in hooks else to.id}: {(hooks.get(to.remote) or config.remotes[to.remote]).where()}")
        for reason in route.late:
            warn(f"{route.route}: {reason}")
        for one in route.failures[:_SHOWN]:
            warn(f"{route.route}: {one['path'] or 'the source'}: {one['reason']}")
        if len(route.failures) > _SHOWN:
            warn(f"{route.route}: and {len(route.failures) - _SHOWN:,} more: transload ls --route {route.route}")
    say(f"{show_duration(summary.seconds)} in all")


def _line(route: RouteSummary) -> str:
    fetched = f"{route.fetched:,} fetched ({show_size(route.bytes)})"
    to = ", ".join(_HOOKED if one == "@hook" else one for one in route.destinations)
    counts = [f"{counted(route.seen, 'file')} seen", fetched, f"{route.delivered:,} delivered to {to}"]
    counts += [f"{count:,} {word}" for word in ("skipped", "held", "quarantined", "failed") if (count := getattr(route, word))]
    return f"{route.route}: " + ", ".join(counts)
