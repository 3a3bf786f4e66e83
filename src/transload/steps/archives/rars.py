"""The checksums in a rar: libarchive 3.6 does not look at those of files that are only stored."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from transload.errors import Rejected
from transload.steps.archives.limits import LONGEST_HEADER

_CUT = "is cut off, or has something else after its end"
_LOCKED = "is encrypted: only zip files are opened with a password"
_SPLIT = "is one part of a split archive"


def checksums(kind: str, file: BinaryIO) -> Iterator[int | None]:
    """Of each file in its order (folders have none); None where the archive tells another kind. The blocks must fill the file."""
    size = file.seek(0, os.SEEK_END)
    at = 7 if kind == "rar" else 8
    while at < size:
        file.seek(at)
        ends, length, found = (_block4 if kind == "rar" else _block5)(file)
        yield from found
        at += length
        if ends:
            break
    if at != size:
        raise Rejected(_CUT)


def _block4(file: BinaryIO) -> tuple[bool, int, list[int | None]]:
    """Whether this is the end, how long it is, and the checksum where it is a file's."""
    head = file.read(7)
    if len(head) < 7:
        raise Rejected(_CUT)
    _, kind, flags, length = struct.unpack("<HBHH", head)
    rest = file.read(max(0, length - 7))
    if length < 7 or len(rest) != length - 7:
        raise Rejected(_CUT)
    if kind == 0x73 and flags & 0x81:
        raise Rejected(_LOCKED if flags & 0x80 else _SPLIT)
    if kind not in (0x74, 0x7A):
        return kind == 0x7B, length + (int.from_bytes(rest[:4], "little") if flags & 0x8000 else 0), []
    if len(rest) < 25 + (8 if flags & 0x100 else 0):
        raise Rejected(_CUT)
    packed, _, _, crc = struct.unpack_from("<IIBI", rest)
    packed += int.from_bytes(rest[25:29], "little") << 32 if flags & 0x100 else 0
    if flags & 7:
        raise Rejected(_LOCKED if flags & 4 else _SPLIT)
    is_file = kind == 0x74 and flags & 0xE0 != 0xE0
    return False, length + packed, [crc] if is_file else []


def _block5(file: BinaryIO) -> tuple[bool, int, list[int | None]]:
    """The same of the newer kind, whose numbers are of any length."""
    head = file.read(16)
    length, at = _number(head, 4)
    if length > LONGEST_HEADER:
        raise Rejected(f"has a header of {length} bytes, the limit is {LONGEST_HEADER}")
    file.seek(at - len(head), os.SEEK_CUR)
    body = file.read(length)
    if len(body) != length:
        raise Rejected(_CUT)
    kind, here = _number(body, 0)
    flags, here = _number(body, here)
    _, here = _number(body, here) if flags & 1 else (0, here)
    data, here = _number(body, here) if flags & 2 else (0, here)
    more, here = _number(body, here)
    if kind == 4:
        raise Rejected(_LOCKED)
    if flags & 0x18 or (kind == 1 and more & 1):
        raise Rejected(_SPLIT)
    found: list[int | None] = []
    if kind == 2 and not more & 1:
        _, here = _number(body, here)
        _, here = _number(body, here)
        here += 4 if more & 2 else 0
        found = [int.from_bytes(body[here : here + 4], "little") if more & 4 else None]
    return kind == 5, at + length + data, found


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = 0
    for place in range(10):
        if at + place >= len(data):
            break
        value |= (data[at + place] & 0x7F) << (7 * place)
        if data[at + place] < 0x80:
            return value, at + place + 1
    raise Rejected(_CUT)
