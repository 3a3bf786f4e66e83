"""A connection's bytes, in clear or by TLS, never blocking; and how its end is told from a cut."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from OpenSSL import SSL


class Broken(Exception):
    """The connection was reset or cut; the message says how."""


class Wire(Protocol):
    """One connection."""

    socket: socket.socket
    secure: bool

    def shake(self) -> bool:
        """Go on with the handshake; whether it is done. Raises Broken."""

    def read(self, most: int) -> bytes | None:
        """What is there, None where there is nothing yet, and nothing (b"") at its orderly end. Raises Broken."""

    def read_into(self, block: memoryview) -> int | None:
        """The same, into `block`."""

    def write(self, data: bytes | memoryview) -> int:
        """How many of these bytes are on their way; 0 when there is no room now. Raises Broken."""

    def close(self) -> None:
        """End it in good order; what was written still goes out."""


class Plain:
    """In clear."""

    secure = False

    def __init__(self, line: socket.socket) -> None:
        """Over this socket, which does not block."""
        self.socket = line

    def shake(self) -> bool:
        return True

    def read(self, most: int) -> bytes | None:
        try:
            return self.socket.recv(most)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Broken(error.strerror or "reset") from error

    def read_into(self, block: memoryview) -> int | None:
        try:
            return self.socket.recv_into(block)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Broken(error.strerror or "reset") from error

    def write(self, data: bytes | memoryview) -> int:
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Broken(error.strerror or "reset") from error

    def close(self) -> None:
        self.socket.close()


class Tls:
    """By TLS, as the one who is called."""

    secure = True

    def __init__(self, context: SSL.Context, line: socket.socket) -> None:
        """Over this socket, which does not block; the handshake comes first."""
        from OpenSSL import SSL

        self._ssl = SSL
        self.socket = line
        self._line: Any = SSL.Connection(context, line)
        self._line.set_accept_state()
        self._done = False

    def shake(self) -> bool:
        if not self._done:
            try:
                self._line.do_handshake()
            except (self._ssl.WantReadError, self._ssl.WantWriteError):
                return False
            except Exception as error:
                raise Broken("the TLS handshake failed") from error
            self._done = True
        return True

    @property
    def resumed(self) -> bool:
        """Whether it goes on with a session that its context knew."""
        return bool(self._line.session_reused())

    @property
    def certificate(self) -> str | None:
        """The common name in the client's certificate, which was checked in the handshake."""
        found = self._line.get_peer_certificate()
        return found.get_subject().CN if found is not None else None

    def read(self, most: int) -> bytes | None:
        try:
            return bytes(self._line.recv(most))
        except self._ssl.Error as error:
            return None if self._ended(error) else b""

    def read_into(self, block: memoryview) -> int | None:
        try:
            return int(self._line.recv_into(block))
        except self._ssl.Error as error:
            return None if self._ended(error) else 0

    def _ended(self, error: Exception) -> bool:
        """Whether there is merely nothing yet; False for the orderly end, with its word."""
        if isinstance(error, self._ssl.WantReadError | self._ssl.WantWriteError):
            return True
        if isinstance(error, self._ssl.ZeroReturnError):
            return False
        if isinstance(error, self._ssl.SysCallError) and error.args == (-1, "Unexpected EOF"):
            raise Hung("it ended without the word of TLS that ends it") from error
        raise Broken("reset, or not TLS") from error

    def write(self, data: bytes | memoryview) -> int:
        try:
            return int(self._line.send(data))
        except (self._ssl.WantReadError, self._ssl.WantWriteError):
            return 0
        except self._ssl.Error as error:
            raise Broken("reset") from error

    def close(self) -> None:
        if self._done:
            with suppress(Exception):  # whoever has hung up does not want to hear it
                self._line.shutdown()
        self.socket.close()


class Hung(Broken):
    """The other side ended its connection, but left out TLS's word for that: it may have been cut."""
