"""Files into a home: beside their name first, then under it, with the older file of that name set aside or replaced in one moment."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from transload import disk
from transload.errors import Conflict, Missing
from transload.model import Name
from transload.names import versioned
from transload.servers.base import KEPT, RESERVED
from transload.servers.landing.kept import Seen, beside, copy_in, move_in, seen, size_of

if TYPE_CHECKING:
    from transload.servers.base import Home
    from transload.spool.drafts import Draft

NEW = RESERVED + b"new."
"""Before the name of a file that is about to get its name; of no use once its process is gone."""
_numbers = itertools.count(1)

Known = Callable[[Name], bool]
"""Whether the ledger has a file of that name, whatever the disk says."""


class Placing:
    """One file on its way to its name in a home."""

    __slots__ = ("_home", "_path", "aside", "size", "there", "whole")

    def __init__(self, home: Home, path: Name, token: str) -> None:
        """To `path` in `home`, for the process that has this token."""
        self._home, self._path = home, path
        self.there = NEW + token.encode() + b".%d" % next(_numbers)
        """What it is called until then."""
        self.size = 0
        self.aside: Name | None = None
        """Where the older file of that name goes."""
        self.whole: int | None = None
        """The size of the older file of that name, if there is one."""

    def prepare(self, source: str | Draft, modified: int | None) -> None:
        """Have a copy of `source` beside the name; raises what the disk does, and Missing."""
        with beside(self._home, self._path) as folder:
            copy_in(source, self.there, folder)
            self._date(folder, modified)

    def take(self, source: str, modified: int | None) -> None:
        """The same with the file itself, which is moved."""
        with beside(self._home, self._path) as folder:
            move_in(source, self.there, folder)
            os.chmod(self.there, 0o666 & ~_umask(), dir_fd=folder)
            self._date(folder, modified)

    def _date(self, folder: int, modified: int | None) -> None:
        if modified is not None:
            os.utime(self.there, ns=(modified * 1000, modified * 1000), dir_fd=folder, follow_symlinks=False)

    def decide(self, exists: str, known: Known, *, extends: Seen | None) -> None:
        """Look at what has the name now, and choose what becomes of it; raises Conflict, and Missing when the folder is gone.

        `extends` is the file all of whose bytes this one has: only that one need not be kept under another name, none that is `known`.
        """
        with beside(self._home, self._path) as folder:
            size = size_of(folder, self.there)
            if size is None:
                raise Missing(f"{self._path.text}: its folder was removed meanwhile")
            self.size = size
            self.whole = size_of(folder, self._path.base)
            if self.whole is not None and exists == "refuse":
                raise Conflict(f"{self._path.text}: there is a file of that name, and it may not be uploaded again")
            self.aside = None
            if self.whole is not None and exists == "version" and (extends is None or extends != seen(folder, self._path.base)):
                self.aside = free_name(folder, self._path, known)

    def show(self, *, same: bool = False) -> tuple[int, int]:
        """Let it have its name; gives how many bytes and files the home has more. `same`: the older one has the same bytes."""
        with beside(self._home, self._path) as folder:
            base, aside = self._path.base, None if same else self.aside
            if aside is not None:
                aside = set_aside(folder, self._path, aside)
            if self.whole is None:
                self._show_new(folder)
            else:
                os.rename(self.there, base, src_dir_fd=folder, dst_dir_fd=folder)
            gone = self.whole or 0 if aside is None else 0
            obsolete = size_of(folder, KEPT + base)
            if obsolete is not None:
                os.unlink(KEPT + base, dir_fd=folder)
            files = (1 if self.whole is None or aside is not None else 0) - (obsolete is not None)
            return self.size - gone - (obsolete or 0), files

    def _show_new(self, folder: int) -> None:
        try:
            disk.rename_new(self.there, self._path.base, folder, folder)
        except FileExistsError:
            # Somebody past us has put a file there just now: it keeps its bytes, under another name.
            set_aside(folder, self._path, free_name(folder, self._path))
            os.rename(self.there, self._path.base, src_dir_fd=folder, dst_dir_fd=folder)

    def sync(self) -> None:
        """Make the name durable."""
        with self._home.folder(self._path.folder) as folder:
            os.fsync(folder)

    def drop(self) -> None:
        """Forget it; harmless when it has its name."""
        with suppress(FileNotFoundError, Missing, Conflict), self._home.folder(self._path.folder) as folder:
            os.unlink(self.there, dir_fd=folder)


def unknown(_: Name) -> bool:
    """Only the disk says what has a name."""
    return False


def free_name(folder: int, path: Name, known: Known = unknown) -> Name:
    """The first of a.v1.csv, a.v2.csv, ... that nothing has, and that is not `known` either: its file was taken away by hand, say."""
    for number in itertools.count(1):
        name = versioned(path, number)
        try:
            os.stat(name.base, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            if not known(name):
                return name
    raise AssertionError


def set_aside(folder: int, path: Name, aside: Name) -> Name | None:
    """Give the file `path` the name `aside`, or another free one; until the new file takes its name it has both. Gives the name.

    None: there is no such file any more.
    """
    while True:
        try:
            os.link(path.base, aside.base, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            aside = free_name(folder, path)
        except FileNotFoundError:
            return None
        except PermissionError:  # a file system without links
            disk.rename_new(path.base, aside.base, folder, folder)
            return aside
        else:
            return aside


def put_back(folder: int, aside: Name, path: Name) -> None:
    """Undo `set_aside`, before anything has taken the name."""
    with suppress(FileExistsError):
        disk.rename_new(aside.base, path.base, folder, folder)
        return
    os.unlink(aside.base, dir_fd=folder)


def _umask() -> int:
    global _mask  # noqa: PLW0603
    if _mask is None:
        _mask = os.umask(0o077)
        os.umask(_mask)
    return _mask


_mask: int | None = None
