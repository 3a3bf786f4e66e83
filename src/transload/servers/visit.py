"""One logged-in session: what it asks for, held against its user's rights and limits, then done in the home or by the landing."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterator

from transload.accounts import Account, Limits
from transload.errors import Conflict, Denied, Missing, Refused, TransloadError
from transload.model import Name, spell
from transload.patterns import PatternFault, Patterns
from transload.servers.base import RESERVED, Item, Landing, Reading, Seat, Sending, Then, Upload, Visit
from transload.servers.home import Home, Homes
from transload.servers.own import Adding, Mine, Own
from transload.servers.pace import Paces
from transload.servers.quota import Hold
from transload.servers.telling import missing

_numbers = itertools.count()
_NO_LONGER = 100
"""Bytes that a name may have on any disk."""


class Stay:
    """A `Visit` to a home. Whatever the protocol, this is where it is decided whether a user may."""

    def __init__(self, seat: Seat, home: Home, landing: Landing, paces: Paces, mine: Mine) -> None:
        """For the session in `seat`, whose account may change while it lasts. With a quota, counts the home."""
        self.login, self.home = seat.login, home
        self._seat, self._landing, self._paces = seat, landing, paces
        self._number = next(_numbers)
        self._mine, self._own = mine, Mine()
        self._settle_in(seat.account)
        if _has_quota(self._limits):
            home.stock.look()

    def _settle_in(self, account: Account) -> None:
        self._known, self._rights, self._limits = account, account.rights, account.limits
        self._patterns, self._fault = _patterns(account.limits.match)
        self._up, self._down = self._paces.of(account.name, account.limits)

    @property
    def account(self) -> Account:
        self._renew()
        return self._known

    def _renew(self) -> None:
        """The account as it is now."""
        if self._seat.account is not self._known:
            self._settle_in(self._seat.account)

    @property
    def over(self) -> str:
        return self._seat.over

    # Looking

    def item(self, path: bytes) -> Item:
        """What is at `path`, for whom has `l` or `r` there, has uploaded it just now, or could resume it; Missing to all others."""
        at = self._there(path)
        if not at or at in self._own or self._any("lr", at):
            return self.home.item(at)
        return self._glimpse(at)

    def _glimpse(self, at: bytes) -> Item:
        try:
            folder = self.home.item(at)
        except Missing:
            folder = None
        if folder is not None and folder.folder and self._any("e", at):
            return folder
        if self._any("aw", at) and self.home.kept(at) and not self.home.has(at):
            return self.home.item(at)
        raise missing(at)

    def items(self, path: bytes) -> Iterator[Item]:
        at = self._there(path)
        self._need("l", at, "list")
        with self.home.folder(at):
            return self.home.items(at)

    def enter(self, path: bytes) -> None:
        at = self._there(path)
        self._need("e", at, "enter")
        with self.home.folder(at):
            return

    def read(self, path: bytes) -> Reading:
        at = self._there(path)
        self._need("r", at, "read")
        if at:
            self._landing.check_read(self.home, Name(at))
        return self.home.read(at)

    def sha256(self, path: bytes) -> str | None:
        at = self._there(path)
        if at not in self._own:
            self._need("rl", at, "look at")
        return self._landing.sha256(self.home, Name(at)) if at else None

    def room(self) -> tuple[int, int]:
        total, left = self.home.room()
        quota = self.account.limits.quota
        if quota is None:
            return total, left
        self.home.stock.look()
        return quota, max(0, min(left, quota - self.home.stock.used()[0]))

    # Changing

    def upload(self, path: bytes, *, offset: int = 0, append: bool = False, size: int | None = None) -> Upload:
        name = self._new(path)
        self._need("a" if append else "aw" if offset else "w", name.raw, "append to" if append else "write")
        self._check_name(name)
        own = Adding if offset and self._only_adds(name.raw, offset) else Own
        if append or offset:
            self._landing.check_read(self.home, name)
        if len(name.base) > _NO_LONGER:
            self.home.check_new(name.raw)  # all else that it looks at the landing looks at too
        hold = Hold(self.home.stock, self._limits, file=_has_quota(self._limits) and self.home.kept(name.raw) is None)
        try:
            if size is not None:
                hold.fits(size)
            sending = Sending(self._known, self.login, self.home, name, offset, append, size, hold)
            return own(self._landing.upload(sending), lambda: self._has_brought(name.raw))
        except BaseException:
            hold.settle(0, 0)
            raise

    def _only_adds(self, at: bytes, offset: int) -> bool:
        """Whether there is a whole file that may be appended to, but not written; Denied where bytes of it would be."""
        if self._any("w", at) or not self.home.has(at):
            return False
        if offset < self.home.look(at).st_size:
            self._need("w", at, "write")
        return True

    def _has_brought(self, at: bytes) -> None:
        self._own.add(at)
        self._mine.add(at)

    def rename(self, old: bytes, new: bytes, then: Then) -> None:
        source, target = self._named(old), self._new(new)
        for name in (source, target):
            self._need("f", name.raw, "rename")
        if source.folder != target.folder:
            self._need("aw", target.raw, "write")
        if self.home.item(source.raw).folder:
            self._keep_rights(source, target)
        else:
            self._check_name(target)
        self.home.check_new(target.raw)

        def done(error: TransloadError | None) -> None:
            if error is None and source.raw in self._own:
                self._own.discard(source.raw)
                self._has_brought(target.raw)
            then(error)

        self._landing.rename(self.home, self.login, source, target, done)

    def _keep_rights(self, source: Name, target: Name) -> None:
        """No folder that has letters of its own comes to lie elsewhere, and none comes to lie where others wait for it."""
        for folder in self._rights.folders:
            own = folder.strip("/").encode("utf-8", "surrogateescape") + b"/"
            if own.startswith((source.raw + b"/", target.raw + b"/")):
                raise Denied(f"{source}: {folder} has rights of its own and stays where it is")

    def remove(self, path: bytes, then: Then) -> None:
        name = self._named(path)
        self._need("d", name.raw, "remove")
        if self.home.item(name.raw).folder:
            raise Conflict(f"{name}: it is a folder")
        self._own.discard(name.raw)
        self._mine.discard(name.raw)
        self._landing.remove(self.home, name, then)

    def make_folder(self, path: bytes) -> None:
        name = self._new(path)
        self._need("m", name.raw, "make")
        self.home.make_folder(name.raw)

    def remove_folder(self, path: bytes) -> None:
        name = self._named(path)
        self._need("d", name.raw, "remove")
        self.home.remove_folder(name.raw)

    def set_time(self, path: bytes, modified: int) -> None:
        at = self._there(path)
        if at not in self._mine and not (self._any("m", at) and self.home.item(at).folder):
            self._need("T", at, "set the time of")
        self.home.set_time(at, modified)

    def set_mode(self, path: bytes, mode: int) -> None:
        at = self._there(path)
        self._need("M", at, "set the mode of")
        self.home.set_mode(at, mode)

    # Pace, and the end

    def hold_in(self, count: int) -> float:
        self._renew()
        return self._up.hold(self._number, count)

    def hold_out(self, count: int) -> float:
        self._renew()
        return self._down.hold(self._number, count)

    def close(self) -> None:
        self._seat.leave()

    # What names and rights come to

    def _there(self, path: bytes) -> bytes:
        """The way below the home that `path` means; Missing for what no client can know of, Rejected for what is no name."""
        self._renew()
        at = beneath(path)
        if RESERVED in at and any(part.startswith(RESERVED) for part in at.split(b"/")):
            raise missing(at)
        return Name(at).raw if at else at

    def _named(self, path: bytes) -> Name:
        at = self._there(path)
        if not at:
            raise Denied("the home itself stays as it is")
        return Name(at)

    def _new(self, path: bytes) -> Name:
        """The name that something is to get; Refused where it cannot have that one."""
        self._renew()
        at = beneath(path)
        if not at:
            raise Conflict("/: it is the home itself")
        name = Name(at)
        if RESERVED in at and any(part.startswith(RESERVED) for part in at.split(b"/")):
            raise Refused(f"{name}: names that begin so are the server's own")
        if b"\n" in at or b"\r" in at:
            raise Refused(f"{name}: a name that holds a line break is not taken")
        return name

    def _any(self, letters: str, at: bytes) -> bool:
        has = self._rights.at(at)
        return any(letter in has for letter in letters)

    def _need(self, letters: str, at: bytes, what: str) -> None:
        if not self._any(letters, at):
            raise Denied(f"{spell(at) or '/'}: {self._known.name} may not {what} it")

    def _check_name(self, name: Name) -> None:
        if self._fault:
            raise Refused(f"{name}: {self._fault}")
        if self._patterns is not None and name not in self._patterns:
            raise Refused(f"{name}: only names like {', '.join(self._patterns.texts)} are taken")


class Stays:
    """Gives each session that is let in its visit: the one place that knows the homes, the landing and the rates."""

    def __init__(self, homes: Homes, landing: Landing, paces: Paces) -> None:
        """All three are shared by all servers of a process."""
        self._homes, self._landing, self._paces = homes, landing, paces
        self._mine: weakref.WeakValueDictionary[tuple[str, str], Mine] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def __call__(self, seat: Seat) -> Visit:
        """The visit of the session in `seat`; raises what the disk does when its home cannot be reached or made."""
        account = seat.account
        who = account.name, seat.login.address
        with self._lock:
            mine = self._mine.get(who)
            if mine is None:
                mine = self._mine[who] = Mine()
        return Stay(seat, self._homes.of(account.name, account.home), self._landing, self._paces, mine)


def _patterns(texts: tuple[str, ...]) -> tuple[Patterns | None, str]:
    """The patterns of the names that are taken, or why there can be none."""
    try:
        return (Patterns(texts) if texts else None), ""
    except PatternFault as fault:
        return None, f"nothing is taken, for a pattern of the account {fault}"


def _has_quota(limits: Limits) -> bool:
    return limits.quota is not None or limits.quota_files is not None


def beneath(path: bytes) -> bytes:
    """The way below the home that `path` means, by its text alone: `b"/a/../b"` is `b"b"`, and nothing is above the home."""
    out: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del out[-1:]
        elif part not in (b"", b"."):
            out.append(part)
    return b"/".join(out)
