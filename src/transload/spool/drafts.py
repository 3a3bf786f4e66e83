"""A part as senders write it: anywhere, in any order; hashed while it streams as long as it does stream."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from transload import disk
from transload.model import Spooled
from transload.spool import notes
from transload.spool.hashing import Digest
from transload.spool.telling import telling


class Draft:
    """One file that somebody sends us; for one thread at a time. Raises Full and Busy, as the spool does."""

    __slots__ = ("_check_room", "_descriptor", "_digest", "_open", "_scattered", "noted", "path", "size")

    def __init__(self, descriptor: int, path: str, check_room: Callable[[int], None], size: int = 0, *, noted: bool = False) -> None:
        """The open file `descriptor` at `path` with `size` bytes in it already; `check_room` is asked before it grows by so much."""
        self._descriptor, self.path, self._check_room = descriptor, path, check_room
        self._open, self._scattered = True, False
        self.noted = noted
        """Whether a note says what it is for, so that it outlives this process."""
        self._digest = Digest(descriptor)
        self.size = size
        if size:
            self._digest.grew(size)

    @property
    def at_hand(self) -> bool:
        """Whether `done` gives the hash at once, without reading anything again."""
        return not self._scattered and not self._digest.behind

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` there; at the end is quick."""
        count = len(data)
        if not count:
            return
        end = offset + count
        if end > self.size:
            self._check_room(end - self.size)
        with telling():
            _write_all(self._descriptor, data, offset)
        if offset == self.size and not self._scattered:
            self._digest.wrote(data)
        else:
            self._scatter()
        self.size = max(self.size, end)

    def cut_to(self, size: int) -> None:
        """Truncate, or lengthen with zeros."""
        if size == self.size:
            return
        if size > self.size:
            self._check_room(size - self.size)
        with telling():
            os.ftruncate(self._descriptor, size)
        self._scatter()
        self.size = size
        if not size:
            self._digest, self._scattered = Digest(self._descriptor), False

    def note(self, about: Mapping[str, str]) -> None:
        """Let it outlive this process, for whoever knows what to do with what is `about` it."""
        with telling():
            notes.write(self.path, about)
        self.noted = True

    def forget_note(self) -> None:
        """It has gone its way, or is of no use to anybody else."""
        if self.noted:
            self.noted = False
            notes.remove(self.path)

    def take(self, source: int, size: int) -> None:
        """Fill the empty draft with the first `size` bytes of the open file `source`."""
        self._check_room(size)
        with telling():
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            disk.copy(source, self._descriptor, os.fstat(source).st_size)
            os.ftruncate(self._descriptor, size)
        self.size = size
        self._digest.grew(size)

    def syncing(self) -> Callable[[], None]:
        """What makes the bytes that are there now durable, to be called once, in any thread, whatever becomes of the draft meanwhile."""
        with telling():
            descriptor = os.dup(self._descriptor)

        def sync() -> None:
            with telling():
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

        return sync

    def done(self) -> Spooled:
        """All bytes are there: close, and give size and hash."""
        spooled = self.whole()
        self.close()
        return spooled

    def whole(self) -> Spooled:
        """The same, but it stays open, which makes `copy_to` cheaper."""
        with telling():
            if self._scattered:
                self._digest = Digest(self._descriptor)
                self._digest.grew(self.size)
            return Spooled(self.path, self.size, self._digest.result())

    def copy_to(self, target: int) -> None:
        """Copy what is there into the empty open file `target`, also after `done`; OSError as it comes."""
        for descriptor in [self._descriptor] if self._open else disk.opened([self.path]):
            disk.copy(descriptor, target, self.size)

    def close(self) -> None:
        """Close, and leave the file where it is; harmless when closed."""
        if self._open:
            self._open = False
            self._digest.stop()
            with telling():
                os.close(self._descriptor)

    def drop(self) -> None:
        """Close and forget; harmless after `close`."""
        if self._open:
            with telling():
                self.forget_note()
                os.unlink(self.path)
                self.close()

    def _scatter(self) -> None:
        if not self._scattered:
            self._scattered = True
            self._digest.stop()


def _write_all(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    count = os.pwrite(descriptor, data, offset)
    if count < len(data):
        rest = memoryview(data)
        while count < len(rest):
            count += os.pwrite(descriptor, rest[count:], offset + count)
