"""What removes bytes that nobody needs, and the remains of transfers that nobody will resume."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from transload.spool import notes
from transload.spool.locks import try_exclusive
from transload.spool.parts import ALIVE, sweep

_SLICE = 256


class Collected(NamedTuple):
    """How much was removed."""

    files: int
    bytes: int


def collect(
    folder: Path, alone: Callable[[], AbstractContextManager[None]], unwanted: Callable[[Sequence[str]], set[str]], older_than: float
) -> Collected:
    """Remove old files of the spool in `folder` that nobody needs, a few at a time."""
    files = size = 0
    for some in _slices(folder, time.time() - older_than):
        going = sorted(unwanted(list(some)) & some.keys())
        if not going:
            continue
        with alone():
            for name in unwanted(going) & set(going):
                Path(folder, name[:2], name).unlink(missing_ok=True)
                files, size = files + 1, size + some[name]
    return Collected(files, size)


def _slices(folder: Path, before: float) -> Iterator[dict[str, int]]:
    some: dict[str, int] = {}
    for number in range(256):
        with os.scandir(folder / f"{number:02x}") as found:
            for file in found:
                status = file.stat(follow_symlinks=False)
                if status.st_mtime <= before:
                    some[file.name] = status.st_size
                if len(some) == _SLICE:
                    yield some
                    some = {}
    if some:
        yield some


def collect_parts(parts: Path, older_than: float) -> Collected:
    """Remove the corners of dead processes, and parts that were cut, or have a note, more than `older_than` seconds ago."""
    files = size = 0
    for name in os.listdir(parts):
        path = f"{parts}/{name}"
        if name.endswith(ALIVE):
            with _abandoned(path) as status:
                if status:
                    corner = path.removesuffix(ALIVE)
                    spared = notes.names_of([one for one in notes.noted(corner) if one.modified > time.time() - older_than])
                    gone = _measured(corner, spared)
                    sweep(corner, spared)
                    files, size = files + gone.files, size + gone.bytes
        elif not os.path.isdir(path):
            with _abandoned(path) as status:
                if status and status.st_mtime <= time.time() - older_than:
                    os.unlink(path)
                    files, size = files + 1, size + status.st_size
    return Collected(files, size)


@contextmanager
def _abandoned(path: str) -> Iterator[os.stat_result | None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        yield os.fstat(descriptor) if try_exclusive(descriptor, path) else None
    finally:
        os.close(descriptor)


def claim(parts: Path, take: Callable[[notes.Orphan], bool]) -> None:
    """Give `take` every part with a note whose process is gone, the one that was written last at the end.

    It says whether it is done with it: then what is left of the part is removed.
    """
    with ExitStack() as held:
        found: list[notes.Orphan] = []
        for name in os.listdir(parts):
            if name.endswith(ALIVE) and held.enter_context(_abandoned(f"{parts}/{name}")):
                found += notes.noted(f"{parts}/{name.removesuffix(ALIVE)}")
        for orphan in sorted(found, key=lambda one: one.modified):
            if take(orphan):
                with suppress(FileNotFoundError):
                    os.unlink(orphan.part)
                notes.remove(orphan.part)


def _measured(corner: str, spared: Collection[str]) -> Collected:
    try:
        with os.scandir(corner) as found:
            sizes = [file.stat(follow_symlinks=False).st_size for file in found if file.name not in spared]
    except FileNotFoundError:
        return Collected(0, 0)
    return Collected(len(sizes), sum(sizes))
