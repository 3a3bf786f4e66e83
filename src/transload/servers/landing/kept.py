"""Cut uploads, kept beside where they would have come to lie, under a name that no client sees; and the parts they become again."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from transload import disk
from transload.errors import Conflict, Missing, TransloadError
from transload.model import Name, spell
from transload.servers.base import KEPT, RESERVED

if TYPE_CHECKING:
    from transload.servers.base import Home

LONGEST = 255


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


@contextmanager
def beside(home: Home, path: Name) -> Iterator[int]:
    """The folder of the home in which `path` lies, open; what the disk says of it is an error of ours."""
    where = path.folder
    folders = _opened.folders
    if folders is None:
        with home.folder(where) as folder, _telling(path):
            yield folder
        return
    kept = folders.get((home, where))
    if kept is None:
        kept = folders[home, where] = _opened.stack.enter_context(home.folder(where))
    with _telling(path):
        yield kept


@contextmanager
def _telling(path: Name) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk.told(error, path.raw) from error


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


def keep(home: Home, path: Name, source: str, size: int) -> tuple[int, int]:
    """Keep the `size` bytes of the file `source` for `path`; gives how many bytes and files the home has more. `source` is gone then."""
    name = KEPT + path.base
    try:
        if not size or len(name) > LONGEST:
            return 0, 0
        with beside(home, path) as folder:
            older = size_of(folder, name)
            move_in(source, name, folder)
            return size - (older or 0), 0 if older is not None else 1
    except TransloadError:
        # Its folder is gone, or the disk is full: nobody was promised that it is kept.
        return 0, 0
    finally:
        with suppress(FileNotFoundError):
            os.unlink(source)


def move_in(source: str, name: bytes, folder: int) -> None:
    """Move the file `source` into the open folder, over what has the name; from another disk by way of a copy that nobody sees."""
    try:
        os.rename(source, name, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copied = RESERVED + b"new." + os.urandom(8).hex().encode()
        copy_in(source, copied, folder)
        for descriptor in disk.opened([copied], folder):
            os.fsync(descriptor)
        os.rename(copied, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.unlink(source)


def copy_in(source: str, name: bytes, folder: int) -> None:
    """Copy the file `source` into the open folder as the new file `name`, as cheaply as the disk can; nothing is left when that fails."""
    read = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        written = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
        try:
            disk.copy(read, written, os.fstat(read).st_size)
        except OSError:
            os.unlink(name, dir_fd=folder)
            raise
        finally:
            os.close(written)
    finally:
        os.close(read)


def forget(home: Home, path: Name) -> None:
    """Remove what was kept for `path`; raises Missing."""
    with home.changing():
        with beside(home, path) as folder:
            size = size_of(folder, KEPT + path.base)
            if size is None:
                raise Missing(f"{path.text}: there is no such file")
            os.unlink(KEPT + path.base, dir_fd=folder)
        home.changed(-size, -1)
