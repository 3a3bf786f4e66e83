"""Our own client of clamd: FILDES and INSTREAM, over TCP and Unix sockets. A name is never sent, so none can forge a reply."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlsplit

from transload.errors import Busy, Changed, Unreachable
from transload.units import show_duration

T = TypeVar("T")
BLOCK = 262_144
LONGEST = 65_536
_TO_CONNECT = 10.0
_VERSION = b"zVERSION\0"
_REPLY = re.compile(r"(?:stream|fd\[\d+\]): (?:(?P<clean>OK)|(?P<found>\S.*?)(?:\([0-9a-f]{32,64}:\d+\))? FOUND)")


class Answer(NamedTuple):
    """What a scanner found: the name of the signature, or nothing; `sha256` of the bytes that were sent ("" for a descriptor).

    `facts` is which scanner it was, and its signatures, asked before the scan: those that come in between are newer than these.
    """

    signature: str
    sha256: str
    facts: dict[str, str]


class _HungUp(Unreachable):
    """The connection ended where a reply should have come."""


class Line(io.RawIOBase):
    """A connection that never waits longer than `patience`, and calls `beat` every second while it waits.

    Each piece that is sent has `patience`; an answer has it as a whole, from the last piece on.
    """

    def __init__(self, made: socket.socket, patience: float, beat: Callable[[], None]) -> None:
        """Over the connection `made`, which is closed with this."""
        self.socket, self._patience, self._beat = made, patience, beat
        self._until = time.monotonic() + patience
        self._beaten = time.monotonic()
        self.rest = bytearray()
        """What came, and was not taken yet."""

    def send(self, data: bytes) -> None:
        """Send all of it."""
        left = memoryview(data)
        while left:
            left = left[self.wait(partial(self.socket.send, left)) :]
            self._until = time.monotonic() + self._patience

    def begin(self, beat: Callable[[], None]) -> None:
        """The time for another question and its answer begins now."""
        self._beat = beat
        self._until = time.monotonic() + self._patience

    def wait(self, act: Callable[[], T]) -> T:
        """What `act` gives once the socket lets it; TimeoutError when that takes too long."""
        while True:
            now = time.monotonic()
            if now - self._beaten >= 1:
                self._beaten = now
                self._beat()
            if now >= self._until:
                raise TimeoutError
            self.socket.settimeout(min(1.0, self._until - now))
            try:
                return act()
            except TimeoutError:
                continue

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.wait(lambda: self.socket.recv_into(buffer))

    def makefile(self, _: str) -> io.BufferedReader:
        """The bytes that come, as http.client wants them."""
        return io.BufferedReader(self)

    def close(self) -> None:
        self.socket.close()
        super().close()


@contextmanager
def telling(where: str, patience: float) -> Iterator[None]:
    """What goes wrong on a line, as Unreachable that says where."""
    try:
        yield
    except TimeoutError as error:
        raise Unreachable(f"{where} gave no answer within {show_duration(patience)}") from error
    except OSError as error:
        raise Unreachable(f"{where} does not answer: {error.strerror or error}") from error
    except UnicodeError as error:
        raise Unreachable(f"{where} cannot be found: no host can have that name") from error


def place(address: str) -> str | tuple[str, int]:
    """The path, or host and port, that `address` stands for; ValueError says how it is written."""
    kind, _, path = address.partition(":")
    if kind == "unix" and path.startswith("/"):
        return path
    with suppress(ValueError):
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        if (
            parts.scheme == "tcp"
            and parts.hostname
            and parts.port
            and parts.netloc == address.removeprefix("tcp://")
            and not parts.username
        ):
            return parts.hostname, parts.port
    raise ValueError('clamd is written as "unix:/path", "host:port" or "tcp://host:port"')


def dial(where: str | tuple[str, int], patience: float) -> socket.socket:
    """A connection to a path, or to a host's port."""
    short = min(patience, _TO_CONNECT)
    if isinstance(where, tuple):
        made = socket.create_connection(where, short)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(short)
        made.connect(where)
    except BaseException:
        made.close()
        raise
    return made


