"""Which names of members are refused, and what they are called instead where the route wants that."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import sha256
from itertools import count

from transload.errors import Rejected
from transload.model import spell
from transload.steps.archives.limits import LONGEST_NAME

_DRIVE = re.compile(rb"[A-Za-z]:")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:[ .:].*)?", re.DOTALL)
_LONGEST_PART = 255
_TAR = (b".tar",)
_COMPRESSED = (b".gz", b".bz2", b".xz", b".zst")
_SHORT = (b".tgz", b".tbz2", b".tbz", b".txz", b".tzst")
_PACKED = (b".zip", b".tar", b".7z", b".rar", b".iso", b".cab", *_SHORT)


@lru_cache(64)
def without_suffixes(base: bytes, *, single: bool) -> bytes:
    """An archive's name without what says that it is one; as it is where nothing says so. `single`: it is one compressed file."""
    if single and base.lower().endswith(_SHORT):
        return base[: base.rindex(b".")] + b".tar"
    for suffix in _COMPRESSED:
        short = _cut(base, (suffix,))
        if short != base:
            return short if single else _cut(short, _TAR)
    return base if single else _cut(base, _PACKED)


def _cut(base: bytes, suffixes: tuple[bytes, ...]) -> bytes:
    for suffix in suffixes:
        if base.lower().endswith(suffix) and len(base) > len(suffix):
            return base[: -len(suffix)]
    return base


def plain(raw: bytes) -> bytes:
    """A member's name without the "./" that tar likes to begin with."""
    while raw.startswith(b"./"):
        raw = raw[2:]
    return b"" if raw == b"." else raw


def fault(raw: bytes) -> str:
    """Why no member may have this name, or nothing."""
    if not raw:
        return "an empty name"
    if b"\0" in raw:
        return "a NUL in a name"
    if b"\\" in raw:
        return "a backslash in a name"
    if raw[:1] == b"/":
        return "an absolute path"
    if _DRIVE.match(raw):
        return "a drive letter"
    parts = raw.split(b"/")
    if b".." in parts:
        return 'a path with ".."'
    if b"" in parts or b"." in parts:
        return "a path with an empty part"
    if len(raw) > LONGEST_NAME or max(map(len, parts)) > _LONGEST_PART:
        return "a name that is too long"
    if any(map(_is_reserved, parts)):
        return "a name that Windows keeps for itself"
    return ""


def made_safe(raw: bytes) -> bytes:
    """A name that no rule refuses, as like to `raw` as can be."""
    parts = [_safe(part) for part in re.split(rb"[/\\]", raw.replace(b"\0", b"_")) if part not in (b"", b".")]
    name = b"/".join(parts) or b"_"
    return name if len(name) <= LONGEST_NAME // 2 else b"_" + sha256(raw).hexdigest().encode()


def _safe(part: bytes) -> bytes:
    part = b"_" if part == b".." else _DRIVE.sub(lambda found: found[0][:1] + b"_", part, count=1)
    if len(part) > _LONGEST_PART - 8:
        return part[:150] + b"~" + sha256(part).hexdigest()[:32].encode()
    return b"_" + part if _is_reserved(part) else part


@lru_cache(16_384)
def _is_reserved(part: bytes) -> bool:
    return _RESERVED.fullmatch(_folded(part)) is not None


def _is_plain(part: bytes) -> bool:
    """Whether the last part of a path has no fault of its own."""
    return (
        part not in (b"", b".", b"..") and b"\0" not in part and b"\\" not in part and len(part) <= _LONGEST_PART and not _is_reserved(part)
    )


@lru_cache(16_384)
def _folded(part: bytes) -> str:
    """What a part is to a file system that knows no case, composes accents and drops dots and spaces at the end."""
    if part.isascii():
        text = part.decode().lower()
        return text.rstrip(". ") or text
    text = part.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).rstrip(". ") or text


class Taken:
    """The names that are given away: each once, also where case does not count, and none as file and folder both."""

    def __init__(self, *, rename: bool) -> None:
        """`rename`: what is refused otherwise is given a name of its own."""
        self._rename = rename
        self._files: set[tuple[str, ...]] = set()
        self._folders: dict[tuple[str, ...], bytes] = {}
        self._found_good: dict[bytes, tuple[str, ...]] = {}

    def folder(self, raw: bytes) -> None:
        """There is a folder of this name; the archive's own root is none."""
        name = plain(raw.rstrip(b"/") if raw.strip(b"/") else raw)
        if not name and raw:
            return
        wrong = fault(name)
        parts = () if wrong else tuple(name.split(b"/"))
        at, why = self._clash((*parts, b"")) if parts else (None, "")
        if (wrong or at is not None) and not self._rename:
            raise Rejected(f"holds {wrong or why}: {spell(raw[:200])}")
        if not self._rename:
            self._settle(parts)

    def file(self, raw: bytes) -> bytes:
        """The name for the file that the archive calls `raw`; raises Rejected where it must not have one."""
        folder, _, base = raw.rpartition(b"/")
        below = self._found_good.get(folder)
        if below is not None and _is_plain(base) and len(raw) <= LONGEST_NAME:
            # In a folder with a file that nothing was wrong with, only what is new can be wrong.
            key = (*below, _folded(base))
            if key not in self._files and key not in self._folders:
                self._files.add(key)
                return raw
        name = plain(raw)
        wrong = fault(name)
        if wrong:
            if not self._rename:
                raise Rejected(f"holds {wrong}: {spell(raw[:200])}")
            name = made_safe(name)
        parts = list(name.split(b"/"))
        at, why = self._clash(tuple(parts))
        if at is not None and not self._rename:
            raise Rejected(f"holds {why}: {spell(raw[:200])}")
        while at is not None:
            parts[at] = self._other(parts, at)
            at, _ = self._clash(tuple(parts))
        self._settle(tuple(parts[:-1]))
        key = _key(parts)
        self._files.add(key)
        given = b"/".join(parts)
        if given == raw and folder:
            self._found_good[folder] = key[:-1]
        return given

    def _clash(self, parts: tuple[bytes, ...]) -> tuple[int | None, str]:
        """Which part cannot be as it is, and why. An empty last part stands for a folder."""
        key = _key(parts)
        for at in range(1, len(parts)):
            if key[:at] in self._files:
                return at - 1, "a file and a folder of one name"
            if self._folders.get(key[:at], b"/".join(parts[:at])) != b"/".join(parts[:at]):
                return at - 1, "names that differ only in case"
        if key in self._files:
            return len(parts) - 1, "the same name twice, or twice but for its case"
        if key in self._folders:
            return len(parts) - 1, "a file and a folder of one name"
        return None, ""

    def _other(self, parts: list[bytes], at: int) -> bytes:
        stem, dot, suffix = parts[at].rpartition(b".")
        if not stem or at < len(parts) - 1:
            stem, dot, suffix = parts[at], b"", b""
        for number in count(1):
            one = stem + b"~%d" % number + dot + suffix
            key = _key([*parts[:at], one])
            if key not in self._files and self._folders.get(key) in (None, b"/".join([*parts[:at], one])):
                return one
        raise AssertionError

    def _settle(self, parts: tuple[bytes, ...]) -> None:
        for at in range(1, len(parts) + 1):
            self._folders[_key(parts[:at])] = b"/".join(parts[:at])


def _key(parts: tuple[bytes, ...] | list[bytes]) -> tuple[str, ...]:
    return tuple(map(_folded, parts))
