"""What the child tells its parent: frames of a letter, a length and that many bytes."""

from __future__ import annotations

import struct
from typing import BinaryIO

FOLDER, MEMBER, ONLY, DATA, END = b"F", b"M", b"O", b"D", b"E"
READY, DONE, REJECTED, LOCKED, NEEDS, FAILED = b"B", b"Z", b"R", b"L", b"N", b"X"
HEAD = struct.Struct(">cI")
BLOCK = 1 << 18
PACKED = 1 << 15  # what is put in at once: zlib copies what it has not used yet for every block that comes out
LARGEST = BLOCK + 64
_MOMENT = struct.Struct("<q")
_LAST = 4_354_819_199  # the end of 2107, which is as far as a zip can tell


class Telling:
    """The child's side: members are told one after the other, each with its bytes."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def folder(self, name: bytes) -> None:
        """There is a folder of this name."""
        self.say(FOLDER, name)

    def member(self, name: bytes, modified: float | None) -> None:
        """Here begins a file; `modified` is in seconds since 1970, and told only where a calendar can hold it."""
        known = modified is not None and 0 <= modified <= _LAST
        self.say(MEMBER, _MOMENT.pack(int((modified or 0) * 1_000_000) if known else -1) + name)

    def only(self) -> None:
        """Here begins the one file that was compressed; it has no name of its own."""
        self.say(ONLY, _MOMENT.pack(-1))

    def data(self, block: bytes | memoryview) -> None:
        """More of the file's bytes."""
        for at in range(0, len(block), BLOCK):
            self.say(DATA, block[at : at + BLOCK])

    def end(self) -> None:
        """The file is whole, and all that vouches for it was looked at."""
        self.say(END)

    def say(self, what: bytes, more: bytes | memoryview = b"") -> None:
        """One frame; where its bytes would be too many they are cut, and the parent finds the name too long."""
        more = more[:LARGEST]
        self._out.write(HEAD.pack(what, len(more)))
        self._out.write(more)


def named(payload: bytes) -> tuple[bytes, int | None]:
    """What a MEMBER or ONLY frame holds: the name, and the time in microseconds where one is told that a calendar can hold."""
    modified = int.from_bytes(payload[: _MOMENT.size], "little", signed=True)
    return payload[_MOMENT.size :], modified if 0 <= modified <= _LAST * 1_000_000 else None
