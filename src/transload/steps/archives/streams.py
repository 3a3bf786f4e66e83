"""gz, bz2, xz and zst: bytes that come out piece by piece, never more than asked for."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, Protocol

from transload.errors import ConfigError, Rejected
from transload.steps.archives.limits import FREE, Meter
from transload.steps.archives.magic import is_tar
from transload.steps.archives.wire import BLOCK, PACKED, Telling

KINDS = ("gz", "bz2", "xz", "zst")
_MAGIC = {"gz": (b"\x1f\x8b",), "bz2": (b"BZh",), "xz": (b"\xfd7zXZ\0",), "zst": (b"\x28\xb5\x2f\xfd",)}


class Inflating(Protocol):
    """What bz2, lzma and zstd have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out before something goes in."""

    @property
    def unused_data(self) -> bytes:
        """What came after the end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most `max_length` bytes of what comes out."""


class Zlib:
    """zlib's decompressor with the manners of the others."""

    def __init__(self, bits: int) -> None:
        self._inner = zlib.decompressobj(bits)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._full and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        got = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        # All of the input may be taken up and the end of a copy from what came before still be owed.
        self._full = len(got) == max_length
        return got


def _maker(kind: str, memory: int) -> Callable[[], Inflating]:
    if kind == "gz":
        return lambda: Zlib(31)
    if kind == "bz2":
        from bz2 import BZ2Decompressor

        return BZ2Decompressor
    if kind == "xz":
        from lzma import FORMAT_XZ, LZMADecompressor

        return lambda: LZMADecompressor(FORMAT_XZ, memlimit=memory // 2)
    try:
        from backports.zstd import ZstdDecompressor
    except ImportError as error:
        raise ConfigError("zst files are opened with backports.zstd: pip install backports.zstd") from error
    return ZstdDecompressor


class Stream:
    """The bytes within a compressed file. `read` gives none at its end, when every checksum was right."""

    def __init__(self, kind: str, file: BinaryIO, memory: int, meter: Meter, *, sure: bool = False) -> None:
        """Each byte is counted by `meter`, since whoever reads shows only some of them to the parent. `sure`: it never looks ahead."""
        self._kind, self._file, self.meter = kind, file, meter
        self._make = _maker(kind, memory)
        self._inner = self._make()
        self._buffer, self._at = b"", 0
        self._again = partial(Stream, kind, file, memory, sure=True)
        self._begins = file.tell()
        self._seen = self._part = (0, 0)
        self._sure = sure

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay."""
        while len(self._buffer) - self._at < count and (more := self._more()):
            self._buffer, self._at = self._buffer[self._at :] + more, 0
        return self._buffer[self._at : self._at + count]

    def some(self, count: int = BLOCK) -> memoryview:
        """Whatever comes next, at most `count` bytes, as they lie; nothing at the end."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._more(), 0
        begin, self._at = self._at, min(self._at + count, len(self._buffer))
        return memoryview(self._buffer)[begin : self._at]

    def read(self, count: int = BLOCK) -> bytes:
        """At most `count` bytes; fewer only at the end."""
        piece = self.peek(count)
        self._at += len(piece)
        return piece

    def _more(self) -> bytes:
        while True:
            if self._inner.eof and not self._another():
                return b""
            given = self._file.read(PACKED) if self._inner.needs_input else b""
            if not given and self._inner.needs_input:
                raise Rejected("is cut off")
            got = self._inner.decompress(given, BLOCK)
            self.meter.data(len(got))
            self._seen = self._seen[0] + len(given), self._seen[1] + len(got)
            packed, plain = (now - then for now, then in zip(self._seen, self._part, strict=True))
            if plain >= FREE and not self._sure:
                self._part = self._seen
                self._sure = self.meter.swells(packed, plain) and self._look_ahead()
            if got:
                return got

    def _look_ahead(self) -> bool:
        """True when all of it is within the limits: what looks like a bomb is read to its end before more of it is shown and written."""
        here = self._file.tell()
        self._file.seek(self._begins)
        ahead = self._again(self.meter.without(self._seen[1]))
        while ahead.some():
            pass
        self._file.seek(here)
        return True

    def _another(self) -> bool:
        """Whether one more stream begins where this one ends, as in files that were put together."""
        rest = self._inner.unused_data
        rest += self._file.read(max(0, 16 - len(rest)))
        zeros = b"\0" if self._kind in ("gz", "xz") else b""
        while zeros and rest and not rest.strip(zeros):
            rest = self._file.read(BLOCK)
        if not rest:
            return False
        if not (rest.startswith(_MAGIC[self._kind]) or (self._kind == "zst" and rest[1:4] == b"\x2a\x4d\x18")):
            raise Rejected("has something else after its end")
        self._file.seek(-len(rest), os.SEEK_CUR)
        self._inner = self._make()
        return True


def unpack(kind: str, file: BinaryIO, meter: Meter, memory: int, told: Telling) -> None:
    """Tell the members of a compressed tar, or the one file that was compressed."""
    if kind == "gz":
        meter.promised(_told_length(file))
    file.seek(0)
    stream = Stream(kind, file, memory, meter)
    if is_tar(stream.peek(512)):
        from transload.steps.archives.tars import unpack as unpack_tar

        return unpack_tar(stream, told)
    meter.entry()
    told.only()
    while block := stream.some():
        told.data(block)
    return told.end()


def _told_length(file: BinaryIO) -> int:
    """What a gz says at its end of the length of its last stream: never more than what comes out, unless it lies and is refused."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    crc, length = file.read(4), file.read(4)
    # Zeros after the end are allowed, and then this is no length.
    return int.from_bytes(length, "little") if crc != bytes(4) and size >= 18 else 0
