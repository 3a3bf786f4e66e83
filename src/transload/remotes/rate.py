"""A limit on bytes a second, shared by any number of threads."""

from __future__ import annotations

import threading
import time

_BURST = 0.05


class Rate:
    """Lets `limit` bytes a second pass, over all who ask; each is held back until its own bytes have had their time."""

    def __init__(self, limit: float) -> None:
        """`limit` in bytes a second."""
        self._limit = limit
        self._lock = threading.Lock()
        self._free_at = 0.0

    def wait(self, count: int) -> None:
        """Return when `count` more bytes have had their time; what was not used before is lost, but for a twentieth of a second."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - _BURST) + count / self._limit
            left = self._free_at - now
        if left > 0:
            time.sleep(left)
