"""Calls that may take longer than anybody can wait: each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from transload.errors import Busy, Transient
from transload.units import show_duration

_MOST = 64
_LOOK = 0.2


class Calls:
    """What is being called. A call that is not waited for any more goes on, and who asks for the same one again waits for that."""

    def __init__(self) -> None:
        """Nothing is called yet."""
        self._lock = threading.Lock()
        self._going: dict[Hashable, Future[None]] = {}

    def make(self, key: Hashable, work: Callable[[], None], timeout: float, go_on: Callable[[], None]) -> None:
        """Have `work` done, in a thread, and wait for its end; raises what it raises, and what `go_on` raises meanwhile.

        Transient when it has not ended after `timeout` seconds. It cannot be stopped; the next call with the same `key` waits for it.
        """
        future = self._future(key, work)
        until = time.monotonic() + timeout
        while True:
            try:
                future.result(timeout=max(0.0, min(_LOOK, until - time.monotonic())))
            except NotYet:
                if future.done():
                    self._ended(key)
                    raise
                if time.monotonic() >= until:
                    raise Transient(f"it did not return within {show_duration(timeout)}") from None
                go_on()
                continue
            except BaseException:
                self._ended(key)
                raise
            self._ended(key)
            return

    def _future(self, key: Hashable, work: Callable[[], None]) -> Future[None]:
        with self._lock:
            there = self._going.get(key)
            if there is not None and not (there.done() and there.exception() is not None):
                return there
            if sum(not one.done() for one in self._going.values()) >= _MOST:
                raise Busy(f"{_MOST} earlier calls have not returned yet")
            future = self._going[key] = Future()
        threading.Thread(target=_do, args=(future, work), name="transload-hook", daemon=True).start()
        return future

    def _ended(self, key: Hashable) -> None:
        with self._lock:
            self._going.pop(key, None)


def _do(future: Future[None], work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - whatever the operator's code raises is the answer, SystemExit, too
        future.set_exception(error)
    else:
        future.set_result(None)
