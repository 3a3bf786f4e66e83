"""Whether the first bytes of a file are those of the type that its name says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

from transload.errors import Rejected
from transload.model import spell

_TEXT = "text"
_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "pdf"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"GIF8", "gif"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x1f\x8b", "gz"),
    (0, b"BZh", "bz2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zst"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Office document"),
    (0, b"MZ", "Windows program"),
    (0, b"\x7fELF", "Linux program"),
    (0, b"PAR1", "parquet"),
    (0, b"SQLite format 3\0", "sqlite"),
    (257, b"ustar", "tar"),
)
_TYPES: Mapping[str, str] = {
    **{one: one for one in ("pdf", "png", "jpg", "gif", "tiff", "zip", "gz", "bz2", "xz", "zst", "7z", "rar", "parquet", "sqlite", "tar")},
    **dict.fromkeys(("docx", "xlsx", "pptx", "odt", "ods", "odp", "jar", "kmz", "epub"), "zip"),
    **dict.fromkeys(("doc", "xls", "ppt", "msi"), "old Office document"),
    **dict.fromkeys(("exe", "dll"), "Windows program"),
    **dict.fromkeys(("csv", "tsv", "txt", "log", "md", "jsonl", "ndjson", "ini", "sql", "html", "htm", "svg"), _TEXT),
    "jpeg": "jpg",
    "tif": "tiff",
    "tgz": "gz",
    "xml": "xml",
    "json": "json",
}


def check_type(suffix: str, file: BinaryIO) -> None:
    """Rejected when the first bytes are those of another type than the suffix says; unknown suffixes pass."""
    expected = _TYPES.get(suffix)
    head = file.read(1024)
    file.seek(0)
    found = _type_of(head)
    fits = found == expected or not expected
    if expected in ("xml", "json") and found == _TEXT:
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        fits = start in b"<\xff\xfe" if expected == "xml" else start in b'{["-0123456789tfn'
    if head and not fits:
        raise Rejected(f"its name ends with .{spell(suffix.encode())}, but its first bytes say {found}")


def _type_of(head: bytes) -> str:
    for at, magic, found in _MAGICS:
        if head.startswith(magic, at):
            return found
    return "binary" if b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff") else _TEXT
