"""When a transfer is too slow to be let go on: a client that feeds a byte now and then must not hold a place for ever."""

from __future__ import annotations

from typing import Protocol

from transload.config.server import Server

_MINUTE = 60.0


class Moving(Protocol):
    """A transfer under way; times are of time.monotonic()."""

    began: float
    moved: float
    count: int
    judged: tuple[float, int]


def why_slow(it: Moving, settings: Server, now: float) -> str:
    """Why it has to be cut, or nothing."""
    if now - it.moved > settings.stalled:
        return f"no byte moved for {settings.stalled:g} s"
    if now - it.began > settings.deadline:
        return f"it took longer than {settings.deadline:g} s"
    since, count = it.judged
    if settings.least_rate and now - since >= _MINUTE:
        it.judged = (now, it.count)
        if it.count - count < settings.least_rate * (now - since):
            return f"it was slower than {settings.least_rate:g} bytes a second"
    return ""
