"""The keeper: what is due, who takes it, what was dropped, what may be thrown away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transload import crash, log
from transload.alerts import Finding, due, tell_all
from transload.desk import desks
from transload.ledger import now
from transload.model import to_datetime, to_micros
from transload.protocols import HOOK, NOTIFY, STEPS
from transload.schedule import next_run
from transload.workplace import steps_at

if TYPE_CHECKING:
    from transload.config import Route
    from transload.ledger import Claim, PassRow
    from transload.workplace import Workplace

_ASTRAY = 10 * 365 * 86_400_000_000
_ABANDONED = 86400.0
"""Seconds after which what a cut transfer left is no longer kept for resuming."""
_TOLD = 30 * 86_400_000_000
"""How long (microseconds) notices are remembered."""
_FIND = 2.0
_STEP = 30.0
"""By how many seconds the clock is set back when it is noticed."""
_CALLS = 8
"""How many calls of a hook are one batch."""


class Keeper:
    """Answers two questions from the ledger alone: how much is due at each remote, and what a worker takes next there."""

    def __init__(self, work: Workplace, routes: Collection[str] | None = None) -> None:
        """For these routes, or all that are enabled."""
        self._work = work
        self.routes = [route for route in work.config.routes if (route.enabled if routes is None else route.name in routes)]
        self._finding, self._found = Finding(work, self.routes), 0.0
        self._clock, self._set_back = _offset(), False

    def begin(self) -> None:
        """Every route has its row, and a time for its next look."""
        work = self._work
        if self._set_back or work.ledger.clock.was_ahead():
            self._set_back = False
            work.ledger.clock.set_right()
            log.get("transload.keeper").warning("the clock was set back: what waited for a time is due now")
        rows = work.ledger.looks.declare([route.name for route in self.routes])
        for route in self.routes:
            row = rows[route.name]
            last = to_datetime(row.started) if row.started else None
            if not work.once and not route.source.server:
                work.ledger.looks.reschedule(route.name, to_micros(next_run(route.name, route.source, datetime.now(UTC), last)))

        self._finding.begin()
        self._hold_astray()

    def _hold_astray(self) -> None:
        for route in self.routes:
            self._work.ledger.claims.astray(route.name, {to.id: to.remote for to in route.destinations}, now() + _ASTRAY)
            self._work.ledger.claims.elsewhere(route.name, route.source.remote, now() + _ASTRAY)

    def due(self) -> dict[str, int]:
        """How many batches could go at once, for every remote that has something due and is not in back-off."""
        work = self._work
        self._mind_the_clock()
        away = {name for name, trip in work.ledger.fleet.trips().items() if (trip.next_try or 0) > now()}
        rows = work.ledger.looks.rows()
        active = {route.name: route for route in self.routes if not self._held(route, rows.get(route.name))}
        wanted: dict[str, int] = {}
        for name, route in active.items():
            if self._look_due(route, rows[name]):
                wanted[route.source.remote] = wanted.get(route.source.remote, 0) + 1
        room = work.spool.room.lack() is None
        for kind, name, remote, files, size in work.ledger.claims.due(list(active), work.node):
            if kind == "fetch" and (not room or active[name].source.server):
                continue
            if kind == "process" and steps_at(work.node, name) in away:
                continue
            limits = active[name].batch
            target = f"{STEPS}{work.node}" if kind == "process" else remote or active[name].source.remote
            spread = self._spread(target)
            # Many files in flight on one connection leave nothing to gain from a second, until they are slow (see the engine).
            lines = max(-(-files // limits.files), min(files, spread)) if spread > 1 else 1
            batches = max(lines, -(-size // limits.bytes))
            wanted[target] = wanted.get(target, 0) + batches
        if not work.once:
            wanted |= dict.fromkeys(due(work), 1)
        return {remote: count for remote, count in wanted.items() if remote not in away}

    def _mind_the_clock(self) -> None:
        """Begin anew when somebody has set it back: times that were to come soon are far away then. A run ends soon."""
        before, self._clock = self._clock, _offset()
        if not self._work.once and (self._clock < before - _STEP or self._set_back):
            self._set_back = True
            self.begin()

    def _spread(self, remote: str) -> int:
        """Over how many connections few files are spread: all of them where each moves one file after another."""
        settings = self._work.place(remote)
        return settings.connections if settings is not None and getattr(settings.session, "in_turn", False) else 1

    def take(self, remote: str) -> Claim | None:
        """The next batch at this remote, in this worker's hands; what leaves the house goes before what comes in."""
        work = self._work
        away = {name for name, trip in work.ledger.fleet.trips().items() if (trip.next_try or 0) > now()}
        if remote in away:
            return None
        rows = work.ledger.looks.rows()
        if remote.startswith(NOTIFY):
            return work.ledger.notices.claim(work.worker, remote) if remote in due(work) else None
        mine = [route for route in self.routes if not self._held(route, rows.get(route.name))]
        return next((claim for claim in self._offers(remote, mine, rows, away) if claim is not None), None)

    def _offers(self, remote: str, routes: Sequence[Route], rows: Mapping[str, PassRow], away: Collection[str]) -> Iterator[Claim | None]:
        claims, me = self._work.ledger.claims, self._work.worker
        node = None if self._work.config.spool.shared else self._work.node
        sources = [route for route in routes if route.source.remote == remote]
        spread = self._spread(remote)
        for route in routes:
            if any(to.remote == remote for to in route.destinations):
                # A hook takes its time: what is behind it in the batch must not wait long.
                files = min(route.batch.files, _CALLS) if remote.startswith(HOOK) else route.batch.files
                yield claims.deliver(me, route.name, remote, node=node, files=files, size=route.batch.bytes, spread=spread)
        if remote == f"{STEPS}{self._work.node}":
            for route in [route for route in routes if steps_at(self._work.node, route.name) not in away]:
                yield claims.process(
                    me, route.name, remote, node=self._work.node, files=route.batch.files, size=route.batch.bytes, spread=spread
                )
        for route in sources:
            if route.after != "keep":
                # A home is where our server is, a remote can be reached from everywhere.
                yield claims.settle(me, route.name, remote, node=node if route.source.server else None, files=route.batch.files)
        for route in [route for route in sources if not route.source.server] if self._work.spool.room.lack() is None else ():
            yield claims.fetch(me, route.name, remote, files=route.batch.files, size=route.batch.bytes, spread=spread)
        for route in sources:
            if self._look_due(route, rows[route.name]):
                yield self._work.ledger.looks.claim(me, route.name, remote, self._following(route))

    def _held(self, route: Route, row: PassRow | None) -> bool:
        # A run by hand does a paused route's work; to a process that stays, a hand only shows one look.
        return row is None or (row.paused and not self._work.once and (route.source.server or not _asked(row)))

    def _look_due(self, route: Route, row: PassRow) -> bool:
        if route.source.server or row.claim is not None:
            return False
        # A run looks when it is asked to; the times that an `up` left behind are not its business.
        scheduled = not self._work.once and not row.paused and row.next_run is not None and row.next_run <= now()
        return scheduled or _asked(row)

    def _following(self, route: Route) -> int | None:
        if self._work.once:
            return None
        at = datetime.now(UTC)
        return to_micros(next_run(route.name, route.source, at, at))

    def repair(self) -> list[str]:
        """Take away what dead processes had in hand; gives their ids."""
        ledger, left = self._work.ledger, desks(self._work)
        dead = [worker.id for worker in ledger.fleet.workers() if worker.id != self._work.worker and ledger.presence.is_dead(worker)]
        known = {worker.id for worker in ledger.fleet.workers()}
        orphans = {claim.worker for claim in ledger.claims.open()} - known
        for worker in dead:
            ledger.presence.evict(worker)
        if dead or orphans:
            ledger.claims.died([*dead, *orphans])
            self._hold_astray()
        for worker in dead:
            ledger.fleet.leave(worker)
        workers = ledger.fleet.workers()
        for folder in left:
            if folder.name not in {self._work.worker, *(worker.id for worker in workers)}:
                shutil.rmtree(folder, ignore_errors=True)
        if not self._work.config.spool.shared:
            ledger.arrivals.strand({worker.node for worker in workers})
        return dead

    def find(self, *, alone: bool) -> None:
        """Find now and then what somebody should hear of; where another process does that, on this machine only."""
        if not self._work.once and time.monotonic() - self._found > _FIND:
            self._finding.look(alone=alone)
            self._found = time.monotonic()

    def tell(self) -> None:
        """Find what somebody should hear of, and tell it at once: this process lives too short to gather more."""
        self._finding.look(alone=True)
        tell_all(self._work)

    def collect(self) -> int:
        """Throw away spooled bytes that nobody needs any more; gives how many bytes."""
        keep = self._work.config.spool.keep
        before = now() - round(keep * 1e6)
        self._work.spool.collect_parts(_ABANDONED)

        def unneeded(hashes: Sequence[str]) -> set[str]:
            return self._work.ledger.view.unneeded(hashes, before)

        freed = self._work.spool.collect(unneeded, keep)
        gone = self._collect_apart()
        self._work.spool.let_go(self._work.ledger.quarantine.held(), unneeded)
        self._work.spool.room.refused = False
        # The ledger may lie on the same disk: where that was full, there is room for writing only now.
        self._work.ledger.notices.forget(now() - _TOLD)
        return freed.bytes + gone

    def _collect_apart(self) -> int:
        """What was kept apart for as long as the config says is discarded, and copies that nobody wants go."""
        ledger, keep = self._work.ledger.quarantine, self._work.config.quarantine.keep
        if keep is not None:
            ledger.expire(now() - round(keep * 1e6), "kept apart for as long as [quarantine] keep says")
            crash.point("expired")
        return self._work.vault.collect(ledger.wanted).bytes


def _offset() -> float:
    """What the clock is ahead of the time that really passes."""
    return time.time() - time.monotonic()


def _asked(row: PassRow) -> bool:
    return row.asked is not None and row.asked > (row.started or 0)
