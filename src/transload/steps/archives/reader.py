"""The parent's side of the child: it is started, listened to, never believed, and ended."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from transload.errors import Busy, ConfigError, Rejected
from transload.model import spell
from transload.steps.archives.limits import Meter
from transload.steps.archives.wire import DATA, DONE, FAILED, HEAD, LARGEST, LOCKED, NEEDS, REJECTED

_START = Path(__file__).with_name("start.py")
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGSYS, signal.SIGTRAP, signal.SIGXFSZ}
"""What a file can bring about. All others come from outside: a service that is stopped, a machine that has no memory left."""
_PIECE = 1 << 20


class Locked(Busy):
    """It is encrypted, and the password that is set, if one is, does not open it: nothing can be said of what is in it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a child may use: memory in bytes, and time until `until` of `seconds` in all."""

    memory: int
    seconds: float
    until: float


class Reader:
    """One child, which opens a file's archives one after the other; it lives as long as the context."""

    def __init__(self, folder: Path, bounds: Bounds, password: str | None, go_on: Callable[[], None]) -> None:
        """The child works in `folder`, and `go_on` is called every second."""
        self._folder, self._bounds, self._password, self._go_on = folder, bounds, password, go_on
        self._told_at = 0.0

    def __enter__(self) -> Self:
        """Start the child; raises Busy when that cannot be done."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", str(_START)],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env={"LC_ALL": "C.UTF-8"},
                start_new_session=True,
                bufsize=0,
                pipesize=_PIECE,
            )
        except OSError as error:
            ours.close()
            raise Busy(f"the archive could not be opened: {error}") from error
        finally:
            theirs.close()
        self._orders = ours
        return self

    def __exit__(self, *_: object) -> None:
        """End the child, and whatever it may have started."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._orders.close()
        if self._child.stdout is not None:
            self._child.stdout.close()

    def frames(self, kind: str, path: Path, meter: Meter) -> Iterator[tuple[bytes, bytes | memoryview]]:
        """What the child tells of the archive at `path`, to its end.

        Raises Rejected with the child's reason, or when it breaks, talks nonsense or takes too long; Locked when the password
        is missing or wrong; Busy when the bytes could not be read, the child did not get ready to, or was killed by somebody;
        ConfigError when a library is missing.
        """
        self._order(kind, path, meter)
        heard = self._heard()
        if next(heard, None) is None:
            raise Busy("the archive could not be opened: what opens it does not start")
        for what, payload in heard:
            if what == DONE:
                return
            _raise(what, payload)
            yield what, payload
        with suppress(subprocess.TimeoutExpired):
            raise _ended(self._child.wait(timeout=5))
        raise Rejected("makes what opens it stop without an end")

    def _order(self, kind: str, path: Path, meter: Meter) -> None:
        bounds = self._bounds
        order = {"kind": kind, "meter": meter.as_list(), "memory": bounds.memory, "timeout": bounds.seconds, "password": self._password}
        try:
            with path.open("rb") as archive, suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(self._orders, [json.dumps(order).encode()], [archive.fileno()])
        except OSError as error:
            raise Busy(f"the archive could not be opened: {error}") from error

    def _heard(self) -> Iterator[tuple[bytes, bytes | memoryview]]:
        """The frames, as they come; each is counted against the time."""
        pipe = self._child.stdout.fileno() if self._child.stdout else -1
        poll = select.poll()
        poll.register(pipe, select.POLLIN | select.POLLHUP)
        rest = bytearray()
        while True:
            self._tick()
            if not poll.poll(500):
                continue
            piece = os.read(pipe, _PIECE)
            if not piece:
                return
            rest += piece if rest else b""
            heard, at = rest or piece, 0
            while len(heard) - at >= HEAD.size:
                what, length = HEAD.unpack_from(heard, at)
                if length > LARGEST:
                    raise Rejected("makes what opens it talk nonsense")
                begin = at + HEAD.size
                if begin + length > len(heard):
                    break
                at = begin + length
                # A file's bytes are written from where they are.
                yield what, memoryview(heard)[begin:at] if what == DATA else bytes(heard[begin:at])
            if at or not rest:
                rest = bytearray(memoryview(heard)[at:])

    def _tick(self) -> None:
        now = time.monotonic()
        if now > self._bounds.until:
            raise Rejected(f"takes longer than {self._bounds.seconds:g} s to open")
        if now - self._told_at >= 1:
            self._go_on()
            self._told_at = now


def _ended(code: int) -> Rejected | Busy:
    """What it means that the child is gone before it was done."""
    if code >= 0:
        return Rejected("cannot be opened")
    if -code == signal.SIGXCPU:
        return Rejected("takes too long to open")
    if -code in _FAULTS:
        return Rejected(f"breaks what opens it (signal {-code})")
    return Busy(f"the archive could not be opened: what opens it was killed (signal {-code})")


def _raise(what: bytes, payload: bytes | memoryview) -> None:
    if what == REJECTED:
        raise Rejected(spell(bytes(payload[:500])))
    if what == LOCKED:
        raise Locked(spell(bytes(payload[:500])))
    if what == NEEDS:
        raise ConfigError(spell(bytes(payload[:500])))
    if what == FAILED:
        raise Busy(f"the archive could not be read: {spell(bytes(payload[:500]))}")
