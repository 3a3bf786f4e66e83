"""Requests that name a path, and the extensions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

from transload.errors import Conflict, Denied, Missing, Refused, TransloadError
from transload.model import spell
from transload.remotes.sftp import packets
from transload.remotes.sftp.packets import string, text
from transload.servers.base import Then, Visit
from transload.servers.sftp import answers
from transload.servers.sftp.faults import told
from transload.servers.sftp.landings import Landings
from transload.servers.sftp.paths import absolute

EXTENSIONS = (
    (b"posix-rename@openssh.com", b"1"),
    (b"statvfs@openssh.com", b"2"),
    (b"fstatvfs@openssh.com", b"2"),
    (b"limits@openssh.com", b"1"),
    (b"fsync@openssh.com", b"1"),
    (b"check-file", b"sha256"),
)
"""What is offered beyond version 3; copying, links and all else is not."""

MAX_HANDLES = 200
"""How many files one channel may have open at once."""
_READLINK, _SYMLINK = 19, 20
_SPAN = struct.Struct(">QQI")

Work = Callable[[int, bytes, int, int], None]


class Naming:
    """What one session does by name. Lives in the event loop."""

    def __init__(
        self, visit: Visit, landings: Landings, send: Callable[[bytes], None], opened: Callable[[bytes], bytes], sync: Work
    ) -> None:
        """For `visit`; `opened` tells the path of an open file by its handle, `sync` makes one durable."""
        self._visit, self._landings, self._send, self._opened = visit, landings, send, opened
        self.works: dict[int, Work] = {
            packets.STAT: self._at(self._stat),
            packets.LSTAT: self._at(self._stat),
            packets.SETSTAT: self._setstat,
            packets.REMOVE: self._at(self._remove),
            packets.MKDIR: self._at(self._make_folder),
            packets.RMDIR: self._at(self._remove_folder),
            packets.REALPATH: self._real_path,
            packets.RENAME: partial(self._rename, replaces=False),
            packets.EXTENDED: self._extended,
            _READLINK: self._no_links,
            _SYMLINK: self._no_links,
        }
        self._extensions: dict[bytes, Work] = {
            b"posix-rename@openssh.com": partial(self._rename, replaces=True),
            b"statvfs@openssh.com": self._statvfs,
            b"fstatvfs@openssh.com": self._statvfs,
            b"limits@openssh.com": self._limits,
            b"fsync@openssh.com": sync,
            b"check-file": partial(self._check_file, by_handle=True),
            b"check-file-handle": partial(self._check_file, by_handle=True),
            b"check-file-name": partial(self._check_file, by_handle=False),
            b"hardlink@openssh.com": self._no_links,
        }

    def _at(self, work: Callable[[int, bytes], None]) -> Work:
        """`work` for the path that the request names, once nothing is under way there."""

        def act(ident: int, data: bytes, at: int, stop: int) -> None:
            path = absolute(text(data, at, stop)[0])
            self._landings.check(path)
            work(ident, path)

        return act

    def _done(self, ident: int, error: TransloadError | None) -> None:
        self._send(answers.fine(ident) if error is None else answers.status(ident, *told(error)))

    def _durably(self, ident: int, paths: tuple[bytes, ...], work: Callable[[Then], None], done: Callable[[], None] = lambda: None) -> None:
        def ended(error: TransloadError | None) -> None:
            if error is None:
                done()
            self._done(ident, error)

        then = self._landings.begin(paths, ended)
        try:
            work(then)
        except TransloadError as error:
            then(error)

    # --- requests

    def _stat(self, ident: int, path: bytes) -> None:
        if self._landings.has_failed(path):
            raise Missing(f"{spell(path)}: what was sent last was not taken")
        self._send(answers.attrs(ident, self._visit.item(path)))

    def _setstat(self, ident: int, data: bytes, at: int, stop: int) -> None:
        name, then = text(data, at, stop)
        wanted, _ = packets.attrs(data, then, stop)
        path = absolute(name)
        self._landings.check(path)
        if wanted.size is not None:
            raise Refused(f"{spell(path)}: a file that is there is not truncated; send it again")
        if wanted.modified is None and wanted.mode is None:
            raise Denied(f"{spell(path)}: owners are not changed here")
        if wanted.modified is not None:
            self._visit.set_time(path, wanted.modified * 1_000_000)
        if wanted.mode is not None:
            try:
                self._visit.set_mode(path, wanted.mode & 0o777)
            except Denied:
                if wanted.modified is None:
                    raise  # but a client that sets both after an upload means the time
        self._send(answers.fine(ident))

    def _remove(self, ident: int, path: bytes) -> None:
        self._durably(ident, (path,), partial(self._visit.remove, path))

    def _make_folder(self, ident: int, path: bytes) -> None:
        self._visit.make_folder(path)
        self._send(answers.fine(ident))

    def _remove_folder(self, ident: int, path: bytes) -> None:
        self._visit.remove_folder(path)
        self._send(answers.fine(ident))

    def _real_path(self, ident: int, data: bytes, at: int, stop: int) -> None:
        self._send(answers.real_path(ident, absolute(text(data, at, stop)[0])))

    def _rename(self, ident: int, data: bytes, at: int, stop: int, *, replaces: bool) -> None:
        first, then = text(data, at, stop)
        second, _ = text(data, then, stop)
        old, new = absolute(first), absolute(second)
        self._landings.check(old, new)
        if not replaces and self._taken(new):
            raise Conflict(f"{spell(new)}: is there already")
        self._durably(ident, (old, new), partial(self._visit.rename, old, new), partial(self._landings.anew, new))

    def _taken(self, path: bytes) -> bool:
        try:
            self._visit.item(path)
        except (Missing, Denied):
            return False
        return True

    def _no_links(self, ident: int, _data: bytes, _at: int, _stop: int) -> None:
        self._send(answers.status(ident, packets.OP_UNSUPPORTED, b"there are no links here"))

    # --- extensions

    def _extended(self, ident: int, data: bytes, at: int, stop: int) -> None:
        name, at = text(data, at, stop)
        work = self._extensions.get(name)
        if work is None:
            self._send(answers.status(ident, packets.OP_UNSUPPORTED, b"not done here"))
            return
        work(ident, data, at, stop)

    def _statvfs(self, ident: int, _data: bytes, _at: int, _stop: int) -> None:
        self._send(answers.extended(ident, answers.statvfs(*self._visit.room())))

    def _limits(self, ident: int, _data: bytes, _at: int, _stop: int) -> None:
        self._send(answers.extended(ident, answers.limits(MAX_HANDLES)))

    def _check_file(self, ident: int, data: bytes, at: int, stop: int, *, by_handle: bool) -> None:
        """The SHA-256 of a whole file (draft-ietf-secsh-filexfer-extensions-00); what was received here is known without reading."""
        which, at = text(data, at, stop)
        algorithms, at = text(data, at, stop)
        begin, length, block = _SPAN.unpack_from(data, at)
        path = self._opened(which) if by_handle else absolute(which)
        size = self._visit.item(path).size
        known = self._visit.sha256(path)
        if known is None or b"sha256" not in algorithms.split(b","):
            raise Refused(f"{spell(path)}: only the SHA-256 of files that were received here is known")
        if begin or 0 < length < size or 0 < block < size:
            raise Refused(f"{spell(path)}: only the SHA-256 of the whole file is known")
        self._send(answers.extended(ident, string(b"check-file") + string(b"sha256") + bytes.fromhex(known)))
