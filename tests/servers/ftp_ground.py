"""An FTP server over a real gate, homes, landing, ledger and spool; and a raw client that says exactly what a test wants."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import socket
import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.certificates import certificates
from transload.accounts import Account
from transload.accounts.passwords import hashed
from transload.config import Config
from transload.config.server import FtpServer, Servers
from transload.ledger import Ledger
from transload.servers.base import KEPT, RESERVED
from transload.servers.ftp import FtpDoor
from transload.servers.gate import Gate, doors
from transload.servers.home import Homes
from transload.servers.landing import FolderLanding, LedgerLanding
from transload.servers.pace import Paces
from transload.servers.visit import Stays
from transload.spool import Spool

USER, PASSWORD = "ann", "open sesame, please"
_HASH = hashed(PASSWORD)
ALL = "elradfmwMT"


class FtpGround:
    """A server on loopback with explicit FTPS at `port` and implicit FTPS at `implicit`; `home` is the folder of USER, who has PASSWORD."""

    def __init__(self, work: Path | None = None, *, plain: bool = False, settings: dict[str, Any] | None = None, **account: Any) -> None:
        """`plain` is a landing without a ledger; `settings` are the server's, the others the account's."""
        self.work = work or Path(tempfile.mkdtemp(prefix="ftp-ground-"))
        self.work.mkdir(exist_ok=True)
        self.ledger = Ledger(f"sqlite:///{self.work}/ledger.db")
        self.spool = Spool(self.work / "spool", min_free=0, keep=0)
        (self.work / "transload.toml").write_text('[servers.ftp]\nlisten = "127.0.0.1:2121"\n')
        config = Config.load(self.work / "transload.toml")
        self.landing: FolderLanding | LedgerLanding = (
            FolderLanding(self.work / "inbox") if plain else LedgerLanding(config, self.ledger, self.spool, "here", lambda: None)
        )
        pair = certificates().good
        given = {"listen": "127.0.0.1:0", "implicit_listen": "127.0.0.1:0", "certificate": str(pair.cert), "key": str(pair.key)}
        self.settings = FtpServer(**{**given, **(settings or {})})
        self.gate = Gate(
            self.ledger.people,
            self.ledger.bans,
            Stays(Homes(self.work / "inbox"), self.landing, Paces()),
            doors=doors(Servers(ftp=self.settings)),
        )
        self.add(USER, **account)
        self.home = self.work / "inbox" / USER
        self.home.mkdir(parents=True, exist_ok=True)
        self.door = FtpDoor(self.settings, self.gate, self.work / "keys")
        self.door.start()
        self.port, self.implicit = self.door.port, self.door.implicit_port

    def add(self, name: str, **account: Any) -> None:
        """Make a user, or another one of that name."""
        from transload.accounts import Rights

        self.ledger.people.put(Account(name=name, **{"password": _HASH, "home": name, "rights": Rights(ALL), **account}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop it and remove all that it left."""
        self.door.stop()
        self.landing.close()
        self.gate.close()
        self.spool.close()
        self.ledger.close()
        shutil.rmtree(self.work, ignore_errors=True)

    # what is true now

    def uploads(self) -> dict[bytes, int]:
        """The whole uploads of USER in the ledger, with their sizes."""
        return {row.path: row.size for row in self.ledger.uploads.under(USER, b"")}

    def files(self) -> dict[str, bytes]:
        """The whole files of the home."""
        return {
            path.relative_to(self.home).as_posix(): path.read_bytes()
            for path in self.home.rglob("*")
            if path.is_file() and not bytes(path.name, "utf-8", "surrogateescape").startswith(RESERVED)
        }

    def kept(self) -> dict[str, int]:
        """The cut uploads that are kept, by the names that they would have."""
        start = KEPT.decode()
        return {path.name.removeprefix(start): path.stat().st_size for path in self.home.rglob("*") if path.name.startswith(start)}

    def raw(self, *, login: bool = True, implicit: bool = False, **how: Any) -> Raw:
        """A client that says what it is told to."""
        client = Raw(self.implicit if implicit else self.port, **how)
        if implicit:
            client.shake()
        client.hears(220)
        if login:
            client.login()
        return client


