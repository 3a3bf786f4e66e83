"""The landing of the library alone: bytes synced, the name in the home synced; then "yes". No ledger, no spool."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transload import crash, disk, log
from transload.config import Arriving
from transload.config.route import TEMPORARY
from transload.errors import Busy, ConfigError, Conflict, TransloadError
from transload.ledger.taking import Verdict
from transload.model import Name
from transload.patterns import Patterns
from transload.protocols import Arrived
from transload.servers.arriving import contract_of
from transload.servers.base import RESERVED
from transload.servers.home import Home as Place
from transload.servers.landing.groups import Groups
from transload.servers.landing.hashes import Hashes
from transload.servers.landing.inflow import Inflow
from transload.servers.landing.kept import beside, forget, rescue
from transload.servers.landing.members import Removal, Rename, Waiting, Whole, did, incomplete, what_is
from transload.servers.landing.sweeping import sweep
from transload.spool.collector import claim, collect_parts
from transload.spool.drafts import Draft
from transload.spool.parts import Corner, Left, is_abandoned
from transload.spool.telling import telling

if TYPE_CHECKING:
    from transload.accounts import Login
    from transload.ledger.booking import Change
    from transload.servers.base import Home, Sending, Then, Upload
    from transload.spool.notes import Orphan

Hook = Callable[[Arrived], object]
_INCOMING = os.fsdecode(RESERVED + b"incoming")
_AT_ONCE = 4
_KEPT_FOR = 7 * 86400.0
_TEMPORARY = Patterns(TEMPORARY, fold=True)


class FolderLanding:
    """One for a whole process. The hook is called in threads of its own, once for each file that arrived; what it raises is logged."""

    def __init__(self, root: str | Path, hook: Hook | None = None) -> None:
        """Parts lie below `root` until they are whole, best on the disk of the homes. Raises Busy or Full."""
        incoming = Path(root, _INCOMING)
        with telling():
            incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            claim(incoming, _rescue)
            collect_parts(incoming, _KEPT_FOR)
            self._corner = Corner(incoming)
            self._volume = disk.Volume(str(incoming))
        self._hook, self._closing = hook, False
        self._numbers = itertools.count(1)
        self._contracts: dict[str, Arriving] = {}
        self._hashes = Hashes()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="transload-landing")
        self._hooks = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="transload-hook")
        self._groups = Groups(self)  # type: ignore[arg-type] # its members are those that this class makes
        self._pool.submit(self._sweep, Place("", os.fsencode(os.path.abspath(root))), incoming)

    def _sweep(self, home: Home, incoming: Path) -> None:
        sweep(home, lambda token: is_abandoned(f"{incoming}/{token}"), lambda _: _KEPT_FOR, lambda: not self._closing)

    def hooked(self, hook: Hook) -> None:
        """Call this one from now on."""
        self._hook = hook

    def close(self) -> None:
        """Let what is in hand end, the hooks too."""
        self._closing = True
        self._pool.shutdown()
        self._groups.close()
        self._hooks.shutdown()
        self._corner.close()
        self._volume.close()

    # What sessions ask for

    def upload(self, sending: Sending) -> Upload:
        """Begin an upload."""
        contract = self._contracts[sending.home.user] = _contract(sending.account.arrival)
        return Inflow(self, sending, contract)

    def rename(self, home: Home, login: Login, old: Name, new: Name, then: Then) -> None:
        """Rename a file or a folder."""
        try:
            what = what_is(home, old)
            if what == "kept":
                raise incomplete(old)
            if old == new:
                then(None)
            else:
                # The last act of an upload may take a name again; other renames replace nothing.
                exists = "version" if what == "file" and old in _TEMPORARY else "refuse"
                self._groups.put(_Rename(home, login, old, new, exists, then, folder=what == "folder"))
        except TransloadError as error:
            then(error)

    def remove(self, home: Home, path: Name, then: Then) -> None:
        """Remove a file or a kept upload."""
        try:
            what = what_is(home, path)
            if what == "folder":
                raise Conflict(f"{path.text}: it is a folder")
            if what == "kept":
                forget(home, path)
                then(None)
            else:
                self._groups.put(Removal(home, path, then))
        except TransloadError as error:
            then(error)

    def sha256(self, home: Home, path: Name) -> str | None:
        """The SHA-256 of a file that landed since this was begun, and was not touched since."""
        try:
            with beside(home, path) as folder:
                return self._hashes.of(os.stat(path.base, dir_fd=folder, follow_symlinks=False)) or None
        except TransloadError:
            return None

    def check_read(self, home: Home, path: Name) -> None:
        """All may be read: without steps nothing is kept apart."""

    # What an upload asks for

    def draft(self, size: int) -> Draft:  # noqa: ARG002
        """An empty part."""
        with telling():
            return Draft(*self._corner.create(), _no_limit)

    def draft_of(self, left: Left) -> Draft:
        """A part that begins with what a cut upload left."""
        with telling():
            return self._corner.draft_of(left, _no_limit)

    def land(self, inflow: Inflow, then: Then, sure: Future[bool] | None) -> None:
        """Take over what is whole."""
        member = Whole(inflow, then, sure, lambda _: Verdict(), self._corner.token)
        if inflow.draft.at_hand:
            self._hashed(member)
        else:
            try:
                self._pool.submit(self._hashed, member)
            except RuntimeError:  # it takes no more
                member.given_up(Busy("the server is stopping"))

    def _hashed(self, member: Whole) -> None:
        try:
            member.spooled = member.inflow.draft.done()
        except TransloadError as error:
            member.failed(error)
        else:
            self._groups.put(member)

    # What is done with a group

    def sync(self, members: Sequence[Whole]) -> Sequence[Whole]:
        """Their bytes are on the disk, and lie beside their names in the homes."""
        try:
            with telling():
                self._volume.sync(len(members), disk.opened([one.inflow.draft.path for one in members]))
        except TransloadError as error:
            for one in members:
                one.failed(error)
            return []
        crash.point("recv-synced")
        return members

    def commit(self, members: Sequence[Waiting]) -> Sequence[Waiting]:
        """They have their names, for good; gives those that are about a name that another of them is about."""
        ready: list[Waiting] = []
        later: list[Waiting] = []
        alone: list[Waiting] = []
        names: set[tuple[bytes, bytes]] = set()
        for one in members:
            if isinstance(one, Whole) and one.is_cut:
                one.cut_off()
            elif isinstance(one, _Rename) and one.folder:
                alone.append(one)
            elif names & one.keys:
                later.append(one)
            elif did(one, partial(self._begin, one)):
                names |= one.keys
                ready.append(one)
        self._named(ready)
        for one in alone:  # no file is on its way to its name while a folder gets another one
            self._named([one] if did(one, partial(self._begin, one)) else [])
        return later

    def _named(self, members: Sequence[Waiting]) -> None:
        """What was begun is ended and made durable; then all hear how that went."""
        crash.point("recv-placed")
        ready = [one for one in members if did(one, one.end)]
        crash.point("recv-visible")
        error = self._settled(ready)
        for one in ready:
            crash.point("recv-before-yes")
            arrived = None if error else self._arrived(one)
            one.told(error)
            if arrived is not None and self._hook is not None:
                self._hooks.submit(self._call, self._hook, arrived)

    def _begin(self, member: Waiting) -> None:
        if isinstance(member, Whole):
            member.placing.take(member.inflow.draft.path, member.inflow.modified)
            member.decide()
        member.begin()

    def _settled(self, members: Sequence[Waiting]) -> TransloadError | None:
        """Make the names durable; one sync for each folder."""
        folders = {(one.home.user, name.folder): (one.home, name) for one in members for name in one.names}
        try:
            with telling():
                for home, name in folders.values():
                    with home.folder(name.folder) as folder:
                        if not self._volume.in_memory:
                            os.fsync(folder)
        except TransloadError as error:
            return error
        return None

    def _arrived(self, member: Waiting) -> Arrived | None:
        """What has arrived by this, if anything has; its hash is known from now on."""
        if isinstance(member, Whole):
            path, login = member.inflow.sending.path, member.inflow.sending.login
            sha256 = member.spooled.sha256 if member.spooled else None
            complete = member.inflow.contract.complete
            counts = complete == "close" or (complete == "rename-or-close" and path not in _TEMPORARY)
        elif isinstance(member, _Rename) and not member.folder:
            path, login, sha256 = member.new, member.login, None
            complete = self._contracts.get(member.home.user, Arriving()).complete
            # What was no temporary name counted when it was closed.
            counts = complete != "close" and path not in _TEMPORARY and (complete == "rename" or member.old in _TEMPORARY)
        else:
            return None
        with suppress(TransloadError), beside(member.home, path) as folder:
            found = os.stat(path.base, dir_fd=folder, follow_symlinks=False)
            sha256 = self._hashes.of(found, sha256)
            if counts and self._hook is not None:
                place = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path.base))
                who = (member.home.user, login.address, login.protocol, time.time())
                return Arrived(next(self._numbers), place, path.text, found.st_size, sha256, *who)
        return None

    def _call(self, hook: Hook, arrived: Arrived) -> None:
        try:
            hook(arrived)
        except Exception:  # noqa: BLE001 - it is the user's code
            log.get("transload.hook").exception("a hook failed", file=arrived.name, user=arrived.user)


class _Rename(Rename):
    """A file or folder that gets another name, and who wanted that."""

    def __init__(self, home: Home, login: Login, old: Name, new: Name, exists: str, then: Then, *, folder: bool) -> None:
        super().__init__(home, old, new, lambda: (exists, lambda _: Verdict()), then)
        self.login, self.old, self.new, self.folder = login, old, new, folder

    def begin(self) -> Change | None:
        if not self.folder:
            return super().begin()
        with self.home.changing(), beside(self.home, self.old) as source, beside(self.home, self.new) as target:
            disk.rename_new(self.old.base, self.new.base, source, target)
        return None


def _contract(own: str | None) -> Arriving:
    contract = contract_of(None, own)
    if contract.complete in ("marker", "sidecar", "quiet"):
        raise ConfigError(f'complete = "{contract.complete}" needs the ledger: use the program, or close, rename or rename-or-close')
    return contract


def _rescue(orphan: Orphan) -> bool:
    """What was under way when an earlier program died is kept, like all that is cut."""
    with suppress(FileNotFoundError):  # a home that is no more
        rescue(Place(orphan.about["user"], bytes.fromhex(orphan.about["home"])), orphan)
    return True


def _no_limit(_: int) -> None:
    """A home's own disk says itself when it is full."""
