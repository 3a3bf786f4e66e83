"""The values that everything speaks of: names, entries, arrivals, deliveries, their states."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from transload.errors import Rejected, TransloadError

_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_PATH = 4096


class Name:
    """A relative path that is safe to use: the raw bytes, checked once.

    Raises Rejected for anything that could leave its folder or is no name at all: absolute paths, "..", ".", empty
    parts, NUL, and more than 4,096 bytes. A backslash or a drive letter is an ordinary byte here; a store for which
    they are not ordinary asks for `spelled`.
    """

    __slots__ = ("raw",)
    raw: bytes

    def __init__(self, raw: bytes | str) -> None:
        """Check `raw` (text is taken as UTF-8, lone surrogates as the bytes that they stand for)."""
        if isinstance(raw, str):
            raw = raw.encode("utf-8", "surrogateescape")
        if fault := _fault(raw):
            raise Rejected(f"{spell(raw[:200])!r} is not a safe name: {fault}")
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __lt__(self, other: Name) -> bool:
        return self.raw < other.raw

    def __repr__(self) -> str:
        return f"Name({self.raw!r})"

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, part: Name | str | bytes) -> Name:
        return Name(self.raw + b"/" + (part.raw if isinstance(part, Name) else Name(part).raw))

    @property
    def text(self) -> str:
        """The safe spelling: printable, unique, and turned back by `Name.from_text`."""
        return spell(self.raw)

    @classmethod
    def from_text(cls, text: str) -> Name:
        """The name whose safe spelling is `text`."""
        return cls(unspell(text))

    @property
    def is_text(self) -> bool:
        """Whether the raw bytes are UTF-8."""
        return not any("\udc80" <= char <= "\udcff" for char in self.raw.decode("utf-8", "surrogateescape"))

    @property
    def base(self) -> bytes:
        """The last part."""
        return self.raw.rpartition(b"/")[2]

    @property
    def folder(self) -> bytes:
        """All but the last part; empty for a name without folders."""
        return self.raw.rpartition(b"/")[0]

    @property
    def stem(self) -> bytes:
        """The last part without its suffix."""
        return self.base.rpartition(b".")[0] or self.base

    @property
    def suffix(self) -> bytes:
        """The last part's suffix with its dot, or nothing."""
        return self.base[len(self.stem) :]

    def with_suffix(self, suffix: str) -> Name:
        """The name with `suffix` (".txt", or nothing) in place of its own; ValueError for what is no suffix, Rejected as ever."""
        if suffix and (suffix[0] != "." or suffix == "." or "/" in suffix):
            raise ValueError(f"{suffix!r} is no suffix: it begins with a dot and holds no slash")
        return self.beside(self.stem + suffix.encode("utf-8", "surrogateescape"))

    def beside(self, base: bytes) -> Name:
        """The name `base` in the same folder."""
        return Name(self.folder + b"/" + base if self.folder else base)

    def spelled(self, forbidden: str = "") -> str:
        """A unique, reversible spelling in which no control character, no broken UTF-8 and none of `forbidden` occurs."""
        return spell(self.raw, forbidden)


def _fault(raw: bytes) -> str:
    if not raw:
        return "it is empty"
    if len(raw) > MAX_PATH:
        return f"it has {len(raw)} bytes, the limit is {MAX_PATH}"
    if b"\0" in raw:
        return "it holds a NUL"
    if raw[:1] == b"/":
        return "it is absolute"
    if b"." in raw or b"//" in raw or raw[-1:] == b"/":
        for part in raw.split(b"/"):
            if part in (b"", b".", b".."):
                return f"the part {part.decode()!r} is not allowed" if part else "it has an empty part"
    return ""


