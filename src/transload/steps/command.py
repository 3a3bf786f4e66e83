"""The step `command`: any program looks at the file, or makes another of it."""

from __future__ import annotations

import errno
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from transload.disk import copy
from transload.errors import Busy, ConfigError, Full, Rejected
from transload.model import Name, spell
from transload.secret import scrub
from transload.steps.base import FileView, Output, Scratch, Step
from transload.units import ByteSize, Duration, show_duration

_BLOCK = 1024 * 1024
_TAIL = 4096
_READ = 64 * 1024
_PIPE = 1024 * 1024
_LOOK = 1.0
_SHOWN = 300
_PLACE = re.compile(r"\{(input|output|name)\}")
_SUFFIX = re.compile(rb"\.[A-Za-z0-9]{1,16}")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# No `preexec_fn`: between fork and exec it would run Python in a process whose other threads are gone.
# Where the program cannot be started, no exit code may speak for it.
_LIMITED = """
import os, resource, signal, sys
try:
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
    os.execv(sys.argv[2], sys.argv[3:])
except BaseException as error:
    os.write(2, f"{sys.argv[3]} cannot be started: {error}".encode("utf-8", "replace"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Command(Step):
    """Run a program over the file, without a shell, in an empty folder that goes afterwards.

    Exit code 0 lets the file on: as it is, or with what the program wrote to `{output}` in its place. One of `reject`
    refuses it, with the last line of standard error as the reason. With any other the file is tried again later.
    """

    kind: Literal["command"] = "command"
    run: tuple[str, ...] = Field(
        min_length=1,
        description="The program and its arguments; {input} and {output} are paths, {name} is what the file is called.",
    )
    timeout: Duration = Field(
        60.0,
        gt=0,
        description="How long it may take; then it is killed, with all that it started but what made a session of its own (setsid).",
    )
    memory: ByteSize | None = Field(None, gt=0, description="How much memory it may ask for (address space).")
    reject: tuple[Annotated[int, Field(ge=1, le=255)], ...] = Field((1,), description="The exit codes that say that the file is bad.")

    def __call__(self, file: FileView, work: Scratch) -> Iterator[Output]:
        """What the program lets on.

        Raises Rejected when it refuses the file, ConfigError when there is no such program, and Busy when it ends in
        any other way.
        """
        suffix = _suffix(file.name)
        folder = Path(tempfile.mkdtemp(dir=work.folder))
        given, made = folder / f"input{suffix}", folder / f"output{suffix}"
        _copied(file, given)
        places = {"input": str(given), "output": str(made), "name": _shown_name(file.name)}
        arguments = [_PLACE.sub(lambda found: places[found[1]], part) for part in self.run]
        self._run(arguments, folder, work.go_on)
        if any("{output}" in part for part in self.run):
            yield work.write(file.name, self._made(made, work.go_on), modified=file.modified)
        else:
            yield work.keep(file)

    def _run(self, arguments: Sequence[str], folder: Path, go_on: Callable[[], None]) -> None:
        program, tail = self.run[0], bytearray()
        with _started(arguments, folder, self.memory) as process:
            try:
                ended = _ended(process, tail, time.monotonic() + self.timeout, go_on)
            finally:
                # It is not reaped yet, so that its number, which is the group's, is nobody else's.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        last = _last(tail)
        if not ended:
            raise Busy(f"{program} did not end within {show_duration(self.timeout)} and was killed{last}")
        if process.returncode in self.reject:
            raise Rejected(f"{program} refuses it{last or f': exit code {process.returncode}'}")
        if process.returncode:
            code = process.returncode
            raise Busy(f"{program} {f'ended with exit code {code}' if code > 0 else f'was killed by signal {-code}'}{last}")

    def _made(self, path: Path, go_on: Callable[[], None]) -> Iterator[bytes]:
        """The bytes that the program wrote."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Busy(f"{self.run[0]} ended well, but there is no file at {{output}}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Busy(f"{self.run[0]} ended well, but what is at {{output}} is no file")
        with open(descriptor, "rb") as opened:
            while block := opened.read(_BLOCK):
                yield block
                go_on()


def _suffix(name: Name) -> str:
    """The file's own, which many programs go by, unless it is an odd one."""
    return name.suffix.decode() if _SUFFIX.fullmatch(name.suffix) else ""


def _shown_name(name: Name) -> str:
    """One printable argument that is never taken for an option."""
    shown = spell(name.base)
    return f"%2D{shown[1:]}" if shown.startswith("-") else shown


def _copied(file: FileView, target: Path) -> None:
    """A copy for the program: whatever it does, the spooled bytes stay as they are."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with file.open() as source, open(descriptor, "wb") as opened:
            copied = copy(source.fileno(), opened.fileno(), file.size)
    except OSError as error:
        message = f"the copy for the program cannot be made: {error.strerror}"
        raise (Full if error.errno in _NO_ROOM else Busy)(message) from error
    if copied != file.size:
        raise Busy(f"the copy for the program has {copied} bytes, the file has {file.size}")


def _started(arguments: Sequence[str], folder: Path, memory: int | None) -> subprocess.Popen[bytes]:
    path = os.environ.get("PATH", os.defpath)
    program = shutil.which(arguments[0], path=path)
    if program is None:
        raise ConfigError(f"there is no program {arguments[0]!r} that can be run; it must be on the PATH, or a whole path")
    command = [program, *arguments[1:]]
    if memory is not None:
        command = [sys.executable, "-ISc", _LIMITED, str(memory), program, *command]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={"PATH": path, "LANG": os.environ.get("LANG", "C.UTF-8"), "HOME": str(folder), "TMPDIR": str(folder)},
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        fault = ConfigError if error.errno in (errno.ENOEXEC, errno.EACCES, errno.ENOENT) else Busy
        raise fault(f"{arguments[0]} cannot be started: {error.strerror}") from error


def _ended(process: subprocess.Popen[bytes], tail: bytearray, until: float, go_on: Callable[[], None]) -> bool:
    """Wait for its end, keeping the last that it says on standard error; whether it came in time."""
    watched = os.pidfd_open(process.pid)
    stream = process.stderr.fileno() if process.stderr is not None else -1
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    poll.register(stream, select.POLLIN)
    try:
        while (left := until - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in poll.poll(min(_LOOK, left) * 1000)}
            if stream in ready and not _heard(stream, tail):
                poll.unregister(stream)
            if watched in ready:
                _drain(poll, stream, tail)
                return True
            go_on()
        return False
    finally:
        os.close(watched)


def _drain(poll: select.poll, stream: int, tail: bytearray) -> None:
    """What is left in the pipe, but no more than that: others may go on writing to it."""
    for _ in range(_PIPE // _READ):
        if stream not in {descriptor for descriptor, _ in poll.poll(0)} or not _heard(stream, tail):
            return


def _heard(stream: int, tail: bytearray) -> bool:
    """Whether there may be more to hear."""
    data = os.read(stream, _READ)
    tail += data
    del tail[:-_TAIL]
    return bool(data)


def _last(tail: bytearray) -> str:
    """The last line that it said, safe to show."""
    lines = [line.strip() for line in bytes(tail).splitlines() if line.strip()]
    if not lines:
        return ""
    text = scrub(lines[-1].decode("utf-8", "surrogateescape"))
    return f": {spell(text.encode('utf-8', 'surrogateescape'))[:_SHOWN]}"
