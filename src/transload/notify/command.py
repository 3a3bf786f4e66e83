"""A command: the message as JSON on standard input; taken by exit code 0."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

from transload.errors import Busy, Unreachable
from transload.model import spell
from transload.notify.texts import Message
from transload.secret import scrub
from transload.units import show_duration

_LOOK = 0.2
_TAIL = 4096
_SHOWN = 300


def send(command: Sequence[str], message: Message, timeout: float) -> None:
    """Run it, and wait for its end; Unreachable when it cannot be started, Busy when it ended badly or not within `timeout` seconds.

    Whatever it started is ended with it when it takes too long. Nothing goes through a shell.
    """
    given = _given(message.body)
    try:
        process = subprocess.Popen(
            command, stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, close_fds=True
        )
    except (OSError, ValueError) as error:
        raise Unreachable(f"{command[0]} cannot be started: {getattr(error, 'strerror', None) or error}") from error
    finally:
        os.close(given)
    tail = bytearray()
    ended = False
    try:
        ended = _ended(process, tail, time.monotonic() + timeout)
    finally:
        if not ended:
            _kill(process)
        if process.stderr is not None:
            process.stderr.close()
    if not ended:
        raise Busy(f"{command[0]} did not end within {show_duration(timeout)} and was killed{_last(tail)}")
    if process.returncode:
        code = process.returncode
        raise Busy(f"{command[0]} {f'ended with exit code {code}' if code > 0 else f'was killed by signal {-code}'}{_last(tail)}")


def _given(told: bytes) -> int:
    """A file in memory: no reader that stops half way can stall us."""
    given = os.memfd_create("message", os.MFD_CLOEXEC)
    with open(os.dup(given), "wb") as file:
        file.write(told)
    os.lseek(given, 0, os.SEEK_SET)
    return given


def _ended(process: subprocess.Popen[bytes], tail: bytearray, until: float) -> bool:
    """Wait for its end, keeping the last that it says on standard error; whether it came in time."""
    stream = process.stderr.fileno() if process.stderr is not None else -1
    open_ = True
    while (left := until - time.monotonic()) > 0:
        if open_ and select.select([stream], [], [], min(_LOOK, left))[0]:
            open_ = _read(stream, tail)
        with suppress(subprocess.TimeoutExpired):
            # Its children may hold the stream open for longer than it lives.
            process.wait(0 if open_ else min(_LOOK, left))
            while open_ and select.select([stream], [], [], 0)[0]:
                open_ = _read(stream, tail)
            return True
    return False


def _read(stream: int, tail: bytearray) -> bool:
    data = os.read(stream, 65536)
    tail += data
    del tail[:-_TAIL]
    return bool(data)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last(tail: bytearray) -> str:
    """The last line that it said, safe to show."""
    lines = [line.strip() for line in bytes(tail).splitlines() if line.strip()]
    if not lines:
        return ""
    text = scrub(lines[-1].decode("utf-8", "surrogateescape"))
    return f": {spell(text.encode('utf-8', 'surrogateescape'))[:_SHOWN]}"
