"""One client's control connection: its lines, one after the other, and our answers."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from transload.accounts.addresses import plain
from transload.errors import TransloadError
from transload.servers.base import Visit
from transload.servers.ftp import evidence
from transload.servers.ftp.answering import UNREAD, Line
from transload.servers.ftp.data import Data, Transfer
from transload.servers.ftp.facts import FACTS
from transload.servers.ftp.lines import Nonsense, next_line, parted
from transload.servers.ftp.loop import READ, WRITE
from transload.servers.ftp.ports import Awaiting, Calling
from transload.servers.ftp.wire import Tls

if TYPE_CHECKING:
    from transload.servers.ftp.hall import Hall

T = TypeVar("T")
Do = Callable[["Session", bytes, bytes], None]
_LINES = 4096
"""Lines that may wait, before the client has to wait with the next."""
_STRANGE = 10
"""Commands that make no sense, before the login, until the line is cut."""


class Session(Line):
    """A client. Lives in the loop; while it is `busy`, its further commands wait."""

    def __init__(self, hall: Hall, line: socket.socket, address: str, do: Do, *, implicit: bool) -> None:
        """At `address`; what it says is done by `do`."""
        super().__init__(hall.loop, line)
        self.hall, self.address, self._do = hall, address, do
        self.visit: Visit | None = None
        self.user = self.password = ""
        self.certificate: str | None = None
        self.since = self.asked = self.heard = time.monotonic()
        self.wrong = self._strange = 0
        self.reset()
        self.protected = self.pbsz = implicit
        """Whether data connections speak TLS."""
        self.awaiting: Awaiting | None = None
        self.calling: Calling | None = None
        self.refused = self.farewell = b""
        self.target: tuple[str, int] | None = None
        self.data: Data | None = None
        self.transfer: Transfer | None = None
        self.aborted = self.busy = self._going = self._greeted = False
        self._said, self._lines = bytearray(), deque[bytes]()
        host, _, *more = line.getsockname()
        self.local, self.zone = plain(host), f"%{more[1]}" if more and more[1] else ""
        """Behind which of our interfaces our address and the client's mean something, where it is not behind all (RFC 4007)."""
        self.here = self.local == address or ip_address(address).is_loopback
        """Whether the client is on this machine."""
        hall.sessions.add(self)
        self.watch(line.fileno(), READ)
        if implicit:
            self.secure()
        else:
            self.greet()

    def grace(self) -> float:
        """For how long to look for signs that the client died."""
        return evidence.grace(self.wire.socket, self._lives if self.here else None)

    def _lives(self) -> bool | None:
        programs = self.hall.holders.of(self.wire.socket, self.since)
        return all(program.lives for program in programs) if programs else None

    def reset(self) -> None:
        """As it was before anybody logged in."""
        self.cwd, self.rest, self.announced = b"/", 0, None
        self.old_name: bytes | None = None
        self.facts: tuple[str, ...] = FACTS
        self.only_epsv = False

    rest: int
    announced: int | None

    # --- what we say

    def greet(self) -> None:
        """The first line."""
        self._greeted = True
        self.say(b"220 " + self.hall.settings.banner.encode("utf-8", "replace").replace(b"\r", b" ").replace(b"\n", b" "))

    def part(self, transfer_answer: bytes, answer: bytes) -> None:
        """Break off the transfer, if there is one; then say `answer`, and part."""
        if self.transfer is None:
            self.end(answer)
        else:
            self.farewell = answer
            self.transfer.stop(transfer_answer)

    # --- what the client says

    def ready_to_read(self) -> None:
        if self._shaking:
            self._shake()
            return
        said = self._read()
        if not said:
            return
        self.heard = time.monotonic()
        self._said += said
        try:
            while (line := next_line(self._said)) is not None:
                self._lines.append(line)
                if self.transfer is not None and line.strip().upper() == b"ABOR":
                    self._abort()
        except Nonsense as error:
            self._nonsense(error)
            return
        if len(self._lines) > _LINES:
            self.want(WRITE if self._out else 0)
        if not self.busy or self.transfer is not None:
            self._go_on()

    def _go_on(self) -> None:
        """Do what was said, until there is something to wait for."""
        if self._going:
            return
        self._going = True
        lines = self._lines
        try:
            while lines and not self.closed and self.leaving is None and len(self._out) < UNREAD:
                if self.busy and not (self.transfer is not None and lines[0].upper() == b"STAT"):
                    return
                verb, rest = parted(lines.popleft())
                self._do(self, verb, rest)
        except Nonsense as error:
            self._nonsense(error)
        finally:
            self._going = False
        if not lines and not self.closed and not self._events & READ:
            self.want(READ | (WRITE if self._out else 0))

    def _nonsense(self, error: Nonsense) -> None:
        self._lines.clear()
        self._said.clear()
        if self.transfer is not None:
            self.transfer.lost("the client spoke nonsense")
        self.end(b"500 %s; goodbye" % str(error).encode())

    def strange(self, answer: bytes) -> None:
        """It asked for something that does not exist, or not before it has logged in."""
        self._strange += 1
        if self.visit is None and self._strange >= _STRANGE:
            self.end(b"421 Too many commands that make no sense; goodbye")
        else:
            self.say(answer)

    def _abort(self) -> None:
        if self.transfer is not None:
            self.aborted = not self.transfer.landing  # what has ended cannot be broken off any more
            self.transfer.stop(b"426 Transfer aborted")

    # --- waiting

    def wait(self) -> None:
        """What the client says from now on waits."""
        self.busy = True

    def go_on(self, answer: bytes) -> None:
        """Say how it ended; then the next."""
        self.busy = False
        if self.closed:
            return
        self.heard = time.monotonic()
        self.say(answer)
        if self._lines:
            self._go_on()

    def aside(self, where: Executor, ask: Callable[[], T], answer: Callable[[T | TransloadError], None]) -> None:
        """Wait while `ask` is done in a thread; `answer` hears of it in the loop, also when the client is gone, and must call `go_on`."""
        self.wait()
        self.hall.aside(where, ask, answer)

    @property
    def buffered(self) -> bool:
        """Whether the client has said more than we have looked at."""
        return bool(self._lines or self._said or self._out)

    def secure(self) -> None:
        """Speak TLS from now on."""
        assert self.hall.contexts is not None  # noqa: S101 - asked before
        self._secure(self.hall.contexts.for_session())

    def _shake(self) -> None:
        if not self._shaken():
            return
        if isinstance(self.wire, Tls):
            self.certificate = self.wire.certificate
        if not self._greeted:
            self.greet()
        self.ready_to_read()  # what came with the handshake waits in there

    # --- data connections

    @property
    def only_protected(self) -> bool:
        """Whether nothing goes in clear: the server wants TLS, or the user may not come by FTP in clear, and its files do not either."""
        mine = self.visit.account.limits.protocols if self.visit is not None else ()
        return bool(mine and "ftp" not in mine) or self.hall.settings.tls == "required"

    def can_transfer(self) -> bool:
        """Whether a data connection is at hand; else says why not."""
        if self.only_protected and not self.protected:
            self.say(b"521 Data connections must be protected: PROT P first")
        elif self.data is None and self.awaiting is None and self.target is None:
            self.say(self.refused or b"425 No data connection: EPSV, PASV or PORT first")
            self.refused = b""
        else:
            return True
        return False

    def begin(self, transfer: Transfer, answer: bytes = b"Here it goes") -> None:
        """Let it have the data connection, as soon as that is there."""
        self.wait()
        self.transfer, self.aborted = transfer, False
        if self.data is not None:
            self.say(b"125 " + answer)
            self.data.use(transfer)
            return
        self.say(b"150 " + answer)
        if self.target is not None:
            (address, port), self.target = self.target, None
            self.calling = Calling(self, address, port)

    def connected(self, line: socket.socket) -> None:
        """The data connection is there."""
        self.data = Data(self, line)
        if self.transfer is not None:
            self.data.use(self.transfer)

    def not_connected(self) -> None:
        """It will not come."""
        if self.transfer is not None:
            self.transfer.stop(b"425 No data connection could be made")

    def transferred(self, answer: bytes) -> None:
        """The transfer is over: that is its last word."""
        self.drop_data()
        self.transfer = None
        if self.farewell:
            self.say(answer)
            self.end(self.farewell)
        else:
            self.go_on(answer)

    # --- the end

    @property
    def lands(self) -> bool:
        """Whether something is being made durable that the client waits for."""
        return self.busy and (self.transfer is None or self.transfer.landing)

    def leave(self) -> None:
        """The user is gone; the connection stays."""
        self.drop_data()
        if self.visit is not None:
            self.visit.close()
            self.visit = None
            self.asked = time.monotonic()
        self.user = ""
        self.reset()

    def drop_data(self) -> None:
        """Close the data connection, or the way to it."""
        if self.awaiting is not None:
            self.awaiting.close()
        if self.calling is not None:
            self.calling.close()
        if self.data is not None:
            self.data.close()
        self.awaiting = self.calling = self.data = self.target = None

    def close(self) -> None:
        """The client is gone, or has to go."""
        if self.closed:
            return
        self.closed = True
        self.forget()
        self.wire.close()
        if self.transfer is not None:
            self.transfer.lost("the client is gone")
        self.drop_data()
        if self.visit is not None:
            self.visit.close()
        self.hall.sessions.discard(self)
        self.hall.gate.gone("ftp", self.address)
