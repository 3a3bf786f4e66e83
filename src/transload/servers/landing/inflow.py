"""One upload as its session sees it: bytes into a part, then handed over whole, kept aside, or forgotten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from transload import crash
from transload.errors import Busy, Conflict, Refused, TransloadError
from transload.servers.base import KEPT
from transload.servers.landing.kept import Seen, about, beside, keep, order, seen, size_of
from transload.spool.drafts import Draft
from transload.spool.parts import WORTH_RESUMING, Left

if TYPE_CHECKING:
    from transload.config import Arriving
    from transload.servers.base import Sending, Then


class Ground(Protocol):
    """Where parts are made, and what takes whole uploads over."""

    def draft(self, size: int) -> Draft:
        """An empty part."""

    def draft_of(self, left: Left) -> Draft:
        """A part that begins with what was `left` by an earlier try, which is no longer there then."""

    def land(self, inflow: Inflow, then: Then, sure: Future[bool] | None) -> None:
        """All bytes of it are there."""


class Inflow:
    """One file on its way in. For one thread at a time."""

    def __init__(self, ground: Ground, sending: Sending, contract: Arriving) -> None:
        """As `sending` asks for it: new, or with what is there already; raises what `Landing.upload` does."""
        self._ground, self.sending, self.contract = ground, sending, contract
        self.modified: int | None = None
        """The time that the client gives the file, in microseconds since 1970."""
        self.extends: Seen | None = None
        """The whole file of that name, all of whose bytes it has, with more behind them; None when it has not."""
        self._over = self._gap = False
        self._number = order.begin()
        with beside(sending.home, sending.path) as folder:
            self.draft = self._begun(folder)
        self.offset = self.draft.size
        crash.point("recv-open")

    def _begun(self, folder: int) -> Draft:
        sending, base = self.sending, self.sending.path.base
        whole = size_of(folder, base)
        if whole is not None and self.contract.exists == "refuse":
            raise Conflict(f"{sending.path.text}: there is a file of that name, and it may not be uploaded again")
        # Where a whole file does not end the cut upload goes on, if there is one: that is the younger.
        kept = size_of(folder, KEPT + base) if whole is None or sending.offset not in (0, whole) else None
        there = whole if kept is None else kept
        offset = (there or 0) if sending.append else sending.offset
        if offset > (there or 0):
            raise Refused(f"{sending.path.text}: it has {there or 0} bytes: it cannot go on at {offset}")
        if offset and offset == whole:
            self.extends = seen(folder, base)
        if whole is not None and (self.extends or self.contract.exists == "replace"):
            sending.admit.instead(whole)
        if not offset:
            return self._ground.draft(sending.size or 0)
        if kept is not None:
            return self._resumed(folder, offset)
        sending.admit(offset)
        draft = self._ground.draft(offset)
        source = os.open(base, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            if os.fstat(source).st_size < offset:
                raise Busy(f"{sending.path.text}: another upload has taken its name just now")
            draft.take(source, offset)
        except BaseException:
            draft.drop()
            raise
        finally:
            os.close(source)
        return draft

    def _resumed(self, folder: int, offset: int) -> Draft:
        """The kept part itself, which is gone from the home then."""
        sending, name = self.sending, KEPT + self.sending.path.base
        kept = size_of(folder, name) or 0
        sending.admit.instead(kept)
        sending.admit(offset)

        @contextmanager
        def leaving() -> Iterator[None]:
            with sending.home.changing():
                yield
                sending.admit.taken(kept)

        return self._ground.draft_of(Left(name, folder, offset, about(sending.home, sending.path), leaving))

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return self.draft.size

    @property
    def grace(self) -> float | None:
        """For how many seconds to look for a client that died: not at all where as much came as was announced."""
        return 0.0 if not self.offset and self.sending.size == self.draft.size else self.contract.grace

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises Full or Refused."""
        self.write_at(self.draft.size, data)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write anywhere; raises Full or Refused."""
        draft = self.draft
        end = offset + len(data)
        if end > draft.size:
            self.sending.admit(end)
        if offset < self.offset:
            self.extends = None
        if offset > draft.size:
            self._has_gap()
        draft.write_at(offset, data)
        if end >= WORTH_RESUMING and not draft.noted and not self._gap and self.extends is None:
            draft.note(about(self.sending.home, self.sending.path))
        crash.point("recv-writing")

    def _has_gap(self) -> None:
        """Nobody who comes after this process could tell what is behind the gap from what is not."""
        self._gap = True
        self.draft.forget_note()

    def cut_to(self, size: int) -> None:
        """Truncate, or lengthen with zeros; raises Full or Refused."""
        self.sending.admit(size)
        if size < self.offset:
            self.extends = None
        if size > self.draft.size:
            self._has_gap()
        self.draft.cut_to(size)

    def syncing(self) -> Callable[[], None]:
        """What makes the bytes that are there now durable, to be called once, in any thread; raises what the disk says."""
        return self.draft.syncing()

    def finish(self, then: Then, sure: Future[bool] | None = None) -> None:
        """All bytes are there: it lands, and `then` is told."""
        if self._over:
            return
        fault = self._fault()
        if fault is not None:
            self.cut(str(fault))
            then(fault)
            return
        self._over = True
        self._ground.land(self, then, sure)

    def _fault(self) -> TransloadError | None:
        announced, size = self.sending.size, self.draft.size
        # Some clients announce the whole, some what is still to come.
        if announced is not None and size not in (announced, announced + self.offset):
            return Refused(f"it was announced with {announced} bytes, and {size} came: it is not whole")
        try:
            self.sending.admit.whole(size)
        except TransloadError as error:
            return error
        return None

    def cut(self, reason: str) -> None:  # noqa: ARG002
        """It broke off: what is there is kept for resuming."""
        if self._over:
            return
        self._over = True
        self.draft.close()
        self.put_aside()

    def put_aside(self, *, ended: bool = False) -> None:
        """Keep what is there in the home, if it can be; the draft is closed. `ended`: all its bytes may have come.

        Not what was to be added to a whole file: that goes on at the end of the file, and once the file is gone it is no part of it.
        """
        sending = self.sending
        if self.extends is None and self.latest():
            keep(sending.home, sending.path, self.draft.path, self.draft.size, sending.admit.settle, ended=ended)
        else:
            with suppress(FileNotFoundError):
                os.unlink(self.draft.path)
            sending.admit.settle(0, 0)
        self.draft.forget_note()

    def latest(self) -> bool:
        """It has its name now, or is to be kept for it: whether no upload that began later was there before it."""
        return order.goes(self.sending.home, self.sending.path, self._number)

    def discard(self) -> None:
        """Forget it."""
        if self._over:
            return
        self._over = True
        self.draft.drop()
        self.sending.admit.settle(0, 0)
