"""Which programs of this machine hold the other end of a connection, and whether they are ending.

Linux marks a program as exiting before it closes what that held (PF_EXITING in the ninth field of /proc/PID/stat, proc(5)). So a
connection that ended while its program is not marked was closed by a program that lives, however busy the machine is.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

_EXITING = 0x4
_PAUSE, _SHARE = 0.25, 20
"""Seconds between two looks through all programs, and how many times as long as a look it is at least."""
_HELD = ("01", "08")
"""The states ESTABLISHED and CLOSE_WAIT, as /proc/net/tcp has them."""


class Program(NamedTuple):
    """A process, by its number and the time when it began."""

    number: int
    began: str

    @property
    def lives(self) -> bool:
        """Whether it is there, and not about to end."""
        fields = _fields(self.number)
        return fields is not None and fields[19] == self.began and not int(fields[6]) & _EXITING


class Holders:
    """What the last look through all programs has shown. For the thread of the loop; the look is for another."""

    def __init__(self, submit: Callable[[Callable[[], None]], object]) -> None:
        """Looks are made by `submit`."""
        self._submit = submit
        self._found: dict[tuple[int, int], set[Program]] = {}
        self._at, self._next = -1.0, 0.0
        self._looking = threading.Lock()

    def of(self, line: socket.socket, since: float) -> set[Program]:
        """The programs at the other end of a connection that was made at `since`; none are known before somebody has looked."""
        if self._at > since:
            return self._found.get((line.getpeername()[1], line.getsockname()[1]), set())
        if time.monotonic() >= self._next and self._looking.acquire(blocking=False):
            self._submit(self._look)
        return set()

    def _look(self) -> None:
        at = time.monotonic()
        try:
            self._found = _programs()
            self._at = at
        except OSError:
            self._found = {}
        finally:
            ended = time.monotonic()
            self._next = ended + max(_PAUSE, _SHARE * (ended - at))
            self._looking.release()


def _programs() -> dict[tuple[int, int], set[Program]]:
    """Who holds the end of each connection within this machine: by its port there, and the port at the other end."""
    ends = {f"socket:[{inode}]": ports for ports, inode in _ends()}
    found: dict[tuple[int, int], set[Program]] = {}
    for number in filter(str.isdigit, os.listdir("/proc")):
        held = {ends[link] for link in _links(number) if link in ends}
        if held and (fields := _fields(int(number))):
            for ports in held:
                found.setdefault(ports, set()).add(Program(int(number), fields[19]))
    return found


def _ends() -> Iterator[tuple[tuple[int, int], str]]:
    for name in ("tcp", "tcp6"):
        with suppress(FileNotFoundError), open(f"/proc/net/{name}", encoding="ascii") as table:
            next(table)
            for line in table:
                fields = line.split()
                if fields[3] in _HELD:
                    yield (int(fields[1][-4:], 16), int(fields[2][-4:], 16)), fields[9]


def _links(number: str) -> Iterator[str]:
    with suppress(OSError), os.scandir(f"/proc/{number}/fd") as found:
        for one in found:
            with suppress(OSError):
                yield os.readlink(one.path)


def _fields(number: int) -> list[str] | None:
    """What /proc/PID/stat tells, from the state on; nothing when there is no such program."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as told:
            return told.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
