"""A zip's end record and directory: what it says that it holds."""

from __future__ import annotations

import calendar
import os
import struct
import zlib
from typing import BinaryIO

from transload.errors import Rejected
from transload.steps.archives.limits import LONGEST_NAME, Meter
from transload.steps.archives.magic import end_records
from transload.steps.archives.zipaes import FIELD, Told, told

_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_WHERE64 = struct.Struct("<4sIQI")
_LINE = struct.Struct("<4s6H3I5H2I")
_TAIL = 22 + 65_535
_AES = 99
_UNICODE = 0x7075
_KINDS = {0o120000: "a symbolic link", 0o020000: "a device", 0o060000: "a device", 0o010000: "a named pipe", 0o140000: "a socket"}


class Entry:
    """One line of the directory. `raw` is the name as it stands there, `name` the one that counts, `packing` the method within."""

    start = 0
    aes: Told | None = None

    def __init__(self, line: tuple[int, ...], raw: bytes, extra: bytes) -> None:
        """Take up a line; raises Rejected for what is no file or folder."""
        made, _, self.flags, self.method, clock, day, self.crc, self.packed, self.size, _, _, _, disk, _, mode, self.offset = line
        self.raw = raw
        self.clock = clock
        self.packing = self.method
        self._read(fields(extra), disk)
        self._kind(made >> 8, mode)
        self.modified = self._stamp if self._stamp is not None else _dos(day, clock)

    @property
    def text(self) -> str:
        """The name, for a reason."""
        return self.name[:200].decode("utf-8", "surrogateescape")

    def _read(self, found: dict[int, bytes], disk: int) -> None:
        wide, at = found.get(1, b""), 0
        for what in ("size", "packed", "offset"):
            if getattr(self, what) == 0xFFFFFFFF:
                if at + 8 > len(wide):
                    raise Rejected("has a directory that lacks a size")
                setattr(self, what, int.from_bytes(wide[at : at + 8], "little"))
                at += 8
        if disk not in (0, 0xFFFF) or (disk == 0xFFFF and wide[at : at + 4] != bytes(4)):
            raise Rejected("is one part of a split archive")
        self.name = self.named(found)
        stamp = found.get(0x5455, b"")
        self._stamp = int.from_bytes(stamp[1:5], "little", signed=True) if len(stamp) >= 5 and stamp[0] & 1 else None
        if self.method == _AES:
            self.aes = told(found.get(FIELD, b""))
            self.packing = self.aes.method

    def named(self, found: dict[int, bytes]) -> bytes:
        """The name that counts where a header has these extra fields."""
        spelled = found.get(_UNICODE, b"")
        right = spelled[:1] == b"\1" and spelled[1:5] == zlib.crc32(self.raw).to_bytes(4, "little") and not self.flags & 0x800
        return spelled[5:] if right else self.raw

    def _kind(self, system: int, mode: int) -> None:
        kind = (mode >> 16) & 0o170000
        if system in (3, 19) and kind in _KINDS:
            raise Rejected(f"holds {_KINDS[kind]}: {self.text}")
        folder = self.name.endswith(b"/")
        other = system in (3, 19) and ((kind == 0o040000 and not folder) or (kind == 0o100000 and folder))
        if other or folder != self.raw.endswith(b"/"):
            raise Rejected(f"says of a file that it is a folder, or the other way round: {self.text}")


