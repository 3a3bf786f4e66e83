"""When a route looks next."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transload.config import From

EVERY = timedelta(minutes=1)
"""How often a route looks that says neither `every` nor `cron`."""


def next_run(route: str, source: From, now: datetime, last: datetime | None) -> datetime:
    """When the route of that name is to look next, asked at `now`; `last` is when it last did, None for never.

    A time in the past means at once. The same question gets the same answer everywhere, jitter included, so that a
    cluster agrees. An interval starts with a look at once, a cron line with its next time.
    """
    if source.cron is not None:
        due = _by_cron(source.cron, source, now, last)
    elif last is not None:
        due = _by_interval(source, now, last)
    else:
        return now
    return due + _jitter(route, source, due)


def _by_interval(source: From, now: datetime, last: datetime) -> datetime:
    every = EVERY if source.every is None else timedelta(seconds=source.every)
    due = last + every
    if due >= now or source.missed == "once":
        return due
    return last + every * -((last - now) // every)


def _by_cron(line: str, source: From, now: datetime, last: datetime | None) -> datetime:
    from transload.cron import Cron

    cron = Cron(line, source.zone)
    due = cron.next(now if last is None else last)
    return cron.next(now) if due < now and source.missed == "skip" else due


def _jitter(route: str, source: From, due: datetime) -> timedelta:
    """Less than the route's jitter, and always the same for this route and time."""
    if not source.jitter:
        return timedelta()
    digest = hashlib.sha256(f"{route}\0{due.timestamp():.6f}".encode()).digest()
    return timedelta(seconds=source.jitter * int.from_bytes(digest[:6]) / 2**48)
