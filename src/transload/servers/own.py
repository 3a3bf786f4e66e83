"""An upload of the session's own, and what it has brought so far."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from transload.errors import Denied, TransloadError
from transload.servers.base import Then, Upload

_REMEMBERED = 4096


class Own:
    """An upload of the session: once it has landed, its user may look at it and set its time."""

    __slots__ = ("_landed", "_upload", "cut", "cut_to", "discard", "syncing", "write", "write_at")

    def __init__(self, upload: Upload, landed: Callable[[], None]) -> None:
        """`landed` is called once `upload` is whole, before whoever asked is told."""
        self._upload, self._landed = upload, landed
        self.write, self.write_at, self.cut_to = upload.write, upload.write_at, upload.cut_to
        self.cut, self.discard, self.syncing = upload.cut, upload.discard, upload.syncing

    @property
    def offset(self) -> int:
        return self._upload.offset

    @property
    def size(self) -> int:
        return self._upload.size

    @property
    def grace(self) -> float | None:
        return self._upload.grace

    @property
    def modified(self) -> int | None:
        return self._upload.modified

    @modified.setter
    def modified(self, modified: int | None) -> None:
        self._upload.modified = modified

    def finish(self, then: Then, sure: Future[bool] | None = None) -> None:
        def done(error: TransloadError | None) -> None:
            if error is None:
                self._landed()
            then(error)

        self._upload.finish(done, sure)


class Adding(Own):
    """One to a file that its user may append to, but not write: the bytes that were there stay."""

    __slots__ = ()

    def __init__(self, upload: Upload, landed: Callable[[], None]) -> None:
        """To the end of what `upload` begins with."""
        super().__init__(upload, landed)
        self.write_at, self.cut_to = self._write_at, self._cut_to

    def _write_at(self, offset: int, data: bytes | memoryview) -> None:
        self._check(offset)
        self._upload.write_at(offset, data)

    def _cut_to(self, size: int) -> None:
        self._check(size)
        self._upload.cut_to(size)

    def _check(self, at: int) -> None:
        if at < self._upload.offset:
            raise Denied(f"the first {self._upload.offset} bytes may be added to, but not written")


class Mine:
    """What was uploaded just now in one session, or by one user from one address, for clients use several at once. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[bytes, None] = {}

    def __contains__(self, path: bytes) -> bool:
        return path in self._paths

    def add(self, path: bytes) -> None:
        """It is there."""
        with self._lock:
            self._paths[path] = None
            if len(self._paths) > _REMEMBERED:
                del self._paths[next(iter(self._paths))]

    def discard(self, path: bytes) -> None:
        """It is there no more."""
        with self._lock:
            self._paths.pop(path, None)
