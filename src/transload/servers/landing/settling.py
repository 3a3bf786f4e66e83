"""The homes as a place whose files are removed or moved once they were delivered: `after` of routes from our servers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PrivateAttr

from transload import crash, disk
from transload.errors import Conflict, Missing
from transload.model import Entry, Name
from transload.remotes.base import RemoteSettings, SessionBase
from transload.servers.home import Homes
from transload.servers.landing.kept import beside
from transload.servers.landing.mending import make_way

if TYPE_CHECKING:
    from transload.ledger import Ledger
    from transload.ledger.taking import Row
    from transload.servers.base import Home

_REMOVED = "its route removed it after delivery"


class HomesSession(SessionBase):
    """Removes and moves what an upload has left in a home. What it was is told by its row in the ledger, not by its time."""

    def __init__(self, ledger: Ledger, homes: Homes) -> None:
        """The homes of the users in this ledger."""
        self._uploads, self._people, self._homes = ledger.uploads, ledger.people, homes
        self.refused = []

    def stat(self, entry: Entry) -> Entry | None:
        """The file as it is now; None when its user, or an earlier try, has removed it."""
        row, home = self._row(entry), self._home(entry)
        if row is None or home is None or not self._is_ours(row):
            return None
        found = self._where(row, home, entry)
        return None if found is None else replace(entry, size=found[1].st_size)

    def remove(self, entry: Entry) -> None:
        """Remove the file; Missing when it is not there. The ledger hears of it first, so that nobody puts it back after a death."""
        row, home = self._row(entry), self._home(entry)
        found = self._where(row, home, entry) if row and home and self._is_ours(row) else None
        if row is None or home is None or found is None:
            raise Missing(f"{entry.text}: it is not there")
        path, status = found
        self._uploads.lost([row.id], _REMOVED)
        crash.point("home-removing")
        with home.changing():
            with beside(home, path) as folder:
                _check_same(folder, path, status)
                os.unlink(path.base, dir_fd=folder)
            home.changed(-status.st_size, -1)

    def move(self, entry: Entry, to: Name) -> None:
        """Move the file to `to` below the folder of its route; Conflict when there is something, Missing when the file is not there."""
        row, home = self._row(entry), self._home(entry)
        found = self._where(row, home, entry) if row and home and row.state == "here" else None
        if row is None or home is None or found is None:
            raise Missing(f"{entry.text}: it is not there")
        target = Name(_inside(entry) + to.raw)
        if found[0] == target:
            return
        if _look(home, target) is not None:
            raise Conflict(f"{target.text}: there is something of that name")
        if row.path != target.raw:
            if self._uploads.at(row.user, target) is not None:
                raise Conflict(f"{target.text}: there is something of that name")
            self._uploads.moved(row.id, target)
        crash.point("home-moving")
        make_way(home, target)
        with beside(home, found[0]) as source, beside(home, target) as folder:
            _check_same(source, *found)
            disk.rename_new(found[0].base, target.base, source, folder)

    def _row(self, entry: Entry) -> Row | None:
        return self._uploads.number(int(entry.etag)) if entry.etag else None

    def _home(self, entry: Entry) -> Home | None:
        known = self._people.find(entry.folder.partition("/")[0])
        return None if known is None else self._homes.of(known.account.name, known.account.home)

    def _is_ours(self, row: Row) -> bool:
        """Whether what has its name may still be this upload: it is here, or an earlier try died before it had removed it."""
        return row.state == "here" or (row.reason == _REMOVED and self._uploads.at(row.user, Name(row.path)) is None)

    def _where(self, row: Row, home: Home, entry: Entry) -> tuple[Name, os.stat_result] | None:
        """Where the file lies: under the name that the ledger has for it, or, where a try to move it died, under its old one."""
        for path in dict.fromkeys((Name(row.path), Name(_inside(entry) + entry.name.raw))):
            other = self._uploads.at(row.user, path)
            there = _look(home, path) if other is None or other.id == row.id else None
            if there is not None and stat.S_ISREG(there.st_mode):
                return path, there
        return None


class HomesPlace(RemoteSettings):
    """The homes of our servers' users."""

    session: ClassVar[type] = HomesSession

    kind: Literal["server"] = "server"
    inbox: Path
    _ledger: Ledger = PrivateAttr()

    @classmethod
    def of(cls, ledger: Ledger, inbox: Path) -> HomesPlace:
        """Those in this ledger; homes that are no absolute paths lie below `inbox`."""
        place = cls(inbox=inbox)
        place._ledger = ledger
        return place

    @contextmanager
    def connect(self) -> Iterator[HomesSession]:
        """A session; there is nothing to connect to."""
        yield HomesSession(self._ledger, Homes(self.inbox))

    def where(self) -> str:
        """This place as logs and pages show it."""
        return "the homes of our servers' users"


def _inside(entry: Entry) -> bytes:
    """The folder of the route in the home, with a slash behind it; empty for the home itself."""
    folder = entry.folder.partition("/")[2].encode("utf-8", "surrogateescape")
    return folder + b"/" if folder else b""


def _check_same(folder: int, path: Name, status: os.stat_result) -> None:
    """Raise Missing when another upload has taken the name, in the process of the servers, since that was looked at."""
    now = os.stat(path.base, dir_fd=folder, follow_symlinks=False)
    if not os.path.samestat(now, status):
        raise Missing(f"{path.text}: another file has its name by now")


def _look(home: Home, path: Name) -> os.stat_result | None:
    try:
        with beside(home, path) as folder:
            return os.stat(path.base, dir_fd=folder, follow_symlinks=False)
    except Missing:
        return None
