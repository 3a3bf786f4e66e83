"""What lies in homes that nobody sees: removed when its process is dead, or nobody will resume it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from transload.errors import TransloadError
from transload.model import Name
from transload.servers.base import KEPT
from transload.servers.landing.kept import PASSING
from transload.servers.landing.placing import NEW

if TYPE_CHECKING:
    from transload.servers.base import Home


_PASSED = 3600.0
"""Seconds after which nothing is in passing any more, whatever it was to become."""


def sweep(home: Home, is_dead: Callable[[str], bool], expire: Callable[[Name], float], go_on: Callable[[], bool]) -> int:
    """Remove what dead processes left in a home, and cut uploads that nobody resumed; gives how many.

    `expire` tells for how many seconds the cut upload of a name is kept, `is_dead` tells it of the token of a process; it is over
    once `go_on` says no.
    """
    count, now = 0, time.time()
    for folder, base, found in files_of(home):
        if not go_on():
            break
        rubbish = base.startswith(NEW) and is_dead(os.fsdecode(base[len(NEW) :].partition(b".")[0]))
        # The folder of what was about to be shown may have got another name meanwhile.
        rubbish = rubbish or (base.startswith((NEW, PASSING)) and found.st_ctime < now - _PASSED)
        old = base.startswith(KEPT) and base != KEPT and found.st_mtime < now - expire(_meant(folder, base))
        if rubbish or old:
            with suppress(FileNotFoundError), home.changing(), home.folder(folder) as opened:
                os.unlink(base, dir_fd=opened)
                count += 1
                if old:
                    home.changed(-found.st_size, -1)
    return count


def _meant(folder: bytes, base: bytes) -> Name:
    """The name of the file that a cut upload would have become."""
    name = base[len(KEPT) :]
    return Name(folder + b"/" + name if folder else name)


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
