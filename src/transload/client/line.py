"""The client: what can be done at a place, over a line that is made anew when it breaks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

from transload.client.desk import Desk
from transload.errors import Conflict, Missing, Refused, TransloadError, Unreachable
from transload.model import Entry, Name, Parcel, Verify
from transload.protocols import Mover, Reader, Remover, Writer
from transload.remotes.base import RemoteSettings

T = TypeVar("T")


class Client:
    """One connection, for one thread; when it is lost, what was asked for is done again over a new one, once.

    Names are relative to the place connected to, with / between folders. Everything raises TransloadError's kinds:
    Unreachable, Denied, Missing, ...
    """

    def __init__(self, remote: RemoteSettings) -> None:
        """Of the place that `remote` describes; `connect` makes one of a URL."""
        self.remote = remote
        self._line = ExitStack()
        self._session: Any = None

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

    def list(self, folder: str = "", *, recursive: bool = False) -> Iterator[Entry]:
        """The files in `folder`, and below it with `recursive`; raises if the listing is not whole."""
        return iter(self._again(lambda session: list(self._able(session, Reader, "listed").list(folder, recursive=recursive))))

    def put(self, local: str | os.PathLike[str], name: str, *, replace: bool = True) -> Verify:
        """Store the file `local` as `name`, whole or not at all; gives how far the copy was verified.

        Folders are made. With `replace=False` another file of that name stays: Conflict; the same bytes under it are fine.
        """
        path = os.fspath(local)
        with _reading(path) as body:
            size, digest = os.fstat(body.fileno()).st_size, hashlib.file_digest(body, "sha256").hexdigest()
            modified = os.fstat(body.fileno()).st_mtime_ns // 1000
        parcel = Parcel(0, f"transload-{uuid4().hex[:16]}", Name(name), path, size, digest, modified, replace)
        return self._again(lambda session: self._put(self._able(session, Writer, "stored"), parcel))

    def _put(self, session: Any, parcel: Parcel) -> Verify:
        try:
            for staged in list(session.stage([parcel])):
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

    def get(self, name: str, local: str | os.PathLike[str]) -> int:
        """Fetch the file `name` to `local`, whole or not at all; gives its bytes. A cut transfer is resumed once."""
        desk = Desk(Path(local))
        try:
            return self._again(lambda session: self._get(self._able(session, Reader, "fetched"), name, desk))
        finally:
            desk.close()

    def _get(self, session: Any, name: str, desk: Desk) -> int:
        entry = session.stat(_entry(name))
        if entry is None:
            raise Missing(f"{name} is not there")
        for fetched in session.fetch([entry], desk):
            if fetched.error is not None:
                raise fetched.error
            return desk.finish(fetched.entry)
        raise Unreachable(f"{name}: the remote gave no answer")

    def stat(self, name: str) -> Entry | None:
        """The file as it is now, or None when it is not there."""
        found: Entry | None = self._again(lambda session: session.stat(_entry(name)))
        return found

    def remove(self, name: str) -> None:
        """Remove the file; Missing when it is not there."""
        self._again(lambda session: self._able(session, Remover, "removed").remove(_entry(name)))

    def move(self, name: str, to: str) -> None:
        """Rename the file, making folders; never over another: Conflict. Missing when it is not there."""
        self._again(lambda session: self._able(session, Mover, "moved").move(_entry(name), Name(to)))

    def _able(self, session: Any, ability: type, verb: str) -> Any:
        if not isinstance(session, ability):
            raise Refused(f"nothing can be {verb} at {self.remote.where()}")
        return session

    def _again(self, act: Callable[[Any], T]) -> T:
        """Do it; if the line breaks, once more over a new one."""
        session = self._open()
        try:
            return act(session)
        except Unreachable:
            self.close()
        return act(self._open())

    def _open(self) -> Any:
        if self._session is None:
            self._line = ExitStack()
            self._session = self._line.enter_context(self.remote.connect())
        return self._session


def _entry(name: str) -> Entry:
    return Entry("", Name(name))


def _reading(path: str) -> Any:
    try:
        return open(path, "rb")
    except OSError as error:
        raise Missing(f"{path} cannot be read: {error.strerror}") from error
