"""A spool that tells of every byte before it is written: for progress, and for limits."""

from __future__ import annotations

from transload.model import Entry, Spooled
from transload.protocols import Part, Spool
from transload.remotes.base import Moved


class MeteredSpool:
    """`spool`, of which `moved` hears; it may block."""

    __slots__ = ("_moved", "_spool")

    def __init__(self, spool: Spool, moved: Moved) -> None:
        self._spool, self._moved = spool, moved

    def part(self, entry: Entry) -> MeteredPart:
        return MeteredPart(self._spool.part(entry), self._moved)

    def put(self, entry: Entry, data: bytes) -> Spooled:
        self._moved(len(data))
        return self._spool.put(entry, data)


class MeteredPart:
    """`part`, of which `moved` hears."""

    __slots__ = ("_moved", "_part", "done", "drop", "head", "keep", "restart", "tail")

    def __init__(self, part: Part, moved: Moved) -> None:
        self._part, self._moved = part, moved
        self.head, self.tail, self.restart = part.head, part.tail, part.restart
        self.done, self.keep, self.drop = part.done, part.keep, part.drop

    @property
    def offset(self) -> int:
        return self._part.offset

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._moved(len(data))
        self._part.write(data)
