"""A connection's bytes, in clear or by TLS, never blocking; and how its end is told from a cut."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any, Protocol

from transload.servers.ftp.hello import LONGEST, protocols


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
        """Over this socket."""
        self.socket = line

    def shake(self) -> bool:
        return True

    def read(self, most: int) -> bytes | None:
        try:
            return self.socket.recv(most, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Broken(error.strerror or "reset") from error

    def read_into(self, block: memoryview) -> int | None:
        try:
            return self.socket.recv_into(block, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Broken(error.strerror or "reset") from error

    def write(self, data: bytes | memoryview) -> int:
        try:
            return self.socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Broken(error.strerror or "reset") from error

    def close(self) -> None:
        self.socket.close()


class Hung(Broken):
    """The other side ended its connection, but left out TLS's word for that: it may have been cut."""


class Tls:
    """By TLS, as the one who is called."""

    secure = True

    def __init__(self, context: ssl.SSLContext, line: socket.socket, *, tickets: bool) -> None:
        """Over this socket; the handshake comes first.

        `tickets`: whether the client is given any, by which to resume this session.
        """
        line.setblocking(False)
        self._context, self._tickets = context, tickets
        self.socket = line
        self._line: ssl.SSLSocket | None = None
        self._done = self._waited = False

    def shake(self) -> bool:
        if self._done:
            return True
        try:
            if self._line is None:
                if not self._hears():
                    return False
                self._line = self._wrapped()
            self._line.do_handshake()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except (OSError, ValueError, IndexError) as error:
            raise Broken("the TLS handshake failed") from error
        self._done = True
        return True

    def _hears(self) -> bool:
        """Whether the client's first words are all there; raises ValueError when they are not meant for an FTP server."""
        said = self.socket.recv(LONGEST, socket.MSG_PEEK)
        whole = not said or protocols(said, (b"ftp",))
        if self._waited or not whole:
            # Until there is more of it, nobody is to be told again that there is something.
            self._waited = True
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1 if whole else len(said) + 1)
        return whole

    def _wrapped(self) -> ssl.SSLSocket:
        # A client that only sends, as in an upload, never reads its tickets: when it closes, its system resets the connection.
        self._context.num_tickets = 2 if self._tickets else 0
        line = self._context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False)
        self.socket = line
        return line

    @property
    def resumed(self) -> bool:
        """Whether it goes on with a session that its context knew."""
        return bool(self._line and self._line.session_reused)

    @property
    def certificate(self) -> str | None:
        """The common name in the client's certificate, which was checked in the handshake."""
        found: dict[str, Any] = dict((self._line and self._line.getpeercert()) or {})
        names = [value for part in found.get("subject", ()) for key, value in part if key == "commonName"]
        return str(names[0]) if names else None

    def read(self, most: int) -> bytes | None:
        try:
            return self.socket.recv(most)
        except OSError as error:
            _check(error)
            return None

    def read_into(self, block: memoryview) -> int | None:
        try:
            return self.socket.recv_into(block)
        except OSError as error:
            _check(error)
            return None

    def write(self, data: bytes | memoryview) -> int:
        try:
            return self.socket.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise Broken("reset") from error

    def close(self) -> None:
        if self._done and self._line is not None:
            with suppress(OSError, ValueError):  # whoever has hung up does not want to hear it
                self._line.unwrap()
        self.socket.close()


def _check(error: OSError) -> None:
    """Raise Hung or Broken, unless there is merely nothing to be read yet."""
    if isinstance(error, ssl.SSLWantReadError | ssl.SSLWantWriteError):
        return
    if isinstance(error, ssl.SSLEOFError):
        raise Hung("it ended without the word of TLS that ends it") from error
    raise Broken("that is no TLS" if isinstance(error, ssl.SSLError) else "reset") from error
