"""A client that says what no client should: SFTP messages byte by byte on a channel that asyncssh opens."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncssh

from tests.servers.sftp_ground import USER, Ground

T = TypeVar("T")

INIT, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR = 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK, EXTENDED = 13, 14, 15, 16, 17, 18, 19, 20, 200
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 101, 102, 103, 104, 105, 201
TO_READ, TO_WRITE, TO_GO_ON = (struct.pack(">II", flags, 0) for flags in (1, 2 | 8 | 16, 2 | 8))


def text(raw: bytes) -> bytes:
    """A string of the protocol."""
    return struct.pack(">I", len(raw)) + raw


def span(offset: int, length: int) -> bytes:
    """Where to read or write."""
    return struct.pack(">QI", offset, length)


class Raw:
    """One channel."""

    def __init__(self, writer: asyncssh.SSHWriter[bytes], reader: asyncssh.SSHReader[bytes]) -> None:
        self.writer, self.reader, self.ident = writer, reader, 0
        self.heard: dict[int, tuple[int, bytes]] = {}

    def say(self, kind: int, body: bytes = b"") -> int:
        """Send a request, and do not wait."""
        self.ident += 1
        self.writer.write(struct.pack(">IBI", len(body) + 5, kind, self.ident) + body)
        return self.ident

    async def hear(self) -> tuple[int, int, bytes]:
        """The next answer: kind, number, body."""
        length = int.from_bytes(await self.reader.readexactly(4), "big")
        message = await self.reader.readexactly(length)
        return message[0], int.from_bytes(message[1:5], "big"), message[5:]

    async def hear_of(self, ident: int) -> tuple[int, bytes]:
        """The answer to that request, whenever it comes."""
        while ident not in self.heard:
            kind, number, body = await self.hear()
            self.heard[number] = kind, body
        return self.heard.pop(ident)

    async def ask(self, kind: int, body: bytes = b"") -> tuple[int, bytes]:
        """Ask and wait; kind and body of the answer."""
        ident = self.say(kind, body)
        heard, number, answer = await self.hear()
        assert ident == number
        return heard, answer

    async def code(self, kind: int, body: bytes = b"") -> int:
        """Ask and wait for a status; its code."""
        heard, answer = await self.ask(kind, body)
        assert heard == STATUS, heard
        return int.from_bytes(answer[:4], "big")

    async def open(self, path: bytes, how: bytes) -> bytes:
        """Open a file; the handle as requests have it."""
        heard, answer = await self.ask(OPEN, text(path) + how)
        assert heard == HANDLE, answer
        return answer

    async def greet(self) -> Raw:
        """Agree on version 3."""
        self.writer.write(struct.pack(">IBI", 5, INIT, 3))
        kind, version, _ = await self.hear()
        assert (2, 3) == (kind, version)
        return self

    async def is_over(self) -> bool:
        """Whether the server ends the channel, within some seconds."""
        try:
            async with asyncio.timeout(10):
                while await self.reader.read(1 << 16):
                    pass
        except (asyncssh.Error, OSError):
            pass
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def connection(ground: Ground, user: str = USER) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection that is logged in."""
    async with asyncssh.connect(
        "127.0.0.1", ground.port, username=user, client_keys=[str(ground.key)], known_hosts=None, config=None
    ) as line:
        yield line


@asynccontextmanager
async def channel(ground: Ground, user: str = USER, *, greeted: bool = True, **how: Any) -> AsyncIterator[Raw]:
    """A channel for SFTP."""
    async with connection(ground, user) as line:
        writer, reader, _ = await line.open_session(subsystem="sftp", encoding=None, **how)
        raw = Raw(writer, reader)
        yield await raw.greet() if greeted else raw


def with_channel(ground: Ground, work: Callable[[Raw], Awaitable[T]], **how: Any) -> T:
    """What `work` gives for a channel."""

    async def run() -> T:
        async with asyncio.timeout(50), channel(ground, **how) as raw:
            return await work(raw)

    return asyncio.run(run())
