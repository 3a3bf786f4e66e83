"""How much may come out of an archive, counted in bytes that are there, not in those that are promised."""

from __future__ import annotations

from transload.errors import Rejected

FREE = 10_000_000
LONGEST_HEADER = 1 << 18
LONGEST_NAME = 4096


class Meter:
    """Counts members and bytes, over all archives within one; raises Rejected when they are too many."""

    def __init__(self, size: int, ratio: float, members: int, total: int, used: tuple[int, int] = (0, 0)) -> None:
        """`size` is that of the outermost archive, `used` the members and bytes that were counted before."""
        self._size, self._ratio, self._members, self._total = size, ratio, members, total
        self._counted, self._bytes = used

    def as_list(self) -> list[object]:
        """What it takes to make a Meter that goes on from here."""
        return [self._size, self._ratio, self._members, self._total, [self._counted, self._bytes]]

    def without(self, count: int) -> Meter:
        """Another one, which has not counted the last `count` bytes."""
        return Meter(self._size, self._ratio, self._members, self._total, (self._counted, self._bytes - count))

    def swells(self, packed: int, plain: int) -> bool:
        """Whether an archive that is all like this part of it would be refused."""
        return plain > self._ratio * packed

    def entry(self, count: int = 1) -> None:
        """There are `count` more files or folders."""
        self._counted += count
        if self._counted > self._members:
            raise Rejected(f"holds more than {self._members} files and folders")

    def data(self, count: int) -> None:
        """There are `count` more bytes."""
        self._bytes += count
        self._check(self._bytes)

    def promised(self, count: int) -> None:
        """The archive says of itself that it has `count` more bytes: too many are refused before they are there."""
        self._check(self._bytes + count)

    def _check(self, count: int) -> None:
        if count > self._total:
            raise Rejected(f"unpacks to more than {self._total} bytes")
        if count > FREE and count > self._ratio * self._size:
            raise Rejected(f"unpacks to more than {self._ratio:g} times its size")
