"""The control connection as bytes: what is said leaves in its order, under TLS or not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from transload.servers.ftp import evidence
from transload.servers.ftp.loop import READ, WRITE, Channel, Loop
from transload.servers.ftp.wire import Broken, Plain, Tls, Wire

if TYPE_CHECKING:
    import ssl

_READ = 16384
UNREAD = 64 * 1024
"""Bytes of answers that a client may leave unread before its next command is looked at."""


class Line(Channel):
    """What is said waits until the client takes it."""

    def __init__(self, loop: Loop, line: socket.socket) -> None:
        """In clear, for a beginning."""
        super().__init__(loop)
        _tune(line)
        self.wire: Wire = Plain(line)
        self.context: ssl.SSLContext | None = None
        self.closed = self._shaking = False
        self.leaving: float | None = None
        """Since when only the last word has to be brought to the client."""
        self._out = bytearray()

    @property
    def there(self) -> bool:
        """Whether the client still holds its end of the line."""
        return not self.closed and evidence.there(self.wire.socket)

    def failed(self) -> None:
        self.close()

    def close(self) -> None:
        """The client is gone, or has to go."""
        raise NotImplementedError

    def _shake(self) -> None:
        raise NotImplementedError

    def _go_on(self) -> None:
        """Do what was said, until there is something to wait for."""
        raise NotImplementedError

    def say(self, answer: bytes) -> None:
        """One line."""
        if b"\xff" in answer:
            answer = answer.replace(b"\xff", b"\xff\xff")
        self._send(answer + b"\r\n")

    def say_all(self, code: int, first: bytes, lines: Iterable[bytes], last: bytes) -> None:
        """An answer of several lines."""
        middle = b"".join(b" " + one + b"\r\n" for one in lines).replace(b"\xff", b"\xff\xff")
        self._send(b"%d-%s\r\n%s" % (code, first.replace(b"\xff", b"\xff\xff"), middle))
        self.say(b"%d %s" % (code, last))

    def _send(self, data: bytes) -> None:
        if self.closed:
            return
        if not self._out:
            try:
                sent = self.wire.write(data)
            except Broken:
                self.close()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._out += data
        self.want(READ | WRITE)

    def ready_to_write(self) -> None:
        if self._shaking:
            self._shake()
            return
        if not self._brought():
            return
        self.want(READ)
        if self.leaving is not None:
            self.close()
        else:
            self._go_on()

    def end(self, answer: bytes) -> None:
        """Say that, and part."""
        if self._shaking:
            self.close()
        elif self.leaving is None:
            self.say(answer)
            self.leaving = time.monotonic()
            if not self._out:
                self.close()

    def _read(self) -> bytes | None:
        """What has come; nothing when there is none, or no more."""
        try:
            said = self.wire.read(_READ)
        except Broken:
            said = b""
        if said == b"":
            self.close()
        return said

    def _brought(self) -> bool:
        """Whether the client has taken everything."""
        while self._out:
            try:
                sent = self.wire.write(bytes(self._out[:UNREAD]))
            except Broken:
                self.close()
                return False
            if not sent:
                return False
            del self._out[:sent]
        return True

    def _secure(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.wire = Tls(context, self.wire.socket, tickets=True)
        self._shaking = True

    def _shaken(self) -> bool:
        """Whether the handshake has just ended well."""
        try:
            if not self.wire.shake():
                return False
        except Broken:
            self.close()
            return False
        self._shaking = False
        return True


def _tune(line: socket.socket) -> None:
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
