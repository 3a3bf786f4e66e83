"""After a death: homes show again what the ledger says, and nothing that a dead process left."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from transload import disk, log
from transload.errors import Conflict, Missing, TransloadError
from transload.model import Name, spell
from transload.servers.landing.kept import beside
from transload.servers.landing.placing import Placing, free_name
from transload.servers.landing.sweeping import files_of

if TYPE_CHECKING:
    from transload.ledger import Ledger
    from transload.ledger.taking import Row
    from transload.servers.base import Home
    from transload.spool import Spool

_SLICE = 500
_DOUBTED = 60_000_000
"""What was written so shortly (microseconds) before the last word of the dead process is compared by its bytes, not only its size."""
_UNSYNCED = 600_000_000
"""A home's copies are not synced. What was received longer than this before the last word is on the disk, or somebody took it away."""


class Mending:
    """Puts homes right, one file at a time, each while nothing else changes."""

    def __init__(self, ledger: Ledger, spool: Spool, node: str, turn: AbstractContextManager[object]) -> None:
        """`turn` is held while a file is looked at and put right."""
        self._ledger, self._spool, self._node, self._turn = ledger, spool, node, turn
        self._restored: set[tuple[str, int, str]] = set()
        self._newest: int | None = None
        with suppress(TransloadError):
            self._newest = ledger.uploads.newest()

    def mend(self, home_of: Callable[[str], Home | None], go_on: Callable[[], bool]) -> int:
        """Every file that the ledger says is here; gives how many were put right."""
        # What came since this process began is not a dead one's.
        newest = self._ledger.uploads.newest() if self._newest is None else self._newest
        last, number, count = self._ledger.uploads.last(self._node, newest), newest + 1, 0
        homes: dict[str, Home | None] = {}
        while rows := self._ledger.uploads.here(self._node, number, _SLICE):
            for row in rows:
                if not go_on():
                    return count
                if row.user not in homes:
                    homes[row.user] = home_of(row.user)
                home = homes[row.user]
                if home is not None:
                    count += self._mended(home, row, last)
            number = rows[-1].id
        for home in homes.values():
            if home is not None:
                self._forget_twins(home, last)
        return count

    def _mended(self, home: Home, row: Row, last: int) -> bool:
        try:
            with self._turn:
                now = self._ledger.uploads.number(row.id)
                return now is not None and now.state == "here" and self._mend(home, now, last)
        except TransloadError as error:
            log.get("transload.landing").error("a home could not be mended", user=row.user, file=spell(row.path), reason=str(error))
            return False

    def _mend(self, home: Home, row: Row, last: int) -> bool:
        path = Name(row.path)
        there = _look(home, path)
        doubted = row.updated >= last - _DOUBTED
        if there is not None and there.st_size == row.size and not (doubted and _hash(home, path) != row.sha256):
            return False
        if row.taken and row.updated < last - _UNSYNCED:
            # Nobody needs it here any more: what was changed or taken away was so by somebody who may.
            if there is None:
                self._ledger.uploads.lost([row.id], "it is no longer in the home")
            return False
        if not self._spool.has(row.sha256):
            if there is None:
                self._ledger.uploads.lost([row.id], "it is no longer in the home, nor in the spool")
            return False
        self._restore(home, path, row, there)
        return True

    def _restore(self, home: Home, path: Name, row: Row, there: os.stat_result | None) -> None:
        make_way(home, path)
        placing = Placing(home, path, self._spool.token)
        placing.prepare(self._spool.path(row.sha256), row.modified)
        with home.changing():
            if there is not None and there.st_nlink == 1 and there.st_size >= row.size:
                self._put_away(home, path)
            with beside(home, path) as folder:
                os.rename(placing.there, path.base, src_dir_fd=folder, dst_dir_fd=folder)
            home.changed(row.size - (there.st_size if there else 0), 0 if there else 1)
        self._restored.add((row.user, row.size, row.sha256))

    def _put_away(self, home: Home, path: Name) -> None:
        """What has the name is another file's bytes: let it have the name that is its own, or a free one."""
        found = _hash(home, path)
        rows = [one for one in self._ledger.uploads.under(home.user, path.folder) if one.sha256 == found and one.path != path.raw]
        if any(_look(home, Name(one.path)) is not None for one in rows):
            return
        with beside(home, path) as folder:
            name = Name(rows[0].path) if rows else free_name(folder, path)
            with beside(home, name) as target:
                disk.rename_new(path.base, name.base, folder, target)

    def _forget_twins(self, home: Home, last: int) -> None:
        """A rename that died between disk and ledger has left the file under the new name; it was given the old one again."""
        for folder, base, found in files_of(home):
            mark = [one for one in self._restored if one[:2] == (home.user, found.st_size)]
            if not mark or found.st_ctime_ns // 1000 < last - _DOUBTED:
                continue
            path = Name(folder + b"/" + base if folder else base)
            with self._turn:
                if self._ledger.uploads.at(home.user, path) is None and (*mark[0][:2], _hash(home, path)) in mark:
                    with home.changing(), beside(home, path) as opened:
                        os.unlink(path.base, dir_fd=opened)
                        home.changed(-found.st_size, -1)


def _look(home: Home, path: Name) -> os.stat_result | None:
    """What is at `path`; raises Conflict when it is no file."""
    try:
        with beside(home, path) as folder:
            found = os.stat(path.base, dir_fd=folder, follow_symlinks=False)
    except Missing:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise Conflict(f"{path.text}: it is no file")
    return found


def _hash(home: Home, path: Name) -> str:
    with beside(home, path) as folder:
        descriptor = os.open(path.base, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        with open(descriptor, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def make_way(home: Home, path: Name) -> None:
    """The folders in which `path` lies."""
    at = b""
    for part in path.folder.split(b"/") if path.folder else ():
        with home.folder(at) as folder, suppress(FileExistsError):
            os.mkdir(part, dir_fd=folder)
        at = at + b"/" + part if at else part


__all__ = ["Mending"]
