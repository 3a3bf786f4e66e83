"""What a client has open: a file that comes, a file that goes, a folder that is listed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from itertools import chain, islice

from transload.errors import Denied, Full, Refused, TransloadError, Unreachable
from transload.servers.base import Item, Reading, Upload, Visit
from transload.servers.sftp import answers

_PAGE = 30_000
"""Bytes of a page of names: some clients take no more than 32 KiB."""
_NAMES = 256
HOPELESS = (Refused, Denied)
"""Faults of an upload that more bytes cannot mend."""
_ISLANDS = 256
"""Blocks that may lie behind a gap and still count once it is closed."""


class Incoming:
    """A file on its way in.

    An interrupted `put` of OpenSSH's sftp is closed as if it were whole. But it ends with a block of the longest write that we told,
    as hardly any whole file does.
    """

    __slots__ = (
        "_cutting",
        "_full",
        "_goes_on",
        "_islands",
        "_solid",
        "appends",
        "began",
        "count",
        "fault",
        "judged",
        "mode",
        "moved",
        "path",
        "upload",
    )

    def __init__(self, path: bytes, upload: Upload, now: float, *, appends: bool, goes_on: bool = False) -> None:
        """For `path`; `appends`: it only grows, whatever offsets the client gives; `goes_on`: it begins with what was there."""
        self.path, self.upload, self.appends = path, upload, appends
        self.fault: TransloadError | None = None
        self.mode: int | None = None
        self.began = self.moved = now
        self.count = 0
        self.judged = (now, 0)
        self._full = -1
        self._goes_on = goes_on and not appends
        self._cutting: Future[None] | None = None
        self._solid = upload.size
        self._islands: list[tuple[int, int]] = []

    def write(self, offset: int, data: memoryview, visit: Visit) -> None:
        """Take `data`; raises what went wrong, and the same again for all that follows."""
        if self.fault is not None:
            raise self.fault
        upload, size = self.upload, self.upload.size
        try:
            if self.appends:
                upload.write(data)
            else:
                if offset > size:
                    self._room_for(offset + len(data) - size, visit)
                upload.write_at(offset, data)
        except TransloadError as fault:
            self.fault = fault
            raise
        self.count += len(data)
        if len(data) == answers.WRITES:
            self._full = offset + answers.WRITES
        self._grew(offset, offset + len(data))

    def end(self, visit: Visit) -> TransloadError | None:
        """The client says that it is whole. Gives why it is not: then it is to be kept, or is forgotten where more bytes cannot mend it."""
        if self.fault is None and self._goes_on and self._solid < self.upload.size:
            # Somebody else went on with what was there, or it has expired: what the client left out is nowhere.
            self.fault = Unreachable(f"only {self._solid} bytes of its beginning are there: go on behind them, or send it again")
        if self.fault is None and self._is_interrupted(visit):
            self.fault = Unreachable("it ends where a block ends, as an interrupted one does: it is kept; go on with it, or send it again")
        if isinstance(self.fault, HOPELESS):
            self.upload.discard()
        return self.fault

    def _is_interrupted(self, visit: Visit) -> bool:
        size = self.upload.size
        if size != self._full or self.appends:
            return False
        try:
            return visit.item(self.path).size != size  # one that ends there for the second time is whole after all
        except TransloadError:
            return True

    def cut_to(self, size: int, visit: Visit) -> None:
        """Make it `size` bytes long."""
        if self.fault is not None:
            raise self.fault
        there = self.upload.size
        if size > there:
            self._room_for(size - there, visit)
        if size != there:
            self.upload.cut_to(size)
        if size > there:
            self._goes_on = False  # the client asks for zeros
        self._solid = min(self._solid, size)

    def cut(self, reason: str, work: Executor) -> Future[None]:
        """It broke off, and is kept for resuming: in a thread of `work`, as it may have to go to another disk. Harmless a second time."""
        self.fault = self.fault or Unreachable(reason)
        if self._cutting is None:
            self._cutting = work.submit(self._keep, reason)
        return self._cutting

    def _keep(self, reason: str) -> None:
        """Keep what came without a gap, for nobody could tell what is behind the gap from what is not."""
        if not self.appends and self._solid < self.upload.size:
            with suppress(TransloadError):
                self.upload.cut_to(self._solid)
        self.upload.cut(reason)

    def _grew(self, begin: int, end: int) -> None:
        if begin > self._solid:
            self._goes_on = self._goes_on and len(self._islands) <= _ISLANDS  # else it cannot be told what is there
            self._islands = [*self._islands[-_ISLANDS:], (begin, end)]
            return
        self._solid = max(self._solid, end)
        while self._islands:
            joined = [island for island in self._islands if island[0] <= self._solid]
            if not joined:
                return
            self._islands = [island for island in self._islands if island[0] > self._solid]
            self._solid = max(self._solid, *(end for _, end in joined))

    @staticmethod
    def _room_for(more: int, visit: Visit) -> None:
        # A hole takes no room at first, so nobody else counts it; and a file of 2^60 zeros would be hashed for ever.
        if more > visit.room()[1]:
            raise Full("no room for a file of that size")


class Outgoing:
    """A file on its way out."""

    __slots__ = ("_closed", "_descriptor", "_reading", "_users", "path", "size")

    def __init__(self, path: bytes, reading: Reading) -> None:
        """From the open file `reading`."""
        self.path, self.size = path, reading.size
        self._reading, self._descriptor = reading, reading.fileno()
        self._users, self._closed = 0, False

    def at_hand(self, offset: int, length: int) -> bool:
        """Whether reading will not wait for a disk, as far as can be told by looking at the last byte."""
        last = min(offset + length, self.size) - 1
        if last < offset:
            return True
        try:
            os.preadv(self._descriptor, [bytearray(1)], last, os.RWF_NOWAIT)
        except OSError as error:
            return error.errno != errno.EAGAIN  # where the file system cannot say, it is in memory or behaves so
        return True

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at `offset`: fewer at the end, none behind it."""
        if offset >= 1 << 63:
            return b""
        return os.pread(self._descriptor, length, offset)

    def hold(self) -> None:
        """Another thread begins to read."""
        self._users += 1

    def let_go(self) -> None:
        """That thread is done."""
        self._users -= 1
        if self._closed and not self._users:
            self._reading.close()

    def close(self) -> None:
        """No longer read, once no thread reads any more."""
        if not self._closed:
            self._closed = True
            if not self._users:
                self._reading.close()


class Listing:
    """A folder that is being listed, page by page."""

    __slots__ = ("_items", "_owner", "path")

    def __init__(self, path: bytes, items: Iterator[Item], owner: bytes) -> None:
        """Of `items`, the first of which is looked for now: it is here that a missing right shows."""
        first = list(islice(items, 1))
        self.path, self._items, self._owner = path, chain(first, items), owner

    def page(self, now: float) -> list[bytes]:
        """The next names, packed; none at the end."""
        entries: list[bytes] = []
        size = 0
        for item in islice(self._items, _NAMES):
            entries.append(answers.entry(item, self._owner, now))
            size += len(entries[-1])
            if size > _PAGE:
                break
        return entries
