"""A user's home: a folder, what lies beneath it, and no link ever followed on the way there."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from transload import disk
from transload.errors import Busy, Conflict, Missing, Refused, TransloadError
from transload.model import spell
from transload.servers.base import KEPT, RESERVED, Item
from transload.servers.quota import Stock
from transload.servers.reading import Open
from transload.servers.telling import missing, told

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_WAY = os.O_PATH | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NONBLOCK
_THERE = os.O_PATH
_RUBBISH = 3600.0
_SECOND = 10**9
"""What a disk may round a time by, in nanoseconds."""


class Home:
    """One user's home, for any thread. Paths are raw bytes below it, empty for itself; errors are ours, about that path alone.

    Only files and folders are in it: links, pipes and devices that the operator may have put there are not seen.
    """

    def __init__(self, user: str, root: bytes, stock: Stock | None = None) -> None:
        """The home of `user` in the folder `root`, which is there; the way to it may hold links. Raises OSError."""
        self.user, self.root = user, root
        self._top = os.open(root, _WAY | os.O_CLOEXEC)
        self._close = weakref.finalize(self, os.close, self._top)
        self.stock = stock or Stock(self._top)
        self.changed = self.stock.changed

    def close(self) -> None:
        """Let go of the folder; it is done by itself when nobody has the home any more."""
        self._close()

    def changing(self) -> AbstractContextManager[object]:
        """Held around a change on disk and the word of it to `changed`. Re-entrant."""
        return self.stock.changing()

    # Ways in

    @contextmanager
    def folder(self, path: bytes) -> Iterator[int]:
        """The folder `path`, open; raises Missing, also where the way leads through a link, and Conflict where it is a file."""
        with self._open(path, _FOLDER) as descriptor:
            yield descriptor

    def way(self, path: bytes) -> AbstractContextManager[int]:
        """The same, cheaper: good for reaching what is in it, and for nothing else."""
        return self._open(path, _WAY) if path else nullcontext(self._top)

    @contextmanager
    def beside(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The folder in which `path` lies, good for reaching what is in it, and the last part of `path`."""
        above, _, base = path.rpartition(b"/")
        with self.way(above) as descriptor:
            try:
                yield descriptor, base
            except OSError as error:
                raise told(error, path) from error

    @contextmanager
    def _open(self, path: bytes, flags: int) -> Iterator[int]:
        try:
            descriptor = disk.open_beneath(self._top, path, flags)
        except OSError as error:
            if error.errno == errno.ENOTDIR and self._is_file(path):
                raise Conflict(f"{spell(path)}: it is a file") from None
            raise told(error, path) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _is_file(self, path: bytes) -> bool:
        try:
            descriptor = disk.open_beneath(self._top, path, _THERE)
        except OSError:
            return False
        try:
            return stat.S_ISREG(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)

    # Looking

    def look(self, path: bytes) -> os.stat_result:
        """What the disk says of the file or folder `path`; raises Missing."""
        try:
            descriptor = disk.open_beneath(self._top, path, _THERE)
        except OSError as error:
            raise told(error, path) from error
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise missing(path)
        return found

    def has(self, path: bytes) -> bool:
        """Whether there is a whole file or a folder `path`."""
        try:
            self.look(path)
        except Missing:
            return False
        return True

    def check_new(self, path: bytes) -> None:
        """A file `path` could be made: raises Missing (no such folder), Conflict (a folder has the name) or Refused (too long)."""
        with self.beside(path) as (folder, base):
            longest = os.fpathconf(folder, "PC_NAME_MAX")
            if len(base) > longest:
                raise Refused(f"{spell(path)}: the name has {len(base)} bytes, the limit is {longest}")
            try:
                found = os.stat(base, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return
        if not stat.S_ISREG(found.st_mode):
            raise Conflict(f"{spell(path)}: the name is taken")

    def item(self, path: bytes) -> Item:
        """What is at `path`: a file, a folder, or a cut upload under its name; raises Missing."""
        base = path.rpartition(b"/")[2]
        try:
            return _item(base or b"/", self.look(path))
        except Missing:
            found = self.kept(path)
            if found is None:
                raise
        return _item(base, found)

    def kept(self, path: bytes) -> os.stat_result | None:
        """The cut upload that is kept for `path`, if there is one."""
        above, slash, base = path.rpartition(b"/")
        try:
            found = self.look(above + slash + KEPT + base) if base else None
        except TransloadError:  # too long a name is never kept
            return None
        return found if found and stat.S_ISREG(found.st_mode) else None

    def items(self, path: bytes) -> Iterator[Item]:
        """All that is in the folder `path`, in no order; a cut upload under its name unless a whole file has it."""
        with self.folder(path) as folder, os.scandir(folder) as found:
            for one in found:
                name = os.fsencode(one.name)
                try:
                    status = one.stat(follow_symlinks=False)
                    if name.startswith(RESERVED):
                        if not name.startswith(KEPT) or _there(folder, name[len(KEPT) :]):
                            continue
                        name = name[len(KEPT) :]
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                    yield _item(name, status)

    def read(self, path: bytes) -> Open:
        """The whole file `path`, open for reading; raises Missing, Conflict for a folder, and Busy while its upload is cut."""
        try:
            descriptor = disk.open_beneath(self._top, path, _FILE)
        except OSError as error:
            wrong = told(error, path)
            if isinstance(wrong, Missing) and self.kept(path):
                raise Busy(f"{spell(path)}: its upload is not complete") from error
            raise wrong from error
        return Open(descriptor, path)

    # Changing what is no file's business

    def make_folder(self, path: bytes) -> None:
        """Make the folder `path`; raises Conflict when the name is taken, Missing when the folder above is not there."""
        with self.beside(path) as (folder, base):
            os.mkdir(base, dir_fd=folder)

    def remove_folder(self, path: bytes) -> None:
        """Remove the empty folder `path`; raises Conflict when something is in it, or when it is a file."""
        if not stat.S_ISDIR(self.look(path).st_mode):
            raise Conflict(f"{spell(path)}: it is a file")
        with self.beside(path) as (folder, base):
            try:
                os.rmdir(base, dir_fd=folder)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY or not self._swept(path):
                    raise
                os.rmdir(base, dir_fd=folder)

    def _swept(self, path: bytes) -> bool:
        """Whether a folder that looks empty held nothing but what a dead server left; that is removed."""
        with self.folder(path) as folder:
            names = [os.fsencode(name) for name in os.listdir(folder)]
            before = time.time() - _RUBBISH
            for name in names:
                if not name.startswith(RESERVED) or name.startswith(KEPT):
                    return False
                if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > before:
                    return False
            for name in names:
                os.unlink(name, dir_fd=folder)
        return True

    def set_time(self, path: bytes, modified: int) -> None:
        """Set the time of the file or folder `path`, in microseconds since 1970; Refused when the disk cannot hold that time."""
        before = self.look(path).st_mtime_ns
        with self.beside(path) as (folder, base):
            for then in (modified * 1000, before):
                try:
                    os.utime(base or b".", ns=(then, then), dir_fd=folder, follow_symlinks=False)
                    now = os.stat(base or b".", dir_fd=folder, follow_symlinks=False).st_mtime_ns
                except OverflowError:
                    now = None
                if now is not None and abs(now - then) < _SECOND:
                    break
        if then != modified * 1000:
            raise Refused(f"{spell(path)}: the disk cannot hold that time")

    def set_mode(self, path: bytes, mode: int) -> None:
        """Set the permission bits of `path`: no others, and a folder never becomes one that its own server cannot enter."""
        try:
            descriptor = disk.open_beneath(self._top, path, _THERE)
        except OSError as error:
            raise told(error, path) from error
        try:
            found = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(found) or stat.S_ISDIR(found)):
                raise missing(path)
            os.chmod(f"/proc/self/fd/{descriptor}", mode & 0o777 | (0o700 if stat.S_ISDIR(found) else 0))
        except OSError as error:
            raise told(error, path) from error
        finally:
            os.close(descriptor)

    def room(self) -> tuple[int, int]:
        """How many bytes the home's disk has, and how many are left."""
        try:
            found = os.statvfs(self._top)
        except OSError as error:
            raise told(error, b"") from error
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


