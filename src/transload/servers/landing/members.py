"""What waits to become durable: an upload, a new name, a removal. Each knows what it does on disk, and how to undo it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from transload import disk, log
from transload.errors import Busy, Conflict, Missing, TransloadError, Unreachable
from transload.ledger.booking import Landed, Removed, Renamed
from transload.model import Name
from transload.servers.base import KEPT
from transload.servers.landing.kept import PASSING, beside, forget, size_of
from transload.servers.landing.placing import Known, Placing, free_name, put_back, set_aside, unknown

if TYPE_CHECKING:
    from transload.ledger.booking import Change
    from transload.ledger.taking import Row, Verdict
    from transload.model import Spooled
    from transload.servers.base import Home, Then
    from transload.servers.landing.inflow import Inflow

Judge = Callable[["Row"], "Verdict"]


class Waiting:
    """Something that somebody waits for."""

    sure: Future[bool] | None = None
    synced = True
    sharers: Sequence[str] = ()
    """The other users of the same home."""
    known: Known = staticmethod(unknown)
    """Asked before an older file is set aside under a name."""

    def __init__(self, home: Home, then: Then, *names: Name) -> None:
        """In `home`, about these names; `then` is told once."""
        self.home, self.names = home, names
        self._then, self._once = then, threading.Lock()

    @property
    def keys(self) -> set[tuple[bytes, bytes]]:
        """The places that it is about: no two members of a group are about the same one."""
        return {(self.home.root, name.raw) for name in self.names}

    @property
    def changes(self) -> bool:
        """Whether it is about files that are there already."""
        return True

    def told(self, error: TransloadError | None) -> None:
        """How it ended; only the first word counts."""
        if self._once.acquire(blocking=False):
            self._then(error)

    def given_up(self, error: TransloadError) -> None:
        """It will not come to be, for a reason that has nothing to do with it."""
        self.told(error)

    def begin(self) -> Change | None:
        """Do what is done on disk before the ledger is told, and say what it is to be told."""
        raise NotImplementedError

    def undo(self) -> None:
        """The ledger was not told: let the disk be as it was."""

    def end(self) -> None:
        """The ledger knows: do the rest."""


class Whole(Waiting):
    """An upload of which all bytes are there."""

    synced = False

    def __init__(self, inflow: Inflow, then: Then, sure: Future[bool] | None, judge: Judge, token: str) -> None:
        """`inflow`, whose draft was handed over; `token` is that of this process."""
        super().__init__(inflow.sending.home, then, inflow.sending.path)
        self.inflow, self.sure = inflow, sure
        self._judge = judge
        self.spooled: Spooled | None = None
        self.placing = Placing(self.home, inflow.sending.path, token)
        self._change: Landed | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the evidence says that the client did not end it."""
        if self.sure is None or self.inflow.contract.lenient:
            return False
        return bool(self.sure.cancelled() or self.sure.exception() is not None or not self.sure.result())

    @property
    def changes(self) -> bool:
        return self.placing.whole is not None

    def cut_off(self) -> None:
        """Keep it for resuming; it does not count."""
        self.given_up(Unreachable("the client was gone before the upload was known to be whole: it is kept to be resumed"))

    def given_up(self, error: TransloadError) -> None:
        if self._once.locked():
            return
        self.placing.drop()
        self.inflow.draft.close()
        self.inflow.put_aside(ended=True)
        self.told(error)

    def failed(self, error: TransloadError) -> None:
        """It has not landed, and nothing of it is left."""
        self.placing.drop()
        self.inflow.draft.close()
        with suppress(FileNotFoundError):
            os.unlink(self.inflow.draft.path)
        self.inflow.draft.forget_note()
        self.inflow.sending.admit.settle(0, 0)
        self.told(error)

    def begin(self) -> Change:
        sending, spooled = self.inflow.sending, self.spooled
        assert spooled is not None  # noqa: S101 - that is what `finish` was for
        login, modified = sending.login, self.inflow.modified
        self._change = Landed(
            sending.home.user, sending.path, spooled.size, spooled.sha256, login.protocol, login.address, self._judge, modified
        )
        self._change.aside, self._change.sharers = self.placing.aside, self.sharers
        return self._change

    def decide(self) -> None:
        """Choose what becomes of the older file of its name; raises Conflict, and Missing."""
        self.placing.decide(self.inflow.contract.exists, self.known, extends=self.inflow.extends)

    def end(self) -> None:
        same = self._change is not None and self._change.again
        with self.home.changing():
            count, files = self.placing.show(same=same)
            self.inflow.latest()
            self.inflow.sending.admit.settle(count, files)
        self.inflow.draft.forget_note()


