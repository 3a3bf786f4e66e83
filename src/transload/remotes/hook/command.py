"""A hook that is a command: the arrival on standard input as JSON and in the environment, yes by exit code 0."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from transload.errors import Transient
from transload.model import spell
from transload.secret import scrub
from transload.units import show_duration

_LOOK = 0.2
_TERM = 2.0
_TAIL = 4096
_SHOWN = 300


def run(command: Sequence[str], told: bytes, facts: Mapping[str, str], cwd: Path, timeout: float, go_on: Callable[[], None]) -> None:
    """Run it, and wait for its end; Transient when it ended badly or not within `timeout` seconds.

    What `go_on` raises ends it as well. Ended is the whole group of processes; nothing goes through a shell.
    """
    given = _given(told)
    try:
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **facts},
            start_new_session=True,
            close_fds=True,
        )
    except OSError as error:
        raise Transient(f"{command[0]} cannot be started: {error.strerror}") from error
    finally:
        os.close(given)
    tail = bytearray()
    try:
        ended = _wait(process, tail, time.monotonic() + timeout, go_on)
    except BaseException:
        _end(process)
        raise
    finally:
        if process.stderr is not None:
            process.stderr.close()
    if not ended:
        raise Transient(f"{command[0]} did not end within {show_duration(timeout)} and was killed{_last(tail)}")
    if process.returncode:
        code = process.returncode
        how = f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"
        raise Transient(f"{command[0]} {how}{_last(tail)}")


def _given(told: bytes) -> int:
    """A file in memory: no reader that stops half way can stall us."""
    given = os.memfd_create("arrival", os.MFD_CLOEXEC)
    os.write(given, told)
    os.lseek(given, 0, os.SEEK_SET)
    return given


def _wait(process: subprocess.Popen[bytes], tail: bytearray, until: float, go_on: Callable[[], None]) -> bool:
    """Wait for the end, keeping the last that it says on standard error; whether it came by itself."""
    stream = process.stderr.fileno() if process.stderr is not None else -1
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    open_ = True
    while True:
        left = until - time.monotonic()
        if left <= 0:
            _end(process)
            return False
        if open_ and poll.poll(max(1, min(_LOOK, left) * 1000)):
            data = os.read(stream, 65536)
            tail += data
            del tail[:-_TAIL]
            open_ = bool(data)
        with suppress(subprocess.TimeoutExpired):
            # Its children may hold the stream open for longer than it lives.
            process.wait(0 if open_ else min(_LOOK, left))
            _drain(poll, stream, tail)
            return True
        go_on()


def _drain(poll: select.poll, stream: int, tail: bytearray) -> None:
    while poll.poll(0) and (data := os.read(stream, 65536)):
        tail += data
        del tail[:-_TAIL]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it has started: asked first, then made to."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TERM)
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
