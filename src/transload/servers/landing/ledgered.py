"""The landing of the program: bytes in the spool, a row in the ledger, a copy in the home; then "yes"."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from transload import crash, disk
from transload.errors import Conflict, LedgerAway, TransloadError
from transload.ledger.people import People
from transload.servers.arriving import CLOSED, RENAMED, Arrivals
from transload.servers.landing.groups import Groups
from transload.servers.landing.inflow import Inflow
from transload.servers.landing.kept import beside, forget
from transload.servers.landing.members import Removal, Rename, Waiting, Whole, ended, rename_kept, what_is

if TYPE_CHECKING:
    from transload.accounts import Login
    from transload.config import Config
    from transload.ledger import Ledger
    from transload.ledger.taking import Row, Verdict
    from transload.model import Name
    from transload.servers.base import Home, Sending, Then, Upload
    from transload.spool import Spool
    from transload.spool.drafts import Draft

_SMALL = 1 << 20
"""Larger files are hashed, synced and copied by threads of their own, so that small ones do not wait for them."""
_AT_ONCE = 4
_FRESH = 5.0


class LedgerLanding:
    """One for a whole process. `wake` is called when something was received for which there is work to do."""

    def __init__(self, config: Config, ledger: Ledger, spool: Spool, node: str, wake: Callable[[], None]) -> None:
        """Land by the routes of `config`, in `spool`, whose bytes are read at `node`."""
        self._ledger, self._spool, self._node, self._wake = ledger, spool, node, wake
        self._arrivals = Arrivals(config.routes)
        self._people = People(ledger.database)
        self._owns: dict[str, tuple[float, str | None]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="transload-landing")
        self._groups = Groups(self)  # type: ignore[arg-type] # its members are those that this class makes

    def change(self, config: Config) -> None:
        """Go on with other routes."""
        self._arrivals = Arrivals(config.routes)

    def close(self) -> None:
        """Let what is in hand end."""
        self._pool.shutdown()
        self._groups.close()

    # What sessions ask for

    def upload(self, sending: Sending) -> Upload:
        """Begin an upload."""
        own = sending.account.arrival
        self._owns[sending.home.user] = time.monotonic(), own
        return Inflow(self, sending, self._arrivals.contract(sending.home.user, sending.path, own))

    def rename(self, home: Home, login: Login, old: Name, new: Name, then: Then) -> None:  # noqa: ARG002
        """Rename a file, a folder or a kept upload."""
        self._told(then, partial(self._rename, home, old, new, then))

    def _rename(self, home: Home, old: Name, new: Name, then: Then) -> None:
        what = what_is(home, old)
        if old == new:
            then(None)
        elif what == "kept":
            rename_kept(home, old, new)
            then(None)
        elif what == "folder":
            self._groups.put(Folder(self, home, old, new, then))
        else:
            own = self._own(home.user)
            contract = self._arrivals.contract(home.user, new, own)
            there = self._ledger.uploads.at(home.user, old)
            # The last act of an upload may take a name again; what was received already replaces nothing.
            exists = contract.exists if there is not None and not there.taken else "refuse"
            self._groups.put(Rename(home, old, new, exists, self._judge(RENAMED, own), then))

    def remove(self, home: Home, path: Name, then: Then) -> None:
        """Remove a file or a kept upload."""
        self._told(then, partial(self._remove, home, path, then))

    def _remove(self, home: Home, path: Name, then: Then) -> None:
        what = what_is(home, path)
        if what == "kept":
            forget(home, path)
            then(None)
        elif what == "folder":
            raise Conflict(f"{path.text}: it is a folder")
        else:
            self._groups.put(Removal(home, path, then))

    def _told(self, then: Then, do: Callable[[], None]) -> None:
        try:
            do()
        except TransloadError as error:
            then(error)

    def sha256(self, home: Home, path: Name) -> str | None:
        """The SHA-256 of a whole file, from the ledger."""
        row = self._ledger.uploads.at(home.user, path)
        return row.sha256 if row else None

    # What an upload asks for

    def draft(self, size: int) -> Draft:
        """An empty part in the spool."""
        return self._spool.draft(size)

    def draft_of(self, name: bytes, folder: int, size: int) -> Draft:
        """A part that begins with a file of a home."""
        return self._spool.draft_of(name, folder, size)

    def land(self, inflow: Inflow, then: Then, sure: Future[bool] | None) -> None:
        """Take over what is whole."""
        member = Whole(inflow, then, sure, self._judge(CLOSED, inflow.sending.account.arrival), self._spool.token)
        if inflow.draft.at_hand and inflow.size <= _SMALL:
            try:
                member.spooled = inflow.draft.done()
            except TransloadError as error:
                member.failed(error)
                return
            self._groups.put(member)
        else:
            self._pool.submit(self._prepare, member)

    def _prepare(self, member: Whole) -> None:
        try:
            member.spooled = member.inflow.draft.done()
            self._spool.sync([member.spooled])
            member.placing.prepare(member.spooled.part, member.inflow.modified)
        except TransloadError as error:
            member.failed(error)
            return
        except Exception as error:
            member.failed(TransloadError(f"a fault inside Transload: {type(error).__name__}: {error}"))
            raise
        member.synced = True
        self._groups.put(member)

    def _judge(self, why: str, own: str | None) -> Callable[[Row], Verdict]:
        return lambda row: self._arrivals.judge(row, why, own)

    def _own(self, user: str) -> str | None:
        """What the user's account says of arrivals; not older than a few seconds."""
        at, own = self._owns.get(user, (-_FRESH, None))
        if time.monotonic() - at > _FRESH:
            known = self._people.find(user)
            own = known.account.arrival if known else None
            self._owns[user] = time.monotonic(), own
        return own

    # What is done with a group

    def sync(self, members: Sequence[Whole]) -> Sequence[Whole]:
        """Their bytes are on the disk, and lie beside their names in the homes."""
        try:
            self._spool.sync([one.spooled for one in members if one.spooled])
        except TransloadError as error:
            for one in members:
                one.failed(error)
            return []
        crash.point("recv-synced")
        return [one for one in members if self._beside(one)]

    def _beside(self, member: Whole) -> bool:
        try:
            assert member.spooled is not None  # noqa: S101
            member.placing.prepare(member.spooled.part, member.inflow.modified)
        except TransloadError as error:
            member.failed(error)
            return False
        return True

    def commit(self, members: Sequence[Waiting]) -> Sequence[Waiting]:
        """They are in the ledger, and in the homes; gives those that are about a name that another of them is about."""
        ready: list[Waiting] = []
        later: list[Waiting] = []
        alone: list[Folder] = []
        names: set[tuple[str, bytes]] = set()
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
            self._commit(ready)
        for folder in alone:
            folder.go()
        return later

    def _commit(self, members: list[Waiting]) -> None:
        files = [one for one in members if isinstance(one, Whole) and self._decided(one)]
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

    def _decided(self, member: Whole) -> bool:
        try:
            member.decide()
        except TransloadError as error:
            member.failed(error)
            return False
        return True

    def _record(self, members: list[Waiting]) -> None:
        begun, changes = [], []
        for one in members:
            try:
                changes.append(one.begin())
                begun.append(one)
            except TransloadError as error:
                one.told(error)
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
            self._wake()
        for one in begun:
            crash.point("recv-before-yes")
            one.told(None)

    def _not_recorded(self, begun: list[Waiting], error: TransloadError) -> None:
        for one in reversed(begun):
            one.undo()
        if len(begun) > 1 and not isinstance(error, LedgerAway):
            # One of them may be to blame for all.
            for one in begun:
                self._record([one])
            return
        for one in begun:
            if isinstance(one, Whole):
                one.failed(error)
            else:
                one.told(error)

    def record_below(self, user: str, old: Name, new: Name) -> None:
        """The folder `old` has the name `new` now."""
        made = self._ledger.uploads.below(user, old, new, self._judge(RENAMED, self._own(user)), self._node)
        if made:
            self._wake()


class Folder(Waiting):
    """A folder that gets another name, with all that is in it."""

    def __init__(self, landing: LedgerLanding, home: Home, old: Name, new: Name, then: Then) -> None:
        super().__init__(home, then, old, new)
        self._landing, self._old, self._new = landing, old, new

    def go(self) -> None:
        """On disk, then in the ledger; undone on disk when that fails."""
        old, new = self._old, self._new
        try:
            with beside(self.home, old) as source, beside(self.home, new) as target:
                disk.rename_new(old.base, new.base, source, target)
                try:
                    self._landing.record_below(self.home.user, old, new)
                except TransloadError:
                    disk.rename_new(new.base, old.base, target, source)
                    raise
        except TransloadError as error:
            self.told(error)
        else:
            self.told(None)
