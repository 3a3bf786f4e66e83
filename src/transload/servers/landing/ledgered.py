"""The landing of the program: bytes in the spool, a row in the ledger, a copy in the home; then "yes"."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from transload import log
from transload.errors import Busy, Conflict, TransloadError
from transload.model import Name
from transload.servers.arriving import CLOSED, RENAMED, Arrivals
from transload.servers.home import Homes
from transload.servers.landing.barred import Barred
from transload.servers.landing.groups import Groups
from transload.servers.landing.inflow import Inflow
from transload.servers.landing.judging import Judging
from transload.servers.landing.kept import forget, rescue
from transload.servers.landing.members import Removal, Rename, Whole, incomplete, what_is
from transload.servers.landing.mending import Mending
from transload.servers.landing.recording import Folder, Recording
from transload.servers.landing.tending import Tending
from transload.workplace import vault_of

if TYPE_CHECKING:
    from transload.accounts import Login
    from transload.config import Config
    from transload.ledger import Ledger
    from transload.ledger.taking import Row, Verdict
    from transload.servers.base import Home, Sending, Then, Upload
    from transload.spool import Spool
    from transload.spool.drafts import Draft
    from transload.spool.notes import Orphan
    from transload.spool.parts import Left

_SMALL = 1 << 20
"""Larger files are hashed, synced and copied by threads of their own, so that small ones do not wait for them."""
_AT_ONCE = 4
_FRESH = 5.0


class LedgerLanding:
    """One for a whole process. `wake` is called when something was received for which there is work to do."""

    def __init__(
        self, config: Config, ledger: Ledger, spool: Spool, node: str, wake: Callable[[], None], homes: Homes | None = None
    ) -> None:
        """Land by the routes of `config`, in `spool`, whose bytes are read at `node`; `homes` are those of the sessions."""
        self._ledger, self._spool = ledger, spool
        self._arrivals = Arrivals(config.routes)
        self._homes = homes or Homes(config.data / "inbox")
        self._owns: dict[str, tuple[float, str | None]] = {}
        self._inbox = config.data / "inbox"
        self._shared: tuple[float, dict[str, list[str]]] = -_FRESH, {}
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="transload-landing")
        self._judging = Judging(ledger, spool, node, self._own, wake)
        recording = Recording(ledger, spool, node, wake, self._noted, self._sharers, self._heed)
        self._groups = Groups(recording)  # type: ignore[arg-type] # its members are those that are made here
        self._due = False
        vault = vault_of(config)
        self._barred = Barred(ledger, node, lambda: vault.mark)
        spool.claim(self._rescue)
        self._judging.start(self._arrivals)
        self._tending = Tending(Mending(ledger, spool, node, recording.turn), ledger.people, self._homes, spool.is_dead, self._expire)

    def change(self, config: Config) -> None:
        """Go on with other routes."""
        self._arrivals = Arrivals(config.routes)
        self._judging.change(self._arrivals)

    def close(self) -> None:
        """Let what is in hand end."""
        self._tending.close()
        self._pool.shutdown()
        self._groups.close()
        self._judging.close()

    def _rescue(self, orphan: Orphan) -> bool:
        """What was under way when an earlier process died is kept, like all that is cut."""
        known = self._ledger.people.find(orphan.about["user"])
        if known is None:
            return True
        try:
            rescue(self._homes.of(known.account.name, known.account.home), orphan)
        except TransloadError as error:
            log.get("transload.landing").error("a cut upload could not be kept", user=known.account.name, reason=str(error))
            return False
        return True

    # What sessions ask for

    def upload(self, sending: Sending) -> Upload:
        """Begin an upload."""
        own = sending.account.arrival
        self._owns[sending.home.user] = time.monotonic(), own
        return Inflow(self, sending, self._arrivals.contract(sending.home.user, sending.path, own))

    def rename(self, home: Home, login: Login, old: Name, new: Name, then: Then) -> None:  # noqa: ARG002
        """Rename a file or a folder."""
        self._told(then, partial(self._rename, home, old, new, then))

    def _rename(self, home: Home, old: Name, new: Name, then: Then) -> None:
        what = what_is(home, old)
        if what == "kept":
            raise incomplete(old)
        if old == new:
            then(None)
        elif what == "folder":
            self._groups.put(Folder(home, old, new, lambda: self._judge(RENAMED, self._own(home.user)), then))
        else:
            self._groups.put(Rename(home, old, new, partial(self._decide, home, old, new), then))

    def _decide(self, home: Home, old: Name, new: Name) -> tuple[str, Callable[[Row], Verdict]]:
        """What becomes of a file that has the name `new`, and who judges the one that gets it."""
        own = self._own(home.user)
        there = self._ledger.uploads.at(home.user, old, self._sharers(home.user))
        # The last act of an upload may take a name again; what was received already replaces nothing.
        ends = there is not None and not there.taken
        return self._arrivals.contract(home.user, new, own).exists if ends else "refuse", self._judge(RENAMED, own)

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
        row = self._ledger.uploads.at(home.user, path, self._sharers(home.user))
        return row.sha256 if row else None

    def check_read(self, home: Home, path: Name) -> None:
        """Raise Denied when it is kept apart."""
        self._barred.check(home.user, path, lambda: self._sharers(home.user))

    # What an upload asks for

    def draft(self, size: int) -> Draft:
        """An empty part in the spool."""
        return self._spool.draft(size)

    def draft_of(self, left: Left) -> Draft:
        """A part that begins with what a cut upload left."""
        return self._spool.draft_of(left)

    def land(self, inflow: Inflow, then: Then, sure: Future[bool] | None) -> None:
        """Take over what is whole."""
        member = Whole(inflow, then, sure, self._judge(CLOSED, inflow.sending.account.arrival), self._spool.token)
        if inflow.draft.at_hand and inflow.size <= _SMALL:
            try:
                # While few wait, descriptors are left for them to stay open.
                member.spooled = inflow.draft.done() if self._groups.crowded else inflow.draft.whole()
            except TransloadError as error:
                member.failed(error)
                return
            self._groups.put(member)
        else:
            self._large(member)

    def _large(self, member: Whole) -> None:
        try:
            self._pool.submit(self._prepare, member)
        except RuntimeError:  # it takes no more
            member.given_up(Busy("the server is stopping"))

    def _prepare(self, member: Whole) -> None:
        try:
            member.spooled = member.inflow.draft.whole()
            self._spool.sync([member.spooled])
            member.placing.prepare(member.inflow.draft, member.inflow.modified)
            member.inflow.draft.close()
        except TransloadError as error:
            member.failed(error)
            return
        except Exception as error:
            member.failed(TransloadError(f"a fault inside Transload: {type(error).__name__}: {error}"))
            raise
        member.synced = True
        self._groups.put(member)

    def _judge(self, why: str, own: str | None) -> Callable[[Row], Verdict]:
        arrivals = self._arrivals

        def judge(row: Row) -> Verdict:
            verdict = arrivals.judge(row, why, own)
            self._due |= verdict.judge is not None
            return verdict

        return judge

    def _heed(self, users: Sequence[str], names: Sequence[Name], below: bool) -> None:  # noqa: FBT001 - it is told by position
        """These uploads are about to change: what other files have said of them counts first."""
        for user in users:
            if self._arrivals.listens(user, self._own(user)):
                for name in names:
                    one = None if below else self._ledger.uploads.at(user, name)
                    for row in self._ledger.uploads.under(user, name.raw) if below else [one] if one else []:
                        self._judging.heed(row)

    def _noted(self) -> None:
        """The ledger knows of a group; some of it may be due to be judged again."""
        if self._due:
            self._due = False
            self._judging.poke()

    def _expire(self, user: str) -> Callable[[Name], float]:
        arrivals, own = self._arrivals, self._own(user)
        return lambda path: arrivals.contract(user, path, own).expire

    def _own(self, user: str) -> str | None:
        """What the user's account says of arrivals; not older than a few seconds."""
        at, own = self._owns.get(user, (-_FRESH, None))
        if time.monotonic() - at > _FRESH:
            known = self._ledger.people.find(user)
            own = known.account.arrival if known else None
            self._owns[user] = time.monotonic(), own
        return own

    def _sharers(self, user: str) -> Sequence[str]:
        """The other users of the same home; not older than a few seconds."""
        at, found = self._shared
        if time.monotonic() - at > _FRESH:
            homes: dict[str, list[str]] = {}
            for account in self._ledger.people.all():
                homes.setdefault(os.path.normpath(self._inbox / account.home), []).append(account.name)
            found = {name: names for names in homes.values() if len(names) > 1 for name in names}
            self._shared = time.monotonic(), found
        return [name for name in found.get(user, ()) if name != user]
