"""Data connections: always to the server's own address, always resuming the control connection's TLS session."""

from __future__ import annotations

import ftplib
import os
import select
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from transload.errors import Unreachable
from transload.remotes.base import unmetered
from transload.remotes.ftp.replies import Reply, fault

if TYPE_CHECKING:
    from io import BufferedReader

    from transload.remotes.base import Moved
    from transload.remotes.ftp.control import Control

BLOCK = 262_144
_FIRST_PATIENCE = 10.0
_PARTING = 5.0


class Data:
    """One data connection, after the server's "150"; `reply` is its last word, once it was heard."""

    def __init__(self, control: Control, line: socket.socket, reply: Reply | None) -> None:
        """Bytes go over `line`; `reply` is there already when the server said its last word at once."""
        self._control = control
        self._line = line
        self.reply = reply
        self.whole = False

    def read_into(self, block: bytearray | memoryview) -> int:
        """Fill `block` as far as bytes are there; 0 at the end. `whole` then tells whether the end was said, not only reached."""
        try:
            got = self._line.recv_into(block)
        except ssl.SSLEOFError:
            return 0
        self.whole = self.whole or not got
        return got

    def send_all(self, file: BufferedReader, block: bytearray, moved: Moved, start: int = 0) -> str:
        """Send all of `file` from `start` on; why the line broke, if it did: the server's last word says more."""
        try:
            self._send(file, block, moved, start)
        except TimeoutError:
            raise
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _send(self, file: BufferedReader, block: bytearray, moved: Moved, start: int) -> None:
        if not isinstance(self._line, ssl.SSLSocket):
            self._send_file(file, moved, start)
            return
        file.seek(start)
        view = memoryview(block)
        while got := file.readinto(block):
            moved(got)
            self._line.sendall(view[:got])

    def _send_file(self, file: BufferedReader, moved: Moved, start: int) -> None:
        size = os.fstat(file.fileno()).st_size
        if moved is unmetered or not size:
            self._line.sendfile(file, start)
            return
        for at in range(start, size, BLOCK):
            moved(min(BLOCK, size - at))
            self._line.sendfile(file, at, BLOCK)

    def read_done(self) -> Reply:
        """Close after reading, and hear the server's last word."""
        self._say_end()
        self._line.close()
        return self.last_word()

    def send_done(self) -> Reply:
        """Close after sending, so that nothing on its way is lost, and hear the server's last word."""
        self._say_end()
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        # Closing while tickets of TLS 1.3 lie unread would reset the connection under the last bytes.
        self._drain()
        self._line.close()
        return self.last_word()

    def close(self) -> None:
        """Close without a word."""
        self._line.close()

    def _say_end(self) -> None:
        if not isinstance(self._line, ssl.SSLSocket):
            return
        # Some servers never answer this: it is sent, not waited for.
        with suppress(OSError, ValueError):
            self._line.settimeout(0)
            self._line.unwrap()

    def _drain(self) -> None:
        control = self._control.sock
        if control is None or not isinstance(self._line, ssl.SSLSocket):
            return
        end = time.monotonic() + _PARTING
        raw = socket.socket(fileno=self._line.detach())
        self._line = raw
        raw.setblocking(False)
        with suppress(OSError):
            while (left := end - time.monotonic()) > 0:
                ready, _, _ = select.select([raw, control], [], [], left)
                if raw not in ready or not raw.recv(BLOCK):
                    return

    def last_word(self) -> Reply:
        """What the server says at the end."""
        if self.reply is None:
            self.reply = self._control.answer()
        return self.reply


class Passive:
    """How data connections are opened to one server: EPSV where it works, else PASV, and never to a foreign address."""

    def __init__(self, control: Control) -> None:
        """Data connections for `control`."""
        self._control = control
        self._proven = False
        self._ready: int | None = None
        self.command = b"EPSV"

    def ports(self, ahead: list[bytes]) -> tuple[list[Reply], int]:
        """The answers to the commands `ahead`, and a port to connect to, all in one round trip."""
        *answers, last = self._control.ask(*ahead, self.command)
        if last.code >= 500 and self.command == b"EPSV":
            self.command = b"PASV"
            last = self._control.one(self.command)
        self._ready = self._port(last)
        return answers, self._ready

    def _port(self, reply: Reply) -> int:
        text = reply.lines[0].decode("latin-1")
        try:
            if reply.code == 229:
                port = ftplib.parse229(text, ("", 0))[1]
            elif reply.code == 227:
                port = ftplib.parse227(text)[1]
            else:
                raise fault(reply, "opening a data connection")
        except ftplib.Error:
            port = 0
        if not 0 < port < 65536:
            raise Unreachable(f"the server's answer to {self.command.decode()} tells no port: {reply.text!r}")
        return port

    def begin(self, command: bytes, port: int, offset: int = 0) -> Data | Reply:
        """Start a transfer; the answer instead when the server says no."""
        if port != self._ready:
            # Another transfer was made since that port was told.
            _, port = self.ports([])
        self._ready = None
        if offset:
            answer = self._control.one(b"REST %d" % offset)
            if not answer.ok:
                return answer
        line = None if self._proven else self._first(port)
        # The command is on its way while the connection is being made: a round trip less.
        self._control.say(command)
        try:
            line = line or self._control.reach(port, self._control.patience)
        except (ConnectionRefusedError, ConnectionResetError):
            return self._why_not()
        try:
            return self._begun(line)
        except BaseException:
            line.close()
            raise

    def _first(self, port: int) -> socket.socket:
        """Connect before anything is asked for, so that a server whose EPSV leads nowhere (a firewall) can be asked with PASV."""
        try:
            line = self._control.reach(port, _FIRST_PATIENCE)
        except OSError:
            if self.command != b"EPSV":
                raise
            self.command = b"PASV"
            _, port = self.ports([])
            line = self._control.reach(port, self._control.patience)
        self._proven = True
        return line

    def _why_not(self) -> Reply:
        """What is said of a data connection that broke as it was made: a server that says no may take its port away at once."""
        reply = self._control.answer()
        while reply.code < 200:
            reply = self._control.answer()
        return Reply(426, (b"426 the data connection was reset",)) if reply.ok else reply

    def _begun(self, line: socket.socket) -> Data | Reply:
        reply = self._control.answer()
        # Without this a server that holds back small packets (Nagle) would keep the "226" until our delayed acknowledgement.
        self._control.acknowledge()
        while reply.code == 200:
            # Some servers answer twice.
            reply = self._control.answer()
        if reply.code == 425:
            raise fault(reply, "opening a data connection")
        if not reply.ok:
            line.close()
            return reply
        if self._control.private:
            line = self._control.wrap(line, self._control.session)
        return Data(self._control, line, reply if reply.code >= 200 else None)
