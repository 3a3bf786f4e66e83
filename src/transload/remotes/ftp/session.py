"""A logged-in FTP session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from transload.errors import Conflict, Missing
from transload.model import Entry, Fetched, Name, Parcel, Receipt, Staged
from transload.remotes.base import SessionBase
from transload.remotes.ftp.fetching import fetched
from transload.remotes.ftp.hashing import hashed, read_back
from transload.remotes.ftp.listings import Listings
from transload.remotes.ftp.login import logged_in
from transload.remotes.ftp.relisting import relisted
from transload.remotes.ftp.replies import fault
from transload.remotes.ftp.storing import published, resumed, staged, temporary
from transload.remotes.ftp.wire import Wire, joined

if TYPE_CHECKING:
    from typing import Self

    from transload.protocols import Spool
    from transload.remotes.ftp import FtpRemote

_COARSE = 60


class FtpSession(SessionBase):
    """One control connection, for one thread."""

    in_turn = True

    def __init__(self, wire: Wire, listing: str) -> None:
        """Over `wire`, with folders listed as `listing` says."""
        self.refused = []
        self._wire = wire
        self._listings = Listings(wire, listing, self.refused)

    @classmethod
    def opened(cls, remote: FtpRemote) -> Self:
        """A session, logged in; raises Unreachable, Busy or Denied."""
        return cls(logged_in(remote), remote.listing)

    def alive(self) -> bool:
        """Whether the server has neither hung up nor said good-bye."""
        return self._wire.control.quiet()

    def close(self) -> None:
        """Hang up."""
        self._wire.control.hang_up()

    def list(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """Every file below `folder`, or `folder` itself when it is a file."""
        self.refused.clear()
        return self._listings.entries(folder, recursive=recursive)

    def fetch(self, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
        """One outcome per entry, in the order given."""
        return fetched(self._wire, entries, spool)

    def stage(self, parcels: Iterable[Parcel]) -> Iterator[Staged]:
        """Upload each under a temporary name."""
        return staged(self._wire, parcels, self.moved)

    def resume(self, parcel: Parcel) -> Staged | None:
        """Go on with an upload that was cut; None where there is nothing to go on from."""
        return resumed(self._wire, parcel, self.moved)

    def publish(self, items: Iterable[Staged]) -> Iterator[Receipt]:
        """Rename each to its final name."""
        return published(self._wire, items)

    def stat(self, entry: Entry) -> Entry | None:
        """The file as it is now, told in the same way as it was listed; None when it is not there."""
        with self._wire.telling():
            seen = self._wire.look(self._wire.sayable(self._wire.place(entry)))
            if self._wire.tells and seen is None:
                return None
            if seen is None or entry.precision >= _COARSE:
                return relisted(self._wire, entry)
        return replace(entry, size=seen.size, modified=seen.modified, precision=seen.precision)

    def look(self, name: Name) -> Entry | None:
        """What is there under `name`, or None."""
        wire = self._wire
        bare = Entry("", name)
        with wire.telling():
            seen = wire.look_anyhow(wire.sayable(wire.path(name)))
        return replace(bare, size=seen.size, modified=seen.modified, precision=seen.precision) if seen else None

    def hash(self, name: Name) -> str | None:
        """The SHA-256 of what is there under `name`; None when nothing is."""
        path = self._wire.sayable(self._wire.path(name))
        try:
            with self._wire.telling():
                return hashed(self._wire, path) or read_back(self._wire, path)
        except Missing:
            return None

    def sweep(self, key: str, name: Name) -> None:
        """Remove the temporary file of a dead try."""
        path = temporary(self._wire, key, name)
        with self._wire.telling():
            reply = self._wire.control.one(b"DELE " + path)
            if not reply.ok and self._wire.exists(path):
                raise fault(reply, f"{self._wire.where}: removing a temporary file")

    def remove(self, entry: Entry) -> None:
        """Remove the file; Missing when it is not there."""
        path = self._wire.sayable(self._wire.place(entry))
        with self._wire.telling():
            reply = self._wire.control.one(b"DELE " + path)
            if not reply.ok:
                raise self._gone(path, entry) or fault(reply, f"removing {entry.text}")

    def move(self, entry: Entry, to: Name) -> None:
        """Move the file to `to` below its folder; Conflict when that name is taken, Missing when the file is not there."""
        wire = self._wire
        source = wire.sayable(wire.place(entry))
        target = wire.sayable(joined(wire.folder(entry.folder), wire.said(to.raw)))
        with wire.telling():
            if wire.exists(target):
                message = f"{to.text} is there already"
                raise Conflict(message)
            first, second = wire.control.ask(b"RNFR " + source, b"RNTO " + target)
            if not first.ok:
                raise self._gone(source, entry) or fault(first, f"moving {entry.text}")
            if second.ok:
                return
            if wire.make_folder(target.rpartition(b"/")[0]):
                first, second = wire.control.ask(b"RNFR " + source, b"RNTO " + target)
            if not second.ok:
                raise fault(second, f"moving {entry.text}")

    def make_folder(self, name: Name) -> None:
        """Make the folder, and those above it; harmless when it is there."""
        path = self._wire.sayable(self._wire.path(name))
        with self._wire.telling():
            if not self._wire.make_folder(path):
                raise Conflict(f"{name}: this folder cannot be made")

    def is_folder(self, name: Name) -> bool:
        """Whether a folder of that name is there."""
        path = self._wire.sayable(self._wire.path(name))
        with self._wire.telling():
            return self._wire.is_folder(path)

    def _gone(self, path: bytes, entry: Entry) -> Missing | None:
        """Missing, when that is why a command failed."""
        return Missing(f"{entry.text} is not there") if self._wire.tells and self._wire.look(path) is None else None
