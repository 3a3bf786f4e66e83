"""What FTP and SFTP share with the one behind them: the values that go over the counter, and who does what.

A protocol server speaks its protocol, proves who is there, and judges how a connection ended; all else (rights, homes,
quotas, rates, the arrival contract, durability) lies behind `Gate`, `Visit` and `Upload`, the same for every protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from transload.accounts import Account, Login
from transload.errors import TransloadError
from transload.model import Name

Then = Callable[[TransloadError | None], None]
"""Told once, from any thread, how a thing ended that had to be made durable: None for a "yes", or why not."""


class Item(NamedTuple):
    """A file or folder of a home as its user sees it. A cut upload shows as a file of the size that can be resumed."""

    name: bytes
    size: int
    modified: int
    """Microseconds since 1970."""
    mode: int
    folder: bool


class Upload(Protocol):
    """One file on its way in. For one thread at a time; nothing is visible under the final name before `finish`."""

    modified: int | None
    """The time that the client gives the file, in microseconds since 1970, if it does so before `finish`."""

    @property
    def offset(self) -> int:
        """Where the bytes that are sent go on; above 0 when it is resumed or appended to."""

    @property
    def size(self) -> int:
        """How many bytes are there, those of earlier tries among them."""

    @property
    def grace(self) -> float | None:
        """For how many seconds to look for a client that died; None for as long as its line asks for."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises Full (quota, disk) or Refused (too large)."""

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write anywhere (SFTP); in order is fast. Raises as `write` does."""

    def cut_to(self, size: int) -> None:
        """Truncate, or lengthen with zeros (SFTP's setstat on an open file)."""

    def syncing(self) -> Callable[[], None]:
        """What makes the bytes that are there now durable, to be called once, in any thread; raises Full or what else the disk says."""

    def finish(self, then: Then, sure: Future[bool] | None = None) -> None:
        """All bytes are there: make them durable, note them in the ledger, give them their name; then tell `then`.

        Returns at once. `sure` is the evidence that the client is still there: False means that the upload was cut. Syncing
        goes on beside it; the ledger's transaction waits for it. None is for a protocol whose end is evidence in itself.
        """

    def cut(self, reason: str) -> None:
        """The upload broke off: what is there is kept aside for resuming, and never counts as complete. Harmless after `finish`."""

    def discard(self) -> None:
        """The client gave it up, or it must not be kept: forget it. Harmless after `finish`."""


class Reading(Protocol):
    """A file of the home, open for reading."""

    size: int
    modified: int

    def fileno(self) -> int:
        """The descriptor, for pread and sendfile."""

    def close(self) -> None:
        """No longer read."""


class Visit(Protocol):
    """One logged-in session. Paths are raw bytes as the client means them: absolute, b"/" is the home itself.

    Methods check rights and raise in one line: Missing, Denied (no such right), Conflict (the name is taken), Refused
    (a name or size that is not taken), Full, Rejected (not a safe name), Busy. What lies outside the home is Missing or
    Rejected, never reached. All but `then` callbacks are short and may be called in an event loop.
    """

    @property
    def account(self) -> Account:
        """The account as it is now: it may change while the session lasts."""

    @property
    def login(self) -> Login:
        """How its user came in."""

    @property
    def over(self) -> str:
        """Why this session must end (the account was changed, the server stops), or nothing; asked now and then."""

    def item(self, path: bytes) -> Item:
        """What is at `path`."""

    def items(self, path: bytes) -> Iterator[Item]:
        """What is in the folder `path`; without what the server keeps for itself. Needs `l`."""

    def enter(self, path: bytes) -> None:
        """`path` is a folder that may be entered (`e`)."""

    def read(self, path: bytes) -> Reading:
        """Open a file for reading. Needs `r`; Denied while it is kept apart."""

    def upload(self, path: bytes, *, offset: int = 0, append: bool = False, size: int | None = None) -> Upload:
        """Begin an upload to `path`: anew (`w`), from `offset` of what is there (a cut upload, or a file: `a` or `w`), or at its end (`a`).

        With `a` and no `w` the bytes of a whole file stay as they are. `size` is what the client has announced (ALLO), checked at the end.
        """

    def rename(self, old: bytes, new: bytes, then: Then) -> None:
        """Rename a file or folder. Needs `f` at both. What no route took is judged anew under its new name; "yes" is durable."""

    def remove(self, path: bytes, then: Then) -> None:
        """Remove a file. Needs `d`. What was taken of it goes its way all the same."""

    def make_folder(self, path: bytes) -> None:
        """Make a folder. Needs `m`."""

    def remove_folder(self, path: bytes) -> None:
        """Remove an empty folder. Needs `d`."""

    def set_time(self, path: bytes, modified: int) -> None:
        """Set a file's time (microseconds). Needs `T`, or is the session's own upload."""

    def set_mode(self, path: bytes, mode: int) -> None:
        """Set permission bits, never setuid or such. Needs `M`."""

    def sha256(self, path: bytes) -> str | None:
        """The SHA-256 of a file that was received here, from the ledger; None where it is not known."""

    def room(self) -> tuple[int, int]:
        """How many bytes the home may hold in all, and how many more it can take: quota and disk."""

    def hold_in(self, count: int) -> float:
        """`count` bytes were received: for how many seconds to receive none, to keep to the rates. Never blocks."""

    def hold_out(self, count: int) -> float:
        """The same for bytes sent."""

    def close(self) -> None:
        """The session is over."""


class Seat(Protocol):
    """What a visit knows of the session that it is for: the gate gives it, and changes it under the session's feet."""

    @property
    def account(self) -> Account:
        """The account as it is now."""

    @property
    def login(self) -> Login:
        """How its user came in."""

    @property
    def over(self) -> str:
        """Why the session must end, or nothing."""

    def leave(self) -> None:
        """The session is over. Harmless when it was before."""


class Gate(Protocol):
    """Who may come in."""

    def greet(self, protocol: str, address: str) -> None:
        """A connection came, not logged in yet. Raises Denied (banned) or Busy (too many): drop it with a word."""

    def gone(self, protocol: str, address: str) -> None:
        """A connection that was greeted is over."""

    def admit(self, login: Login) -> Visit:
        """Log in. Takes up to a second (argon2, delays for wrong ones): call it in a thread.

        Raises Denied with a text for the log (the client hears nothing but "Login incorrect"), or Busy.
        """

    def has_key(self, user: str, key: str) -> bool:
        """Whether that user may show this public key ("ssh-ed25519 AAAA..."); no proof, and no ban, yet."""

    def methods(self, user: str) -> str:
        """Either "any" or "key+password"; "any" for users that do not exist."""


RESERVED = b".\x1f"
"""What the names begin with that a home's folders hold for the server itself: no client sees or uses them."""
KEPT = RESERVED + b"part."
"""Before the name of a cut upload that is kept for resuming; its user is shown it as `name` while no whole file has that name."""


class Home(Protocol):
    """A user's home as the landing sees it. For any thread."""

    user: str
    root: bytes
    """Where it is; several users may share one."""

    def folder(self, path: bytes) -> AbstractContextManager[int]:
        """The folder `path` (empty: the home itself), open, no link followed; raises Missing, Conflict (it is no folder) or Rejected."""

    def way(self, path: bytes) -> AbstractContextManager[int]:
        """The same, cheaper: good for reaching what is in it, and for nothing else."""

    def changed(self, count: int, files: int) -> None:
        """The landing has added so many bytes and files to the home, or taken them away (below 0); kept parts among them."""

    def changing(self) -> AbstractContextManager[object]:
        """Held around a change on disk and the `changed` or `settle` that tells of it: nobody counts the home meanwhile. Re-entrant."""


class Meter(Protocol):
    """What one upload may still bring, and has brought. For one thread at a time."""

    def __call__(self, size: int) -> None:
        """The upload is about to have `size` bytes: raises Full (quota) or Refused (larger than allowed), and then nothing has changed."""

    def instead(self, size: int) -> None:
        """`size` bytes of a file in the home will be gone once it has landed: the cut part that it resumes, the file that it replaces."""

    def taken(self, size: int) -> None:
        """The file of `size` bytes of which `instead` was told has left the home just now, and is part of the upload."""

    def whole(self, size: int) -> None:
        """It is whole, with `size` bytes: raises Refused when that is less than allowed."""

    def settle(self, count: int, files: int) -> None:
        """It is over, landed or kept or forgotten: the home has so many bytes and files more than before (not told to `changed` as well).

        What was set aside for it is free again. Only the first call counts.
        """


class Unmetered:
    """No limit at all."""

    def __call__(self, size: int) -> None: ...
    def instead(self, size: int) -> None: ...
    def taken(self, size: int) -> None: ...
    def whole(self, size: int) -> None: ...
    def settle(self, count: int, files: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Sending:
    """What a client is about to send, and where to; its rights were looked at."""

    account: Account
    login: Login
    home: Home
    path: Name
    """In the home; nothing in it begins with RESERVED."""
    offset: int = 0
    append: bool = False
    size: int | None = None
    admit: Meter = field(default_factory=Unmetered)
    """Asked before the upload grows to so many bytes, and told once it is over."""


class Landing(Protocol):
    """Where files land: what makes a "yes" true. One for a whole process; two kinds: a plain folder, and ledger with spool.

    `rename` and `remove` return at once and tell `then` when that is durable; all that changes the files of homes goes through here.
    """

    def upload(self, sending: Sending) -> Upload:
        """Begin an upload. Raises Conflict (the name is taken, and may not be uploaded again), Refused (offset), Missing or Full."""

    def rename(self, home: Home, login: Login, old: Name, new: Name, then: Then) -> None:
        """Rename a file or folder of the home; Busy for a cut upload. `new` is taken: Conflict, or what the contract says (`exists`)."""

    def remove(self, home: Home, path: Name, then: Then) -> None:
        """Remove a file of the home, or a cut upload."""

    def sha256(self, home: Home, path: Name) -> str | None:
        """The SHA-256 of a whole file that landed here, if it is known."""

    def check_read(self, home: Home, path: Name) -> None:
        """Raise Denied when a file of the home is kept apart: its user is not to have it back."""

    def close(self) -> None:
        """Let what is in hand end, then land no more."""
