"""Our own client of clamd: FILDES and INSTREAM, over TCP and Unix sockets. A name is never sent, so none can forge a reply."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from transload.errors import Busy, Changed, Unreachable
from transload.units import show_duration

BLOCK = 262_144
LONGEST = 65_536
_TO_CONNECT = 10.0
_REPLY = re.compile(r"(?:stream|fd\[\d+\]): (?:(?P<clean>OK)|(?P<found>\S.*?)(?:\([0-9a-f]{32,64}:\d+\))? FOUND)")


class Answer(NamedTuple):
    """What a scanner found: the name of the signature, or nothing; `sha256` of the bytes that were sent ("" for a descriptor)."""

    signature: str
    sha256: str


class Line(io.RawIOBase):
    """A connection that never waits longer than `patience`, and calls `beat` every second while it waits.

    Each piece that is sent has `patience`; an answer has it as a whole, from the last piece on.
    """

    def __init__(self, made: socket.socket, patience: float, beat: Callable[[], None]) -> None:
        """Over the connection `made`, which is closed with this."""
        self.socket, self._patience, self._beat = made, patience, beat
        self._until = time.monotonic() + patience
        self._beaten = time.monotonic()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        left = memoryview(data)
        while left:
            left = left[self.wait(partial(self.socket.send, left)) :]
            self._until = time.monotonic() + self._patience

    def wait(self, act: Callable[[], int]) -> int:
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


@dataclass(frozen=True, slots=True)
class Clamd:
    """The clamd at `address`; each of its answers has `patience` seconds. All raise Unreachable when none comes whole, else Busy."""

    address: str
    patience: float

    def facts(self, beat: Callable[[], None]) -> dict[str, str]:
        """Its version, and that of its signatures with their day ("" where it has none of ClamAV's own)."""
        with self._line(beat) as line:
            line.send(b"zVERSION\0")
            reply = self._reply(line)
        engine, _, signatures = reply.partition("/")
        if not engine.startswith("ClamAV "):
            raise Busy(f"{self._name} answers like no clamd: {_shown(reply)}")
        return {"engine": engine, "signatures": signatures}

    def ask(self, file: BinaryIO, size: int, beat: Callable[[], None]) -> Answer:
        """What it finds in the file's bytes: the descriptor is handed over where that can be, otherwise they are sent."""
        if isinstance(place(self.address), str):
            answer = self._hand_over(file, size, beat)
            if answer is not None:
                return answer
        return self._send(file, beat)

    def _hand_over(self, file: BinaryIO, size: int, beat: Callable[[], None]) -> Answer | None:
        """FILDES; None when it cannot read the descriptor (a policy of its system may forbid it)."""
        _same(file, size)
        with self._line(beat) as line:
            # One byte goes with the descriptor; in one piece with the command, clamd wakes up once.
            line.wait(lambda: socket.send_fds(line.socket, [b"zFILDES\0\0"], [file.fileno()]))
            reply = self._reply(line)
        _same(file, size)
        if reply.endswith(" ERROR") or reply == "UNKNOWN COMMAND":
            return None
        return Answer(self._judged(reply), "")

    def _send(self, file: BinaryIO, beat: Callable[[], None]) -> Answer:
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
        return Answer(self._judged(reply), digest.hexdigest())

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
        told = bytearray()
        while not told.endswith(b"\0"):
            piece = line.read(4096)
            if not piece:
                said = f" after {_shown(told.decode('utf-8', 'replace'))}" if told else ""
                raise Unreachable(f"{self._name} hung up before its reply was whole{said}")
            told += piece
            if len(told) > LONGEST:
                raise Busy(f"{self._name} answers without end")
        return told[:-1].decode("utf-8", "replace")


def _chunk(piece: bytes) -> bytes:
    """A piece as INSTREAM wants it; the empty one is the end."""
    return len(piece).to_bytes(4, "big") + piece


def _same(file: BinaryIO, size: int) -> None:
    there = os.fstat(file.fileno()).st_size
    if there != size:
        raise Changed(f"the spooled file has {there} bytes, and was received with {size}: it is not scanned")


def _shown(reply: str) -> str:
    return ascii(reply[:200])
