"""What `dir` writes: IIS, Windows CE, OS/2."""

from __future__ import annotations

import re

from transload.listing.dates import full_year, micros
from transload.listing.facts import DAY, FACTS, MINUTE, SECOND, Fact, Kind

_DATE = rb"(?P<a>\d{1,4})(?P<sep>[-/.])(?P<b>\d{1,2})[-/.](?P<c>\d{2,4})"
_CLOCK = rb"(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d))?\s*(?P<half>[AaPp])?[Mm]?"
_WHAT = rb"(?P<what><[A-Z]+>|[\d.,'\xa0]*\d)"
_DIR = re.compile(rb"\s*" + _DATE + rb",?\s+" + _CLOCK + rb"\s+" + _WHAT + rb"(?P<gap> +)(?P<name>\S.*)", re.DOTALL)
_OS2 = re.compile(
    rb"\s*(?P<size>\d+)\s+(?:(?P<what>DIR)\s+)?(?:[ARSH]+\s+)*(?P<a>\d\d)(?P<sep>-)(?P<b>\d\d)-(?P<c>\d{2,4})\s+"
    + _CLOCK
    + rb"\s+(?P<name>\S.*)",
    re.DOTALL,
)
_AFTER_FOLDER = 10
_NOON = 12
_LINKS = (b"<SYMLINK>", b"<SYMLINKD>", b"<JUNCTION>")


def dos(line: bytes) -> Fact | None:
    """The facts of a line of `dir`, None when it is none."""
    found = _DIR.fullmatch(line[:FACTS])
    if found is None:
        return _os2(line)
    what, name = found["what"], line[found.start("name") :]
    modified, precision = _time(found)
    if what.startswith(b"<"):
        kind: Kind = "dir" if what == b"<DIR>" else "link" if what in _LINKS else "other"
        name, target = (
            _target(_padded(name, len(found["gap"]) - _AFTER_FOLDER))
            if kind == "link"
            else (_padded(name, len(found["gap"]) - _AFTER_FOLDER), None)
        )
        return Fact(name, kind, None, modified, precision, target)
    size = re.sub(rb"\D", b"", what)
    return Fact(_padded(name, len(found["gap"]) - 1), "file", int(size) if len(size) < 20 else None, modified, precision)


def _padded(name: bytes, blanks: int) -> bytes:
    """The name with the blanks that belong to it."""
    return b" " * blanks + name if blanks > 0 else name


def _target(name: bytes) -> tuple[bytes, bytes | None]:
    found = re.fullmatch(rb"(.+) \[(.+)\]", name, re.DOTALL)
    return (found[1], found[2]) if found else (name, None)


def _os2(line: bytes) -> Fact | None:
    found = _OS2.fullmatch(line[:FACTS])
    if found is None:
        return None
    modified, precision = _time(found)
    name = line[found.start("name") :]
    if found["what"]:
        return Fact(name, "dir", None, modified, precision)
    return Fact(name, "file", int(found["size"]) if len(found["size"]) < 20 else None, modified, precision)


def _time(found: re.Match[bytes]) -> tuple[int | None, float]:
    year, month, day = ordered(found["a"], found["b"], found["c"], found["sep"])
    hour = int(found["H"])
    if found["half"]:
        hour = hour % _NOON + (_NOON if found["half"] in b"Pp" else 0)
    moment = micros(year, month, day, hour, int(found["M"]), int(found["S"] or 0))
    return moment, SECOND if found["S"] else MINUTE if found["H"] else DAY


def ordered(a: bytes, b: bytes, c: bytes, sep: bytes) -> tuple[int, int, int]:
    """Year, month, day of three numbers: a year of four digits leads or ends, dots put the day first, else the month leads where it can."""
    if len(a) == 4:
        return int(a), int(b), int(c)
    first, second, year = int(a), int(b), full_year(c)
    if sep == b"." or first > _NOON:
        return year, second, first
    return year, first, second
