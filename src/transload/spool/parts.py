"""Files on their way into the spool: hashed while they stream, found again when they were cut."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from transload import disk
from transload.model import Entry, Spooled
from transload.spool import notes
from transload.spool.drafts import Draft
from transload.spool.hashing import Digest
from transload.spool.locks import try_exclusive
from transload.spool.telling import telling

WORTH_RESUMING = 64 * 1024
ALIVE = ".alive"


class Corner:
    """This process's own folder among the parts; when its lock is free the process is dead and the folder is rubbish."""

    def __init__(self, parts: Path) -> None:
        """Make the folder below `parts`."""
        while True:
            self._path = f"{parts}/{secrets.token_hex(8)}"
            self._lock = os.open(self._path + ALIVE, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            if try_exclusive(self._lock, self._path + ALIVE):
                break
            os.close(self._lock)
        os.mkdir(self._path, 0o700)
        self._numbers = itertools.count()

    def path(self) -> str:
        """A path that no other part of this process has."""
        return f"{self._path}/{next(self._numbers)}"

    @property
    def token(self) -> str:
        """What tells this process from all others."""
        return os.path.basename(self._path)

    def draft_of(self, left: Left, check_room: Callable[[int], None]) -> Draft:
        """A part that begins with what was `left` by an earlier try, which is no longer there then."""
        path = self.path()
        # Before it leaves its place: nobody loses it who was told that it is kept.
        notes.write(path, left.about)
        try:
            left.take(path)
            os.truncate(path, left.size)
            return Draft(os.open(path, os.O_RDWR | os.O_NOFOLLOW), path, check_room, left.size, noted=True)
        except BaseException:
            notes.remove(path)
            raise

    def create(self) -> tuple[int, str]:
        """A new empty file, open, and its path."""
        path = self.path()
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), path

    def close(self) -> None:
        """Remove the folder and all that is left in it, but for parts with a note."""
        sweep(self._path, notes.names_of(notes.noted(self._path)))
        os.close(self._lock)


class Left:
    """What an earlier try left somewhere: the file `name` in an open folder, of which the first `size` bytes are wanted."""

    def __init__(
        self, name: bytes, folder: int, size: int, about: Mapping[str, str], leaving: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """`about` is what the note will say; `leaving` is held around the moment in which the file leaves its folder."""
        self._name, self._folder, self.size, self.about, self._leaving = name, folder, size, about, leaving

    def take(self, path: str) -> None:
        """Have it at `path`, and no longer where it was. Raises FileNotFoundError when somebody else has taken it."""
        try:
            with self._leaving():
                os.rename(self._name, path, src_dir_fd=self._folder)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(path)

    def _copy(self, path: str) -> None:
        source = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._folder)
        target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            found = os.fstat(source)
            disk.copy(source, target, found.st_size)
            with self._leaving():
                if not os.path.samestat(found, os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._name)
                os.unlink(self._name, dir_fd=self._folder)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(source)
            os.close(target)


def is_abandoned(corner: str) -> bool:
    """Whether the process whose corner that is, or was, is gone."""
    try:
        lock = os.open(corner + ALIVE, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        return try_exclusive(lock, corner + ALIVE)
    finally:
        os.close(lock)


def sweep(corner: str, spared: Collection[str] = ()) -> None:
    """Remove the folder `corner` of a process that is gone, and its lock; only what is in it where something is `spared`."""
    try:
        for part in os.listdir(corner):
            if part not in spared:
                os.unlink(f"{corner}/{part}")
        if spared:
            return
        os.rmdir(corner)
    except FileNotFoundError:
        pass
    os.unlink(corner + ALIVE)


def resume_name(entry: Entry, feed: str) -> str | None:
    """The name under which a cut part of this version of `entry` is found again; None when it cannot be told from another version."""
    if entry.size is None or entry.size < WORTH_RESUMING or (entry.modified is None and entry.etag is None):
        return None
    key = (notes.boot(), feed, entry.path.hex(), entry.link, entry.size, entry.modified, entry.etag)
    return hashlib.sha256(repr(key).encode()).hexdigest()


class StreamPart:
    """One file on its way in; for one thread at a time."""

    __slots__ = ("_at", "_check_room", "_corner", "_descriptor", "_digest", "_open", "_resumable", "offset")

    def __init__(self, descriptor: int, path: str, corner: Corner, check_room: Callable[[int], None], *, resumable: bool) -> None:
        """A part in the open file `descriptor`, whose bytes count as an earlier try's."""
        self._descriptor, self._at, self._corner, self._check_room = descriptor, path, corner, check_room
        self._resumable, self._open = resumable, True
        self._digest = Digest(descriptor)
        self.offset = os.lseek(descriptor, 0, os.SEEK_END) if resumable else 0

    def head(self, count: int) -> bytes:
        """The first `count` bytes that are there."""
        with telling():
            return os.pread(self._descriptor, count, 0)

    def tail(self, count: int) -> bytes:
        """The last `count` bytes that are there."""
        with telling():
            return os.pread(self._descriptor, count, max(0, self.offset - count))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`; raises Full when there is no room."""
        self._check_room(len(data))
        self._count_what_was_there()
        with telling():
            disk.append(self._descriptor, data, self._digest.size)
        self._digest.wrote(data)

    def restart(self) -> None:
        """Forget what is there and begin at byte 0."""
        with telling():
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._digest.stop()
        self._digest = Digest(self._descriptor)
        self.offset = 0

    def done(self) -> Spooled:
        """All bytes are there: close, and give size and hash."""
        self._count_what_was_there()
        with telling():
            sha256 = self._digest.result()
            if self._resumable:
                # While the lock is held nobody can take it for a cut part.
                mine = self._corner.path()
                os.rename(self._at, mine)
                self._at = mine
            self._close()
        return Spooled(self._at, self._digest.size, sha256)

    def keep(self) -> None:
        """The transfer was cut: close, and keep what is there for a later resume."""
        if self._resumable and (self.offset or self._digest.size):
            with telling():
                self._close()
        else:
            self.drop()

    def drop(self) -> None:
        """Close and forget; harmless after `done` or `keep`."""
        if self._open:
            with telling():
                os.unlink(self._at)
                self._close()

    def _count_what_was_there(self) -> None:
        if self._digest.size < self.offset:
            self._digest.grew(self.offset)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._digest.stop()
            os.close(self._descriptor)


def resumable_part(path: str, size: int, corner: Corner, check_room: Callable[[int], None]) -> StreamPart | None:
    """The part at `path`, with what an earlier try left of its `size` bytes; None while another worker is writing it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if not try_exclusive(descriptor, path):
        os.close(descriptor)
        return None
    if os.fstat(descriptor).st_size >= size:
        # One byte stays to be asked for: some servers answer a request for nothing with an error.
        os.ftruncate(descriptor, size - 1)
    return StreamPart(descriptor, path, corner, check_room, resumable=True)
