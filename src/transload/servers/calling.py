"""The functions of a program that are told of files: outside the servers' loops, and again when they raise."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from transload import log
from transload.protocols import Arrived

Function = Callable[[Arrived], object]
AGAIN = (1.0, 5.0, 30.0, 120.0, 600.0)
"""After how many seconds a function that raised is called again; then it is given up."""
_AT_ONCE = 4
_here = threading.local()


def is_called() -> bool:
    """Whether this is asked from within a function that is told of a file: it must not wait for such functions to end."""
    return getattr(_here, "called", False)


class Calls:
    """Calls one function for each file, in threads, several at once. For any thread."""

    def __init__(self, function: Function, again: Sequence[float] = AGAIN) -> None:
        """`function` is called with an `Arrived`; when it raises, again after these times."""
        self._function, self._again = function, again
        self._due: list[tuple[float, int, int, Arrived]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._over = False
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="transload-received")
        self._thread = threading.Thread(target=self._run, name="transload-received", daemon=True)
        self._thread.start()

    def __call__(self, arrived: Arrived) -> None:
        """A file is there; returns at once."""
        self._put(time.monotonic(), 0, arrived)

    def close(self) -> None:
        """Let the calls end that are going on or were not begun; what waited to be tried again is given up, and logged."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown()
        for _, _, tries, arrived in sorted(self._due):
            self._give_up(arrived, tries, "the server stops")

    def _put(self, at: float, tries: int, arrived: Arrived) -> None:
        with self._changed:
            heapq.heappush(self._due, (at, next(self._numbers), tries, arrived))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._over and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if not self._due or self._due[0][0] > time.monotonic():
                    return
                _, _, tries, arrived = heapq.heappop(self._due)
            self._pool.submit(self._call, arrived, tries)

    def _call(self, arrived: Arrived, tries: int) -> None:
        _here.called = True
        try:
            self._function(arrived)
        except Exception as error:  # noqa: BLE001 - it is the user's code: whatever it raises is logged, and it is asked again
            if tries < len(self._again):
                wait = self._again[tries]
                told = log.get("transload.received")
                told.warning("the function of a file raised, it is called again", file=arrived.name, error=repr(error), seconds=wait)
                self._put(time.monotonic() + wait, tries + 1, arrived)
            else:
                self._give_up(arrived, tries + 1, repr(error))

    def _give_up(self, arrived: Arrived, tries: int, why: str) -> None:
        told = log.get("transload.received")
        told.error("the function of a file has not succeeded: given up", file=arrived.name, path=arrived.path, tries=tries, error=why)
