"""What lies in homes that nobody sees: removed when its process is dead, or nobody will resume it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from transload.errors import TransloadError
from transload.servers.base import KEPT
from transload.servers.landing.placing import NEW

if TYPE_CHECKING:
    from transload.servers.base import Home


def sweep(home: Home, is_dead: Callable[[str], bool], expire: float, go_on: Callable[[], bool]) -> int:
    """Remove what dead processes left in a home, and cut uploads that nobody resumed for `expire` seconds; gives how many.

    `is_dead` tells it of the token of a process; it is over once `go_on` says no.
    """
    count = 0
    for folder, base, found in files_of(home):
        if not go_on():
            break
        rubbish = base.startswith(NEW) and is_dead(os.fsdecode(base[len(NEW) :].partition(b".")[0]))
        old = base.startswith(KEPT) and found.st_mtime < time.time() - expire
        if rubbish or old:
            with suppress(FileNotFoundError), home.changing(), home.folder(folder) as opened:
                os.unlink(base, dir_fd=opened)
                count += 1
                if old:
                    home.changed(-found.st_size, -1)
    return count


def files_of(home: Home) -> Iterator[tuple[bytes, bytes, os.stat_result]]:
    """Every file of a home: its folder, its name there, what the disk says of it."""
    folders = [b""]
    while folders:
        at = folders.pop()
        for base, status in _within(home, at):
            if stat.S_ISDIR(status.st_mode):
                folders.append(at + b"/" + base if at else base)
            elif stat.S_ISREG(status.st_mode):
                yield at, base, status


def _within(home: Home, at: bytes) -> list[tuple[bytes, os.stat_result]]:
    found = []
    try:
        with home.folder(at) as folder, os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
    except TransloadError:  # gone meanwhile, or the operator's and not for us
        return []
    return found
