"""What a file is by its bytes; what it is called is not asked."""

from __future__ import annotations

import os
from typing import BinaryIO

_STARTS = {
    b"PK\3\4": "zip",
    b"PK\5\6": "zip",
    b"PK\6\6": "zip",
    b"PK\7\x08": "zip",
    b"PK00PK": "zip",
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\7\0": "rar",
    b"Rar!\x1a\7\1\0": "rar5",
    b"MSCF\0\0\0\0": "cab",
}
_ANY_START = tuple(_STARTS)
_DOCUMENTS = (b"_rels/", b"docProps/", b"META-INF/")
_IN_DOCUMENTS = (b"[Content_Types].xml", b"mimetype", b"AndroidManifest.xml")
"""What documents and programs that are zips inside begin with: docx, xlsx, odt, epub, jar, apk. They are files, not archives of files."""
_BZ2 = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
_SKIPPED = range(0x184D2A50, 0x184D2A60)
_LONGEST_END = 22 + 65_535


def kind(file: BinaryIO) -> str | None:
    """The kind of archive that `file` is (zip, tar, gz, bz2, xz, zst, 7z, rar, rar5, cab, iso), or None."""
    file.seek(0)
    head = file.read(512)
    if head[:4] == b"PK\3\4" and _is_document(head[30 : 30 + int.from_bytes(head[26:28], "little")]):
        return None
    found = next(one for start, one in _STARTS.items() if head.startswith(start)) if head.startswith(_ANY_START) else None
    if found == "bz2" and head[4:10] not in _BZ2:
        found = None
    if found is None and len(head) >= 8 and int.from_bytes(head[:4], "little") in _SKIPPED:
        found = "zst"
    if found is None and is_tar(head):
        found = "tar"
    if found is None and _at(file, 0x8001, 5) == b"CD001":
        found = "iso"
    # What starts as anything and ends as a zip is opened as one by many: it is to be looked at as one too.
    return "zip" if found in (None, "iso", "7z", "rar", "rar5") and ends_as_zip(file) else found


def _is_document(first: bytes) -> bool:
    return first in _IN_DOCUMENTS or first.startswith(_DOCUMENTS)


def is_tar(block: bytes) -> bool:
    """Whether these 512 bytes are the header of a tar's first member; it may have no name, where one for the next tells it."""
    if len(block) < 512:
        return False
    told = block[148:156].strip(b" \0")
    if not told or not all(0x30 <= one <= 0x37 for one in told):
        return block[257:262] == b"ustar"
    return block[257:262] == b"ustar" or int(told, 8) == sum(block) - sum(block[148:156]) + 8 * 32


def ends_as_zip(file: BinaryIO) -> bool:
    """Whether a zip's end record ends where the file does."""
    size = file.seek(0, os.SEEK_END)
    tail = _at(file, max(0, size - _LONGEST_END), _LONGEST_END)
    return bool(end_records(tail))


def end_records(tail: bytes) -> list[int]:
    """Where in the last bytes of a file a zip's end record stands that reaches exactly to the end."""
    found, at = [], tail.find(b"PK\5\6")
    while at >= 0:
        if at + 22 <= len(tail) and at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            found.append(at)
        at = tail.find(b"PK\5\6", at + 1)
    return found


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)
