"""The words of SFTP version 3: packing requests, reading what comes back."""

from __future__ import annotations

import re
import stat
import struct
from typing import NamedTuple

from transload.errors import Busy, Conflict, Denied, Full, Missing, Refused, Transient, TransloadError, Unreachable
from transload.model import spell

INIT, VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
OPENDIR, READDIR, REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, EXTENDED = 11, 12, 13, 14, 15, 16, 17, 18, 200
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 101, 102, 103, 104, 105, 201

OK, EOF, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, BAD_MESSAGE, NO_CONNECTION, CONNECTION_LOST, OP_UNSUPPORTED = range(9)

TO_READ = b"\0\0\0\1\0\0\0\0"
TO_GO_ON = b"\0\0\0\x0a\0\0\0\0"  # write, create
TO_WRITE = b"\0\0\0\x1a\0\0\0\0"  # write, create, truncate

HEAD = struct.Struct(">IBI")
WHERE = struct.Struct(">QI")
_UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")
_USUAL = struct.Struct(">QIIIII")
_USUAL_FLAGS = 0x0F
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 1, 2, 4, 8, 0x80000000
_MAX_TIME = 0xFFFFFFFF
_TYPE = 0o170000

_ERRORS: dict[int, type[TransloadError]] = {
    NO_SUCH_FILE: Missing,
    PERMISSION_DENIED: Denied,
    BAD_MESSAGE: Refused,
    NO_CONNECTION: Unreachable,
    CONNECTION_LOST: Unreachable,
    OP_UNSUPPORTED: Refused,
    10: Missing,  # no such path
    11: Conflict,  # file already exists
    12: Denied,  # write protect
    14: Full,
    15: Full,  # quota exceeded
    17: Busy,  # lock conflict
    19: Refused,  # not a directory
    20: Refused,  # invalid file name
    24: Refused,  # file is a directory
}
_NO_ROOM = re.compile(r"no space|disk (is )?full|quota|not enough space|insufficient (disk|storage)", re.IGNORECASE)


class Attrs(NamedTuple):
    """What the server tells of a file; None is "not told". `modified` is in seconds."""

    size: int | None = None
    mode: int | None = None
    modified: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, as far as can be known."""
        return self.mode is None or self.mode & _TYPE in (0, stat.S_IFREG)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.mode is not None and self.mode & _TYPE == stat.S_IFDIR

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return self.mode is not None and self.mode & _TYPE == stat.S_IFLNK


class Garbled(ValueError):
    """The other side breaks the protocol."""


def string(raw: bytes) -> bytes:
    """`raw` with its length before it."""
    return len(raw).to_bytes(4, "big") + raw


def text(data: bytes, at: int, stop: int) -> tuple[bytes, int]:
    """The string at `at`, and where it ends; raises Garbled if that is not before `stop`."""
    start = at + 4
    end = start + int.from_bytes(data[at:start], "big")
    if start > stop or end > stop:
        message = "a string is longer than its message"
        raise Garbled(message)
    return data[start:end], end


def attrs(data: bytes, at: int, stop: int) -> tuple[Attrs, int]:
    """The attributes at `at`, and where they end; raises Garbled."""
    flags = int.from_bytes(data[at : at + 4], "big")
    if flags == _USUAL_FLAGS and at + 32 <= stop:
        size, _, _, mode, _, modified = _USUAL.unpack_from(data, at + 4)
        return Attrs(size, mode, modified), at + 32
    return _unusual(data, at + 4, stop, flags)


def _unusual(data: bytes, at: int, stop: int, flags: int) -> tuple[Attrs, int]:
    size = mode = modified = None
    try:
        if flags & _HAS_SIZE:
            (size,), at = _UINT64.unpack_from(data, at), at + 8
        if flags & _HAS_OWNER:
            at += 8
        if flags & _HAS_MODE:
            (mode,), at = _UINT32.unpack_from(data, at), at + 4
        if flags & _HAS_TIMES:
            (modified,), at = _UINT32.unpack_from(data, at + 4), at + 8
        if flags & _HAS_MORE:
            (count,), at = _UINT32.unpack_from(data, at), at + 4
            for _ in range(2 * count):
                _, at = text(data, at, stop)
    except struct.error as error:
        message = "attributes are cut off"
        raise Garbled(message) from error
    if at > stop:
        message = "attributes are longer than their message"
        raise Garbled(message)
    return Attrs(size, mode, modified), at


def times(modified: int) -> bytes:
    """Attributes that set the times to `modified` (microseconds), as near as 32 bits allow."""
    seconds = min(max(modified // 1_000_000, 0), _MAX_TIME)
    return struct.pack(">III", _HAS_TIMES, seconds, seconds)


def status(data: bytes, at: int, stop: int) -> tuple[int, str]:
    """The code and the server's own words (made printable, shortened) of a STATUS message."""
    code = int.from_bytes(data[at : at + 4], "big")
    try:
        words, _ = text(data, at + 4, stop)
    except Garbled:
        words = b""  # some servers leave the words out
    return code, spell(words[:300])


def refusal(code: int, words: str, about: bytes) -> TransloadError:
    """What a STATUS that is not OK means for `about`."""
    kind = Full if _NO_ROOM.search(words) else _ERRORS.get(code, Transient)
    return kind(f"{spell(about)}: the server says {words or f'code {code}'!r}" if about else f"the server says {words or f'code {code}'!r}")
