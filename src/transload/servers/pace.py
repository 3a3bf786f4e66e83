"""Rates: how long a session waits so that it, its user and all together keep to theirs. Arithmetic alone; nobody sleeps here."""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable

from transload.accounts import Limits

_SPARE = 0.15
"""For how many seconds a rate that nobody used may be used later: a client that wakes late is not made slower for it."""

_BOUNDLESS = math.inf

Clock = Callable[[], float]


class Bucket:
    """`rate` bytes a second, shared evenly by all who have bytes in it at the moment; whoever uses less leaves the rest to the others."""

    __slots__ = ("__weakref__", "_at", "_clock", "_level", "_lock", "_spare", "_tags", "rate")

    def __init__(self, rate: float, clock: Clock = time.monotonic) -> None:
        """`rate` may be changed at any time."""
        self.rate, self._clock = rate, clock
        self._lock = threading.Lock()
        self._at, self._level, self._spare = clock(), 0.0, 0.0
        self._tags: dict[int, float] = {}
        """Of each session with bytes that have not had their time: the level at which they have."""

    def hold(self, session: int, count: int) -> float:
        """`count` bytes of `session` went through: for how many seconds it has to wait until they have had their time."""
        rate = self.rate
        if rate == _BOUNDLESS:
            return 0.0
        with self._lock:
            self._advance(rate)
            saved = min(self._spare, count / rate)
            self._spare -= saved
            tag = self._tags.get(session, self._level) + count - saved * rate
            if tag <= self._level:
                return 0.0
            self._tags[session] = tag
            return sum(min(one, tag) - self._level for one in self._tags.values()) / rate

    def _advance(self, rate: float) -> None:
        """Serve all who wait, each alike, for the time that has gone by."""
        now = self._clock()
        left, self._at = max(0.0, now - self._at), now
        while self._tags and left > 0:
            session = min(self._tags, key=self._tags.__getitem__)
            served = min((self._tags[session] - self._level) * len(self._tags) / rate, left)
            left -= served
            self._level += served * rate / len(self._tags)
            if left > 0 or self._tags[session] <= self._level:
                self._level = max(self._level, self._tags.pop(session))
        if not self._tags:
            self._level = 0.0
            self._spare = min(_SPARE, self._spare + left)


class Pace:
    """The rates of one session in one direction."""

    __slots__ = ("_buckets",)

    def __init__(self, *buckets: Bucket | None) -> None:
        """All that it has to keep to."""
        self._buckets = tuple(bucket for bucket in buckets if bucket is not None)

    def hold(self, session: int, count: int) -> float:
        """For how many seconds `session`, that moved `count` bytes, is to move none."""
        return max((bucket.hold(session, count) for bucket in self._buckets), default=0.0)


class Paces:
    """The rates of all sessions of a process, over all its servers and protocols."""

    def __init__(self, upload: float | None = None, download: float | None = None, clock: Clock = time.monotonic) -> None:
        """`upload` and `download` are what all users may have together, in bytes a second."""
        self._clock = clock
        self._lock = threading.Lock()
        self._all = Bucket(upload or _BOUNDLESS, clock), Bucket(download or _BOUNDLESS, clock)
        self._users: weakref.WeakValueDictionary[tuple[str, str], Bucket] = weakref.WeakValueDictionary()

    def change(self, upload: float | None, download: float | None) -> None:
        """Other rates for all users together, felt at once."""
        for bucket, rate in zip(self._all, (upload, download), strict=True):
            bucket.rate = rate or _BOUNDLESS

    def of(self, user: str, limits: Limits) -> tuple[Pace, Pace]:
        """For one more session of `user`: its upload and its download. A rate that has changed holds for the user's other sessions too."""
        rates = (
            ("upload", limits.connection_upload_rate, limits.upload_rate),
            ("download", limits.connection_download_rate, limits.download_rate),
        )
        up, down = (
            Pace(Bucket(own, self._clock) if own else None, self._shared(user, way, theirs), everybody)
            for (way, own, theirs), everybody in zip(rates, self._all, strict=True)
        )
        return up, down

    def _shared(self, user: str, way: str, rate: int | None) -> Bucket | None:
        if not rate:
            return None
        with self._lock:
            bucket = self._users.get((user, way))
            if bucket is None:
                bucket = self._users[user, way] = Bucket(rate, self._clock)
            bucket.rate = rate
        return bucket
