"""What a live SFTP connection can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from transload import aio
from transload.errors import ConfigError, Missing, TransloadError
from transload.model import Entry, Fetched, Name, Parcel, Receipt, Staged
from transload.protocols import Spool
from transload.remotes.base import SessionBase
from transload.remotes.sftp.paths import fits, join

if TYPE_CHECKING:
    from transload.remotes.sftp.packets import Attrs
    from transload.remotes.sftp.settings import SftpRemote
    from transload.remotes.sftp.storing import Body
    from transload.remotes.sftp.wire import Wire

_STAGED_AT_ONCE = 32
_PUBLISHED_AT_ONCE = 64


class SftpSession(SessionBase):
    """A logged-in SFTP connection, for one thread."""

    def __init__(self, remote: SftpRemote, wire: Wire, *, patient: bool) -> None:
        """A session over `wire`; `patient` where the server is not OpenSSH's."""
        from transload.remotes.sftp.places import Places
        from transload.remotes.sftp.storing import Storing

        self.refused = []
        self._wire, self._patient, self._encoding = wire, patient, remote.encoding
        self._base = self._encoded(remote.path)
        self._places = Places(wire, patient=patient)
        self._storing = Storing(wire, self._places, durable=remote.sync)

    def alive(self) -> bool:
        """Whether the connection is there, as far as we heard."""
        return self._wire.lost is None

    # --- reading

    def list(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """Every file below `folder` (or `folder` itself when it is a file); raises if the listing is not whole."""
        from transload.remotes.sftp.listing import Listing

        self.refused.clear()
        return Listing(self._wire, self.refused, patient=self._patient).entries(folder, self._folder(folder), recursive=recursive)

    def fetch(self, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
        """One outcome per entry, as each is done, in any order; raises Unreachable when the connection is lost."""
        from transload.remotes.sftp.fetching import Fetching

        return Fetching(self._wire, self._path, list(entries), spool).outcomes()

    def stat(self, entry: Entry) -> Entry | None:
        """The file as it is now, or None when it is not there."""
        told = aio.run(self._places.look(self._path(entry)))
        if told is None or not told.is_file:
            return None
        return replace(entry, size=told.size, modified=_micros(told))

    # --- writing

    def stage(self, parcels: Iterable[Parcel]) -> Iterator[Staged]:
        """Write each parcel whole under a temporary name made of its key; one outcome per parcel."""
        from transload.remotes.sftp.storing import body_of

        async def stage(job: tuple[Parcel, Body]) -> Staged:
            return await self._storing.stage(job[0], self._final(job[0].name), job[1], self.moved)

        return aio.each(((parcel, body_of(parcel, self.moved)) for parcel in parcels), stage, _STAGED_AT_ONCE)

    def resume(self, parcel: Parcel) -> Staged | None:
        """Go on with an upload that was cut; None where there is nothing to go on from."""
        from transload.remotes.sftp.storing import body_of

        body = body_of(parcel, self.moved)
        if isinstance(body, bytes | TransloadError):
            return None
        return aio.run(self._storing.resume(parcel, self._final(parcel.name), body, self.moved))

    def publish(self, staged: Iterable[Staged]) -> Iterator[Receipt]:
        """Make each visible under its final name, whole or absent; one outcome per item."""

        async def publish(one: Staged) -> Receipt:
            return await self._storing.publish(one, self._final(one.parcel.name))

        return aio.each(staged, publish, _PUBLISHED_AT_ONCE)

    def look(self, name: Name) -> Entry | None:
        """What is there under `name`, or None."""
        path = self._final(name)
        fits(path)
        told = aio.run(self._places.look(path))
        return None if told is None or not told.is_file else Entry("", name, told.size, _micros(told), settles=True)

    def hash(self, name: Name) -> str | None:
        """The SHA-256 of what is there under `name`, read back; None if absent."""
        path = self._final(name)
        fits(path)
        try:
            return aio.run(self._places.hash(path))
        except Missing:
            return None

    def sweep(self, key: str, name: Name) -> None:
        """Remove what a dead try left under temporary names made of `key`, beside `name`."""
        aio.run(self._storing.sweep(key, self._final(name)))

    # --- settling

    def remove(self, entry: Entry) -> None:
        """Remove the file; Missing when it is not there."""
        aio.run(self._places.remove(self._path(entry)))

    def move(self, entry: Entry, to: Name) -> None:
        """Move the file to `to` below the entry's folder, making folders.

        Never over another file: Conflict. Missing when it is not there.
        """
        target = join(self._folder(entry.folder), to.raw)
        fits(target)
        aio.run(self._places.move(self._path(entry), target))

    # --- folders

    def make_folder(self, name: Name) -> None:
        """Make the folder, and those above it; harmless when it is there. Conflict when a file has that name."""
        aio.run(self._places.make(self._final(name)))

    def is_folder(self, name: Name) -> bool:
        """Whether a folder of that name is there."""
        told = aio.run(self._places.look(self._final(name)))
        return told is not None and told.is_folder

    # --- paths

    def _encoded(self, path: str) -> bytes:
        try:
            return path.encode(self._encoding, "surrogateescape")
        except UnicodeEncodeError as error:
            raise ConfigError(f"{path!r} cannot be spelled in {self._encoding}") from error

    def _folder(self, folder: str) -> bytes:
        return join(self._base, self._encoded("" if folder == "." else folder))

    def _path(self, entry: Entry) -> bytes:
        return join(self._folder(entry.folder), entry.name.raw)

    def _final(self, name: Name) -> bytes:
        return join(self._base, name.raw)


def _micros(told: Attrs) -> int | None:
    return None if told.modified is None else told.modified * 1_000_000
