"""The interfaces: what a remote's session can do, and what it is handed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from transload.model import Entry, Fetched, Name, Parcel, Receipt, Spooled, Staged

SERVER = "@server"
"""What our own servers are called among the remotes: the homes of the users. No config can have such a name."""

STEPS = "@steps:"
"""With a node's name behind it, where the steps of that node are done."""

NOTIFY = "@notify:"
"""With a target's name behind it, what somebody who is told of things is called among the remotes."""

HOOK = "@hook:"
"""With a route's name behind it, what its hook is called among the remotes."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that has been received, as hooks are told of it. At least once; `id` is the same each time."""

    id: int
    path: str
    """Where a read-only copy of the bytes can be read; the same bytes as long as the hook runs."""
    name: str
    """The path in the user's home, in its safe spelling; of a fetched file the path on its remote."""
    size: int
    sha256: str
    user: str
    client: str
    """The client's address."""
    protocol: str
    time: float
    """When it had wholly arrived, in seconds since 1970."""
    route: str = ""


class Part(Protocol):
    """One file on its way into the spool: hashed while it streams; for one thread at a time."""

    @property
    def offset(self) -> int:
        """How many bytes are there already; above 0 only when an earlier, cut fetch of the same entry left them."""

    def head(self, count: int) -> bytes:
        """The first `count` bytes that are there (to check an overlap before resuming)."""

    def tail(self, count: int) -> bytes:
        """The last `count` bytes that are there (to check the seam when resuming)."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`; blocks while a rate limit or the reader of the progress wants it; raises Full when there is no room."""

    def restart(self) -> None:
        """Forget what is there and begin at byte 0 (the remote cannot resume, or the file is another one)."""

    def done(self) -> Spooled:
        """All bytes are there: close, and give size and hash."""

    def keep(self) -> None:
        """The transfer was cut: close, and keep what is there for a later resume."""

    def drop(self) -> None:
        """Close and forget; harmless after `done`."""


class Spool(Protocol):
    """Where fetched bytes go, seen from a remote's session."""

    def part(self, entry: Entry) -> Part:
        """A part for `entry`; its `offset` tells whether there is something to resume. Raises Full."""

    def put(self, entry: Entry, data: bytes) -> Spooled:
        """Store a small file that was read at once. Raises Full."""


@runtime_checkable
class Reader(Protocol):
    """Enough to be a source."""

    def list(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """Every file below `folder` (or `folder` itself when it is a file); raises if the listing is not whole."""

    def fetch(self, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
        """One outcome per entry, as each is done, in any order; raises Transient when the connection is lost."""


@runtime_checkable
class Writer(Protocol):
    """Enough to be a destination."""

    def stage(self, parcels: Iterable[Parcel]) -> Iterator[Staged]:
        """Write each parcel whole under a temporary name made of its key; one outcome per parcel."""

    def publish(self, staged: Iterable[Staged]) -> Iterator[Receipt]:
        """Make each visible under its final name, whole or absent; one outcome per item."""

    def look(self, name: Name) -> Entry | None:
        """What is there under `name`, or None: settles an unknown outcome."""

    def hash(self, name: Name) -> str | None:
        """The SHA-256 of what is there under `name`, however the store can tell (reading it back if need be); None if absent."""

    def sweep(self, key: str, name: Name) -> None:
        """Remove what a dead try left under temporary names made of `key`, beside `name` (the final name that it was for).

        Harmless when there is nothing.
        """


@runtime_checkable
class Remover(Protocol):
    """Can serve `after = "delete"`."""

    def remove(self, entry: Entry) -> None:
        """Remove the file; Missing when it is not there."""


@runtime_checkable
class Mover(Protocol):
    """Can serve `after = { move = ... }`."""

    def move(self, entry: Entry, to: Name) -> None:
        """Move the file to `to` below the entry's folder, making folders.

        Never over another file: Conflict. Missing when it is not there.
        """


@runtime_checkable
class Resumer(Protocol):
    """Can go on with an upload that was cut."""

    def resume(self, parcel: Parcel) -> Staged | None:
        """Stage the parcel after what a cut try with the same key has left; None where there is nothing to go on from: `stage` it."""


@runtime_checkable
class Foldered(Protocol):
    """Has folders that are there without a file in them."""

    def make_folder(self, name: Name) -> None:
        """Make the folder, and those above it; harmless when it is there. Conflict when a file has that name."""

    def is_folder(self, name: Name) -> bool:
        """Whether a folder of that name is there."""


class Session(Protocol):
    """A live connection; what else it can do is told by the protocols above."""

    def stat(self, entry: Entry) -> Entry | None:
        """The file as it is now, or None when it is not there."""


class Remote(Protocol):
    """Frozen settings of one place; `connect` gives a session."""

    session: ClassVar[type]

    def connect(self) -> AbstractContextManager[Session]:
        """A session, logged in; raises Unreachable, Busy or Denied."""
