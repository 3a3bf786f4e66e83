"""How much lies in a home, and how much more may come: exact over all sessions, counted from the disk and so right after any death."""

from __future__ import annotations

import os
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress

from transload import disk
from transload.accounts import Limits
from transload.errors import Full, Refused
from transload.servers.base import KEPT, RESERVED
from transload.units import show_size

_COUNT_AGAIN = 5.0
_LONGEST = 3000
_SHARE = 50
"""Counting again takes at most this part of the time."""


class Stock:
    """The bytes and files of one home, shared by all who are in it. Nothing is counted until somebody with a quota comes."""

    def __init__(self, folder: int) -> None:
        """Of the home in the open `folder`."""
        self._folder = os.dup(folder)
        weakref.finalize(self, os.close, self._folder)
        self._changes = threading.RLock()
        self._lock = threading.Lock()
        self._bytes = self._files = 0
        self._held_bytes = self._held_files = 0
        self._counted, self._took = -1.0, 0.0
        self._kept, self._walk = (0, 0), 0.0
        """What of it cut uploads were when they were looked for, and when they may be again, should that not be enough."""

    def changing(self) -> AbstractContextManager[object]:
        """Held around a change on disk and the word of it here. Re-entrant."""
        return self._changes

    def look(self, *, again: bool = False) -> None:
        """Count, if that was never done, or `again` (then only if it was not done just now)."""
        if self._counted >= 0 and not (again and self._stale()):
            return
        with self._changes:
            if self._counted >= 0 and not (again and self._stale()):
                return
            began = time.monotonic()
            count, files = counted(self._folder)
            with self._lock:
                self._bytes, self._files = count, files
            self._counted = time.monotonic()
            self._took = self._counted - began

    def _stale(self) -> bool:
        # What others than our sessions remove (the routes that settle, the operator) is seen when it is asked for.
        return time.monotonic() - self._counted > max(_COUNT_AGAIN, _SHARE * self._took)

    def changed(self, count: int, files: int) -> None:
        """So many bytes and files came to lie in the home, or went (below 0)."""
        with self._lock:
            self._bytes += count
            self._files += files

    def used(self) -> tuple[int, int]:
        """How many bytes and files lie in the home, and are set aside for uploads that run."""
        with self._lock:
            return self._bytes + self._held_bytes, self._files + self._held_files

    def set_aside(self, count: int, files: int, limits: Limits) -> None:
        """Set so much more aside; raises Full, and then nothing has changed.

        Cut uploads give way, the oldest first: they can be sent again, and would else keep all others out until they expire.
        """
        why = self._take(count, files, limits)
        if why:
            self.look(again=True)
            why = self._take(count, files, limits)
        if why and self._has_made_room(count, files, limits):
            why = self._take(count, files, limits)
        if why:
            raise Full(why)

    def _has_made_room(self, count: int, files: int, limits: Limits) -> bool:
        """Whether there is room without cut uploads; no more of them are removed than have to be, and none where that is not enough."""
        with self._changes:
            used, there = self.used()
            much = used + count - limits.quota if count > 0 and limits.quota is not None else 0
            many = there + files - limits.quota_files if files > 0 and limits.quota_files is not None else 0
            if time.monotonic() < self._walk and (much > self._kept[0] or many > self._kept[1]):
                return False
            kept = self._all_kept()
            if much > self._kept[0] or many > self._kept[1]:
                return False
            for _, size, path, name in kept:
                if much <= 0 and many <= 0:
                    break
                with suppress(OSError):  # somebody else has removed it just now
                    _remove(self._folder, path, name)
                self.changed(-size, -1)
                much, many = much - size, many - 1
        return True

    def _all_kept(self) -> list[tuple[int, int, bytes, bytes]]:
        """The cut uploads of the home, the oldest first: time, size, folder, name."""
        began = time.monotonic()
        files = ((path, name, found) for path, name, found in _files(self._folder) if name.startswith(KEPT))
        kept = sorted((found.st_mtime_ns, found.st_size, path, name) for path, name, found in files)
        now = time.monotonic()
        self._kept, self._walk = (sum(size for _, size, _, _ in kept), len(kept)), now + _SHARE * (now - began)
        return kept

    def _take(self, count: int, files: int, limits: Limits) -> str:
        with self._lock:
            if count > 0 and limits.quota is not None and self._bytes + self._held_bytes + count > limits.quota:
                return f"the quota of {show_size(limits.quota)} is used up"
            if files > 0 and limits.quota_files is not None and self._files + self._held_files + files > limits.quota_files:
                return f"the quota of {limits.quota_files} files is used up"
            self._held_bytes += count
            self._held_files += files
        return ""

    def settle(self, held: tuple[int, int], count: int, files: int) -> None:
        """What was `held` is free again, and the home has so much more than before, in one moment."""
        with self._lock:
            self._held_bytes -= held[0]
            self._held_files -= held[1]
            self._bytes += count
            self._files += files
        if count > 0:
            self._walk = 0.0  # it may be a cut one


