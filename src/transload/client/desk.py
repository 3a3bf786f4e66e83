"""Where a file that is fetched is put together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from transload import disk
from transload.errors import Missing
from transload.model import Entry, Spooled
from transload.remotes.base import Moved, unmetered


class Desk:
    """Where one file is put together: beside its final name, under a temporary one. It is the spool and the part in one."""

    def __init__(self, target: Path, moved: Moved = unmetered) -> None:
        self._target, self._moved = target, moved
        self._hash = hashlib.sha256()
        self._whole = False
        self._path = target.with_name(f".{uuid4().hex[:16]}.part")
        try:
            self._file = self._path.open("x+b")
        except OSError as error:
            raise Missing(f"{target} cannot be written: {error.strerror}") from error
        self.offset = 0

    def part(self, entry: Entry) -> Desk:  # noqa: ARG002 - there is but one file
        return self

    def put(self, entry: Entry, data: bytes) -> Spooled:
        self.restart()
        self.part(entry).write(data)
        return self.done()

    def head(self, count: int) -> bytes:
        self._file.flush()
        return os.pread(self._file.fileno(), count, 0)

    def tail(self, count: int) -> bytes:
        self._file.flush()
        return os.pread(self._file.fileno(), count, max(0, self.offset - count))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with self._telling():
            self._file.write(data)
        self._hash.update(data)
        self.offset += len(data)
        self._moved(len(data))

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.offset = hashlib.sha256(), 0

    def done(self) -> Spooled:
        self._whole = True
        return Spooled(str(self._path), self.offset, self._hash.hexdigest())

    def keep(self) -> None:
        """What is there is resumed over the next line."""

    def drop(self) -> None:
        if not self._whole:
            self.restart()

    def finish(self, entry: Entry) -> int:
        """Give the file its name, durably, and its time."""
        with self._telling():
            self._file.flush()
            if entry.modified is not None:
                os.utime(self._file.fileno(), ns=(entry.modified * 1000, entry.modified * 1000))
            os.fsync(self._file.fileno())
            os.replace(self._path, self._target)
        return self.offset

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk.told(error, str(self._target)) from error

    def close(self) -> None:
        with suppress(OSError):  # a full disk says so once more for what was left unwritten
            self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._path)
