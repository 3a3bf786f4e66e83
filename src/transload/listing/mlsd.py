"""MLSD and MLST: facts that machines were meant to read."""

from __future__ import annotations

import re
from functools import lru_cache

from transload.listing.dates import micros
from transload.listing.facts import SECOND, Fact, Kind, Unread

_LINE = re.compile(rb"((?:[^;= ]+=[^;]*;)+|[^;= ]+=[^; ]*)? (.+)", re.DOTALL)
_TIME = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.(\d+))?")
_LINKS = (b"os.unix=slink", b"os.unix=symlink")
_MAX_DIGITS = 19


def mlsd(line: bytes) -> Fact | Unread | None:
    """The facts of a line without its end; None for the folder itself and its parent."""
    found = _LINE.fullmatch(line)
    if found is None:
        return Unread(line)
    pairs = (pair.partition(b"=") for pair in (found[1] or b"").split(b";") if pair)
    facts = {key.lower(): value for key, _, value in pairs}
    told = facts.get(b"type", b"file")
    kind = told.lower()
    if kind in (b"cdir", b"pdir") or found[2] in (b".", b".."):
        return None
    modified, precision = stamp(facts.get(b"modify", b""))
    size = _count(facts.get(b"size", b"")) if kind == b"file" else None
    return Fact(found[2], _kind(kind), size, modified, precision, told.partition(b":")[2] or None, facts.get(b"unique"))


def _kind(told: bytes) -> Kind:
    if told == b"file":
        return "file"
    if told == b"dir":
        return "dir"
    return "link" if told.startswith(_LINKS) else "other"


def _count(text: bytes) -> int | None:
    """A size that a file can have: not negative, not text, below 2^63."""
    if not text.isdigit() or len(text) > _MAX_DIGITS:
        return None
    size = int(text)
    return size if size < 1 << 63 else None


@lru_cache(4096)
def stamp(text: bytes) -> tuple[int | None, float]:
    """The time in 20240102030405.678, and the seconds that it is good to; None for what is no time."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None, SECOND
    *whole, fraction = found.groups()
    moment = micros(*map(int, whole))
    if moment is None or not fraction:
        return moment, SECOND
    digits = fraction[:6]
    return moment + int(digits.ljust(6, b"0")), 10.0 ** -len(digits)
