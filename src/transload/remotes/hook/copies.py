"""Read-only copies of what has arrived: a hook may do with its copy what it likes."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transload.disk.copying import copy
from transload.errors import Full, Transient
from transload.model import Parcel, spell

_LONGEST = 200
_in_use: set[str] = set()
_lock = threading.Lock()


@contextmanager
def copied(parcel: Parcel, folder: Path) -> Iterator[str]:
    """The path of a private copy, with the name of the original as far as a disk and a screen can bear it; gone at the end."""
    clear(parcel.key, folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = tempfile.mkdtemp(prefix=f"{parcel.key}-", dir=folder)
    with _lock:
        _in_use.add(place)
    try:
        path = os.path.join(place, _base(parcel.name.base))
        _copy(parcel, path)
        yield path
    finally:
        shutil.rmtree(place, ignore_errors=True)
        with _lock:
            _in_use.discard(place)


def clear(key: str, folder: Path) -> None:
    """Remove what a process that died left of the copies of that key."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        place = os.path.join(folder, name)
        if name.startswith(f"{key}-") and place not in _in_use:
            shutil.rmtree(place, ignore_errors=True)


def _copy(parcel: Parcel, path: str) -> None:
    try:
        source = os.open(parcel.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            try:
                count = copy(source, target, parcel.size)
            finally:
                os.close(target)
        finally:
            os.close(source)
    except OSError as error:
        kind = Full if error.errno in (errno.ENOSPC, errno.EDQUOT) else Transient
        raise kind(f"no copy could be made for the hook: {error.strerror}") from error
    if count != parcel.size:
        raise Transient(f"the spooled bytes are {count} in place of {parcel.size}")


def _base(base: bytes) -> str:
    text = spell(base, "/\\")
    while len(text.encode()) > _LONGEST:
        text = text[1:]
    return text
