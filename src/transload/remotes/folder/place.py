"""What reading and writing a folder share: what is open, and making it durable."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from transload import disk
from transload.errors import Conflict
from transload.model import Entry, Name
from transload.remotes.base import SessionBase


@contextmanager
def telling(what: bytes) -> Iterator[None]:
    """Translate what the disk raises about the path `what`."""
    try:
        yield
    except OSError as error:
        raise disk.told(error, what) from error


def entry_of(folder: str, name: Name, found: os.stat_result) -> Entry:
    """The file as the disk tells of it."""
    return Entry(folder, name, found.st_size, found.st_mtime_ns // 1000, 1e-6, None, settles=True)


def digest(source: int) -> str:
    """The SHA-256 of an open file."""
    found, block = hashlib.sha256(), bytearray(disk.BLOCK)
    view, at = memoryview(block), 0
    while count := os.preadv(source, [view], at):
        found.update(view[:count])
        at += count
    return found.hexdigest()


class Place(SessionBase):
    """A folder, with what is open beneath it."""

    def __init__(self, base: bytes) -> None:
        """The folder at the absolute path `base`, which need not exist yet."""
        self.refused = []
        self._base = disk.Tree(base)
        self._trees = {"": self._base, ".": self._base}
        self._volumes: dict[int, disk.Volume] = {}

    def close(self) -> None:
        """Close what is open."""
        self._afresh()
        for volume in self._volumes.values():
            volume.close()
        self._volumes.clear()

    def _tree(self, folder: str) -> disk.Tree:
        if folder not in self._trees:
            self._trees[folder] = disk.Tree(os.path.normpath(os.path.join(self._base.root, os.fsencode(folder))), self._base)
        return self._trees[folder]

    def _afresh(self) -> None:
        # Folders may have been renamed or removed since the last batch.
        for tree in self._trees.values():
            tree.close()

    def _volume(self, folder: disk.Folder) -> disk.Volume:
        if folder.device not in self._volumes:
            self._volumes[folder.device] = disk.Volume(folder.descriptor)
        return self._volumes[folder.device]

    def _sync_folders(self, tree: disk.Tree, paths: Iterable[bytes]) -> None:
        by_volume: dict[disk.Volume, list[bytes]] = defaultdict(list)
        for path in {*paths, *tree.unsynced}:
            # One that somebody removed meanwhile has nothing left to sync.
            with suppress(FileNotFoundError):
                by_volume[self._volume(tree.folder(path))].append(path)
        for volume, some in by_volume.items():
            volume.sync(len(some), (tree.folder(path).descriptor for path in some))
        tree.unsynced.clear()

    def make_folder(self, name: Name) -> None:
        """Make the folder, and those above it, durably; harmless when it is there."""
        with telling(name.raw):
            self._base.folder(name.raw, make=True)
            self._sync_folders(self._base, ())

    def is_folder(self, name: Name) -> bool:
        """Whether a folder of that name is there."""
        with telling(name.raw):
            try:
                self._base.folder(name.raw)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def _seen(self, folder: str, name: Name) -> Entry | None:
        with telling(name.raw):
            try:
                found = self._tree(folder).stat(name.raw)
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(found.st_mode):
                raise Conflict(f"{name}: something other than a file has this name")
            return entry_of(folder, name, found)
