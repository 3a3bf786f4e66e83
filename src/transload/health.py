"""How the whole stands: routes, backlog, workers, remotes that are away, room on the disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transload.expecting import Late
from transload.lateness import lateness
from transload.ledger import Condition
from transload.ledger.database import now
from transload.ledger.quarantine import Room
from transload.ledger.standing import Standing, Trouble
from transload.model import to_datetime
from transload.protocols import NOTIFY, SERVER, STEPS

if TYPE_CHECKING:
    from transload.config import Config, Route
    from transload.ledger import Ledger, PassRow, Trip, Worker

_OPEN = ("seen", "received", "ready")
_NONE = Room(0, 0)


@dataclass(frozen=True, slots=True)
class RouteHealth:
    """One route; times are microseconds since 1970, None for never or not known."""

    name: str
    enabled: bool
    paused: bool
    looking: bool
    looked: int | None
    next_look: int | None
    error: str | None
    note: str | None
    files: Mapping[str, int]
    trouble: Trouble
    oldest: int | None
    standing: Sequence[Condition] = ()
    """What stands wrong about it, and has been told (or would have been, had somebody to be told)."""

    @property
    def backlog(self) -> int:
        """How many files were seen and are not delivered yet."""
        return sum(self.files.get(state, 0) for state in _OPEN)

    def faults(self) -> list[str]:
        """What is wrong with it, a line each."""
        told = [f"{self.name}: the source could not be looked at: {self.error}"] if self.error and self.enabled else []
        counts = zip(("held", "quarantined", "failed"), self.trouble, strict=True)
        told += [f"{self.name}: {one.event} since {_clock(one.since)}: {one.reason}" for one in self.standing]
        return told + [f"{self.name}: {count:,} {word}: transload ls --route {self.name} --state {word}" for word, count in counts if count]


@dataclass(frozen=True, slots=True)
class Health:
    """Everything at one moment."""

    routes: Sequence[RouteHealth]
    workers: Sequence[tuple[Worker, bool]]
    away: Sequence[Trip]
    free: int
    min_free: int
    untaken: int = 0
    """How many files lie in homes that no route took."""
    servers: Mapping[str, Any] | None = None
    """What our servers on this machine tell of themselves: process, ports, sessions, cut uploads; None while none is open."""
    banned: int = 0
    """How many addresses, and users at addresses, are shut out now."""
    apart: Room = _NONE
    """What is held in quarantine."""
    short: Sequence[Condition] = ()
    """The machines whose disks are nearly full."""
    unsent: Mapping[str, int] = field(default_factory=dict)
    """How many notices each target is still to be told of."""
    left: Mapping[str, int] = field(default_factory=dict)
    """How many files are in quarantine of routes that the config does not have."""

    @property
    def oldest(self) -> int | None:
        """When the oldest undelivered file was first seen."""
        return min((route.oldest for route in self.routes if route.oldest is not None), default=None)

    def faults(self) -> list[str]:
        """What is wrong, a line each; nothing when all is well."""
        found = [fault for route in self.routes for fault in route.faults()]
        found += [
            f"{name}: {count:,} quarantined of a route that the config does not have: transload quarantine ls"
            for name, count in sorted(self.left.items())
        ]
        found += [f"{called(trip.name)} is away: {trip.reason}" for trip in self.away]
        found += [f"{one.subject}: {one.reason}" for one in self.short]
        found += [f"worker {worker.id} is dead; the next one that starts takes its work" for worker, alive in self.workers if not alive]
        if self.free < self.min_free:
            found.append(f"the disk of the spool has {self.free:,} bytes left, {self.min_free:,} are to stay free: nothing is fetched")
        return found


def called(remote: str) -> str:
    """What is away, as people call it."""
    if remote.startswith(STEPS):
        node, _, route = remote.removeprefix(STEPS).rpartition("/")
        return f"what the steps of {route} ask on {node}"
    return remote.removeprefix(NOTIFY)


def health(config: Config, ledger: Ledger | None) -> Health:
    """How all routes of `config` stand; without a ledger nothing has happened yet."""
    free, min_free = _free(config.data / "spool"), config.spool.min_free
    if ledger is None:
        return Health([_route(route, None, {}, Trouble(), None) for route in config.routes], (), (), free, min_free)
    standing, rows, at = Standing(ledger.database), ledger.looks.rows(), now()
    tally, troubles, oldest = standing.tally(), standing.troubles(), standing.oldest()
    told = [one for one in ledger.notices.conditions().values() if one.told]
    standing_now = [*told, *_late(config, ledger, told, at)]
    routes = [
        _route(route, rows.get(route.name), tally.get(route.name, {}), troubles.get(route.name, Trouble()), oldest.get(route.name))
        for route in config.routes
    ]
    routes = [replace(one, standing=[wrong for wrong in standing_now if wrong.route == one.name]) for one in routes]
    workers = [(worker, not ledger.presence.is_dead(worker)) for worker in ledger.fleet.workers()]
    places = {
        SERVER,
        *config.remotes,
        *(f"{NOTIFY}{name}" for name in config.notify),
        *(to.remote for route in config.routes for to in route.destinations),
    }
    # Where nothing waits for its steps nobody has asked since.
    steps = tuple(f"/{route.name}" for route in config.routes if troubles.get(route.name, Trouble()).held)
    away = [
        trip
        for name, trip in sorted(ledger.fleet.trips().items())
        if name in places or (steps and name.startswith(STEPS) and name.endswith(steps))
    ]
    banned = sum(ban.until is not None and ban.until > at for ban in ledger.bans.all())
    short = [one for one in told if one.event == "disk"]
    unsent = {name: count for name, (count, _) in ledger.notices.waiting().items() if name in config.notify}
    untaken, apart = ledger.uploads.untaken(), ledger.quarantine.room()
    left = {name: one.quarantined for name, one in troubles.items() if one.quarantined and name not in {one.name for one in routes}}
    return Health(routes, workers, away, free, min_free, untaken, _servers(config, ledger), banned, apart, short, unsent, left)


def _late(config: Config, ledger: Ledger, told: Sequence[Condition], at: int) -> list[Condition]:
    """What has become late while no process was there to see it."""
    known, watching = {one.name for one in told}, ledger.notices.watching()
    found = []
    for route in config.routes:
        verdict = lateness(ledger, route, watching, at) if route.enabled and f"late/{route.name}" not in known else None
        if isinstance(verdict, Late):
            found.append(Condition(f"late/{route.name}", "late", route.name, "", verdict.reason, verdict.since, told=False))
    return found


def _clock(at: int) -> str:
    return f"{to_datetime(at):%Y-%m-%d %H:%M} UTC"


def _servers(config: Config, ledger: Ledger) -> Mapping[str, Any] | None:
    """What is posted, if the one who posted it lives."""
    try:
        node = (config.data / "node").read_text().strip()
        told: Mapping[str, Any] = json.loads((config.data / "servers.json").read_bytes())
    except (OSError, ValueError):
        return None
    return None if ledger.presence.free(f"servers-{node}") else told


def _route(route: Route, row: PassRow | None, files: Mapping[str, int], trouble: Trouble, oldest: int | None) -> RouteHealth:
    if row is None:
        return RouteHealth(route.name, route.enabled, False, False, None, None, None, None, files, trouble, oldest)
    return RouteHealth(
        name=route.name,
        enabled=route.enabled,
        paused=row.paused,
        looking=row.claim is not None,
        looked=None if route.source.server else row.ended,
        next_look=None if route.source.server else row.next_run,
        error=None if route.source.server else row.error,
        note=None if route.source.server else row.note,
        files=files,
        trouble=trouble,
        oldest=oldest,
    )


def _free(folder: Path) -> int:
    """How many bytes the disk of `folder` has left, made or not made yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
