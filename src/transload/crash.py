"""Named points at which a process ends itself as by kill -9, for tests.

TRANSLOAD_CRASH_AT names one: "spooled", or "spooled:3" for the third time that it is reached.
"""

from __future__ import annotations

import os
import signal

_NAME, _, _COUNT = os.environ.get("TRANSLOAD_CRASH_AT", "").partition(":")
_left = int(_COUNT or 1)


def point(name: str) -> None:
    """Die here if this is the named point and its turn has come."""
    global _left  # noqa: PLW0603
    if name == _NAME:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
