"""One SFTP channel: requests out, replies to whoever waits for them. Lives in the event loop.

The framing is our own because a future and a task per request cost four times what the request itself costs: many
requests leave in one packet, and each reply is handed to a plain callback that reads it in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import asyncssh

from transload.errors import Refused, Unreachable
from transload.model import spell
from transload.remotes.sftp.packets import (
    ATTRS,
    CLOSE,
    EXTENDED,
    EXTENDED_REPLY,
    HANDLE,
    HEAD,
    INIT,
    OK,
    STATUS,
    VERSION,
    Attrs,
    Garbled,
    attrs,
    refusal,
    status,
    string,
    text,
)

LOST = 0
"""The kind of reply that a request gets when the connection is lost."""
MAX_MESSAGE = 1 << 20
_BLOCK = 32 * 1024  # what every server must take
_MAX_BLOCK = 255 * 1024

Reply = Callable[[int, bytes, int, int], None]
"""Called with the kind of the message, a buffer, and where in it the body begins and ends."""


class Answer(NamedTuple):
    """A reply: its kind, the buffer that it lies in, and where its body begins and ends."""

    kind: int
    data: bytes
    at: int
    stop: int

    @property
    def body(self) -> bytes:
        """The body alone."""
        return self.data[self.at : self.stop]


class Wire(asyncssh.SSHClientSession[bytes]):
    """An SFTP version 3 client on one channel, without an opinion on what to ask."""

    def __init__(self, loop: asyncio.AbstractEventLoop, where: str, timeout: float) -> None:
        """A wire for a channel yet to be opened; `timeout` is how long a request may meet nothing but silence."""
        self.loop = loop
        self.where = where
        self.lost: Exception | None = None
        self.extensions: dict[bytes, bytes] = {}
        self.read_max = self.write_max = _BLOCK
        self._timeout = timeout
        self._heard = loop.time()
        self._waiting: dict[int, Reply] = {}
        self._next = 0
        self._out: list[bytes] = []
        self._flushing = False
        self._held: list[bytes] = []
        self._got = 0
        self._need = 0
        self._version: asyncio.Future[None] = loop.create_future()
        self._watch: asyncio.TimerHandle | None = None

    # --- what asyncssh calls

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is there."""
        self._chan = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Some bytes came; whole messages in them are handed on."""
        if datatype is not None:
            return  # what the server's program writes to stderr
        self._heard = self.loop.time()
        if self._held:
            self._held.append(data)
            self._got += len(data)
            if self._got < self._need:
                return
            data = b"".join(self._held)
            self._held.clear()
        try:
            rest = self._hand_out(data)
        except Exception as error:  # noqa: BLE001  (kept, and raised where the requests were made)
            self._lose(Unreachable(f"{self.where} breaks the SFTP protocol: {error}") if isinstance(error, Garbled) else error)
            return
        if rest < len(data):
            self._hold(data, rest)

    def _hand_out(self, data: bytes) -> int:
        at, end, waiting, head = 0, len(data), self._waiting, HEAD.unpack_from
        while end - at >= HEAD.size:
            length, kind, ident = head(data, at)
            stop = at + 4 + length
            if stop > end:
                break
            if length < HEAD.size - 4:
                message = "a message without a number"
                raise Garbled(message)
            if kind == VERSION:
                self._greeted(ident, data, at + HEAD.size, stop)
            else:
                reply = waiting.pop(ident, None)
                if reply is None:
                    message = "an answer to no question"
                    raise Garbled(message)
                reply(kind, data, at + HEAD.size, stop)
            at = stop
        return at

    def _hold(self, data: bytes, rest: int) -> None:
        self._held.append(data[rest:] if rest else data)
        self._got = len(data) - rest
        if self._got < HEAD.size:
            self._need = HEAD.size
            return
        self._need = 4 + int.from_bytes(data[rest : rest + 4], "big")
        if not HEAD.size <= self._need <= MAX_MESSAGE:
            words = spell(data[rest : rest + 60])
            self._lose(Unreachable(f"{self.where} does not speak SFTP: it says {words!r} (a login script that prints something?)"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone."""
        self._lose(Unreachable(f"{self.where}: the connection was lost: {exc}" if exc else f"{self.where} ended the SFTP session"))

    # --- asking

    def send(self, kind: int, body: bytes, reply: Reply) -> None:
        """Ask; `reply` hears the answer, or LOST."""
        if self.lost is not None:
            self.loop.call_soon(reply, LOST, b"", 0, 0)
            return
        if not self._waiting:
            self._heard = self.loop.time()
        self._next = ident = (self._next + 1) & 0xFFFFFFFF
        self._waiting[ident] = reply
        self._out.append(HEAD.pack(len(body) + 5, kind, ident) + body)
        if not self._flushing:
            # Not at once: whatever is asked for in this turn of the loop leaves in one packet, which halves the work for small files.
            self._flushing = True
            self.loop.call_soon(self._flush)

    def request(self, kind: int, body: bytes) -> asyncio.Future[Answer]:
        """Ask, and give a future of the answer, whatever it is; it never holds an exception, so it may be forgotten."""
        future: asyncio.Future[Answer] = self.loop.create_future()

        def reply(kind: int, data: bytes, at: int, stop: int) -> None:
            if not future.done():
                future.set_result(Answer(kind, data, at, stop))

        self.send(kind, body, reply)
        return future

    async def ask(self, kind: int, body: bytes, about: bytes = b"") -> Answer:
        """Ask, and wait for an answer that is not an error; raises what the server's refusal means."""
        return self.good(await self.request(kind, body), about)

    def good(self, answer: Answer, about: bytes) -> Answer:
        """`answer`, or raise what it means."""
        if answer.kind == LOST:
            raise self.fault()
        if answer.kind == STATUS:
            code, words = status(answer.data, answer.at, answer.stop)
            if code != OK:
                raise refusal(code, words, about)
        return answer

    async def handle(self, kind: int, body: bytes, about: bytes) -> bytes:
        """Open something; the handle as it is wanted in further requests (its length before it)."""
        answer = await self.ask(kind, body, about)
        if answer.kind != HANDLE:
            raise self.garbled()
        return answer.body

    async def attrs(self, kind: int, body: bytes, about: bytes) -> Attrs:
        """The attributes that a STAT, LSTAT or FSTAT tells."""
        answer = await self.ask(kind, body, about)
        if answer.kind != ATTRS:
            raise self.garbled()
        return attrs(answer.data, answer.at, answer.stop)[0]

    def close_handle(self, handle: bytes) -> None:
        """Close a handle without waiting to hear of it."""
        self.send(CLOSE, handle, _nothing)

    def garbled(self) -> Unreachable:
        """The error for an answer that does not fit its question."""
        return Unreachable(f"{self.where} breaks the SFTP protocol: an answer does not fit its question")

    # --- beginning and end

    async def greet(self) -> None:
        """Agree on the version, and learn what the server can do beyond it."""
        self._chan.write(b"\0\0\0\5" + bytes([INIT]) + b"\0\0\0\3")
        self._watch = self.loop.call_later(self._timeout, self._look)
        async with asyncio.timeout(self._timeout):
            await self._version
        if self.lost is not None:
            raise self.lost
        if b"limits@openssh.com" in self.extensions:
            answer = await self.request(EXTENDED, string(b"limits@openssh.com"))
            if answer.kind == EXTENDED_REPLY and len(answer.body) >= 24:
                read, write = (int.from_bytes(answer.body[at : at + 8], "big") for at in (8, 16))
                self.read_max = min(max(read, _BLOCK), _MAX_BLOCK)
                self.write_max = min(max(write, _BLOCK), _MAX_BLOCK)

    def _greeted(self, version: int, data: bytes, at: int, stop: int) -> None:
        if self._version.done():
            message = "it greets twice"
            raise Garbled(message)
        if version != 3:
            self._lose(Refused(f"{self.where} speaks SFTP version {version}, not 3"))
            return
        while at < stop:
            name, at = text(data, at, stop)
            self.extensions[name], at = text(data, at, stop)
        self._version.set_result(None)

    def _look(self) -> None:
        silent = self.loop.time() - self._heard
        if self._waiting and silent >= self._timeout:
            self._lose(Unreachable(f"{self.where} has been silent for {silent:.0f} s"))
            return
        self._watch = self.loop.call_later(max(self._timeout - silent, 0.01) if self._waiting else self._timeout, self._look)

    def _flush(self) -> None:
        self._flushing = False
        if self._out:
            out, self._out = self._out, []
            if self.lost is None:
                self._chan.write(b"".join(out))

    def _lose(self, error: Exception) -> None:
        if self.lost is not None:
            return
        self.lost = error
        if self._watch is not None:
            self._watch.cancel()
        if not self._version.done():
            self._version.set_result(None)
        waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            reply(LOST, b"", 0, 0)
        self._chan.abort()

    def fault(self) -> Exception:
        """Why the wire is lost."""
        return self.lost or Unreachable(f"{self.where}: the connection was lost")


def _nothing(_kind: int, _data: bytes, _at: int, _stop: int) -> None:
    """Take no notice."""
