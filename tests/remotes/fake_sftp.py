"""An SFTP server of our own that misbehaves as told; asyncssh carries it, the file protocol is written out here."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable
from typing import Any, Self

import asyncssh

from tests.peers.base import HOST, PASSWORD, USER

OK, EOF, NO_SUCH_FILE, DENIED, FAILURE, UNSUPPORTED = 0, 1, 2, 3, 4, 8
FILE, FOLDER = 0o100644, 0o040755
TIME = 1_700_000_000


def string(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


class FakeSftp:
    """Serves `files` to USER with PASSWORD. Everything else is what it does wrong, or cannot do."""

    def __init__(self) -> None:
        self.host, self.user = HOST, USER
        self.files: dict[bytes, bytes] = {}
        self.listed: list[tuple[bytes, int]] | None = None  # what READDIR tells, instead of the files: names and modes
        self.listing_ends_with = EOF
        self.tells: Callable[[bytes, int], int | None] = lambda _, size: size  # the size that it tells of a file
        self.read_at_most: int | None = None
        self.refuses: dict[tuple[int, bytes], tuple[int, bytes]] = {}  # of (request, path): the code, and the words
        self.handles_end_early = False  # a read after which a close was sent fails
        self.knows: set[bytes] = set()  # extensions
        self.greeting = b""
        self.garbage: bytes | None = None  # what it answers to anything but the greeting
        self.asked: list[int] = []
        self._handles: dict[bytes, bytes] = {}
        self._done: set[bytes] = set()
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Self:
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self.host_key = self._key.export_public_key().decode().strip()
        started = threading.Event()

        async def serve() -> None:
            self._server = await asyncssh.listen(
                HOST, 0, server_factory=lambda: _Doorman(self), server_host_keys=[self._key], encoding=None
            )
            self.port = self._server.sockets[0].getsockname()[1]
            started.set()

        self._task = self._loop.create_task(serve())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._server.close()
            await self._server.wait_closed()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def answer(self, kind: int, body: bytes) -> bytes:
        if kind == 1:
            return self._message(2, struct.pack(">I", 3) + b"".join(string(name) + string(b"1") for name in self.knows))
        if self.garbage is not None:
            return self.garbage
        self.asked.append(kind)
        ident, rest = body[:4], body[4:]
        answer = self._do(kind, rest)
        if isinstance(answer, int):
            answer = self._status(answer, b"")
        return self._message(answer[0], ident + answer[1])

    def _message(self, kind: int, body: bytes) -> bytes:
        return struct.pack(">IB", len(body) + 1, kind) + body

    def _status(self, code: int, words: bytes) -> tuple[int, bytes]:
        return 101, struct.pack(">I", code) + string(words) + string(b"")

    def _attrs(self, path: bytes) -> bytes:
        size = self.tells(path, len(self.files[path]))
        if size is None:
            return struct.pack(">II", 4, FILE)
        return struct.pack(">IQIIIII", 0x0F, size, 0, 0, FILE, TIME, TIME)

    def _do(self, kind: int, rest: bytes) -> int | tuple[int, bytes]:  # noqa: C901, PLR0911, PLR0912
        length = int.from_bytes(rest[:4], "big")
        first, rest = rest[4 : 4 + length], rest[4 + length :]
        path = self._handles.get(first, first)
        if (kind, path) in self.refuses:
            return self._status(*self.refuses[kind, path])
        if kind == 3:
            (flags,) = struct.unpack(">I", rest[:4])
            if flags & 8:
                self.files[path] = b"" if flags & 16 else self.files.get(path, b"")
            if path not in self.files:
                return NO_SUCH_FILE
            return self._handle(path)
        if kind == 4:
            return OK
        if kind == 5:
            offset, count = struct.unpack(">QI", rest)
            if self.handles_end_early and path not in self._done:
                self._done.add(path)
                return self._status(FAILURE, b"bad handle")
            data = self.files[path][offset : offset + min(count, self.read_at_most or count)]
            return (103, string(data)) if data else EOF
        if kind == 6:
            (offset,) = struct.unpack(">Q", rest[:8])
            data = rest[12:]
            self.files[path] = self.files[path][:offset] + data + self.files[path][offset + len(data) :]
            return OK
        if kind in (7, 8, 17):
            if path in (b".", b"") or any(name.startswith(path + b"/") for name in self.files):
                return 105, struct.pack(">II", 4, FOLDER)
            return (105, self._attrs(path)) if path in self.files else NO_SUCH_FILE
        if kind == 11:
            return self._handle(path)
        if kind == 12:
            return self._names(first)
        if kind == 13:
            return OK if self.files.pop(path, None) is not None else NO_SUCH_FILE
        if kind == 18:
            # As on Unix, and as the protocol forbids: over whatever is there.
            second = rest[4:]
            if path not in self.files:
                return NO_SUCH_FILE
            self.files[second] = self.files.pop(path)
            return OK
        return UNSUPPORTED

    def _handle(self, path: bytes) -> tuple[int, bytes]:
        handle = b"h%d" % len(self._handles)
        self._handles[handle] = path
        return 102, string(handle)

    def _names(self, handle: bytes) -> int | tuple[int, bytes]:
        if handle in self._done:
            return self.listing_ends_with
        self._done.add(handle)
        told = self.listed
        if told is None:
            parts = [string(name) + string(b"-rw-r--r--") + self._attrs(name) for name in self.files]
        else:
            parts = [string(name) + string(b"?") + struct.pack(">IQIIIII", 0x0F, 1, 0, 0, mode, TIME, TIME) for name, mode in told]
        return 104, struct.pack(">I", len(parts)) + b"".join(parts)


class _Line(asyncssh.SSHServerSession[bytes]):
    def __init__(self, fake: FakeSftp) -> None:
        self._fake, self._held = fake, b""

    def connection_made(self, chan: Any) -> None:
        self._chan = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def session_started(self) -> None:
        self._chan.write(self._fake.greeting)

    def data_received(self, data: bytes, datatype: Any) -> None:
        self._held += data
        while len(self._held) >= 4:
            end = 4 + int.from_bytes(self._held[:4], "big")
            if len(self._held) < end:
                return
            message, self._held = self._held[4:end], self._held[end:]
            self._chan.write(self._fake.answer(message[0], message[1:]))


class _Doorman(asyncssh.SSHServer):
    def __init__(self, fake: FakeSftp) -> None:
        self._fake = fake

    def session_requested(self) -> _Line:
        return _Line(self._fake)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)
