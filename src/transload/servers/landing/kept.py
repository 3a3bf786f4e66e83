"""Cut uploads, kept beside where they would have come to lie, under a name that no client sees; and the parts they become again."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from transload import disk
from transload.errors import Conflict, Missing, TransloadError
from transload.model import Name, spell
from transload.servers.base import KEPT, RESERVED

if TYPE_CHECKING:
    from transload.servers.base import Home
    from transload.spool.drafts import Draft
    from transload.spool.notes import Orphan

LONGEST = 255
PASSING = RESERVED + b"old."
"""Before the name of what is there for moments only: a file that is about to be replaced, a copy that comes from another disk."""

Seen = tuple[int, int, int, int]
"""What tells a file from another one that has its name later: device, number, size, time."""
_REMEMBERED = 10_000


class Order:
    """In which order uploads of one name began: what is cut after a later one landed, or was kept, is of no more use.

    It would show again, as if it could be gone on with, once the later one has another name or is removed. For any thread.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._latest: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()

    def begin(self) -> int:
        """The number of one more upload."""
        return next(self._numbers)

    def goes(self, home: Home, path: Name, number: int) -> bool:
        """That one lands, or is to be kept: whether none that began after it did so before."""
        key = home.root, path.raw
        with self._lock:
            latest = self._latest.get(key, 0)
            self._latest[key] = max(latest, number)
            self._latest.move_to_end(key)
            if len(self._latest) > _REMEMBERED:
                self._latest.popitem(last=False)
        return number >= latest


order = Order()


class _Opened(threading.local):
    """The folders that this thread keeps open, while it does."""

    folders: dict[tuple[Home, bytes], int] | None = None
    stack: ExitStack


_opened = _Opened()


@contextmanager
def keeping_open() -> Iterator[None]:
    """What `beside` has opened in this thread stays open until the end of this: a group opens each folder once."""
    with ExitStack() as stack:
        _opened.folders, _opened.stack = {}, stack
        try:
            yield
        finally:
            _opened.folders = None


class beside:  # noqa: N801 - used like a function, and several times for each file: quicker than a generator
    """The folder of the home in which `path` lies, open; what the disk says of it is an error of ours."""

    __slots__ = ("_alone", "_home", "_path")

    def __init__(self, home: Home, path: Name) -> None:
        self._home, self._path = home, path
        self._alone: AbstractContextManager[int] | None = None

    def __enter__(self) -> int:
        home, where, folders = self._home, self._path.folder, _opened.folders
        if folders is None:
            self._alone = home.way(where)
            return self._alone.__enter__()
        kept = folders.get((home, where))
        if kept is None:
            kept = folders[home, where] = _opened.stack.enter_context(home.way(where))
        return kept

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._alone is not None:
            self._alone.__exit__(None, None, None)
        if isinstance(error, OSError):
            raise disk.told(error, self._path.raw) from error


def size_of(folder: int, name: bytes) -> int | None:
    """The size of the file `name`, None where there is none; raises Conflict when it is a folder, or something stranger."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            return None
        raise
    if not stat.S_ISREG(found.st_mode):
        raise Conflict(f"{spell(name)}: it is {'a folder' if stat.S_ISDIR(found.st_mode) else 'no file'}")
    return found.st_size


def seen(folder: int, name: bytes) -> Seen | None:
    """What is at `name` now, if anything is."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def about(home: Home, path: Name) -> dict[str, str]:
    """What the note beside an upload under way says: where it is to be kept if this process dies."""
    return {"home": home.root.hex(), "user": home.user, "path": path.raw.hex()}


def keep(home: Home, path: Name, source: str, size: int, settle: Callable[[int, int], None], *, ended: bool = False) -> None:
    """Keep the file `source` of `size` bytes, gone then, for `path`; `settle` hears how many bytes and files the home has more.

    `ended` says that all its bytes may have come: then the last is left to be sent again. What is all there already is taken by some
    clients (lftp, curl) for what has arrived: they would send nothing, and say that all is well.
    """
    name = KEPT + path.base
    size -= ended and size > 0

    def count(there: int | None) -> None:
        settle(size - (there or 0), 0 if there is not None else 1)

    try:
        if not size or len(name) > LONGEST:
            settle(0, 0)
            return
        with beside(home, path) as folder:
            if ended:
                os.truncate(source, size)
            _move_over(home, source, name, folder, count)
    except TransloadError:
        # Its folder is gone, or the disk is full: nobody was promised that it is kept.
        settle(0, 0)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(source)


def _move_over(home: Home, source: str, name: bytes, folder: int, count: Callable[[int | None], None]) -> None:
    """Move a file over what has the name, and `count` what that was, in one moment; the copying from another disk goes before."""

    def rename(at: str | bytes, above: int | None) -> None:
        with home.changing():
            older = size_of(folder, name)
            os.rename(at, name, src_dir_fd=above, dst_dir_fd=folder)
            count(older)

    try:
        rename(source, None)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        rename(_copied_in(source, folder), folder)


def move_in(source: str, name: bytes, folder: int) -> None:
    """Move the file `source` into the open folder, over what has the name; from another disk by way of a copy that nobody sees."""
    try:
        os.rename(source, name, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        os.rename(_copied_in(source, folder), name, src_dir_fd=folder, dst_dir_fd=folder)
        os.unlink(source)


def _copied_in(source: str, folder: int) -> bytes:
    """The name of a copy of the file `source` in the open folder, which nobody sees."""
    copied = PASSING + os.urandom(8).hex().encode()
    copy_in(source, copied, folder)
    for descriptor in disk.opened([copied], folder):
        os.fsync(descriptor)
    return copied


def copy_in(source: str | Draft, name: bytes, folder: int) -> None:
    """Copy the file `source` into the open folder as the new file `name`, as cheaply as the disk can; nothing is left when that fails."""
    written = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    try:
        if isinstance(source, str):
            for read in disk.opened([source]):
                disk.copy(read, written, os.fstat(read).st_size)
        else:
            source.copy_to(written)
    except OSError:
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(written)


def forget(home: Home, path: Name) -> None:
    """Remove what was kept for `path`; raises Missing."""
    with home.changing():
        with beside(home, path) as folder:
            size = size_of(folder, KEPT + path.base)
            if size is None:
                raise Missing(f"{path.text}: there is no such file")
            os.unlink(KEPT + path.base, dir_fd=folder)
        home.changed(-size, -1)


def rescue(home: Home, orphan: Orphan) -> None:
    """Keep an upload that was under way when its process died, as far as it had come."""
    with suppress(FileNotFoundError):
        keep(home, Name(bytes.fromhex(orphan.about["path"])), orphan.part, os.stat(orphan.part).st_size, home.changed, ended=True)
