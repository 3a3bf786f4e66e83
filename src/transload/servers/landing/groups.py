"""The one thread in which uploads become durable, in groups: what came while a group was synced forms the next."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from transload import log
from transload.errors import Busy, TransloadError

_MOST = 256
_LAST = 10.0
"""Seconds that the end of the program waits for evidence about clients."""


class Member(Protocol):
    """One thing that must become durable before somebody hears "yes"."""

    synced: bool
    sure: Future[bool] | None

    def given_up(self, error: TransloadError) -> None:
        """It will not come to be, for a reason that has nothing to do with it."""


class Work(Protocol):
    """What is done with a group; both tell the members that fail, and `commit` tells all."""

    def sync(self, members: Sequence[Member]) -> Sequence[Member]:
        """Their bytes are on the disk; gives those of which that is true."""

    def commit(self, members: Sequence[Member]) -> Sequence[Member]:
        """All that they stand for is true; gives those that have to wait for the next group."""


class Groups:
    """Takes members from any thread."""

    def __init__(self, work: Work) -> None:
        """What is to be done with them."""
        self._work = work
        self._queue: queue.SimpleQueue[Member | None] = queue.SimpleQueue()
        self._unsure: set[Member] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="transload-landing", daemon=True)
        self._thread.start()

    @property
    def crowded(self) -> bool:
        """Whether more wait than one group has."""
        return self._queue.qsize() > _MOST

    def put(self, member: Member) -> None:
        """Let it be in one of the next groups."""
        if self._closed:
            member.given_up(Busy("the server is stopping"))
            return
        self._queue.put(member)

    def close(self) -> None:
        """Let what is in hand end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        until: float | None = None
        while until is None or ((self._unsure or not self._queue.empty()) and time.monotonic() < until):
            for member in self._gathered(None if until is None else 0.05):
                if member is None:
                    until = time.monotonic() + _LAST
                    self._closed = True
        while self._unsure or not self._queue.empty():
            member = self._unsure.pop() if self._unsure else self._queue.get()
            if member is not None:
                member.given_up(Busy("the server is stopping"))

    def _gathered(self, wait: float | None) -> list[None]:
        """One group; gives a None for a word that this is the end."""
        group: list[Member] = []
        ends: list[None] = []
        try:
            member = self._queue.get(timeout=wait)
            while True:
                if member is None:
                    ends.append(None)
                else:
                    group.append(member)
                if len(group) == _MOST:
                    break
                member = self._queue.get_nowait()
        except queue.Empty:
            pass
        self._done(group)
        return ends

    def _done(self, group: list[Member]) -> None:
        try:
            fresh = [one for one in group if not one.synced]
            good = {id(one) for one in self._work.sync(fresh)} if fresh else set()
            ready = []
            for one in group:
                if one.synced or id(one) in good:
                    one.synced = True
                    if one.sure is None or one.sure.done():
                        ready.append(one)
                    else:
                        self._wait(one, one.sure)
            for one in self._work.commit(ready) if ready else ():
                self._queue.put(one)
        except Exception as error:  # noqa: BLE001 - whatever it is, the senders must hear that it is no "yes"
            log.get("transload.landing").exception("a group of uploads failed inside the program")
            for one in group:
                one.given_up(TransloadError(f"a fault inside Transload: {type(error).__name__}: {error}"))

    def _wait(self, member: Member, sure: Future[bool]) -> None:
        self._unsure.add(member)

        def known(_: Future[bool]) -> None:
            self._unsure.discard(member)
            self._queue.put(member)

        sure.add_done_callback(known)
