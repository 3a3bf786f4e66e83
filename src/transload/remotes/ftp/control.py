"""The control connection: one line up, one answer down, several at once where the server lets us."""

from __future__ import annotations

import ftplib
import io
import re
import select
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from transload.errors import Denied, Refused, Unreachable
from transload.model import spell
from transload.remotes.ftp.replies import Reply, fault

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    Dial = Callable[[str, int, float], socket.socket]

_QUICK: int | None = getattr(socket, "TCP_QUICKACK", None)
MAX_LINE = 65_536
MAX_LINES = 2_000
FORBIDDEN = re.compile(rb"[\r\n\0]")
IAC = b"\xff"


def _connected(host: str, port: int, patience: float) -> socket.socket:
    line = socket.create_connection((host, port), patience)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return line


class OutOfStep(EOFError):
    """What the server said is no answer."""


class Control(ftplib.FTP):
    """ftplib's connection with bytes for names, several commands in one packet, and an end to every answer."""

    def __init__(self, host: str, timeout: float, dial: Dial | None) -> None:
        """Nothing is connected yet; `dial` connects through a proxy, where there is one."""
        super().__init__()
        self.host, self.patience = host, timeout
        self.dial = dial
        self._input: IO[bytes] = io.BytesIO()
        self.tls: ssl.SSLContext | None = None
        self.private = False
        self.pipelines = False
        self.doubles: bool | None = None

    def open(self, port: int, tls: ssl.SSLContext | None, *, implicit: bool) -> None:
        """Connect, with TLS before anything secret is said; raises Denied when the server has none."""
        self.port, self.tls = port, tls
        dial = self.dial or _connected
        self._use(dial(self.host, port, self.patience))
        if tls and implicit:
            self._use(self.wrap(self._line), self._peer)
        greeting = self.hear()
        if greeting.code != 220:
            raise fault(greeting, "connecting")
        self.welcome = greeting.text
        if tls and not implicit:
            self._start_tls()

    def _start_tls(self) -> None:
        answer = self.one(b"AUTH TLS")
        if answer.code == 421:
            raise fault(answer, "starting TLS")
        if not answer.ok:
            message = f'the server offers no TLS ({answer.text!r}); where clear text is meant, say tls = "off"'
            raise Denied(message)
        # What came behind the answer was not under TLS: it is dropped with the old buffer.
        self._use(self.wrap(self._line), self._peer)

    def reach(self, port: int, patience: float) -> socket.socket:
        """A connection to another port of the machine at the other end, whatever address a server may name."""
        if self.dial:
            line = self.dial(self.host, port, patience)
        else:
            line = socket.socket(self.af, socket.SOCK_STREAM)
            try:
                line.settimeout(min(patience, self.patience))
                line.connect((self._peer[0], port, *self._peer[2:]))
            except BaseException:
                line.close()
                raise
        line.settimeout(self.patience)
        return line

    def wrap(self, line: socket.socket, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """TLS over `line`, resuming `session`."""
        context = cast("ssl.SSLContext", self.tls)
        return context.wrap_socket(line, server_hostname=self.host, session=session, suppress_ragged_eofs=False)

    def _use(self, line: socket.socket, peer: Any = None) -> None:
        self.sock, self.af = line, line.family
        # Under TLS it is remembered: a server that refused our certificate may have hung up already, and reading tells why.
        self._peer = peer or line.getpeername()
        line.settimeout(self.patience)
        self._input = line.makefile("rb")

    @property
    def _line(self) -> socket.socket:
        if self.sock is None:
            message = "the connection is closed"
            raise EOFError(message)
        return self.sock

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session that data connections resume."""
        return self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None

    def quiet(self) -> bool:
        """Whether it is open, and nothing waits to be heard: between commands that would be a good-bye, or the end."""
        if self.sock is None:
            return False
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def say(self, *commands: bytes) -> None:
        """Send commands in one packet; Refused when one of them cannot be said."""
        for command in commands:
            if FORBIDDEN.search(command):
                message = f"{spell(command)!r} cannot be said over FTP: it holds a line end or NUL"
                raise Refused(message)
        words = b"".join(command + b"\r\n" for command in commands)
        self._line.sendall(words.replace(IAC, IAC + IAC) if self.doubles else words)

    def hear(self) -> Reply:
        """The next answer, whole."""
        first = self._heard()
        if not first[:3].isdigit():
            message = f"{spell(first[:100])!r} is no answer of an FTP server"
            raise OutOfStep(message)
        lines = [first]
        if first[3:4] == b"-":
            last = first[:3] + b" "
            while not lines[-1].startswith(last) or len(lines) == 1:
                lines.append(self._heard())
                if len(lines) > MAX_LINES:
                    message = f"an answer of more than {MAX_LINES} lines"
                    raise OutOfStep(message)
        return Reply(int(first[:3]), tuple(lines))

    def _heard(self) -> bytes:
        line = self._input.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            message = f"a line of more than {MAX_LINE} bytes" if len(line) >= MAX_LINE else "the server closed the connection"
            raise OutOfStep(message)
        return line.rstrip(b"\r\n")

    def answer(self) -> Reply:
        """The next answer; raises where it says that the connection ends."""
        reply = self.hear()
        if reply.code == 421:
            raise fault(reply, "the connection ends")
        return reply

    def one(self, command: bytes) -> Reply:
        """The answer to one command."""
        self.say(command)
        return self.answer()

    def ask(self, *commands: bytes) -> list[Reply]:
        """The answers to all commands, which are sent together where the server can take that."""
        if not self.pipelines or not commands:
            return [self.one(command) for command in commands]
        self.say(*commands)
        replies = [self.answer()]
        for _ in commands[1:]:
            self.acknowledge()
            replies.append(self.answer())
        return replies

    def acknowledge(self) -> None:
        """Tell the server at once that its answer has come: one that holds back small packets sends the next now, not 40 ms later."""
        if _QUICK is not None and self.sock:
            self.sock.setsockopt(socket.IPPROTO_TCP, _QUICK, 1)

    def answers_two(self, first: bytes, second: bytes, patience: float) -> list[Reply]:
        """The answers to two commands sent together; raises Unreachable when only the first is answered within `patience`."""
        self.say(first, second)
        one = self.answer()
        self._line.settimeout(min(patience, self.patience))
        try:
            two = self.answer()
        except TimeoutError as error:
            message = "the server loses commands that are sent together"
            raise Unreachable(message) from error
        self._line.settimeout(self.patience)
        return [one, two]

    def learn_doubling(self) -> None:
        """Find out whether byte 255 must be doubled, as Telnet has it: a server that strips one shows it in what it repeats."""
        heard = b"".join(self.one(b"CWD transload" + IAC + IAC + b"probe").lines)
        self.doubles = b"transload" + IAC + b"probe" in heard

    def hang_up(self) -> None:
        """Say goodbye, without waiting for an answer, and close."""
        with suppress(OSError, EOFError):
            self._line.settimeout(1)
            self.say(b"QUIT")
        self._input.close()
        self.close()