class Homes:
    """The homes of all users of a process; who shares a folder shares its stock."""

    def __init__(self, inbox: Path | str) -> None:
        """Homes that are no absolute paths lie below `inbox`."""
        self._inbox = os.fsencode(os.path.abspath(inbox))
        self._lock = threading.Lock()
        self._stocks: weakref.WeakValueDictionary[tuple[int, int], Stock] = weakref.WeakValueDictionary()

    def of(self, user: str, path: str) -> Home:
        """The home of `user` at `path`, made with mode 0700 if it is not there; raises what the disk does."""
        root = os.path.join(self._inbox, os.fsencode(path))
        try:
            if not os.path.isdir(root):
                os.makedirs(os.path.dirname(root.rstrip(b"/")), exist_ok=True)
                os.mkdir(root, 0o700)
        except FileExistsError:
            pass  # another session of the user, just now
        except OSError as error:
            raise disk.told(error, root) from error
        try:
            return self._at(user, root)
        except OSError as error:
            raise disk.told(error, root) from error

    def _at(self, user: str, root: bytes) -> Home:
        found = os.stat(root)
        with self._lock:
            stock = self._stocks.get((found.st_dev, found.st_ino))
            home = Home(user, root, stock)
            self._stocks[found.st_dev, found.st_ino] = home.stock
        return home


def _item(name: bytes, found: os.stat_result) -> Item:
    return Item(name, found.st_size, found.st_mtime_ns // 1000, stat.S_IMODE(found.st_mode), stat.S_ISDIR(found.st_mode))


def _there(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