def spell(raw: bytes, forbidden: str = "") -> str:
    """Bytes as printable text: UTF-8 stays; broken bytes, control characters and `forbidden` become %XX.

    A "%" is itself escaped only where it would be read as an escape, so the spelling is unique and `unspell` undoes it.
    """
    if raw.isascii() and b"%" not in raw:
        text = raw.decode("ascii")
        if text.isprintable() and not (forbidden and any(c in forbidden for c in text)):
            return text
    out: list[str] = []
    for char in raw.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"%{code - 0xDC00:02X}")
        elif char != " " and (char in forbidden or not char.isprintable()):
            out.append("".join(f"%{byte:02X}" for byte in char.encode()))
        else:
            out.append(char)
    if b"%" in raw:
        chars = raw.decode("utf-8", "surrogateescape")
        for at, char in enumerate(chars):
            if char == "%" and re.fullmatch(r"[0-9A-Fa-f]{2}", chars[at + 1 : at + 3]):
                out[at] = "%25"
    return "".join(out)


def unspell(text: str) -> bytes:
    """The bytes whose spelling is `text`."""
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "surrogateescape"))


def to_datetime(micros: int) -> datetime:
    """Microseconds since 1970 as a UTC time."""
    return _EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """A time as microseconds since 1970 (a naive one is taken as UTC)."""
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as a listing tells of it.

    `folder` is what the operator wrote (trusted), `name` what the peer said below it (checked). `modified` is in
    microseconds since 1970, `precision` the seconds that it is good to (60 where a listing drops them, 86400 where it
    drops the time of day); None is "not told". `settles` says whether the time can be trusted to judge that a file is no
    longer being written. `link` is what to fetch when it is not the path itself (a URL).
    """

    folder: str
    name: Name
    size: int | None = None
    modified: int | None = None
    precision: float = 1.0
    etag: str | None = None
    settles: bool = False
    link: str | None = None

    @property
    def path(self) -> bytes:
        """The whole path on the remote: the operator's folder, then the name."""
        if self.folder in ("", "."):
            return self.name.raw
        return self.folder.rstrip("/").encode("utf-8", "surrogateescape") + b"/" + self.name.raw

    @property
    def text(self) -> str:
        """The whole path in its safe spelling."""
        return spell(self.path)


class Spooled(NamedTuple):
    """Bytes in the spool's temporary area, whole and hashed, not durable yet."""

    part: str
    size: int
    sha256: str


@dataclass(slots=True)
class Fetched:
    """What became of one entry: its spooled bytes, or the error. `entry` carries what the re-stat afterwards told."""

    entry: Entry
    spooled: Spooled | None = None
    error: TransloadError | None = None


class Verify(StrEnum):
    """How far a delivery was checked at its destination, weakest first."""

    NONE = "none"
    SIZE = "size"
    HASH = "hash"
    READ_BACK = "read-back"

    @property
    def rank(self) -> int:
        """Its place in the order of strength."""
        return list(Verify).index(self)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery's bytes on their way: what to write, under which name, and how carefully.

    `file` is the path of the spooled bytes, opened for reading by the writer (empty for a zero-byte marker). `key` is
    unique to delivery and claim, safe in any store, and the base of temporary names. `replace` allows an existing file
    of the same name to be replaced; otherwise the writer answers Conflict and leaves it alone. `metadata` goes with the
    object where a store can hold it. `movable` allows the writer to take `file` itself instead of a copy.
    """

    delivery: int
    key: str
    name: Name
    file: str
    size: int
    sha256: str
    modified: int | None = None
    replace: bool = False
    verify: Verify = Verify.SIZE
    metadata: dict[str, str] = field(default_factory=dict)
    movable: bool = False


@dataclass(frozen=True, slots=True)
class Staged:
    """A parcel that lies whole at the destination under a temporary name, or the error; `token` is all that publishing needs."""

    parcel: Parcel
    token: str = ""
    verified: Verify = Verify.NONE
    error: TransloadError | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A parcel that is visible under its final name, with the level that was verified, or the error."""

    parcel: Parcel
    verified: Verify = Verify.NONE
    etag: str | None = None
    error: TransloadError | None = None


class ArrivalState(StrEnum):
    """Where an arrival stands."""

    SEEN = "seen"
    RECEIVED = "received"
    READY = "ready"
    DELIVERED = "delivered"
    SKIPPED = "skipped"
    QUARANTINED = "quarantined"
    FAILED = "failed"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    OWED = "owed"
    STAGED = "staged"
    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"


class SettleState(StrEnum):
    """Where the settling of a source file stands."""

    NONE = "none"
    OWED = "owed"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