class Rename(Waiting):
    """A file that gets another name."""

    def __init__(self, home: Home, old: Name, new: Name, decide: Callable[[], tuple[str, Judge]], then: Then) -> None:
        """`decide` says what becomes of a file that has the new name, and who judges the one that gets it."""
        super().__init__(home, then, old, new)
        self._old, self._new, self._decide, self._exists = old, new, decide, "refuse"
        self._aside: Name | None = None
        self._whole: int | None = None

    def begin(self) -> Change | None:
        old, new = self._old, self._new
        self._exists, judge = self._decide()
        with self.home.changing(), beside(self.home, old) as source, beside(self.home, new) as target:
            if size_of(source, old.base) is None:
                raise Missing(f"{old.text}: there is no such file")
            self._whole = size_of(target, new.base)
            if self._whole is None:
                disk.rename_new(old.base, new.base, source, target)
            elif self._exists == "refuse":
                raise Conflict(f"{new.text}: there is a file of that name")
            else:
                # A file that is replaced stays under a name that no one sees until the ledger knows.
                if self._exists == "version":
                    aside = free_name(target, new, self.known)
                else:
                    aside = new.beside(PASSING + os.urandom(8).hex().encode())
                self._aside = set_aside(target, new, aside)
                try:
                    os.rename(old.base, new.base, src_dir_fd=source, dst_dir_fd=target)
                except OSError:  # another disk is mounted there, say
                    if self._aside is not None:
                        put_back(target, self._aside, new)
                    raise
                self._changed(-1)
        return Renamed(self.home.user, old, new, judge, self._aside if self._exists == "version" else None, self.sharers)

    def _changed(self, sign: int) -> None:
        """The file that is replaced is no longer in the home, or is again."""
        if self._exists != "version":
            self.home.changed(sign * (self._whole or 0), sign)

    def undo(self) -> None:
        with self.home.changing(), beside(self.home, self._old) as source, beside(self.home, self._new) as target:
            disk.rename_new(self._new.base, self._old.base, target, source)
            if self._aside is not None:
                disk.rename_new(self._aside.base, self._new.base, target, target)
                self._changed(1)

    def end(self) -> None:
        if self._aside is not None and self._exists != "version":
            with beside(self.home, self._new) as target:
                os.unlink(self._aside.base, dir_fd=target)
        # Nobody will go on with what was kept of a cut upload of that name: it would show again once this file is removed.
        with suppress(Missing):
            forget(self.home, self._new)


class Removal(Waiting):
    """A file that is removed: the ledger hears of it first, so that a death in between leaves a file too many, and none too few."""

    def __init__(self, home: Home, path: Name, then: Then) -> None:
        super().__init__(home, then, path)
        self._path = path

    def begin(self) -> Change:
        with beside(self.home, self._path) as folder:
            if size_of(folder, self._path.base) is None:
                raise Missing(f"{self._path.text}: there is no such file")
        return Removed(self.home.user, self._path, sharers=self.sharers)

    def end(self) -> None:
        with self.home.changing():
            with beside(self.home, self._path) as folder:
                size = size_of(folder, self._path.base)
                if size is not None:
                    os.unlink(self._path.base, dir_fd=folder)
            self.home.changed(-(size or 0), -1)


def what_is(home: Home, path: Name) -> str:
    """Whether `path` is a "file", a "folder", or a "kept" upload; raises Missing."""
    with beside(home, path) as folder:
        try:
            found = os.stat(path.base, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            if size_of(folder, KEPT + path.base) is not None:
                return "kept"
            raise Missing(f"{path.text}: there is no such file or folder") from None
    if stat.S_ISDIR(found.st_mode):
        return "folder"
    if not stat.S_ISREG(found.st_mode):
        raise Missing(f"{path.text}: there is no such file or folder")
    return "file"


def incomplete(path: Name) -> Busy:
    """Why a cut upload gets no other name: whoever ends uploads by a rename would take that for a "yes"."""
    return Busy(f"{path.text}: its upload is not complete: go on with it, or send it again")


def ended(members: Sequence[Waiting]) -> None:
    """What is known for good is done. An upload that cannot be shown is for the repair at the next start: its bytes are safe."""
    for member in members:
        try:
            member.end()
        except TransloadError as error:
            if isinstance(member, Whole):
                member.inflow.sending.admit.settle(0, 0)
                log.get("transload.landing").error("a file is not in its home yet", user=member.home.user, reason=str(error))
            else:
                member.told(error)


__all__ = ["Removal", "Rename", "Waiting", "Whole", "ended", "forget", "incomplete", "what_is"]


def did(member: Waiting, act: Callable[[], object]) -> bool:
    """Whether that could be done; if not, whoever waits for it knows why."""
    try:
        act()
    except TransloadError as error:
        (member.failed if isinstance(member, Whole) else member.told)(error)
        return False
    return True