def free_range(count: int) -> tuple[int, int]:
    """The first and the last of so many ports in a row that nobody has now, nor gets by chance."""
    for _ in range(100):
        first = random.randrange(20_000, 32_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first, first + count - 1
    raise AssertionError("no free ports")


def trusting() -> ssl.SSLContext:
    """A client's TLS that trusts the tests' authority."""
    return ssl.create_default_context(cafile=str(certificates().ca))


class Raw:
    """A control connection, line by line."""

    def __init__(self, port: int, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        """Connect."""
        self._begin(socket.create_connection((host, port), timeout=10), host, context)

    @classmethod
    def over(cls, line: socket.socket) -> Raw:
        """Over a connection that is there."""
        client = cls.__new__(cls)
        client._begin(line, "127.0.0.1", None)
        return client

    def _begin(self, line: socket.socket, host: str, context: ssl.SSLContext | None) -> None:
        self.host, self.context = host, context or trusting()
        self.line: Any = line
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self.line.close()

    def reset(self) -> None:
        """Hang up as rudely as can be."""
        import struct

        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.line.close()

    def say(self, line: bytes | str) -> None:
        """One line, without waiting for an answer."""
        self.line.sendall((line.encode() if isinstance(line, str) else line) + b"\r\n")

    def answer(self) -> bytes:
        """The next answer, all lines of it; nothing when the server has hung up."""
        lines: list[bytes] = []
        while True:
            while b"\r\n" not in self._heard:
                try:
                    more = self.line.recv(65536)
                except (ConnectionError, ssl.SSLError):
                    more = b""
                if not more:
                    return b""
                self._heard += more
            line, _, self._heard = self._heard.partition(b"\r\n")
            lines.append(line)
            if re.match(rb"\d{3} ", line) and line[:3] == lines[0][:3]:
                return b"\n".join(lines)

    def hears(self, code: int) -> bytes:
        """The next answer, which must have that code."""
        found = self.answer()
        assert found[:3] == str(code).encode(), (code, found)
        return found[4:]

    def asks(self, line: bytes | str, code: int) -> bytes:
        """Say it, and hear that code."""
        self.say(line)
        return self.hears(code)

    def gone(self) -> bool:
        """Whether the server hangs up now, without another word."""
        return self.answer() == b""

    def login(self, user: str = USER, password: str = PASSWORD) -> None:
        """Say who we are."""
        self.asks(f"USER {user}", 331)
        self.asks(f"PASS {password}", 230)

    def shake(self) -> None:
        """TLS from now on."""
        self.line = self.context.wrap_socket(self.line, server_hostname="localhost")

    def secure(self, *, data: bool = True) -> Self:
        """AUTH TLS, and PROT P if `data`."""
        self.asks("AUTH TLS", 234)
        self.shake()
        if data:
            self.protect()
        return self

    def protect(self) -> None:
        """PROT P."""
        self.asks("PBSZ 0", 200)
        self.asks("PROT P", 200)

    def passive(self) -> socket.socket:
        """A data connection, in clear as yet."""
        return socket.create_connection((self.host, self.port()), timeout=10)

    def port(self) -> int:
        """A port for a data connection."""
        found = re.search(rb"\(\|\|\|(\d+)\|\)", self.asks("EPSV", 229))
        assert found
        return int(found[1])

    def data(self, command: bytes | str, *, resume: bool = True) -> Any:
        """A data connection with TLS, for that command."""
        line = self.passive()
        self.say(command)
        assert self.answer()[:1] == b"1"
        return self.wrapped(line, resume=resume)

    def wrapped(self, line: socket.socket, *, resume: bool = True) -> Any:
        """The same data connection with TLS."""
        return self.context.wrap_socket(line, server_hostname="localhost", session=self.line.session if resume else None)

    def put(self, name: bytes | str, data: bytes = b"hello", command: str = "STOR") -> bytes:
        """Upload in clear; the last answer."""
        line = self.passive()
        self.say(command.encode() + b" " + (name.encode() if isinstance(name, str) else name))
        first = self.answer()
        if first[:1] != b"1":
            line.close()
            return first
        with contextlib.suppress(ConnectionError):
            line.sendall(data)
        line.close()
        return self.answer()

    def get(self, command: bytes | str) -> bytes:
        """What a command sends."""
        with self.passive() as line:
            self.say(command)
            assert self.answer()[:1] == b"1"
            data = b""
            while more := line.recv(1 << 20):
                data += more
        self.hears(226)
        return data
