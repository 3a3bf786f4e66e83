"""zip: what the end, the directory and each file's own header say must be one and the same, and account for every byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from transload.errors import Busy, Rejected
from transload.steps.archives.directory import Entry, directory, fields, widened
from transload.steps.archives.limits import Meter
from transload.steps.archives.streams import Inflating, Zlib
from transload.steps.archives.wire import BLOCK, PACKED, Telling
from transload.steps.archives.zipaes import CODE, FIELD, AesDecrypter
from transload.steps.archives.zipcrypto import Decrypter

_LOCAL = struct.Struct("<4s5H3I2H")
Decrypting = Decrypter | AesDecrypter
_METHODS = {0: "stored", 8: "deflate", 12: "bzip2", 14: "lzma"}


def unpack(file: BinaryIO, meter: Meter, memory: int, password: bytes | None, told: Telling) -> None:
    """Tell the members; raises Rejected where two parts of the zip tell different things, Busy where the password is not the right one."""
    entries, start = directory(file, meter)
    _check_layout(file, entries, start)
    meter.promised(sum(entry.size for entry in entries))
    for entry in entries:
        _check(entry, password)
    for entry in entries:
        if entry.name.endswith(b"/"):
            told.folder(entry.name)
            continue
        told.member(entry.name, entry.modified)
        _data(file, entry, memory, password, told)
        told.end()


def _check(entry: Entry, password: bytes | None) -> None:
    if entry.flags & 0x2040 or (entry.aes and not entry.flags & 1):
        raise Rejected("is encrypted in a way that is not opened")
    if entry.flags & 1 and password is None:
        raise Busy("is encrypted: no password is set")
    if entry.flags & ~0x080F:
        raise Rejected(f"holds a file with unknown flags: {entry.text}")
    if entry.packing not in _METHODS:
        raise Rejected(f"holds a file with the unknown method {entry.packing}: {entry.text}")
    if entry.name.endswith(b"/") and (entry.size or entry.packed > 2):
        raise Rejected(f"holds a folder with bytes of its own: {entry.text}")


def _check_layout(file: BinaryIO, entries: list[Entry], start: int) -> None:
    """Each file must begin where the one before it ends, the first one at 0, and the directory after the last."""
    if not entries and start:
        raise Rejected("has bytes that belong to no file")
    at = 0
    ordered = sorted(entries, key=lambda one: one.offset)
    for entry, following in zip(ordered, [*(one.offset for one in ordered[1:]), start], strict=False):
        if entry.offset != at:
            raise Rejected("has files that lie over each other" if entry.offset < at else "has bytes that belong to no file")
        _check_local(file, entry)
        gap = following - entry.start - entry.packed
        if gap < 0:
            raise Rejected("has files that lie over each other")
        if gap and not (entry.flags & 8 and _describes(file, entry, gap)):
            raise Rejected("has bytes that belong to no file")
        at = following


def _check_local(file: BinaryIO, entry: Entry) -> None:
    """Compare a file's own header with its line in the directory."""
    file.seek(entry.offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
        raise Rejected(f"has no header where one should be: {entry.text}")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(head)
    name, extra = file.read(name_length), file.read(extra_length)
    entry.start = entry.offset + _LOCAL.size + name_length + extra_length
    packed, size = widened(extra, packed, size)
    later = flags & 8
    if entry.aes and fields(extra).get(FIELD) != entry.aes.raw:
        raise Rejected(f"tells two different things of the encryption of a file: {entry.text}")
    if name == entry.raw and entry.named(fields(extra)) not in (name, entry.name):
        raise Rejected(f"tells two different things of the name of a file: {entry.text}")
    for what, here, there in (
        ("name", name, entry.raw),
        ("method", method, entry.method),
        ("flags", flags, entry.flags),
        ("checksum", crc, entry.crc),
        ("packed size", packed, entry.packed),
        ("size", size, entry.size),
    ):
        if here != there and not (later and here == 0 and what in ("checksum", "packed size", "size")):
            raise Rejected(f"tells two different things of the {what} of a file: {entry.text}")


def _describes(file: BinaryIO, entry: Entry, gap: int) -> bool:
    """Whether the bytes after a file's data are its checksum and sizes, told once more, in one of the four ways."""
    form = {12: "<3I", 16: "<4x3I", 20: "<I2Q", 24: "<4xI2Q"}.get(gap)
    if form is None:
        return False
    file.seek(entry.start + entry.packed)
    told = file.read(gap)
    marked = told[:4] == b"PK\7\x08" or "x" not in form
    return marked and struct.unpack(form, told) == (entry.crc, entry.packed, entry.size)


def _data(file: BinaryIO, entry: Entry, memory: int, password: bytes | None, told: Telling) -> None:
    """Tell a member's bytes; its size and checksum must be what was said."""
    file.seek(entry.start)
    left = entry.packed
    decrypt: Decrypting | None = None
    count = crc = 0
    if entry.aes:
        decrypt = AesDecrypter(file, entry.aes, password or b"")
        left -= entry.aes.before + CODE
    elif entry.flags & 1:
        decrypt = _decrypter(file, entry, password or b"")
        left -= 12
    try:
        for block in _blocks(file, left, entry, memory, decrypt):
            count += len(block)
            crc = zlib.crc32(block, crc)
            if count > entry.size:
                raise Rejected(f"holds a file that is longer than it says: {entry.text}")
            told.data(block)
        if count != entry.size:
            raise Rejected(f"holds a file that is shorter than it says: {entry.text}")
        if crc != entry.crc and not (entry.aes and not entry.aes.checked and not entry.crc):
            raise Rejected(f"holds a file with a wrong checksum: {entry.text}")
        if isinstance(decrypt, AesDecrypter) and not decrypt.vouches(file.read(CODE)):
            raise Rejected("its code is another")
    except (Rejected, zlib.error, LookupError, EOFError, ValueError) as error:
        if decrypt is None:
            raise
        raise Busy("is encrypted: the password is wrong, or it is damaged") from error


def _blocks(file: BinaryIO, left: int, entry: Entry, memory: int, decrypt: Decrypting | None) -> Iterator[bytes]:
    """The bytes of one member; what is packed must end exactly where its place does."""
    inner = _inflating(file, entry, memory, decrypt) if entry.packing else None
    left -= 9 if entry.packing == 14 else 0
    while left > 0:
        given = file.read(min(left, PACKED if inner else BLOCK))
        if not given:
            raise Rejected("is cut off")
        left -= len(given)
        given = decrypt(given) if decrypt else given
        if inner is None:
            yield given
            continue
        while given or not (inner.needs_input or inner.eof):
            if inner.eof:
                break
            yield inner.decompress(given, BLOCK)
            given = b""
        if inner.eof and (left or inner.unused_data):
            raise Rejected(f"has bytes that belong to no file: {entry.text}")
    if inner is not None and not inner.eof and not (entry.packing == 14 and not entry.flags & 2):
        raise Rejected(f"holds a file that is cut off: {entry.text}")


def _inflating(file: BinaryIO, entry: Entry, memory: int, decrypt: Decrypting | None) -> Inflating:
    if entry.packing == 8:
        return Zlib(-15)
    if entry.packing == 12:
        from bz2 import BZ2Decompressor

        return BZ2Decompressor()
    from lzma import FORMAT_ALONE, LZMADecompressor

    head = file.read(9)
    head = decrypt(head) if decrypt else head
    if len(head) < 9 or head[2:4] != b"\5\0":
        raise Rejected(f"holds a file that cannot be unpacked: {entry.text}")
    inner = LZMADecompressor(FORMAT_ALONE, memlimit=memory // 2)
    # A zip tells the length elsewhere; the decompressor wants it here, or -1 where an end mark follows.
    inner.decompress(head[4:] + (b"\xff" * 8 if entry.flags & 2 else entry.size.to_bytes(8, "little")), 0)
    return inner


def _decrypter(file: BinaryIO, entry: Entry, password: bytes) -> Decrypter:
    """Made ready with the twelve bytes in front, the last of which tells whether the password is right, mostly."""
    decrypt = Decrypter(password)
    head = decrypt(file.read(12))
    if head[-1:] != bytes([entry.clock >> 8 if entry.flags & 8 else entry.crc >> 24]):
        raise Busy("is encrypted: the password is wrong")
    return decrypt
