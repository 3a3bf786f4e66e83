"""What is known of the bytes of files, as long as nobody touches them."""

from __future__ import annotations

import os
from collections import OrderedDict

_MOST = 10_000


class Hashes:
    """The SHA-256 of files, by what the disk says of them; the last some thousands. For any thread."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._known: OrderedDict[tuple[int, int, int, int], str] = OrderedDict()

    def of(self, found: os.stat_result, sha256: str | None = None) -> str:
        """What is known of a file, or becomes known by `sha256`; nothing where nothing is."""
        mark = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        if sha256 is None:
            return self._known.get(mark, "")
        self._known[mark] = sha256
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return sha256
