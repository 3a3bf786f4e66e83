"""One data connection, and what goes over it."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from transload.servers.ftp import evidence
from transload.servers.ftp.loop import READ, WRITE, Channel
from transload.servers.ftp.wire import Broken, Plain, Tls, Wire

if TYPE_CHECKING:
    from transload.servers.ftp.session import Session


class Transfer:
    """What one command moves over a data connection; it has one last word, and says it to its session."""

    sends = False

    def __init__(self, session: Session) -> None:
        """The data connection comes later."""
        self.session = session
        self.data: Data | None = None
        self.began = self.moved = time.monotonic()
        self.judged = (self.began, 0)
        self.count = 0
        """Bytes so far."""
        self.held = self.landing = self.over = False

    def begin(self, data: Data) -> None:
        """The data connection is there, and has shaken hands."""
        self.data = data
        self.moved = self.began = time.monotonic()
        self.judged = (self.began, 0)

    def ready(self) -> None:
        """Go on: there are bytes, or there is room for some."""

    def broken(self, error: Broken) -> None:
        """The data connection ended as it should not."""

    def stop(self, answer: bytes) -> bool:
        """Break it off, unless it is past that; tells whether."""
        if self.over or self.landing:
            return False
        self.drop(answer[4:].decode("utf-8", "replace"))
        self.end(answer)
        return True

    def drop(self, reason: str) -> None:
        """Forget what it was about, since it breaks off."""

    def lost(self, reason: str) -> None:
        """The session is over, and nobody waits for a word."""
        if not self.over:
            self.over = True
            self.drop(reason)

    def end(self, answer: bytes) -> None:
        """The last word."""
        if not self.over:
            self.over = True
            self.session.transferred(answer)

    def hold(self, seconds: float) -> None:
        """Move nothing for so long, to keep to the rates."""
        assert self.data is not None  # noqa: S101 - what moves has a connection
        self.held = True
        self.data.want(0)
        self.session.loop.later(seconds, self._go_on)

    def _go_on(self) -> None:
        self.held = False
        self.moved = time.monotonic()
        if self.data is not None and not self.over and not self.landing and not self.data.closed:
            self.data.want(WRITE if self.sends else READ)
            self.ready()


class Data(Channel):
    """A data connection. Lives in the loop."""

    def __init__(self, session: Session, line: socket.socket) -> None:
        """Over this socket, by TLS where the session wants that."""
        super().__init__(session.loop)
        self._session = session
        self.transfer: Transfer | None = None
        self.closed = False
        self.wire: Wire = Plain(line)
        self._shaken = True
        if session.protected and session.context is not None:
            self.wire = Tls(session.context, line, tickets=False)
            self._shaken = False
            self.watch(line.fileno(), READ)

    def use(self, transfer: Transfer) -> None:
        """That is what it is for."""
        self.transfer = transfer
        if self._shaken:
            self._begin(transfer)

    def _begin(self, transfer: Transfer) -> None:
        events = WRITE if transfer.sends else READ
        if self._fileno < 0:
            self.watch(self.wire.socket.fileno(), events)
        else:
            self.want(events)
        transfer.begin(self)

    def _shake(self) -> None:
        try:
            if not self.wire.shake():
                return
        except Broken:
            self._refuse(b"522 The TLS handshake of the data connection failed")
            return
        if self._session.hall.settings.require_tls_reuse and isinstance(self.wire, Tls) and not self.wire.resumed:
            self._refuse(b"522 The data connection must resume the TLS session of the control connection")
            return
        self._shaken = True
        self.want(0)
        if self.transfer is not None:
            self._begin(self.transfer)

    def _refuse(self, answer: bytes) -> None:
        session = self._session
        session.refused = answer
        self.close()
        session.data = None
        if self.transfer is not None:
            self.transfer.stop(answer)

    def ready_to_read(self) -> None:
        if not self._shaken:
            self._shake()
        elif self.transfer is not None:
            self.transfer.ready()

    def ready_to_write(self) -> None:
        self.ready_to_read()

    def handle_close(self) -> None:
        if not self._shaken:
            self._shake()
        elif not evidence.half_open(self.wire.socket):
            if self.transfer is None or self.transfer.held:
                self.want_nothing()
            elif self.transfer.sends:
                self.transfer.broken(Broken("reset"))
            else:
                self.transfer.ready()

    def want_nothing(self) -> None:
        """Hear nothing of it until somebody asks: the end of a connection is told again and again."""
        self.unwatch()

    def want(self, events: int) -> None:
        if self._fileno < 0 and events and not self.closed:
            self.watch(self.wire.socket.fileno(), events)
        else:
            super().want(events)

    def failed(self) -> None:
        self.close()
        if self.transfer is not None:
            self.transfer.stop(b"451 A fault inside the server")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.forget()
            self.wire.close()
