"""The one wiring place: builds everything from a Config, starts it, runs it once, stops it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import uuid4

from transload import crash
from transload.alerts import places_of
from transload.config.serving import refuse_idle
from transload.deliver import deliver
from transload.errors import ConfigError, TransloadError
from transload.intake import Intake
from transload.keeper import Keeper
from transload.ledger import Ledger, now
from transload.protocols import SERVER, Arrived
from transload.remotes import hook
from transload.remotes.wrap import Sessions
from transload.spool import Spool
from transload.summary import Summary, summarize
from transload.workplace import Workplace, asked_by, hooks_of, node_of, steps_of

if TYPE_CHECKING:
    from transload.config import Config, Route
    from transload.engine import Engine
    from transload.servers.house import House

PARTS = ("servers", "worker")
Told = Callable[[str, int, int], None]
F = TypeVar("F", bound=Callable[[Arrived], Any])
_PATIENCE = 60.0
_hooked: set[str] = set()


class Transload:
    """All that one config describes: `start` runs it in threads until `stop`, `run` does it once.

    One per process: its queues belong to the process.
    """

    def __init__(self, config: Config, *, told: Told = lambda _what, _files, _bytes: None) -> None:
        """Nothing is opened or connected before `start` or `run`. `told` hears of progress: what, files, bytes."""
        self.config = config
        self._told = told
        self._ledger: Ledger | None = None
        self._spool: Spool | None = None
        self._engine: Engine | None = None
        self._sessions = Sessions()
        self._house: House | None = None
        self._serves = False
        self._landed: Callable[[], None] = lambda: None

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened on first use; raises LedgerAway when it cannot be."""
        if self._ledger is None:
            self._ledger = Ledger(self.config.database_url)
        return self._ledger

    @property
    def spool(self) -> Spool:
        """The spool, laid out on first use."""
        if self._spool is None:
            self._spool = Spool(self.config.data / "spool", min_free=self.config.spool.min_free, keep=self.config.spool.keep)
        return self._spool

    def on_received(self, route: str, *, timeout: float = 60.0) -> Callable[[F], F]:
        """Decorate the function that is told of each arrival of `route`, with an `Arrived`, at least once each.

        It is called in threads, after the sender's "yes" and beside the deliveries. One that raises, or does not return within
        `timeout` seconds, is asked again as the route's `backoff` and `attempts` say. ConfigError when there is no such route,
        or when it has a hook already.
        """
        if self.config.route(route).on_received is not None:
            message = f'the route "{route}" has a hook already: its on_received'
            raise ConfigError(message)

        def register(function: F) -> F:
            # Where a program makes several of these, one after another, the last word holds.
            if route in _hooked:
                hook.forget(route)
            hook.on_received(route, timeout=timeout)(function)
            _hooked.add(route)
            if self._engine is not None:
                self.change(self.config)
            return function

        return register

    def start(self, *, role: str = "up", parts: Collection[str] = PARTS, landed: Callable[[], None] = lambda: None) -> None:
        """Begin these parts, in threads, and return: our servers, and the worker that moves the files of all routes.

        `landed` is called when our servers have received something, for a worker in another process. Raises ConfigError
        when a server cannot be opened, or a route delivers nothing to anybody; then nothing has begun.
        """
        refuse_idle(self.config.routes)
        if "servers" in parts:
            if not self.config.servers.any and "worker" not in parts:
                raise ConfigError('there is no server: write a table [servers.sftp] with listen = "0.0.0.0:2022"')
            self._serves, self._landed = True, landed
            self._house = self._opened(self.config)
        if "worker" in parts:
            self._engine = self._begin(role, [route.name for route in self.config.routes if route.enabled], once=False)

    def _opened(self, config: Config) -> House | None:
        if not config.servers.any:
            return None
        from transload.servers.house import opened

        return opened(config, self.ledger, self.spool, self.node, self._wake)

    def _wake(self) -> None:
        self._landed()
        self.wake()

    def wake(self) -> None:
        """Something may be due: the worker looks at once."""
        if self._engine is not None:
            self._engine.wake()

    def port(self, server: str) -> int:
        """The port at which "ftp" or "sftp" listens; 0 when it does not."""
        return self._house.port(server) if self._house is not None else 0

    def stop(self, grace: float = 30.0) -> None:
        """Take nothing new, let what is in hand end, put the rest back, and close everything."""
        if self._house is not None:
            self._house.stop()
            self._house = None
        if self._engine is not None:
            self._engine.stop(grace)
            self._engine = None
        self._sessions.close_all()
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def change(self, config: Config) -> None:
        """Go on with another config, whole; raises ConfigError when it cannot be, or would need a new start: then all goes on as it was."""
        if config.data != self.config.data or config.database_url != self.config.database_url:
            message = "[transload] data and database cannot change while it runs: stop and start"
            raise ConfigError(message)
        refuse_idle(config.routes)
        if self._house is not None:
            self._house.change(config)
        elif self._serves:
            self._house = self._opened(config)
        self.config = config
        if self._engine is not None:
            names = [route.name for route in config.routes if route.enabled]
            work = self._workplace(self._engine.worker, once=False)
            self._engine.change(work, Keeper(work, names))

    def _begin(self, role: str, routes: Sequence[str], *, once: bool) -> Engine:
        from transload.engine import Engine

        work = self._workplace(f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}", once=once)
        engine = Engine(work, Keeper(work, routes), role=role, queue_url=self._queue_url())
        engine.start()
        return engine

    def _workplace(self, worker: str, *, once: bool) -> Workplace:
        spool, ledger, config = self.spool, self.ledger, self.config
        beside = hooks_of(config) | steps_of(self.node) | places_of(config)
        if any(route.source.server for route in config.routes):
            from transload.servers.landing.settling import HomesPlace

            beside[SERVER] = HomesPlace.of(ledger, config.data / "inbox")
        return Workplace(
            config=config,
            ledger=ledger,
            spool=spool,
            intake=Intake(ledger, spool, self.node),
            worker=worker,
            node=self.node,
            open=lambda name: self._sessions.open(name, config.remotes.get(name) or beside[name], moved=self._moved),
            leave=self._sessions.leave,
            told=self._told,
            once=once,
            go_on=lambda: self._moved(0),
            stopping=lambda: self._engine is not None and self._engine.stopping,
            deliver=deliver,
            beside=beside,
        )

    def _moved(self, count: int) -> None:
        crash.point("moved")
        if self._engine is not None:
            self._engine.go_on()
        if count:
            self._told("moved", 0, count)

    @property
    def node(self) -> str:
        """Where this spool's bytes can be read: this data folder on this machine."""
        return node_of(self.config.data)

    def _queue_url(self) -> str:
        url = self.config.database_url
        return f"sqlite:///{self.config.data / 'engine.db'}" if url.startswith("sqlite") else url

    def run(self, *names: str) -> Summary:
        """Look once at these routes (all enabled ones by default), do what is found and what was left over, and tell of it.

        Beside a running `up` (or another `run`) it hands over and follows, and takes over should that one end. Raises
        ConfigError for an unknown route.
        """
        routes = [self.config.route(name) for name in names] or [route for route in self.config.routes if route.enabled]
        refuse_idle(routes)
        wanted = [route.name for route in routes]
        begun, mark = time.monotonic(), self.ledger.view.last_event()
        rows = self.ledger.looks.declare(wanted)
        # What is disabled or paused is left alone by the others.
        shared = all(route.enabled and not rows[route.name].paused for route in routes)
        asked = self.ledger.looks.ask([route.name for route in routes if not route.source.server])
        if not (shared and self._follow(routes, asked)):
            self.ledger.hand.afresh(wanted)
            self.ledger.fleet.reachable(*{remote for route in routes for remote in asked_by(route, self.node)})
            self._engine = self._begin("run", wanted, once=True)
            self._work_off(routes, asked, self._engine)
            self._engine.tidy()
        return summarize(self.ledger, routes, asked, mark, time.monotonic() - begun, self.spool.room.lack())

    def _others(self) -> bool:
        """Whether another live process already works off this ledger."""
        return any(worker.role != "command" and not self.ledger.presence.is_dead(worker) for worker in self.ledger.fleet.workers())

    def _work_off(self, routes: Sequence[Route], asked: int, engine: Engine) -> None:
        """Until nothing is left that could be done now: what has used up its tries is left held."""
        while not engine.stopping:
            if not engine.wait_quiet(5.0):
                _refuse_stuck(engine)
                continue
            if self.spool.room.refused:  # what nobody needs any more may make some
                engine.collect()
            until = self._goes_on(routes, asked)
            if until is None:
                return
            threading.Event().wait(max(0.01, min((until - now()) / 1e6, 5.0)))
            engine.wake()

    def _goes_on(self, routes: Sequence[Route], asked: int) -> int | None:
        """When the run goes on, None when it is over."""
        ledger, times = self.ledger, list[int]()
        rows, trips = ledger.looks.rows(), ledger.fleet.trips()
        for route in routes:
            given_up = {name for name, trip in trips.items() if trip.failures >= route.attempts}
            row, source = rows[route.name], route.source.remote
            patience = now() + round(max(route.source.settle, _PATIENCE) * 1e6)
            left = ledger.view.left(route.name, route.attempts, patience=patience, fetching=self.spool.room.lack() is None)
            if source not in given_up and not route.source.server:
                if row.claim is not None or (row.started or 0) < asked:
                    times.append(now())
                elif row.error is not None and source in trips:
                    ledger.looks.ask([route.name])
                    times.append(trips[source].next_try or now())
            if left.next_try is not None:
                times.append(left.next_try)
            if left.open:
                mine = asked_by(route, self.node)
                waiting = [trips[name].next_try or 0 for name in mine & trips.keys() - given_up]
                if waiting:
                    times.append(max(min(waiting), now()))
                elif not mine & given_up:
                    times.append(now())
        return min(times) if times else None

    def _follow(self, routes: Sequence[Route], asked: int) -> bool:
        """While another process does the work, wait until nothing is left that is not held; False when it ended before."""
        while self._others():
            rows = self.ledger.looks.rows()
            looking = [rows[route.name] for route in routes if not route.source.server]
            looked = all(row.claim is None and (row.started or 0) >= asked for row in looking)
            if looked and all(self.ledger.view.left(route.name, route.attempts).open == 0 for route in routes):
                return True
            time.sleep(0.2)
        return False


def _refuse_stuck(engine: Engine) -> None:
    """A run does not wait for ever where nothing can go on, as `up` does."""
    fault = engine.stuck(_PATIENCE)
    if isinstance(fault, TransloadError):
        raise fault
    if fault is not None:
        raise TransloadError(f"the program itself has failed ({type(fault).__name__}: {fault}); error.log has the whole of it") from fault
