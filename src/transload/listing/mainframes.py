"""IBM's large and middle machines: MVS (z/OS), VM/CMS, AS/400; and HP NonStop.

Their sizes count blocks, records or allocated room, not the bytes that a transfer brings: they are left out.
"""

from __future__ import annotations

import re

from transload.listing.dates import full_year, micros
from transload.listing.dos import ordered
from transload.listing.facts import DAY, MINUTE, SECOND, Fact
from transload.listing.months import MONTHS

# Volume Unit Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname
_DATASET = re.compile(
    rb"\s*\S{1,6}\s+\S+\s+(?P<date>\d{4}/\d\d/\d\d|\*\*NONE\*\*)\s.*?\s(?P<org>P[OS](?:-E)?|PS-L|PSU|POU|DA|DAU|IS|VS|GS)\s+(?P<name>\S+)\s*"
)
_ELSEWHERE = re.compile(
    rb"\s*(?:Migrated|\S+\s+\S+\s+VSAM|VSAM|\S+\s+Tape"
    rb"|ARCIVE Not Direct Access Device|\S+\s+Not Mounted|\S+\s+Error determining attributes)\s+(?P<name>\S+)\s*",
    re.IGNORECASE,
)
_PSEUDO = re.compile(rb"\s*Pseudo Directory\s+(?P<name>\S+)\s*", re.IGNORECASE)
# Name VV.MM Created Changed Size Init Mod Id
_MEMBER = re.compile(
    rb"\s*(?P<name>\S+)\s+\d\d\.\d\d\s+\d{4}/\d\d/\d\d\s+(?P<date>\d{4}/\d\d/\d\d)\s+(?P<clock>\d\d:\d\d)(?::\d\d)?\s+\d+\s+\d+\s+\d+\s+\S+\s*"
)
# Name Size TTR Alias-of AC Attributes Amode Rmode
_MODULE = re.compile(rb"\s*(?P<name>\S+)\s+[0-9A-F]{6}\s+[0-9A-F]{6}\s+(?:\S+\s+)?\d\d\s+\S.*")
_BARE = re.compile(rb"\s*(?P<name>[A-Z@#$][A-Z0-9@#$]{0,7})\s*")
MEMBERS = re.compile(rb"\s*Name\s+(?:VV\.MM|Size\s+TTR)\s.*")
"""The heading of a listing of members, some of which have no facts at all."""
HEADING = re.compile(rb"\s*Volume\s+Unit\s+.*Dsname\s*|" + MEMBERS.pattern)

_CMS = re.compile(
    rb"\s*(?P<name>\S+)\s+(?P<type>\S+)\s+[FV]\s+\d+\s+\d+\s+\d+\s+(?P<date>\d{4}-\d\d-\d\d|\d{1,2}/\d\d/\d{2,4})\s+(?P<clock>\d{1,2}:\d\d:\d\d)\s+\S+\s*"
)
_CMS_FOLDER = re.compile(
    rb"\s*(?P<name>\S+)\s+DIR\s+-\s+-\s+-\s+(?P<date>\d{4}-\d\d-\d\d|\d{1,2}/\d\d/\d{2,4})\s+(?P<clock>\d{1,2}:\d\d:\d\d)\s+-\s*"
)

_AS400 = re.compile(
    rb"\s*\S+\s+(?P<size>\d+)\s+(?P<a>\d\d)(?P<sep>[/.-])(?P<b>\d\d)[/.-](?P<c>\d\d)\s+(?P<clock>\d\d:\d\d:\d\d)\s+\*(?P<type>[A-Z0-9]+)\s+(?P<name>\S.*?)/?\s*",
    re.DOTALL,
)
_AS400_MEMBER = re.compile(rb"\s*\S+\s+\*MEM\s+(?P<name>\S+)\s*")
_FOLDERS = (b"DIR", b"DDIR", b"LIB", b"FLR")
_STREAMS = (b"STMF", b"DSTMF")

_NONSTOP = re.compile(
    rb"\s*(?P<name>\S+)\s+\d+\s+(?P<size>\d+)\s+(?P<d>\d{1,2})-(?P<m>[A-Za-z]{3})-(?P<y>\d\d)\s+(?P<clock>\d\d:\d\d:\d\d)\s+\d+,\s*\d+\s+\"\S{4}\"\s*"
)
_MAX_DIGITS = 18


def mainframe(line: bytes, *, members: bool) -> Fact | None:
    """The facts of a line of one of these machines, None when it is none; `members` lets a line be a bare name."""
    return _mvs(line) or _cms(line) or _as400(line) or _nonstop(line) or (_bare(line) if members else None)


def _mvs(line: bytes) -> Fact | None:
    if found := _DATASET.fullmatch(line):
        kind = "dir" if found["org"].startswith(b"PO") else "file"
        return Fact(found["name"], kind, None, _day(found["date"]), DAY)  # type: ignore[arg-type]
    if found := _MEMBER.fullmatch(line):
        return Fact(found["name"], "file", None, _time(found["date"], found["clock"]), MINUTE)
    if found := _PSEUDO.fullmatch(line):
        return Fact(found["name"], "dir")
    found = _ELSEWHERE.fullmatch(line) or _MODULE.fullmatch(line)
    return Fact(found["name"], "file") if found else None


def _bare(line: bytes) -> Fact | None:
    found = _BARE.fullmatch(line)
    return Fact(found["name"], "file") if found else None


def _cms(line: bytes) -> Fact | None:
    if found := _CMS.fullmatch(line):
        return Fact(found["name"] + b"." + found["type"], "file", None, _time(found["date"], found["clock"]), SECOND)
    if found := _CMS_FOLDER.fullmatch(line):
        return Fact(found["name"], "dir", None, _time(found["date"], found["clock"]), SECOND)
    return None


def _as400(line: bytes) -> Fact | None:
    if found := _AS400_MEMBER.fullmatch(line):
        return Fact(found["name"], "file")
    found = _AS400.fullmatch(line)
    if found is None:
        return None
    year, month, day = ordered(found["a"], found["b"], found["c"], found["sep"])
    modified = micros(year, month, day, *_clock(found["clock"]))
    if found["type"] in _FOLDERS:
        return Fact(found["name"], "dir", None, modified, SECOND)
    exact = found["type"] in _STREAMS and len(found["size"]) <= _MAX_DIGITS
    return Fact(found["name"], "file", int(found["size"]) if exact else None, modified, SECOND)


def _nonstop(line: bytes) -> Fact | None:
    found = _NONSTOP.fullmatch(line)
    if found is None or len(found["size"]) > _MAX_DIGITS:
        return None
    modified = micros(full_year(found["y"]), MONTHS.get(found["m"].lower(), 0), int(found["d"]), *_clock(found["clock"]))
    return Fact(found["name"], "file", int(found["size"]), modified, SECOND)


def _day(text: bytes) -> int | None:
    return None if text.startswith(b"*") else micros(*map(int, text.split(b"/")))


def _time(day: bytes, clock: bytes) -> int | None:
    if b"/" in day and day.index(b"/") < 4:
        month, date, year = day.split(b"/")
        return micros(full_year(year), int(month), int(date), *_clock(clock))
    return micros(*map(int, re.split(rb"[-/]", day)), *_clock(clock))


def _clock(text: bytes) -> list[int]:
    return [int(part) for part in text.split(b":")]
