"""Locks between processes that end with the process that holds them."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from transload.spool.telling import telling


@contextmanager
def _held(path: Path, how: int) -> Iterator[None]:
    with telling():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with telling():
            fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


class Turnstile:
    """Many may be inside, or one alone; the one who waits to be alone is not kept waiting by newcomers. Re-entrant in a thread."""

    def __init__(self, folder: Path) -> None:
        """The lock whose two files are in `folder`."""
        self._gate, self._inside = folder / "gate", folder / "inside"
        self._mine = threading.local()

    def make(self) -> None:
        """Make the files now, while there is room."""
        for path in (self._gate, self._inside):
            path.touch(0o600)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Be inside with others."""
        if getattr(self._mine, "depth", 0):
            yield
            return
        with ExitStack() as inside, self._marked():
            with _held(self._gate, fcntl.LOCK_SH):
                inside.enter_context(_held(self._inside, fcntl.LOCK_SH))
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be inside alone."""
        if getattr(self._mine, "alone", False):
            yield
            return
        if getattr(self._mine, "depth", 0):
            message = "whoever is inside with others cannot be alone there: leave first"
            raise RuntimeError(message)
        with _held(self._gate, fcntl.LOCK_EX), _held(self._inside, fcntl.LOCK_EX), self._marked():
            self._mine.alone = True
            try:
                yield
            finally:
                self._mine.alone = False

    @contextmanager
    def _marked(self) -> Iterator[None]:
        self._mine.depth = 1
        try:
            yield
        finally:
            self._mine.depth = 0


def try_exclusive(descriptor: int, path: str) -> bool:
    """Lock the open file `descriptor` unless someone holds it; False too when it is no longer the file at `path`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        return False
