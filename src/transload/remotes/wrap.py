"""What is the same for all remotes, done in one place around their sessions: short retries, keeping, limits, progress."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from transload.errors import Permanent, Rejected, TransloadError, Unreachable
from transload.model import Entry, Fetched
from transload.protocols import Spool
from transload.remotes.base import Moved, RemoteSettings, unmetered
from transload.remotes.metering import MeteredSpool
from transload.remotes.rate import Rate

_IDLE = 30.0
_TRIES = 3
_PATIENCE = 10.0
_ONCE = ("stat", "look", "hash", "sweep", "remove", "move")
_MANY = ("list", "stage", "publish")

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(eq=False)
class _Line:
    """One connected session, and how to end it."""

    remote: RemoteSettings
    session: Any
    ending: ExitStack
    era: int
    idle_since: float = field(default_factory=time.monotonic)

    def alive(self) -> bool:
        alive: bool = self.session.alive()
        return alive

    def close(self) -> None:
        # It is over either way: a line that is dead already says so once more when it is closed.
        with suppress(TransloadError, OSError):
            self.ending.close()


class Wrapped:
    """A session as its user sees it: with the abilities of its kind, metered, and watched for what ends its use.

    What concerns one file (Missing, Conflict, Denied, ...) leaves the session good; anything else, and leaving a listing or a
    transfer half way, does not.
    """

    fetch: Callable[[Iterable[Entry], Spool], Iterator[Fetched]]

    def __init__(self, session: Any, moved: Moved) -> None:
        self._session, self._moved = session, moved
        self._running = 0
        self._broken = False
        # Set on the instance, so that asking for an ability (isinstance) tells the truth.
        for name in _ONCE:
            if hasattr(session, name):
                setattr(self, name, self._watched(getattr(session, name)))
        for name in _MANY:
            if hasattr(session, name):
                setattr(self, name, self._watched_through(getattr(session, name)))
        if hasattr(session, "fetch"):
            self.fetch = self._watched_through(self._metered)

    @property
    def refused(self) -> list[str]:
        """The names that the last listing left out, with the reason."""
        refused: list[str] = self._session.refused
        return refused

    @property
    def good(self) -> bool:
        """Whether somebody else may use the session now."""
        return not self._broken and self._running == 0

    def _metered(self, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
        fetched: Iterator[Fetched] = self._session.fetch(entries, spool if self._moved is unmetered else MeteredSpool(spool, self._moved))
        return fetched

    def _watched(self, asked: Callable[P, T]) -> Callable[P, T]:
        @wraps(asked)
        def watched(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._watching():
                return asked(*args, **kwargs)

        return watched

    def _watched_through(self, asked: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
        @wraps(asked)
        def watched(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            self._running += 1
            try:
                with self._watching():
                    yield from asked(*args, **kwargs)
            finally:
                self._running -= 1

        return watched

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except (Permanent, Rejected):
            raise
        except BaseException:
            self._broken = True
            raise


class Sessions:
    """The sessions of all remotes in this process: connected to when needed, used again, closed when idle.

    For any number of threads; each session is in the hands of one at a time.
    """

    def __init__(self, *, idle: float = _IDLE) -> None:
        """Sessions that nobody used for `idle` seconds are closed."""
        self._idle = idle
        self._lock = threading.Lock()
        self._leaving: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lines: dict[str, list[_Line]] = defaultdict(list)
        self._used: Counter[str] = Counter()
        self._rates: dict[str, tuple[int, Rate]] = {}
        self._timer: threading.Timer | None = None
        self._era = 0

    @contextmanager
    def open(self, name: str, remote: RemoteSettings, *, moved: Moved = unmetered) -> Iterator[Wrapped]:
        """A session of `remote`, called `name`, logged in; `moved` hears of every byte that is fetched or sent.

        Raises Unreachable, after short retries, Busy, or Denied.
        """
        with self._using(name), self._line(name, remote, moved) as wrapped:
            yield wrapped

    @contextmanager
    def _using(self, name: str) -> Iterator[None]:
        with self._lock:
            self._used[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._used[name] -= 1

    @contextmanager
    def _line(self, name: str, remote: RemoteSettings, moved: Moved) -> Iterator[Wrapped]:
        line = self._waiting(name, remote) or self._connected(remote)
        meter = self._meter(name, remote, moved)
        wrapped = Wrapped(line.session, meter)
        line.session.moved = meter
        good = False
        try:
            yield wrapped
            good = wrapped.good
        except (Permanent, Rejected):
            good = wrapped.good
            raise
        finally:
            line.session.moved = unmetered
            if good:
                self._put_back(name, line)
            else:
                line.close()

    def leave(self, name: str, count: int) -> None:
        """Close what is idle, until no more than `count` sessions of that remote are open: others may want its connections."""
        # What another thread is closing is open still: it is waited for.
        with self._leaving[name]:
            with self._lock:
                idle = self._lines[name]
                keep = max(0, count - self._used[name])
                over, idle[:] = idle[keep:], idle[:keep]
            for line in over:
                line.close()

    def close_all(self) -> None:
        """Close what is idle, and what is in use as soon as it is not."""
        with self._lock:
            self._era += 1
            lines = [line for some in self._lines.values() for line in some]
            self._lines.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for line in lines:
            line.close()

    def _waiting(self, name: str, remote: RemoteSettings) -> _Line | None:
        while True:
            with self._lock:
                line = self._lines[name].pop() if self._lines[name] else None
            if line is None:
                return None
            if line.remote == remote and line.alive():
                return line
            line.close()

    def _put_back(self, name: str, line: _Line) -> None:
        line.idle_since = time.monotonic()
        with self._lock:
            kept = line.era == self._era and len(self._lines[name]) < line.remote.connections
            if kept:
                self._lines[name].append(line)
                self._watch_idle()
        if not kept:
            line.close()

    def _watch_idle(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._idle, self._close_idle)
            self._timer.daemon = True
            self._timer.start()

    def _close_idle(self) -> None:
        before = time.monotonic() - self._idle
        with self._lock:
            self._timer = None
            old = [line for some in self._lines.values() for line in some if line.idle_since <= before]
            for some in self._lines.values():
                some[:] = [line for line in some if line.idle_since > before]
            if any(self._lines.values()):
                self._watch_idle()
        for line in old:
            line.close()

    def _meter(self, name: str, remote: RemoteSettings, moved: Moved) -> Moved:
        if remote.rate is None:
            return moved
        with self._lock:
            limit, rate = self._rates.get(name) or (0, None)
            if rate is None or limit != remote.rate:
                rate = Rate(remote.rate)
                self._rates[name] = remote.rate, rate
        hold = rate.wait
        if moved is unmetered:
            return hold

        def both(count: int) -> None:
            hold(count)
            moved(count)

        return both

    def _connected(self, remote: RemoteSettings) -> _Line:
        era = self._era
        for attempt in _attempts():
            with attempt:
                ending = ExitStack()
                return _Line(remote, ending.enter_context(remote.connect()), ending, era)
        raise AssertionError


def _attempts() -> Iterator[AbstractContextManager[Any]]:
    import stamina

    # A second try within seconds is no news; what fails for good is told by the error.
    stamina.instrumentation.set_on_retry_hooks(())
    return iter(stamina.retry_context(on=Unreachable, attempts=_TRIES, timeout=_PATIENCE, wait_initial=0.5, wait_max=4.0))