@dataclass(slots=True)
class Clamd:
    """The clamd at `address`; each of its answers has `patience` seconds. All raise Unreachable when none comes whole, else Busy.

    Over a Unix socket descriptors are handed over, all in one session, which is kept until the context is left.
    """

    address: str
    patience: float
    _kept: Line | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)

    def close(self) -> None:
        """End the session; the next question opens another."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def facts(self, beat: Callable[[], None]) -> dict[str, str]:
        """Its version, and that of its signatures with their day ("" where it has none of ClamAV's own)."""
        return self._asked(beat)[0]

    def _facts(self, reply: str) -> dict[str, str]:
        engine, _, signatures = reply.partition("/")
        if not engine.startswith("ClamAV "):
            raise Busy(f"{self._name} answers like no clamd: {_shown(reply)}")
        return {"engine": engine, "signatures": signatures}

    def ask(self, file: BinaryIO, size: int, beat: Callable[[], None]) -> Answer:
        """What it finds in the file's bytes: the descriptor is handed over where that can be, otherwise they are sent."""
        if not isinstance(place(self.address), str):
            return self._send(file, beat, self.facts(beat))
        _same(file, size)
        facts, reply = self._asked(beat, file.fileno())
        _same(file, size)
        # A policy of its system may forbid it to read the descriptor.
        if reply.endswith(" ERROR") or reply == "UNKNOWN COMMAND":
            return self._send(file, beat, facts)
        return Answer(self._judged(reply), "", facts)

    def _asked(self, beat: Callable[[], None], *descriptor: int) -> tuple[dict[str, str], str]:
        """Its facts, and what it replies when it is handed the descriptor, if there is one."""
        if not isinstance(place(self.address), str):
            with self._line(beat) as line:
                line.send(_VERSION)
                return self._facts(self._reply(line)), ""
        with telling(self._name, self.patience):
            kept, self._kept = self._kept, None
            if kept is not None:
                # It may have ended a session in which nothing was asked for a while.
                with suppress(_HungUp, ConnectionError):
                    return self._in_session(kept, b"", beat, descriptor)
            made, self._count = Line(dial(place(self.address), self.patience), self.patience, beat), 0
            return self._in_session(made, b"zIDSESSION\0", beat, descriptor)

    def _in_session(self, line: Line, first: bytes, beat: Callable[[], None], descriptor: Sequence[int]) -> tuple[dict[str, str], str]:
        """Each reply has the number of its command; where one has another, or too much comes, the session is not used again."""
        # One byte goes with the descriptor; all in one piece, so that clamd wakes up once.
        commands = first + _VERSION + (b"zFILDES\0\0" if descriptor else b"")
        try:
            line.begin(beat)
            line.wait(lambda: socket.send_fds(line.socket, [commands], descriptor))
            facts = self._facts(self._numbered(line))
            reply = self._numbered(line) if descriptor else ""
            if line.rest:
                raise Busy(f"{self._name} answers more than it was asked")
        except BaseException:
            line.close()
            raise
        self._kept = line
        return facts, reply

    def _numbered(self, line: Line) -> str:
        reply = self._reply(line)
        self._count += 1
        number, _, said = reply.partition(": ")
        if number != str(self._count):
            raise Busy(f"{self._name} answers like no clamd: {_shown(reply)}")
        return said

    def _send(self, file: BinaryIO, beat: Callable[[], None], facts: dict[str, str]) -> Answer:
        """INSTREAM. Past StreamMaxLength it hangs up while we write: its reply says so, and is still there to be read."""
        file.seek(0)
        digest, whole, command = hashlib.sha256(), False, b"zINSTREAM\0"
        with self._line(beat) as line:
            try:
                while not whole:
                    piece = file.read(BLOCK)
                    digest.update(piece)
                    last = len(piece) < BLOCK
                    # A small file goes in one piece with all that belongs to it, so that clamd wakes up once.
                    line.send(command + _chunk(piece) + (_chunk(b"") if last and piece else b""))
                    command, whole = b"", last
            except (BrokenPipeError, ConnectionResetError):
                pass
            reply = self._reply(line)
        if not whole and _REPLY.fullmatch(reply):
            raise Busy(f"{self._name} answered before it had the whole file: {_shown(reply)}")
        return Answer(self._judged(reply), digest.hexdigest(), facts)

    def _judged(self, reply: str) -> str:
        told = _REPLY.fullmatch(reply)
        if told is None:
            limit = "; raise StreamMaxLength in clamd.conf, or lower max_size" if "size limit" in reply else ""
            raise Busy(f"{self._name} could not scan it: {_shown(reply)}{limit}")
        return told["found"] or ""

    @property
    def _name(self) -> str:
        return f"clamd at {self.address}"

    @contextmanager
    def _line(self, beat: Callable[[], None]) -> Iterator[Line]:
        with telling(self._name, self.patience), Line(dial(place(self.address), self.patience), self.patience, beat) as line:
            yield line

    def _reply(self, line: Line) -> str:
        """All up to the NUL that ends the reply to a z-command: without it, it is no reply."""
        told = line.rest
        while (end := told.find(b"\0")) < 0:
            if len(told) > LONGEST:
                raise Busy(f"{self._name} answers without end")
            piece = line.read(4096)
            if not piece:
                said = f" after {_shown(told.decode('utf-8', 'replace'))}" if told else ""
                raise _HungUp(f"{self._name} hung up before its reply was whole{said}")
            told += piece
        reply = told[:end].decode("utf-8", "replace")
        del told[: end + 1]
        return reply


def _chunk(piece: bytes) -> bytes:
    """A piece as INSTREAM wants it; the empty one is the end."""
    return len(piece).to_bytes(4, "big") + piece


def _same(file: BinaryIO, size: int) -> None:
    there = os.fstat(file.fileno()).st_size
    if there != size:
        raise Changed(f"the spooled file has {there} bytes, and was received with {size}: it is not scanned")


def _shown(reply: str) -> str:
    return ascii(reply[:200])
