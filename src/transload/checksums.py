"""Checksums that a partner sends along: how sidecars and lists spell them, and the same of our own bytes."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, get_args

Kind = Literal["sha256", "sha512", "sha1", "md5", "crc32"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SUFFIXES: dict[Kind, bytes] = {"sha256": b".sha256", "sha512": b".sha512", "sha1": b".sha1", "md5": b".md5", "crc32": b".sfv"}
LISTS: dict[Kind, tuple[bytes, ...]] = {
    kind: (kind.upper().encode() + b"SUMS", kind.upper().encode() + b"SUMS.txt") if kind != "crc32" else () for kind in KINDS
}
SIDECAR = 64 * 1024
"""The longest that a sidecar of one file may be."""
LIST = 16 * 1024 * 1024
"""The longest that a list may be: that of some 150,000 files."""

_BLOCK = 1024 * 1024
_DIGITS: dict[Kind, int] = {"sha256": 64, "sha512": 128, "sha1": 40, "md5": 32, "crc32": 8}
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
_TAGGED = re.compile(rb"([A-Za-z0-9/-]+) ?\((.*)\) ?= ?([0-9A-Fa-f]+)[ \t]*", re.DOTALL)
_SFV = re.compile(rb"(.*[^ \t])[ \t]+([0-9A-Fa-f]{8})[ \t]*")
_PLAIN = {kind: re.compile(rb"[ \t]*([0-9A-Fa-f]{%d})(?:(?: [ *]|[ \t]\*?)(.*))?" % digits, re.DOTALL) for kind, digits in _DIGITS.items()}


@dataclass(frozen=True, slots=True)
class Sum:
    """One checksum as it was told: in lower-case hex, and of which file (None where it stands alone)."""

    digest: str
    name: bytes | None = None


def kind_of(base: bytes) -> Kind | None:
    """What a file of that name holds checksums of, by its name alone; None where it is a file like any other."""
    low = base.lower()
    for kind in KINDS:
        if low.endswith(SUFFIXES[kind]) and len(low) > len(SUFFIXES[kind]):
            return kind
        if low in {one.lower() for one in LISTS[kind]}:
            return kind
    return None


def told(data: bytes, kind: Kind) -> list[Sum]:
    """All checksums of that kind in a sidecar or a list; lines that say something else are passed over.

    Lines are `hash  name` and `hash *name` (escaped with a backslash before the hash as coreutils does it),
    `SHA256 (name) = hash` of BSD, `SHA256(name)= hash` of OpenSSL, a hash alone, and `name hash` in an .sfv.
    """
    return list(_told(_as_utf8(data), kind))


def said_of(sums: Iterable[Sum], base: bytes) -> frozenset[str]:
    """What is said of the file `base` in the same folder: by its own name, or else by one with folders before it.

    More than one where its own name is there twice. Folders count for little, as whoever made the list had other
    ones, but where several files end alike nothing is said of ours.
    """
    named = [(one.name, one.digest) for one in sums if one.name is not None]
    exact = frozenset(digest for name, digest in named if name.removeprefix(b"./") == base)
    alike = frozenset(digest for name, digest in named if re.split(rb"[/\\]", name)[-1] == base)
    return exact or (alike if len(alike) == 1 else frozenset())


def digests(file: BinaryIO, kinds: Iterable[Kind], go_on: Callable[[], None] = lambda: None) -> dict[Kind, str]:
    """The checksums of an open file, from where it stands, in one reading; `go_on` is called after every megabyte."""
    wanted = tuple(dict.fromkeys(kinds))
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in wanted if kind != "crc32"}
    crc = 0
    while block := file.read(_BLOCK):
        for one in hashes.values():
            one.update(block)
        if "crc32" in wanted:
            crc = zlib.crc32(block, crc)
        go_on()
    return {kind: f"{crc:08x}" if kind == "crc32" else hashes[kind].hexdigest() for kind in wanted}


def _as_utf8(data: bytes) -> bytes:
    """Without a byte order mark; PowerShell writes UTF-16."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").encode("utf-8", "surrogatepass")
    return data.removeprefix(b"\xef\xbb\xbf")


def _told(data: bytes, kind: Kind) -> Iterator[Sum]:
    for ended in data.split(b"\n"):
        line = ended.removesuffix(b"\r")
        one = _in_sfv(line) if kind == "crc32" else _in_line(line, kind)
        if one is not None:
            yield one


def _in_sfv(line: bytes) -> Sum | None:
    found = None if line.startswith(b";") else _SFV.fullmatch(line)
    return Sum(found[2].decode().lower(), found[1]) if found else _in_line(line, "crc32")


def _in_line(line: bytes, kind: Kind) -> Sum | None:
    escaped = line.startswith(b"\\")
    line = line.removeprefix(b"\\")
    tagged = _TAGGED.fullmatch(line)
    if tagged:
        same = tagged[1].lower().replace(b"sha2-", b"sha").replace(b"-", b"") == kind.encode() and len(tagged[3]) == _DIGITS[kind]
        return Sum(tagged[3].decode().lower(), _name(tagged[2], escaped=escaped)) if same else None
    plain = _PLAIN[kind].fullmatch(line)
    return Sum(plain[1].decode().lower(), _name(plain[2] or b"", escaped=escaped)) if plain else None


def _name(raw: bytes, *, escaped: bool) -> bytes | None:
    """None for no name, and for the `-` that stands for standard input."""
    if not raw.strip() or raw == b"-":
        return None
    return re.sub(rb"\\[\\nr]", lambda found: _ESCAPES[found[0]], raw) if escaped else raw
