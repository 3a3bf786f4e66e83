"""A file of a home, open for reading."""

from __future__ import annotations

import os
import stat

from transload.errors import Conflict
from transload.model import spell
from transload.servers.telling import missing


class Open:
    """An open file: the same bytes whatever becomes of its name meanwhile."""

    __slots__ = ("_descriptor", "modified", "size")

    def __init__(self, descriptor: int, path: bytes) -> None:
        """The open file `descriptor`, which is closed again unless it is an ordinary file: raises Conflict for a folder, else Missing."""
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise Conflict(f"{spell(path) or '/'}: it is a folder") if stat.S_ISDIR(found.st_mode) else missing(path)
        self._descriptor, self.size, self.modified = descriptor, found.st_size, found.st_mtime_ns // 1000

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
