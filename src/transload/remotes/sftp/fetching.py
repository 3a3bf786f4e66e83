"""Files coming in: many small ones, and many blocks of large ones, in flight on one connection.

The loop reads; whoever iterates over `outcomes` hashes and writes, in a thread of its own. Bytes cross in groups, and no
more than BUDGET of them are asked for or waiting at any time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from transload import aio
from transload.errors import Changed, TransloadError
from transload.model import Entry, Fetched
from transload.protocols import Part, Spool
from transload.remotes.sftp.large import Large, differs
from transload.remotes.sftp.packets import (
    ATTRS,
    CLOSE,
    DATA,
    EOF,
    FSTAT,
    HANDLE,
    OPEN,
    READ,
    STATUS,
    TO_READ,
    WHERE,
    Attrs,
    Garbled,
    attrs,
    refusal,
    status,
    string,
    text,
)
from transload.remotes.sftp.wire import LOST, Wire

AT_ONCE = 64
LARGE_AT_ONCE = 4
BUDGET = 16 * 1024 * 1024

R = TypeVar("R")
Item = Callable[[Spool], Fetched | None]
"""What the thread does for the loop: write some bytes, open or end a part; it may yield an outcome."""


class Fetching:
    """One batch of files on their way in."""

    def __init__(self, wire: Wire, paths: Callable[[Entry], bytes], entries: Sequence[Entry], spool: Spool) -> None:
        """Prepare to fetch `entries`, each from the path that `paths` tells, into `spool`."""
        self.wire, self.path = wire, paths
        self.parts: set[Part] = set()
        self._spool = spool
        self._waiting = len(entries)
        self._border = aio.Border[Item]()
        small = min(wire.read_max - 1, BUDGET // AT_ONCE)
        self._small: deque[Entry] = deque(entry for entry in entries if entry.size is not None and entry.size <= small)
        self._large: deque[Entry] = deque(entry for entry in entries if entry.size is None or entry.size > small)
        self._active = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._pledged = 0
        self._taken = 0  # written by the thread alone
        self._starved = False
        self._room: asyncio.Event = asyncio.Event()
        self._lost = False

    # --- in the thread

    def outcomes(self) -> Iterator[Fetched]:
        """One outcome per entry, as each is done; raises Unreachable when the connection is lost."""
        loop = self.wire.loop
        loop.call_soon_threadsafe(self.pump)
        try:
            while self._waiting:
                for item in self._border.get():
                    outcome = item(self._spool)
                    if outcome is not None:
                        self._waiting -= 1
                        yield outcome
                if self._starved:
                    loop.call_soon_threadsafe(self.pump)
        finally:
            if self._waiting:
                aio.run(self._abandon())
            for part in self.parts:
                part.keep()

    def took(self, count: int) -> None:
        """So many bytes wait no more."""
        self._taken += count

    # --- in the loop

    def put(self, item: Item) -> None:
        """Have the thread do `item`."""
        self._border.put(item)

    async def in_thread(self, act: Callable[[Spool], R]) -> R:
        """What `act` returns, done in the thread; what it raises ends the whole fetch."""
        future: asyncio.Future[R] = self.wire.loop.create_future()

        def item(spool: Spool) -> None:
            result = act(spool)
            self.wire.loop.call_soon_threadsafe(_settle, future, result)

        self.put(item)
        return await future

    def pledge(self, count: int) -> None:
        """So many bytes are being asked for; a negative count takes some of it back."""
        self._pledged += count

    def has_room(self) -> bool:
        """Whether more bytes may be asked for; if not, `pump` is called when they may."""
        if self._pledged - self._taken < BUDGET:
            return True
        self._starved = True
        self._room.clear()
        return self._pledged - self._taken < BUDGET  # the thread may have looked at the flag just before

    async def room(self) -> None:
        """Wait until more bytes may be asked for."""
        while not self.has_room():
            await self._room.wait()

    def pump(self) -> None:
        """Start what may be started."""
        self._starved = False
        self._room.set()
        while self._small and self._active < AT_ONCE and self.has_room():
            self._active += 1
            _Small(self, self._small.popleft())
        while self._large and len(self._tasks) < LARGE_AT_ONCE and self.has_room():
            task = self.wire.loop.create_task(Large(self, self._large.popleft()).fetch())
            self._tasks.add(task)
            task.add_done_callback(self._large_ended)

    def small_ended(self, entry: Entry, item: Item | None) -> None:
        """A small file is done; without an item it is to be tried again step by step."""
        self._active -= 1
        if item is None:
            self._large.append(entry)
        else:
            self.put(item)
        self.pump()

    def lost(self) -> None:
        """The connection is lost, which ends everything."""
        if not self._lost:
            self._lost = True
            self.put(partial(_raise, self.wire.fault()))

    def _large_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.put(partial(_raise, error))
        else:
            self.pump()

    async def _abandon(self) -> None:
        self._small.clear()
        self._large.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _settle(future: asyncio.Future[R], result: R) -> None:
    if not future.done():
        future.set_result(result)


def _raise(error: BaseException, _: Spool) -> None:
    raise error


class _Small:
    """One file that fits into one answer: opened, then read, looked at and closed in one go."""

    __slots__ = ("_attrs", "_data", "_entry", "_fetching", "_path", "_size")

    def __init__(self, fetching: Fetching, entry: Entry) -> None:
        self._fetching, self._entry, self._size = fetching, entry, entry.size or 0
        self._path = fetching.path(entry)
        self._data: bytes | None = None
        self._attrs: Attrs | None = None
        fetching.pledge(self._size + 1)
        fetching.wire.send(OPEN, string(self._path) + TO_READ, self._opened)

    def _opened(self, kind: int, data: bytes, at: int, stop: int) -> None:
        if kind == HANDLE:
            handle, send = data[at:stop], self._fetching.wire.send
            send(READ, handle + WHERE.pack(0, self._size + 1), self._read)
            send(FSTAT, handle, self._looked)
            send(CLOSE, handle, self._closed)
        elif kind == STATUS:
            code, words = status(data, at, stop)
            self._fail(refusal(code, words, self._path))
        else:
            self._odd(kind)

    def _read(self, kind: int, data: bytes, at: int, stop: int) -> None:
        if kind == DATA:
            self._data = text(data, at, stop)[0]
        elif kind == STATUS and status(data, at, stop)[0] == EOF:
            self._data = b""
        elif kind != STATUS:
            self._odd(kind)

    def _looked(self, kind: int, data: bytes, at: int, stop: int) -> None:
        if kind == ATTRS:
            self._attrs, _ = attrs(data, at, stop)
        elif kind != STATUS:
            self._odd(kind)

    def _closed(self, kind: int, _data: bytes, _at: int, _stop: int) -> None:
        if kind != STATUS:
            self._odd(kind)
        elif self._attrs is None or self._data is None:
            self._again()
        elif fault := differs(self._entry, self._attrs):
            self._fail(Changed(fault))
        elif len(self._data) != self._size:
            self._again()
        else:
            self._fetching.small_ended(self._entry, self._whole)

    def _odd(self, kind: int) -> None:
        if kind != LOST:
            message = "an answer does not fit its question"
            raise Garbled(message)
        self._fetching.lost()

    def _whole(self, spool: Spool) -> Fetched:
        # In the thread.
        entry, told = self._entry, self._attrs
        if entry.modified is None and told is not None and told.modified is not None:
            entry = replace(entry, modified=told.modified * 1_000_000)
        self._fetching.took(self._size + 1)
        return Fetched(entry, spool.put(self._entry, self._data or b""))

    def _fail(self, error: TransloadError) -> None:
        self._fetching.pledge(-self._size - 1)
        outcome = Fetched(self._entry, error=error)
        self._fetching.small_ended(self._entry, lambda _: outcome)

    def _again(self) -> None:
        self._fetching.pledge(-self._size - 1)
        self._fetching.small_ended(self._entry, None)