class Hold:
    """What is set aside for one upload: the `Meter` that its landing asks. Begins with room for one file."""

    __slots__ = ("_bytes", "_files", "_instead", "_limits", "_over", "_stock")

    def __init__(self, stock: Stock, limits: Limits, *, file: bool) -> None:
        """For an upload into the home of `stock`; `file` says whether it makes one file more. Raises Full."""
        self._stock, self._limits = stock, limits
        self._bytes = self._instead = 0
        self._over = False
        self._files = 0
        if limits.quota is not None or limits.quota_files is not None:
            stock.look()
            stock.set_aside(0, int(file), limits)
            self._files = int(file)

    def __call__(self, size: int) -> None:
        """The upload is about to have `size` bytes: raises Full or Refused, and then nothing has changed."""
        limits = self._limits
        if limits.max_size is not None and size > limits.max_size:
            raise Refused(f"it is larger than {show_size(limits.max_size)}, the largest that is taken")
        more = size - self._instead - self._bytes
        if more > 0 and limits.quota is not None and not self._over:
            self._stock.set_aside(more, 0, limits)
            self._bytes += more

    def fits(self, size: int) -> None:
        """An upload of `size` bytes would be taken now: raises Full or Refused. Nothing is set aside for what was only announced."""
        before = self._bytes
        self(size)
        if self._bytes > before:
            self._stock.settle((self._bytes - before, 0), 0, 0)
            self._bytes = before

    def instead(self, size: int) -> None:
        """`size` bytes of a file in the home will be gone once it has landed."""
        self._instead += size

    def taken(self, size: int) -> None:
        """The file of which `instead` was told is part of the upload now."""
        self._stock.settle((-size, -1), -size, -1)
        self._instead -= size
        self._bytes += size
        self._files += 1

    def whole(self, size: int) -> None:
        """It is whole: raises Refused when it is smaller than allowed."""
        if self._limits.min_size is not None and size < self._limits.min_size:
            raise Refused(f"it has {size} bytes; the least that is taken is {show_size(self._limits.min_size)}")

    def settle(self, count: int, files: int) -> None:
        """It is over; the home has so many bytes and files more."""
        if not self._over:
            self._over = True
            self._stock.settle((self._bytes, self._files), count, files)


def counted(folder: int) -> tuple[int, int]:
    """The bytes and files beneath `folder`: whole files and cut uploads, but nothing that is being received. However deep it is."""
    sizes = [found.st_size for _, _, found in _files(folder)]
    return sum(sizes), len(sizes)


def _files(folder: int) -> Iterator[tuple[bytes, bytes, os.stat_result]]:
    """The folder, the name and what the disk says of each."""
    paths = [b""]
    while paths:
        path = paths.pop()
        for name, found in _within(folder, path):
            if name.startswith(RESERVED) and not name.startswith(KEPT):
                continue
            if stat.S_ISDIR(found.st_mode):
                paths.append(path + b"/" + name if path else name)
            elif stat.S_ISREG(found.st_mode):
                yield path, name, found


def _remove(folder: int, path: bytes, name: bytes) -> None:
    descriptor = _open(folder, path)
    try:
        os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _within(folder: int, path: bytes) -> list[tuple[bytes, os.stat_result]]:
    out = []
    try:
        descriptor = _open(folder, path)
    except OSError:  # gone meanwhile, or the operator's and not for us
        return []
    try:
        with os.scandir(descriptor) as found:
            for one in found:
                try:
                    out.append((os.fsencode(one.name), one.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
    finally:
        os.close(descriptor)
    return out


def _open(folder: int, path: bytes) -> int:
    at = folder
    while len(path) > _LONGEST:
        # A folder that was moved into another one may lie deeper than any path can name.
        end = path.index(b"/", _LONGEST - 256)
        below = disk.open_beneath(at, path[:end], os.O_PATH | os.O_DIRECTORY)
        if at != folder:
            os.close(at)
        at, path = below, path[end + 1 :]
    try:
        return disk.open_beneath(at, path, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        if at != folder:
            os.close(at)
