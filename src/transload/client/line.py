"""The client: what can be done at a place, over a line that is made anew when it breaks."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

from transload.client.desk import Desk
from transload.errors import Busy, Conflict, Denied, Missing, Refused, Rejected, TransloadError, Unreachable
from transload.model import Entry, Name, Parcel, Staged, Verify
from transload.protocols import Foldered, Mover, Reader, Remover, Resumer, Writer
from transload.remotes.base import RemoteSettings

T = TypeVar("T")
PATIENCE = 60.0
_LONGEST = 5.0
_TRIES = 100


class Client:
    """One connection, for one thread; when it is lost, it is made anew and what was asked for goes on, transfers where they were cut.

    Names are relative to the folder that was entered last, at first the place connected to, with / between folders.
    Everything raises TransloadError's kinds: Unreachable, Denied, Missing, ...
    """

    def __init__(self, remote: RemoteSettings, *, patience: float = PATIENCE) -> None:
        """Of the place that `remote` describes; `connect` makes one of a URL.

        A connection that was lost is tried again for `patience` seconds; bytes that got through begin them anew.
        """
        self.remote, self.patience = remote, patience
        self.folder = ""
        self._line = ExitStack()
        self._session: Any = None
        self._reached = False
        self._got_through = 0.0

    def __enter__(self) -> Self:
        self._again(lambda _: None)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; the next use connects again."""
        self._session = None
        # A line that broke says so once more when it is closed.
        with suppress(TransloadError):
            self._line.close()

    # Folders

    def enter(self, folder: str) -> None:
        """From now on names are relative to `folder`: below the present one, ".." for the one above, "/" for the place connected to.

        Raises Missing when it is not there.
        """
        to = self._below(folder)
        if to and not self._again(lambda session: self._able(session, Foldered, "entered").is_folder(Name(to))):
            raise Missing(f"{folder}: there is no such folder")
        self.folder = to

    def make_folder(self, name: str) -> None:
        """Make the folder, and those above it; harmless when it is there."""
        self._again(lambda session: self._able(session, Foldered, "made").make_folder(self._name(name)))

    def is_folder(self, name: str) -> bool:
        """Whether a folder of that name is there."""
        to = self._below(name)
        return not to or bool(self._again(lambda session: self._able(session, Foldered, "looked at").is_folder(Name(to))))

    def list(self, folder: str = "", *, recursive: bool = False) -> Iterator[Entry]:
        """The files in `folder`, and below it with `recursive`; raises if the listing is not whole."""
        where = self._below(folder) if self.folder else folder
        return iter(self._again(lambda session: list(self._able(session, Reader, "listed").list(where, recursive=recursive))))

    # Files

    def put(self, local: str | os.PathLike[str], name: str, *, replace: bool = True) -> Verify:
        """Store the file `local` as `name`, whole or not at all; gives how far the copy was verified.

        Folders are made. With `replace=False` another file of that name stays: Conflict; the same bytes under it are fine.
        A cut upload goes on where it was; its size is looked at then, and its hash where the server tells it.
        """
        path = os.fspath(local)
        with _reading(path) as body:
            size, digest = os.fstat(body.fileno()).st_size, hashlib.file_digest(body, "sha256").hexdigest()
            modified = os.fstat(body.fileno()).st_mtime_ns // 1000
        parcel = Parcel(0, f"transload-{uuid4().hex[:16]}", self._name(name), path, size, digest, modified, replace)
        first = iter((True,))
        return self._again(lambda session: self._put(self._able(session, Writer, "stored"), parcel, anew=next(first, False)))

    def _put(self, session: Any, parcel: Parcel, *, anew: bool) -> Verify:
        if not anew and self._has_arrived(session, parcel):
            session.sweep(parcel.key, parcel.name)
            return Verify.HASH
        try:
            for staged in self._staged(session, parcel, anew=anew):
                if staged.error is not None:
                    raise staged.error
                for receipt in list(session.publish([staged])):
                    if receipt.error is not None:
                        raise receipt.error
                    return Verify(max(staged.verified, receipt.verified, key=lambda level: level.rank))
        except (Conflict, Missing) as error:
            # A line that broke after the rename leaves the file there, and the temporary one gone.
            if isinstance(error, Conflict):
                session.sweep(parcel.key, parcel.name)
            if session.hash(parcel.name) != parcel.sha256:
                raise
            return Verify.HASH
        raise Unreachable(f"{parcel.name.text}: the remote gave no answer")

    @staticmethod
    def _has_arrived(session: Any, parcel: Parcel) -> bool:
        """Whether it is there already, and only the answer was lost: sent again, it would be another version, or arrive twice."""
        try:
            there = session.look(parcel.name)
            return there is not None and there.size == parcel.size and session.hash(parcel.name) == parcel.sha256
        except (Denied, Refused):  # who may write only
            return False

    def _staged(self, session: Any, parcel: Parcel, *, anew: bool) -> Iterable[Staged]:
        if not anew and isinstance(session, Resumer):
            resumed = session.resume(parcel)
            if resumed is not None:
                return [resumed]
        staged: Iterable[Staged] = list(session.stage([parcel]))
        return staged

    def get(self, name: str, local: str | os.PathLike[str]) -> int:
        """Fetch the file `name` to `local`, whole or not at all; gives its bytes. A cut transfer goes on where it was."""
        desk = Desk(Path(local), self._moved)
        try:
            return self._again(lambda session: self._get(self._able(session, Reader, "fetched"), self._name(name), desk))
        finally:
            desk.close()

    def _get(self, session: Any, name: Name, desk: Desk) -> int:
        entry = session.stat(Entry("", name))
        if entry is None:
            raise Missing(f"{name} is not there")
        for fetched in session.fetch([entry], desk):
            if fetched.error is not None:
                raise fetched.error
            return desk.finish(fetched.entry)
        raise Unreachable(f"{name}: the remote gave no answer")

    def stat(self, name: str) -> Entry | None:
        """The file as it is now, or None when it is not there."""
        found: Entry | None = self._again(lambda session: session.stat(self._entry(name)))
        return found

    def remove(self, name: str) -> None:
        """Remove the file; Missing when it is not there."""
        first = iter((True,))

        def remove(session: Any) -> None:
            anew = next(first, False)
            try:
                self._able(session, Remover, "removed").remove(self._entry(name))
            except Missing:
                if anew:
                    raise  # else it is gone, and only the answer was lost

        self._again(remove)

    def move(self, name: str, to: str) -> None:
        """Rename the file, making folders; never over another: Conflict. Missing when it is not there."""
        first = iter((True,))

        def move(session: Any) -> None:
            anew = next(first, False)
            try:
                self._able(session, Mover, "moved").move(self._entry(name), self._name(to))
            except (Missing, Conflict):
                if anew or session.stat(self._entry(name)) is not None or session.stat(self._entry(to)) is None:
                    raise  # else it is there, and only the answer was lost

        self._again(move)

    # Names

    def _below(self, folder: str) -> str:
        """The path of a folder from the place connected to."""
        parts = [] if folder.startswith("/") else [part for part in self.folder.split("/") if part]
        for part in folder.split("/"):
            if part == "..":
                if not parts:
                    raise Rejected(f"{folder}: it leads out of the place connected to")
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        return "/".join(parts)

    def _name(self, name: str) -> Name:
        return Name(f"{self.folder}/{name}" if self.folder else name)

    def _entry(self, name: str) -> Entry:
        return Entry("", self._name(name))

    # The line

    def _able(self, session: Any, ability: type, verb: str) -> Any:
        if not isinstance(session, ability):
            raise Refused(f"nothing can be {verb} at {self.remote.where()}")
        return session

    def _again(self, act: Callable[[Any], T]) -> T:
        """Do it; if the line breaks, again over a new one, for as long as patience lasts. A place never reached is not waited for."""
        broke: float | None = None
        for left, pause in _pauses():
            try:
                return act(self._open())
            except (Unreachable, Busy):
                self.close()
                now = time.monotonic()
                if broke is None or self._got_through > broke:
                    broke = now
                if not (self._reached and left) or now - broke + pause > self.patience:
                    raise
                time.sleep(pause)
        raise AssertionError  # the last try returns or raises

    def _moved(self, count: int) -> None:
        if count:
            self._got_through = time.monotonic()

    def _open(self) -> Any:
        if self._session is None:
            self._line = ExitStack()
            self._session = self._line.enter_context(self.remote.connect())
            self._session.moved = self._moved
            self._reached = True
        return self._session


def _pauses() -> Iterator[tuple[int, float]]:
    """Soon, then ever later; and how many tries are left: some places cut every transfer, and cannot resume any."""
    for number in range(_TRIES):
        yield _TRIES - number - 1, min(0.05 * 2.0**number, _LONGEST) * random.uniform(0.75, 1.25)


def _reading(path: str) -> Any:
    try:
        return open(path, "rb")
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror}") from error
