"""A folder and what lies beneath it, reached component by component, so that no link ever leads out of it."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from transload.disk.volume import opened
from transload.errors import Refused
from transload.model import spell

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_KEPT_OPEN = 128


class Folder(NamedTuple):
    """An open folder: good until the tree was asked for some others."""

    descriptor: int
    device: int
    longest: int
    """How many bytes a name in it may have."""


class Tree:
    """What lies beneath one folder; for one thread. Raises OSError as it comes, and Refused for links that lead out.

    The way to the folder itself is the operator's and may hold links. Beneath it a link is followed only if it
    leads to something beneath it, or beneath `outer`.
    """

    def __init__(self, root: bytes, outer: Tree | None = None) -> None:
        """What lies beneath the absolute path `root`; nothing is opened yet."""
        self.root, self.outer = root, outer
        self.unsynced: set[bytes] = set()
        self._open: dict[bytes, Folder] = {}

    def close(self) -> None:
        """Close all folders."""
        for folder in self._open.values():
            os.close(folder.descriptor)
        self._open.clear()

    def folder(self, path: bytes, *, make: bool = False) -> Folder:
        """The folder `path` beneath the root; with `make`, missing ones are made and their parents noted in `unsynced`."""
        found = self._open.pop(path, None)
        if found is not None:
            self._open[path] = found
            return found
        try:
            return self.walk(path, make=make)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            tree, real = self.resolve(path)
            if tree is self and real == path:
                raise
            return tree.walk(real, make=make)

    def walk(self, path: bytes, *, make: bool) -> Folder:
        """The folder `path` beneath the root, if no part of it is a link."""
        folder, at = self._open.get(b"") or self._top(make=make), b""
        for part in path.split(b"/") if path else ():
            above, at = at, at + b"/" + part if at else part
            folder = self._open.get(at) or self._step(folder, above, at, part, make=make)
        return folder

    def _top(self, *, make: bool) -> Folder:
        if make and not os.path.isdir(self.root):
            self._make_top()
        return self._keep(b"", os.open(self.root, os.O_RDONLY | os.O_DIRECTORY))

    def _make_top(self) -> None:
        above = self.root
        while not os.path.isdir(above):
            above = os.path.dirname(above)
        os.makedirs(self.root, exist_ok=True)
        made = self.root
        while made != above:
            made = os.path.dirname(made)
            for parent in opened([made]):
                os.fsync(parent)

    def _step(self, folder: Folder, above: bytes, at: bytes, part: bytes, *, make: bool) -> Folder:
        try:
            return self._keep(at, os.open(part, _FOLDER, dir_fd=folder.descriptor))
        except FileNotFoundError:
            if not make:
                raise
        try:
            os.mkdir(part, dir_fd=folder.descriptor)
            self.unsynced.add(above)
        except FileExistsError:
            pass  # somebody else made it just now, or it is a link to nowhere, which cannot be opened either
        return self._keep(at, os.open(part, _FOLDER, dir_fd=folder.descriptor))

    def _keep(self, path: bytes, descriptor: int) -> Folder:
        while len(self._open) >= _KEPT_OPEN:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest).descriptor)
        folder = Folder(descriptor, os.fstat(descriptor).st_dev, os.fpathconf(descriptor, "PC_NAME_MAX"))
        self._open[path] = folder
        return folder

    def resolve(self, path: bytes) -> tuple[Tree, bytes]:
        """The tree, and the path in it without links, to which the links in `path` lead; Refused when they lead out."""
        real = os.path.realpath(os.path.join(self.root, path))
        for tree in (self, self.outer):
            top = os.path.realpath(tree.root) if tree else b""
            if tree and (real == top or real.startswith(top.rstrip(b"/") + b"/")):
                return tree, real[len(top) :].strip(b"/")
        raise Refused(f"{spell(path)}: a link that leads out of {spell(self.root)}")

    def open(self, path: bytes) -> int:
        """The file `path`, open for reading, whatever it is: the caller looks whether it is a regular one."""
        above, _, base = path.rpartition(b"/")
        try:
            return os.open(base, _FILE, dir_fd=self.folder(above).descriptor)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        tree, real = self.resolve(path)
        above, _, base = real.rpartition(b"/")
        return os.open(base, _FILE, dir_fd=tree.folder(above).descriptor)

    def stat(self, path: bytes) -> os.stat_result:
        """What is at `path`, or at the end of the link that is there."""
        above, _, base = path.rpartition(b"/")
        status = os.stat(base, dir_fd=self.folder(above).descriptor, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            return status
        tree, real = self.resolve(path)
        above, _, base = real.rpartition(b"/")
        return os.stat(base or b".", dir_fd=tree.folder(above).descriptor, follow_symlinks=False)
