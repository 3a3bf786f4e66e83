"""One SFTP channel: requests are cut out of the stream, answers go back, and neither side runs away from the other.

asyncssh has an SFTP server of its own; a task for each request, and exceptions whose text goes to the client, are why it is not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncssh

from transload.remotes.sftp.packets import HEAD, INIT, Garbled
from transload.servers.base import Visit
from transload.servers.sftp import answers
from transload.servers.sftp.naming import EXTENSIONS
from transload.servers.sftp.pools import Pools
from transload.servers.sftp.requests import Requests

_CALM, _ENOUGH = 256 * 1024, 1024 * 1024
"""Bytes of answers that wait for the client: from _ENOUGH on no more requests are taken, until there are _CALM."""
_SLOW = 32
_LEAST_PACKET = 512


class Talk(asyncssh.SSHServerSession[bytes]):
    """An SFTP version 3 server on one channel. Lives in the event loop."""

    def __init__(self, visit: Visit, loop: asyncio.AbstractEventLoop, pools: Pools, over: Callable[[Talk], None]) -> None:
        """For `visit`; `over` is told when the channel is gone."""
        self.heard = loop.time()
        self._loop, self._over = loop, over
        self.requests = Requests(visit, loop, pools, self._send, self._hold, self._go_on)
        self._held: list[bytes | memoryview] = []
        self._got = self._need = 0
        self._out: list[bytes] = []
        self._flushing = self._acting = False
        self._greeted = self._choked = self._ended = self._gone = False
        self._stops = False
        """Whether requests may have to wait; looked at for each of them, so that `waits` need not be."""
        self._until = 0.0

    # --- what asyncssh calls

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel is there."""
        self._chan = chan
        chan.set_write_buffer_limits(high=_ENOUGH, low=_CALM)
        if chan._send_pktsize < _LEAST_PACKET:  # noqa: SLF001 - asyncssh would send empty packets for ever to a client that says 0
            chan.abort()

    def subsystem_requested(self, subsystem: str) -> bool:
        """SFTP, and nothing else: no shell, no command, no terminal, for those are refused unless said otherwise."""
        return subsystem == "sftp"

    def data_received(self, data: bytes | memoryview, datatype: int | None) -> None:  # noqa: ARG002 - a client has one stream only
        """Some bytes came; whole requests in them are acted on, unless the client has to wait."""
        self.heard = self._loop.time()
        if not self._held and not (self._stops and self.waits):
            self._take(bytes(data))
            return
        self._held.append(data)
        self._got += len(data)
        self._take_held()

    def eof_received(self) -> bool:
        """No more requests will come."""
        self._ended = True
        self._end()
        return True

    def _end(self) -> None:
        """What is still open is no complete file. What is being made durable is answered."""
        if self._held and self._got >= self._need:
            return  # requests that have to wait are acted on first
        self.requests.cut("the client ended the session without closing the file")
        self._leave()

    def pause_writing(self) -> None:
        """The client does not take its answers."""
        self._choked = self._stops = True

    def resume_writing(self) -> None:
        """It does again."""
        self._choked = False
        self._loop.call_soon(self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended: nothing was closed
        """The channel is gone."""
        self._gone = self._stops = True
        self._held.clear()
        self.requests.cut("the connection ended before the file was closed")
        self._over(self)

    # --- requests in

    @property
    def waits(self) -> bool:
        """Whether no requests are taken for now: the answers are not read, the rates want it, or a disk is slow."""
        self._stops = self._choked or self.held or self.requests.slow >= _SLOW
        return self._stops

    @property
    def held(self) -> bool:
        """Whether the rates want it."""
        return self._until > self._loop.time()

    @property
    def choked(self) -> bool:
        """Whether the client does not read its answers."""
        return self._choked

    def _take_held(self) -> None:
        if self._got >= self._need and self._held and not self.waits:
            data = b"".join(self._held)
            self._held.clear()
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._acting = True
        try:
            at, need = self._act(data)
        except Garbled:
            self.drop()
            return
        finally:
            self._acting = False
            self._flush()
        if at < len(data):
            self._got, self._need = len(data) - at, need
            self._held.append(data[at:] if at else data)
        if self._stops and self.waits:
            self._chan.pause_reading()

    def _act(self, data: bytes) -> tuple[int, int]:
        """Act on the whole requests in `data`; where the rest begins, and how long it must get."""
        at, end, head, act = 0, len(data), HEAD.unpack_from, self.requests.act
        while end - at >= HEAD.size:
            length, kind, ident = head(data, at)
            if not 5 <= length <= answers.MAX_MESSAGE:
                raise Garbled("a message that is too short or too long")
            stop = at + 4 + length
            if stop > end:
                return at, 4 + length
            if self._greeted and kind != INIT:
                act(kind, ident, data, at + HEAD.size, stop)
            else:
                self._greet(kind, ident)
            at = stop
            if self._stops and (self._gone or self.waits):
                return at, 0
        if end - at >= 4 and int.from_bytes(data[at : at + 4], "big") < 5:
            raise Garbled("a message without a number")
        return at, HEAD.size

    def _greet(self, kind: int, version: int) -> None:
        if self._greeted or kind != INIT or version < 3:
            raise Garbled("no greeting, or a second one")
        self._greeted = True
        self._send(answers.version(EXTENSIONS))

    def _hold(self, seconds: float) -> None:
        self._stops = True
        self._until = max(self._until, self._loop.time() + seconds)
        self._loop.call_at(self._until + 0.001, self._go_on)

    def _go_on(self) -> None:
        if self._gone or self._acting:
            return
        self._take_held()
        self._read_on()
        if self._ended:
            self._end()

    def _read_on(self) -> None:
        if not self._gone and not self.waits:
            self._chan.resume_reading()

    # --- answers out

    def _send(self, answer: bytes) -> None:
        self._out.append(answer)
        if not self._acting and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        elif len(answer) > _LEAST_PACKET:
            self._flush()

    def _flush(self) -> None:
        self._flushing = False
        if self._out:
            out, self._out = self._out, []
            if not self._gone and not self._chan.is_closing():
                self._chan.write(out[0] if len(out) == 1 else b"".join(out))

    # --- the end

    def drop(self) -> None:
        """End the channel at once."""
        self._gone = self._stops = True
        self._held.clear()
        self.requests.cut("the session was ended by the server")
        self._chan.abort()

    def _leave(self) -> None:
        if not self.requests.landings and not self._chan.is_closing():
            self._flush()
            self._chan.exit(0)