def directory(file: BinaryIO, meter: Meter) -> tuple[list[Entry], int]:
    """The lines of the directory, and where it starts."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    found = end_records(tail)
    if not found:
        raise Rejected("is cut off, or has something else after its end" if b"PK\5\6" in tail else "is cut off: it has no end record")
    if len(found) > 1 or tail.find(b"PK\5\6", found[0] + 22) >= 0:
        raise Rejected("has two end records")
    end = size - len(tail) + found[0]
    _, disk, of_disk, here, count, length, start, _ = _END.unpack_from(tail, found[0])
    if (disk, of_disk) not in ((0, 0), (0xFFFF, 0xFFFF)):
        raise Rejected("is one part of a split archive")
    wide = _wide(file, end)
    if wide is not None:
        narrow = (here, count, length, start)
        here, count, length, start, end = wide
        if any(one not in (full, limit) for one, full, limit in zip(narrow, wide, (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF), strict=False)):
            raise Rejected("has two end records that tell different things")
    elif disk:
        raise Rejected("is one part of a split archive")
    if here != count:
        raise Rejected("is one part of a split archive, or counts its files wrongly")
    if start + length != end:
        raise Rejected("has bytes before, between or after its parts that belong to no file")
    meter.entry(count)
    return _lines(file, start, length, count), start


def _wide(file: BinaryIO, end: int) -> tuple[int, int, int, int, int] | None:
    """What the end record for large zips says, where there is one: it must stand just before the other."""
    if end < _WHERE64.size:
        return None
    file.seek(end - _WHERE64.size)
    mark, disk, at, disks = _WHERE64.unpack(file.read(_WHERE64.size))
    if mark != b"PK\6\7":
        return None
    file.seek(min(at, end))
    record = file.read(_END64.size)
    if disk or disks > 1 or len(record) < _END64.size or record[:4] != b"PK\6\6":
        raise Rejected("is one part of a split archive, or has a broken end record")
    _, length, _, _, one, two, here, count, size, start = _END64.unpack(record)
    if one or two or at + 12 + length != end - _WHERE64.size:
        raise Rejected("is one part of a split archive, or has a broken end record")
    return here, count, size, start, at


def _lines(file: BinaryIO, start: int, length: int, count: int) -> list[Entry]:
    file.seek(start)
    entries = []
    for _ in range(count):
        head = file.read(_LINE.size)
        if len(head) < _LINE.size or head[:4] != b"PK\1\2":
            raise Rejected("has a directory of fewer files than it counts")
        line = _LINE.unpack(head)[1:]
        name, extra, comment = (file.read(one) for one in line[9:12])
        length -= _LINE.size + len(name) + len(extra) + len(comment)
        if len(name) > LONGEST_NAME:
            raise Rejected(f"has a name of {len(name)} bytes, the limit is {LONGEST_NAME}")
        entries.append(Entry(line, name, extra))
    if length:
        raise Rejected("has a directory of another length than it says, or counts its files wrongly")
    return entries


def fields(extra: bytes) -> dict[int, bytes]:
    """The extra fields; what stands twice or is cut off is refused, since readers differ about it."""
    found: dict[int, bytes] = {}
    while len(extra) >= 4:
        key, length = struct.unpack_from("<2H", extra)
        if length + 4 > len(extra) or key in found:
            raise Rejected("has extra fields that cannot be read")
        found[key] = extra[4 : 4 + length]
        extra = extra[4 + length :]
    if extra.strip(b"\0"):
        raise Rejected("has extra fields that cannot be read")
    return found


def widened(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """The sizes of a file's own header, where they stand in its extra fields."""
    if 0xFFFFFFFF not in (packed, size):
        fields(extra)
        return packed, size
    wide = fields(extra).get(1, b"")
    numbers = [int.from_bytes(wide[at : at + 8], "little") for at in range(0, len(wide) - 7, 8)]
    if size == 0xFFFFFFFF and numbers:
        size = numbers.pop(0)
    if packed == 0xFFFFFFFF and numbers:
        packed = numbers.pop(0)
    return packed, size


def _dos(day: int, clock: int) -> float | None:
    """A zip's own time has no zone and is taken as UTC; None where it is no time."""
    year, month, date = 1980 + (day >> 9), (day >> 5) & 15, day & 31
    hour, minute, second = clock >> 11, (clock >> 5) & 63, (clock & 31) * 2
    if not (1 <= month <= 12 and 1 <= date <= 31 and hour < 24 and minute < 60 and second < 60):
        return None
    return float(calendar.timegm((year, month, date, hour, minute, second)))
