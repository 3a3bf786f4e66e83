"""The parent's side of the child: it is started, listened to, never believed, and ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from transload.errors import Busy, ConfigError, Rejected
from transload.model import spell
from transload.steps.archives.limits import Meter
from transload.steps.archives.wire import DONE, FAILED, HEAD, LARGEST, NEEDS, REJECTED

_START = Path(__file__).with_name("start.py")
_WHY = {
    signal.SIGXCPU: "takes too long to open",
    signal.SIGKILL: "takes too much time or memory to open",
}
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a child may use: memory in bytes, and time until `until` of `seconds` in all."""

    memory: int
    seconds: float
    until: float

    def check(self) -> None:
        """Raise Rejected when the time is up."""
        if time.monotonic() > self.until:
            raise Rejected(f"takes longer than {self.seconds:g} s to open")


def frames(
    kind: str, path: Path, folder: Path, meter: Meter, bounds: Bounds, password: str | None, go_on: Callable[[], None]
) -> Iterator[tuple[bytes, bytes]]:
    """What the child tells of the archive at `path`, to its end.

    Raises Rejected with the child's reason, or when it dies, talks nonsense or takes too long; Busy when the bytes could
    not be read; ConfigError when a library is missing.
    """
    left = max(0.0, bounds.until - time.monotonic())
    order = {"kind": kind, "meter": meter.as_list(), "memory": bounds.memory, "timeout": left, "password": password}
    child = _started(path, folder, json.dumps(order).encode())
    try:
        for what, payload in _heard(child, bounds, go_on):
            if what == DONE:
                return
            _raise(what, payload)
            yield what, payload
        code = child.wait(timeout=5)
        raise Rejected(_WHY.get(signal.Signals(-code), f"breaks what opens it (signal {-code})") if code < 0 else "cannot be opened")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _started(path: Path, folder: Path, order: bytes) -> subprocess.Popen[bytes]:
    there, here = os.pipe()
    try:
        with path.open("rb") as archive, os.fdopen(here, "wb", closefd=True) as given:
            child = subprocess.Popen(
                [sys.executable, "-I", str(_START), str(there)],
                stdin=archive,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(there,),
                cwd=folder,
                env={"LC_ALL": "C.UTF-8"},
                start_new_session=True,
                bufsize=0,
            )
            given.write(order)
        return child
    except OSError as error:
        raise Busy(f"the archive could not be opened: {error}") from error
    finally:
        os.close(there)


def _heard(child: subprocess.Popen[bytes], bounds: Bounds, go_on: Callable[[], None]) -> Iterator[tuple[bytes, bytes]]:
    pipe = child.stdout.fileno() if child.stdout else -1
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    said, heard = 0.0, bytearray()
    while True:
        bounds.check()
        if time.monotonic() - said >= 1:
            go_on()
            said = time.monotonic()
        if not poll.poll(500):
            continue
        piece = os.read(pipe, _PIECE)
        if not piece:
            return
        heard += piece
        at = 0
        while len(heard) - at >= HEAD.size:
            what, length = HEAD.unpack_from(heard, at)
            if length > LARGEST:
                raise Rejected("makes what opens it talk nonsense")
            end = at + HEAD.size + length
            if end > len(heard):
                break
            yield what, bytes(memoryview(heard)[at + HEAD.size : end])
            at = end
        del heard[:at]


def _raise(what: bytes, payload: bytes) -> None:
    if what == REJECTED:
        raise Rejected(spell(payload[:500]))
    if what == NEEDS:
        raise ConfigError(spell(payload[:500]))
    if what == FAILED:
        raise Busy(f"the archive could not be read: {spell(payload[:500])}")
