"""tar: ustar, GNU and pax, header by header."""

from __future__ import annotations

from typing import BinaryIO, Protocol

from transload.errors import Rejected
from transload.steps.archives.limits import LONGEST_HEADER, LONGEST_NAME, Meter
from transload.steps.archives.wire import BLOCK, Telling

_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"S": "a sparse file",
    b"M": "a part of a file that began in another archive",
}
_HEADERS = b"xgLK"
_MOST_PLAIN = 0o77777777777
"""The largest size that eleven digits tell."""


class Bytes(Protocol):
    """What a tar is read from: its own file, or what comes out of a compressed one."""

    meter: Meter

    def read(self, count: int) -> bytes:
        """At most `count` bytes; fewer only at the end."""

    def some(self, count: int) -> bytes | memoryview:
        """At most `count` bytes, as many as come at once; none at the end."""


class Whole:
    """A tar that is not compressed."""

    def __init__(self, file: BinaryIO, meter: Meter) -> None:
        self._file, self.meter = file, meter

    def read(self, count: int) -> bytes:
        """At most `count` bytes; fewer only at the end."""
        return self._file.read(count)

    some = read


class _More:
    """What the headers before a member's own say of it."""

    def __init__(self) -> None:
        self.path: bytes | None = None
        self.size: int | None = None
        self.modified: float | None = None
        self.seen: set[bytes] = set()


def unpack(file: Bytes, told: Telling) -> None:
    """Tell the members; raises Rejected where the tar is not exactly what its headers say."""
    more = _More()
    while (block := _exactly(file, 512)).strip(b"\0"):
        _check_sum(block)
        kind, size = block[156:157], _number(block[124:136], "size")
        if kind in _HEADERS and kind:
            file.meter.entry()
            _header(kind, _padded(file, size), more)
            continue
        _member(file, block, kind, size, more, told)
        more = _More()
    if more.seen - {b"g"}:
        raise Rejected("ends where a file should follow")
    _exactly(file, 512, "is cut off: its end mark is missing", zero=True)
    while rest := file.read(BLOCK):
        if rest.strip(b"\0"):
            raise Rejected("has something else after its end")


def _member(file: Bytes, block: bytes, kind: bytes, size: int, more: _More, told: Telling) -> None:
    name = _name(block) if more.path is None else more.path
    if kind in _REFUSED:
        raise Rejected(f"holds {_REFUSED[kind]}: {_text(name)}")
    if kind not in (b"\0", b"0", b"5", b"7", b"V"):
        raise Rejected(f"holds something of an unknown kind: {_text(name)}")
    if more.size is not None and more.size != size and more.size <= _MOST_PLAIN:
        # Only what is larger may be told in a header of its own: whoever does not read that finds other files here.
        raise Rejected(f"tells two different sizes of a file: {_text(name)}")
    size = size if more.size is None else more.size
    if kind == b"5" or (kind == b"\0" and name.endswith(b"/")):
        if size:
            raise Rejected(f"holds a folder with bytes of its own: {_text(name)}")
        return told.folder(name)
    if kind == b"V" and not size:
        return None
    modified = _number(block[136:148], "time", signed=True) if more.modified is None else more.modified
    told.member(name, modified)
    left = size
    while left:
        piece = file.some(min(left, BLOCK))
        if not piece:
            raise Rejected("is cut off")
        told.data(piece)
        left -= len(piece)
    _exactly(file, -size % 512)
    return told.end()


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _exactly(file: Bytes, count: int, reason: str = "is cut off", *, zero: bool = False) -> bytes:
    block = file.read(count) if count else b""
    if len(block) != count:
        raise Rejected(reason)
    if zero and block.strip(b"\0"):
        raise Rejected("has something else after its end")
    return block


def _padded(file: Bytes, size: int) -> bytes:
    if size > LONGEST_HEADER:
        raise Rejected(f"has a header of {size} bytes, the limit is {LONGEST_HEADER}")
    return _exactly(file, size + -size % 512)[:size]


def _check_sum(block: bytes) -> None:
    told = _number(block[148:156], "checksum")
    rest = block[:148] + b" " * 8 + block[156:]
    if told not in (sum(rest), sum(rest) - 256 * sum(one > 127 for one in rest)):
        raise Rejected("has a header with a wrong checksum")


def _number(field: bytes, what: str, *, signed: bool = False) -> int:
    if field[0] & 0x80:
        number = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        number -= (1 << (8 * len(field) - 1)) if field[0] & 0x40 else 0
    else:
        digits = field.split(b"\0", 1)[0].strip(b" ") or b"0"
        if not all(0x30 <= one <= 0x37 for one in digits):
            raise Rejected(f"has a header whose {what} is no number")
        number = int(digits, 8)
    if (number < 0 and not signed) or number > 1 << 62:
        raise Rejected(f"has a header whose {what} cannot be")
    return number


def _header(kind: bytes, data: bytes, more: _More) -> None:
    """Take up what a GNU or pax header says of the member that follows; each is allowed once."""
    if kind in more.seen and kind != b"g":
        raise Rejected("has two headers for one file")
    more.seen.add(kind)
    if kind == b"L":
        _path(more, data.split(b"\0", 1)[0])
    if kind in b"xg":
        for key, value in _records(data):
            _record(key, value, more, everywhere=kind == b"g")


def _record(key: bytes, value: bytes, more: _More, *, everywhere: bool) -> None:
    if key.startswith(b"GNU.sparse."):
        raise Rejected("holds a sparse file")
    if everywhere and key in (b"path", b"size", b"linkpath", b"mtime"):
        raise Rejected("has one name, size or time for all of its files")
    if key == b"path":
        _path(more, value)
    if key == b"size":
        if not value.isdigit() or len(value) > 18:
            raise Rejected("has a header whose size is no number")
        more.size = int(value)
    if key == b"mtime":
        try:
            more.modified = float(value[:40])
        except ValueError:
            raise Rejected("has a header whose time is no number") from None


def _path(more: _More, path: bytes) -> None:
    if more.path is not None:
        raise Rejected("has two names for one file")
    if len(path) > LONGEST_NAME:
        raise Rejected(f"has a name of {len(path)} bytes, the limit is {LONGEST_NAME}")
    more.path = path


def _records(data: bytes) -> list[tuple[bytes, bytes]]:
    found: dict[bytes, bytes] = {}
    while data:
        told, _, _ = data.partition(b" ")
        length = int(told) if told.isdigit() and len(told) < 8 else 0
        key, equals, value = data[len(told) + 1 : length].partition(b"=")
        if length <= len(told) + 2 or length > len(data) or not equals or value[-1:] != b"\n" or key in found:
            raise Rejected("has a pax header that cannot be read")
        found[key] = value[:-1]
        data = data[length:]
    return list(found.items())


def _text(name: bytes) -> str:
    return name[:200].decode("utf-8", "surrogateescape")
