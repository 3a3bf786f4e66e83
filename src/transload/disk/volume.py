"""Making files and names durable, many at once where the file system can."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Iterator

from transload.disk.libc import failure, libc

GROUP = 8
"""From this many files on, one syncfs costs less than a sync of each."""

_MEMORY = {0x01021994: "tmpfs", 0x858458F6: "ramfs"}
# Where syncfs is known to cover bytes and names. FUSE answers it without doing anything, others were never tried.
_GROUPED = {0xEF53: "ext4", 0x58465342: "xfs", 0x9123683E: "btrfs", 0xF2F52010: "f2fs", 0x794C7630: "overlay"}


def opened(paths: Iterable[str | bytes], folder: int | None = None) -> Iterator[int]:
    """A descriptor of each path in turn, open for reading while it is looked at."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class Volume:
    """The file system on which a folder lies, as far as making things durable goes; safe to share between threads.

    It must be there before the bytes are written, so that a failed write is reported to its `sync`.
    """

    def __init__(self, folder: int | str | bytes) -> None:
        """The volume below `folder`, a path or an open descriptor of a folder."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        self._folder = os.open(".", flags, dir_fd=folder) if isinstance(folder, int) else os.open(folder, flags)
        kind = _kind(self._folder)
        self.in_memory = kind in _MEMORY
        self._in_groups = kind in _GROUPED and _syncfs_reports_errors()
        self._turn = threading.Lock()

    def sync(self, count: int, each: Iterable[int]) -> None:
        """Make `count` files or folders durable; `each` yields their descriptors if it takes a sync of each. Raises OSError."""
        if self.in_memory or not count:
            return
        if count >= GROUP and self._in_groups and self._sync_all():
            return
        for descriptor in each:
            os.fsync(descriptor)

    def _sync_all(self) -> bool:
        # An error is told once per descriptor, whoever's bytes it was about: after the first one only the sync of each file tells whose.
        with self._turn:
            if not self._in_groups:
                return False
            if libc.syncfs(self._folder):
                self._in_groups = False
                raise failure("syncfs")
            return True

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._folder)


def _kind(descriptor: int) -> int:
    answer = (ctypes.c_long * 32)()
    if libc.fstatfs(descriptor, ctypes.byref(answer)):
        raise failure("fstatfs")
    return int(answer[0]) & 0xFFFFFFFF


def _syncfs_reports_errors() -> bool:
    major, minor = os.uname().release.split(".")[:2]
    return hasattr(libc, "syncfs") and (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= (5, 8)
