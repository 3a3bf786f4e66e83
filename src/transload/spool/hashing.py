"""SHA-256 of a file that is being written: beside the writing, in a thread of its own, once the file is large."""

from __future__ import annotations

import hashlib
import os
import threading

from transload import disk

_LARGE = 4 << 20
_STRIDE = 1 << 20


class Digest:
    """The hash of a file as it grows.

    The bytes of a large one are read back from the page cache by a second thread, so that receiving and writing need not
    wait for the hashing; both leave the interpreter's lock alone meanwhile.
    """

    def __init__(self, descriptor: int) -> None:
        """Of the file that `descriptor` can read and write, from its first byte."""
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._hashed = self._size = 0
        self._thread: threading.Thread | None = None
        self._ended = False
        self._error: OSError | None = None

    @property
    def size(self) -> int:
        """How many bytes were written, or found."""
        return self._size

    @property
    def behind(self) -> bool:
        """Whether there is something that was not hashed yet, or may be."""
        return self._thread is not None

    def wrote(self, data: bytes | bytearray | memoryview) -> None:
        """`data` was appended to the file."""
        count = len(data)
        if self._thread is None and self._hashed == self._size < _LARGE:
            self._hash.update(data)
            self._hashed += count
            self._size += count
            return
        self.grew(self._size + count)

    def grew(self, size: int) -> None:
        """The file has `size` bytes now, all of them to be hashed."""
        if self._thread is None:
            self._changed = threading.Condition()
            self._thread = threading.Thread(target=self._follow, name="transload-hash", daemon=True)
            self._thread.start()
        with self._changed:
            self._size = size
            self._changed.notify()

    def result(self) -> str:
        """The hash of all bytes, once they are read; raises the OSError that kept them from being read."""
        self.stop(whole=True)
        if self._error is not None:
            raise self._error
        return self._hash.hexdigest()

    def stop(self, *, whole: bool = False) -> None:
        """End the second thread: at once, or when it has read everything."""
        if self._thread is None:
            return
        with self._changed:
            self._ended = True
            if not whole:
                self._size = self._hashed
            self._changed.notify()
        self._thread.join()
        self._thread = None

    def _follow(self) -> None:
        block = bytearray(disk.BLOCK)
        try:
            while self._wait():
                count = os.preadv(self._descriptor, [memoryview(block)[: self._size - self._hashed]], self._hashed)
                self._hash.update(memoryview(block)[:count])
                self._hashed += count
        except OSError as error:
            self._error = error

    def _wait(self) -> bool:
        """Whether there is more to hash; waits for a good piece of it, or the end."""
        with self._changed:
            while self._size - self._hashed < _STRIDE and not self._ended:
                self._changed.wait()
            return self._hashed < self._size
