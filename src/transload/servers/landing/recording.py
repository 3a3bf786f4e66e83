"""A group of uploads, renames and removals: spool, one transaction of the ledger, homes, "yes"."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from transload import crash, disk
from transload.errors import LedgerAway, TransloadError
from transload.servers.landing.kept import beside, keeping_open
from transload.servers.landing.members import Judge, Waiting, Whole, did, ended

if TYPE_CHECKING:
    from transload.ledger import Ledger
    from transload.ledger.booking import Change
    from transload.model import Name
    from transload.servers.base import Home, Then
    from transload.spool import Spool


class Recording:
    """What is done with a group. `made` is called when it has made arrivals, `noted` when the ledger knows of it."""

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        node: str,
        made: Callable[[], None],
        noted: Callable[[], None],
        sharers: Callable[[str], Sequence[str]],
        heed: Callable[[Sequence[str], Sequence[Name], bool], None],
    ) -> None:
        """In this ledger and this spool, whose bytes are read at `node`; `sharers` are the other users of a user's home.

        `heed` is told of these users' uploads, by their names, before they change; of all that lie below them, if that is so.
        """
        self._sharers, self._heed = sharers, heed
        self._ledger, self._spool, self._node, self._made, self._noted = ledger, spool, node, made, noted
        self.turn = threading.RLock()
        """Held while homes and ledger are changed together."""

    def sync(self, members: Sequence[Whole]) -> Sequence[Whole]:
        """Their bytes are on the disk, and lie beside their names in the homes."""
        try:
            self._spool.sync([one.spooled for one in members if one.spooled])
        except TransloadError as error:
            for one in members:
                one.failed(error)
            return []
        crash.point("recv-synced")
        with keeping_open():
            return [one for one in members if self._beside(one)]

    def _beside(self, member: Whole) -> bool:
        try:
            member.placing.prepare(member.inflow.draft, member.inflow.modified)
            member.inflow.draft.close()
        except TransloadError as error:
            member.failed(error)
            return False
        return True

    def commit(self, members: Sequence[Waiting]) -> Sequence[Waiting]:
        """They are in the ledger, and in the homes; gives those that are about a name that another of them is about."""
        ready: list[Waiting] = []
        later: list[Waiting] = []
        alone: list[Folder] = []
        names: set[tuple[bytes, bytes]] = set()
        for one in members:
            if isinstance(one, Whole) and one.is_cut:
                one.cut_off()
            elif isinstance(one, Folder):
                alone.append(one)
            elif names & one.keys:
                later.append(one)
            else:
                names |= one.keys
                ready.append(one)
        if ready:
            with self.turn, keeping_open():
                self._commit(ready)
            self._noted()
        for folder in alone:
            with self.turn:
                if did(folder, partial(self._heed, (folder.home.user, *self._sharers(folder.home.user)), folder.names[:1], True)):
                    folder.go(self._ledger, self._node, self._made, self._sharers)
            self._noted()
        return later

    def _commit(self, members: list[Waiting]) -> None:
        members = [one for one in members if did(one, partial(self._prepare, one))]
        files = [one for one in members if isinstance(one, Whole)]
        with self._spool.accepting():
            try:
                self._spool.place([one.spooled for one in files if one.spooled])
            except TransloadError as error:
                for one in files:
                    one.failed(error)
                files = []
            crash.point("recv-placed")
            good = {id(one) for one in files}
            self._record([one for one in members if not isinstance(one, Whole) or id(one) in good])

    def _prepare(self, member: Waiting) -> None:
        """Let it know who shares its home and which names the ledger has there, and let count what was said of what it changes."""
        user, sharers = member.home.user, self._sharers(member.home.user)
        member.sharers, member.known = sharers, lambda name: self._ledger.uploads.at(user, name, sharers) is not None
        if isinstance(member, Whole):
            member.decide()
        if member.changes:
            self._heed((user, *sharers), member.names, False)

    def _record(self, members: list[Waiting]) -> None:
        changes: list[Change | None] = []
        begun = [one for one in members if did(one, lambda: changes.append(one.begin()))]  # noqa: B023 - it is called at once
        if not begun:
            return
        try:
            made = self._ledger.uploads.record(self._node, [change for change in changes if change])
        except TransloadError as error:
            self._not_recorded(begun, error)
            return
        crash.point("recv-committed")
        ended(begun)
        crash.point("recv-visible")
        if made:
            self._made()
        for one in begun:
            crash.point("recv-before-yes")
            one.told(None)

    def _not_recorded(self, begun: list[Waiting], error: TransloadError) -> None:
        for one in reversed(begun):
            one.undo()
        if len(begun) > 1 and not isinstance(error, LedgerAway):
            # One of them may be to blame for all.
            for one in begun:
                # What was done before it may have taken the name that it wanted, or wants to give.
                if not isinstance(one, Whole) or did(one, one.decide):
                    self._record([one])
            return
        for one in begun:
            if isinstance(one, Whole):
                one.failed(error)
            else:
                one.told(error)


class Folder(Waiting):
    """A folder that gets another name, with all that is in it."""

    def __init__(self, home: Home, old: Name, new: Name, judge: Callable[[], Judge], then: Then) -> None:
        super().__init__(home, then, old, new)
        self._old, self._new, self._judge = old, new, judge

    def go(self, ledger: Ledger, node: str, made: Callable[[], None], sharers: Callable[[str], Sequence[str]]) -> None:
        """On disk, then in the ledger; undone on disk when that fails."""
        old, new = self._old, self._new
        try:
            users, judge = (self.home.user, *sharers(self.home.user)), self._judge()
            with self.home.changing(), beside(self.home, old) as source, beside(self.home, new) as target:
                disk.rename_new(old.base, new.base, source, target)
                try:
                    count = ledger.uploads.below(users, old, new, judge, node)
                except TransloadError:
                    disk.rename_new(new.base, old.base, target, source)
                    raise
        except TransloadError as error:
            self.told(error)
            return
        if count:
            made()
        self.told(None)
