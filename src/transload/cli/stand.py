"""The command that tells how everything stands: status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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
    reading,
    say,
    show_json,
    table,
    warn,
)
from transload.units import show_duration, show_size

if TYPE_CHECKING:
    from transload.health import Health, RouteHealth


@app.command()
def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> int:
    """Tell how everything stands.

    Routes, backlog, workers, remotes that are away, room on the disk. Exits 1 when something is wrong, with a line for each.
    """
    from transload.health import health

    loaded = load(config, secrets=False)
    with reading(loaded) as ledger:
        found = health(loaded, ledger)
    faults = found.faults()
    if as_json:
        show_json(_status(found, faults))
    else:
        _tell_status(found, faults)
    return UNWELL if faults else WELL


def _status(found: Health, faults: list[str]) -> dict[str, Any]:
    return {
        "healthy": not faults,
        "faults": faults,
        "routes": [_route(route) for route in found.routes],
        "workers": [
            {
                "id": worker.id,
                "role": worker.role,
                "host": worker.host,
                "pid": worker.pid,
                "started": moment(worker.started),
                "last_sign": moment(worker.beat),
                "alive": alive,
            }
            for worker, alive in found.workers
        ],
        "away": [
            {"remote": one.name, "reason": one.reason, "since": moment(one.since), "next_try": moment(one.next_try)} for one in found.away
        ],
        "untaken": found.untaken,
        "quarantine": found.apart._asdict(),
        "servers": found.servers,
        "banned": found.banned,
        "notices": dict(found.unsent),
        "disk": {"free": found.free, "min_free": found.min_free},
        "oldest_undelivered": moment(found.oldest),
    }


def _route(route: RouteHealth) -> dict[str, Any]:
    return {
        "route": route.name,
        "enabled": route.enabled,
        "paused": route.paused,
        "looking": route.looking,
        "last_look": moment(route.looked),
        "next_look": moment(route.next_look),
        "error": route.error,
        "note": route.note,
        "files": dict(route.files),
        "held": route.trouble.held,
        "standing": [{"event": one.event, "reason": one.reason, "since": moment(one.since)} for one in route.standing],
        "backlog": route.backlog,
        "oldest_undelivered": moment(route.oldest),
    }


def _tell_status(found: Health, faults: list[str]) -> None:
    heads = ("route", "is", "last look", "next look", "delivered", "backlog", "held", "failed", "oldest undelivered")
    table(heads, [_route_cells(route, alive=any(one for _, one in found.workers)) for route in found.routes], right=(4, 5, 6, 7))
    for route in found.routes:
        if route.note:
            say(f"{route.name}: {route.note}")
    for worker, alive in found.workers:
        say(f"{worker.role} at work: {worker.host}, process {worker.pid}, since {clock(worker.started)}" if alive else f"dead: {worker.id}")
    if not found.workers:
        say("no process is at work on this ledger (transload up, transload run)")
    _tell_servers(found)
    _tell_waiting(found)
    say(f"{show_size(found.free)} free on the disk of the spool, {show_size(found.min_free)} are to stay free")
    for fault in faults:
        warn(fault)
    if not faults:
        say("all is well")


def _tell_waiting(found: Health) -> None:
    """What is away, and what waits for somebody."""
    from transload.health import called

    for trip in found.away:
        tried = f"tried {counted(trip.failures, 'time')}, next at {clock(trip.next_try)}"
        say(f"{called(trip.name)}: away since {clock(trip.since)}, {tried}")
    for name, count in found.unsent.items():
        say(f"{name}: {counted(count, 'notice')} to be told")
    if found.untaken:
        say(f"{counted(found.untaken, 'upload')} that no route took: transload explain server:USER/PATH tells why")
    if found.apart.files:
        say(f"{counted(found.apart.files, 'file')} kept apart, {show_size(found.apart.bytes)}: transload quarantine ls")


def _tell_servers(found: Health) -> None:
    if found.servers is not None:
        doors = ", ".join(f"{name} at port {port}" for name, port in found.servers["doors"].items())
        say(f"servers: {doors}, process {found.servers['pid']}, {counted(len(found.servers['sessions']), 'session')}")
        for one in found.servers["sessions"]:
            say(f"  {one['user']} by {one['protocol']} from {one['address']}, since {clock(one['since'] * 1_000_000)}")
        if found.servers["cut"]:
            say(f"{counted(found.servers['cut'], 'cut upload')} kept to be resumed")
    if found.banned:
        say(f"{found.banned:,} banned after wrong logins: transload ban ls")


def _route_cells(route: RouteHealth, *, alive: bool) -> list[str]:
    state = "off" if not route.enabled else "paused" if route.paused else "looking" if route.looking else "on"
    next_look = clock(route.next_look) if alive and route.enabled and not route.paused else "-"
    old = "-" if route.oldest is None else f"{show_duration(datetime.now(UTC).timestamp() - route.oldest / 1e6)} ago"
    counts = (route.files.get("delivered", 0), route.backlog, route.trouble.held, route.trouble.failed + route.trouble.quarantined)
    return [route.name, state, clock(route.looked), next_look, *(f"{count:,}" for count in counts), old]
