"""One worker process: it lives in the ledger, serves slots, and keeps what is due on its way."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from transload import log
from transload.engine.batches import Batches
from transload.engine.news import News
from transload.engine.pace import Pace
from transload.engine.slots import Slots
from transload.engine.watching import Watching
from transload.errors import TransloadError
from transload.ledger import Lost, Worker, now
from transload.protocols import HOOK

if TYPE_CHECKING:
    from transload.keeper import Keeper
    from transload.workplace import Workplace

_BEAT = 5.0
_IDLE = 2.0
_BREATH = 0.25
_SHARE = 10.0
_SLOW = 1_000_000
_COLLECT = 600.0
_HOUR = 3600.0
_PUT_BACK = 5.0


class Engine:
    """Serves the slots that this process gets, and sees to it that enough are asked for."""

    def __init__(self, work: Workplace, keeper: Keeper, *, role: str, queue_url: str, threads: int = 32) -> None:
        """A worker with these routes; `role` is how `status` shows it."""
        self._work, self._keeper, self._role = work, keeper, role
        self._queue_url, self._threads = queue_url, threads
        self.worker = work.worker
        """This worker's id."""
        self._slots: Slots | None = None
        self._stop, self._wake, self._quiet = threading.Event(), threading.Event(), threading.Event()
        self._overdue = threading.Event()
        self._active: dict[int, str] = {}
        self._active_lock = threading.Lock()
        self._batches = Batches(self._stop)
        self._watching = Watching(self._look_now)
        self._beaten = self._collected = 0.0
        self._fault: Exception | None = None
        self._turned = time.monotonic()
        self._renewing = self._shared = False
        self._opens = 0.0
        self._pace = Pace(always=work.once)
        self._news = News()
        self._turner = threading.Thread(target=self._turns, name="transload-engine", daemon=True)
        self._log = log.get("transload.engine")

    def start(self) -> None:
        """Join the fleet and begin; returns at once."""
        work = self._work
        work.ledger.presence.hold(work.worker)
        self._join()
        others = [worker for worker in work.ledger.fleet.workers() if worker.id != work.worker]
        self._shared = not all(map(work.ledger.presence.is_dead, others))
        # The others learn of this worker at their next turn, and give up the sessions that they only keep.
        self._opens = time.monotonic() + (_IDLE + 2.0 if self._shared else 0.0)
        self._slots = self._joined_queues()
        self._keeper.begin()
        self._collected = time.monotonic()
        self._turner.start()
        if not work.once:
            self._watching.change(work.config)

    def _joined_queues(self) -> Slots:
        connections = self._work.connections
        # Hooks may take as long as they like: their threads are beside those of the others.
        threads = self._threads + sum(count for name, count in connections.items() if name.startswith(HOOK))
        return Slots(self._queue_url, self._work.worker, connections, self._serve, threads=threads)

    def _join(self) -> None:
        work, at = self._work, now()
        work.ledger.fleet.join(Worker(work.worker, work.node, os.getpid(), socket.gethostname(), self._role, at, at))

    def change(self, work: Workplace, keeper: Keeper) -> None:
        """Go on with another config; what is in hand ends under the old one."""
        self._work, self._keeper = work, keeper
        keeper.begin()
        if self._slots is not None:
            self._slots.limit(work.connections)
        self._watching.change(work.config)
        self.wake()

    def _look_now(self, route: str) -> None:
        try:
            self._work.ledger.looks.reschedule(route, now())
        except TransloadError as error:
            self._log.error("the ledger cannot be used", error=str(error))
        self.wake()

    def tidy(self) -> None:
        """What a run does last: tell what somebody should hear of, and throw away what is old, unless that was done within the hour."""
        self._keeper.tell()
        mark = self._work.config.data / "tidied"
        if not mark.exists() or time.time() - mark.stat().st_mtime > _HOUR:
            mark.touch()
            self.collect()

    def collect(self) -> None:
        """Throw away what nobody needs any more."""
        self._keeper.collect()

    def wake(self) -> None:
        """Something may be due: look at once."""
        self._news.tell()
        self._turn_soon()

    def _turn_soon(self) -> None:
        self._quiet.clear()
        self._wake.set()

    def wait_quiet(self, seconds: float) -> bool:
        """Wait until nothing is due and nothing is in hand here, at most so long."""
        return self._quiet.wait(seconds)

    def stuck(self, seconds: float) -> Exception | None:
        """Why nothing has gone on for so long, if nothing has: the ledger is away, or the program has a fault."""
        return self._fault if time.monotonic() - self._turned > seconds else None

    @property
    def stopping(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._stop.is_set()

    def go_on(self) -> None:
        """Raise Lost when a transfer in hand is to be put back: this process was told to stop, and its grace is over."""
        if self._overdue.is_set():
            message = "this process is stopping"
            raise Lost(message)

    def stop(self, grace: float = 30.0) -> None:
        """Begin nothing new, let what is in hand end (at most `grace` seconds), put the rest back, and leave."""
        self._stop.set()
        self._wake.set()
        self._watching.close()
        self._turner.join()
        until = time.monotonic() + grace
        while self._busy() and time.monotonic() < until:
            self._quiet.wait(0.02)
        self._overdue.set()
        until = time.monotonic() + _PUT_BACK
        while self._busy() and time.monotonic() < until:
            self._quiet.wait(0.02)
        if self._slots is not None:
            self._slots.close()
        self._work.ledger.fleet.leave(self._work.worker)
        self._work.ledger.presence.release(self._work.worker)
        self._work.ledger.presence.release("keeper")

    def _busy(self) -> bool:
        with self._active_lock:
            return bool(self._active)

    def _turns(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            pause = _IDLE
            try:
                if self._turn():
                    pause = 0.25
                self._fault, self._turned = None, time.monotonic()
            except TransloadError as error:
                self._fault = error
                # The ledger itself is away: nothing can be written there, so it is said here and tried again.
                self._log.error("the ledger cannot be used", error=str(error))
                pause = 1.0
            except Exception as error:  # noqa: BLE001 - it is logged, told, and tried again
                self._fault = error
                self._log.exception("a turn of the engine failed")
                # It may be that the tables of the queues are gone: nothing in them is missed, so they are made anew.
                self._renewing = True
                pause = 0.5
            self._wake.wait(pause)
            self._breathe()

    def _breathe(self) -> None:
        """Let some time pass: slots that are served take what has become due by themselves, and a turn costs as much as many files."""
        time.sleep(0.01)
        until = time.monotonic() + _BREATH
        # A run is waited for: what its fetches make due elsewhere is asked for at once.
        while not self._work.once and self._busy() and not self._stop.is_set() and time.monotonic() < until:
            time.sleep(0.01)

    def _turn(self) -> bool:
        """Ask for the slots that are useful now; whether there was anything to do."""
        work = self._work
        self._batches.end(work)
        beat = time.monotonic() - self._beaten > _BEAT
        if beat:
            self._beaten = time.monotonic()
            # The lock went with the database if that was started anew.
            work.ledger.presence.hold(work.worker)
            if not work.ledger.fleet.beat(work.worker):
                self._join()
        if self._renewing and self._busy():
            return True
        if self._slots is None or self._renewing:
            self._slots = self._renewed(self._slots)
        slots = self._slots
        self._make_way()
        due = self._keeper.due()
        live, held = slots.live()
        # A keeper may be frozen with its lock in its hands, so now and then everybody looks for the dead.
        alone = work.ledger.presence.hold("keeper")
        if alone or beat:
            self._keep(slots, held)
        self._keeper.find(alone=alone)
        self._pace.tell(slots, working=bool(due or live), beat=beat)
        slow, limits = self._slow() if due else {}, work.connections
        for remote, count in due.items():
            missing = min(count + slow.get(remote, 0), limits.get(remote, 0)) - live.get(remote, 0)
            if missing > 0:
                slots.ask(remote, missing)
        if not due and not live and not self._busy() and not self._wake.is_set():
            self._quiet.set()
        return bool(due or live)

    def _slow(self) -> Mapping[str, int]:
        """How many batches of each remote have been in hand for a while: what is due does not wait for them."""
        before = now() - _SLOW
        return Counter(claim.remote for claim in self._work.ledger.claims.open() if claim.begun < before)

    def _renewed(self, slots: Slots | None) -> Slots:
        self._slots = None
        if slots is not None:
            slots.close()
        made = self._joined_queues()
        self._renewing = False
        return made

    def _keep(self, slots: Slots, held: Mapping[str, list[str]]) -> None:
        """What one process does for all: bury the dead, throw away what is old."""
        self._keeper.repair()
        alive = {worker.id for worker in self._work.ledger.fleet.workers()}
        lost = [workflow for worker, workflows in held.items() if worker not in alive for workflow in workflows]
        if lost:
            slots.free(lost)
        if time.monotonic() - self._collected > _COLLECT:
            self._collected = time.monotonic()
            self._keeper.collect()
            slots.forget()

    def _serve(self, remote: str) -> None:
        """One slot: batch after batch at `remote`, until nothing is due or others should have their turn."""
        me = threading.get_ident()
        with self._active_lock:
            self._active[me] = remote
        self._stop.wait(max(0.0, self._opens - time.monotonic()))
        until = time.monotonic() + _SHARE
        try:
            while not self._ends() and time.monotonic() < until:
                work, keeper, heard, begun = self._work, self._keeper, self._news.heard, time.monotonic()
                claim = keeper.take(remote) if work.place(remote) is not None else None
                if claim is None:
                    # Where others share the remote, or the end is waited for, no slot is kept without work.
                    if self._shared or work.once or not self._news.more(heard, self._ends):
                        break
                    continue
                self._batches.do(work, claim)
                self._turn_soon()
                if not work.once:
                    self._news.gather(heard, begun)
        except TransloadError as error:
            self._log.error("work had to be put back", remote=remote, error=str(error))
        finally:
            with self._active_lock:
                del self._active[me]
            self._make_room(remote)
            self._turn_soon()

    def _ends(self) -> bool:
        return self._stop.is_set() or self._renewing

    def _make_way(self) -> None:
        """Learn whether others share the remotes, and keep no more sessions than slots while they do."""
        self._shared = len(self._work.ledger.fleet.workers()) > 1
        for remote in self._work.connections:
            self._make_room(remote)

    def _make_room(self, remote: str) -> None:
        """Where others share a remote, no more sessions stay open than slots are held: the limit of its connections is for all together."""
        if self._shared:
            with self._active_lock:
                held = list(self._active.values()).count(remote)
            self._work.leave(remote, held)
