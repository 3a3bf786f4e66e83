"""Word from outside that something may be due, for slots that have just run out of work.

A slot costs as much to ask for as dozens of files to move: where files keep coming, one that waits a moment for the next of them
serves them sooner, and takes many at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_LINGER = 0.25
"""Seconds for which a slot waits for more before it is given back."""
_GATHER = 0.1
"""Seconds that pass between two batches while files keep coming: what comes meanwhile goes in the second."""
_TICK = 0.01


class News:
    """Counts what was heard."""

    def __init__(self) -> None:
        self.heard = 0

    def tell(self) -> None:
        """Something may be due; from any thread."""
        self.heard += 1

    def more(self, since: int, over: Callable[[], bool]) -> bool:
        """Wait a moment for news later than the first `since`; whether there were any before it was `over`."""
        until = time.monotonic() + _LINGER
        while self.heard == since:
            if over() or time.monotonic() > until:
                return False
            time.sleep(_TICK)
        return True

    def gather(self, since: int, begun: float) -> None:
        """Let more come, if more came since the first `since`; `begun` is when the last batch was (time.monotonic())."""
        if self.heard != since:
            time.sleep(max(0.0, begun + _GATHER - time.monotonic()))
