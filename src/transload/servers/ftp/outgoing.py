"""What a client fetches: files, and listings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from transload.servers.base import Reading
from transload.servers.ftp.data import Data, Transfer
from transload.servers.ftp.loop import BLOCK
from transload.servers.ftp.wire import Broken

if TYPE_CHECKING:
    from transload.servers.ftp.session import Session

_AT_ONCE = 1 << 20
_LINES = 500
_LEAST_BLOCK = 4096
_SLOW = 0.25


class Source(Protocol):
    """Where bytes come from."""

    descriptor: int
    """Of a file, so that the system can send it by itself; below 0 where there is none."""
    offset: int

    def more(self, most: int) -> bytes:
        """The next bytes, about as many; none at the end. Raises OSError."""

    def close(self) -> None:
        """No more of it."""


class Bytes:
    """The bytes of a file from an offset on."""

    def __init__(self, reading: Reading, offset: int) -> None:
        """Of an open file."""
        self._reading, self.offset = reading, offset
        self.descriptor = reading.fileno()

    def more(self, most: int) -> bytes:
        data = os.pread(self.descriptor, most, self.offset)
        self.offset += len(data)
        return data

    def close(self) -> None:
        self._reading.close()


class Lines:
    """The lines of a listing."""

    descriptor, offset = -1, 0

    def __init__(self, lines: Iterator[bytes]) -> None:
        """As they are asked for."""
        self._lines = lines

    def more(self, most: int) -> bytes:  # noqa: ARG002 - so many lines are about a block
        return b"".join(islice(self._lines, _LINES))

    def close(self) -> None:
        """Nothing is open but while it is read."""


class Outgoing(Transfer):
    """One download. Lives in the loop."""

    sends = True

    def __init__(self, session: Session, source: Source) -> None:
        """Of all that `source` has."""
        super().__init__(session)
        self._source = source
        self._rest = memoryview(b"")
        self._block = BLOCK
        self._paced = source.descriptor >= 0
        self._by_system = False

    def begin(self, data: Data) -> None:
        super().begin(data)
        data.wire.socket.setblocking(False)
        self._by_system = self._source.descriptor >= 0 and not data.wire.secure
        self.ready()

    def ready(self) -> None:
        data, visit = self.data, self.session.visit
        if data is None or visit is None or self.over:
            return
        until = self.count + _AT_ONCE
        while self.count < until:
            try:
                count = self._sent(data)
            except Broken as error:
                self.broken(error)
                return
            except OSError:
                self.stop(b"451 It cannot be read")
                return
            if count is None:
                self._close(b"226 That was all")
                return
            if not count:
                return
            self.count += count
            self.moved = time.monotonic()
            seconds = visit.hold_out(count) if self._paced else 0
            if seconds > 0:
                self._by_system = False
                if seconds > _SLOW and self._block > _LEAST_BLOCK:
                    self._block //= 2
                self.hold(seconds)
                return

    def _sent(self, data: Data) -> int | None:
        """How many bytes more are on their way, 0 when there is no room now, None when there are no more."""
        if self._by_system:
            try:
                count = os.sendfile(data.wire.socket.fileno(), self._source.descriptor, self._source.offset, self._block)
            except BlockingIOError:
                return 0
            except ConnectionError as error:
                raise Broken(error.strerror or "reset") from error
            self._source.offset += count
            return count or None
        if not self._rest:
            self._rest = memoryview(self._source.more(self._block))
            if not self._rest:
                return None
        count = data.wire.write(self._rest)
        self._rest = self._rest[count:]
        return count

    def broken(self, error: Broken) -> None:
        self.stop(b"426 The data connection broke: " + str(error).encode("utf-8", "replace"))

    def _close(self, answer: bytes) -> None:
        self._source.close()
        self.end(answer)

    def drop(self, reason: str) -> None:  # noqa: ARG002 - nobody keeps anything of a download
        self._source.close()
