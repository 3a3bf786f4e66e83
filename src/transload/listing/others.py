"""Families that few have met: EPLF, VShell, SuperTCP and NEWT, Nortel's routers, VxWorks, OS-9."""

from __future__ import annotations

import re
from datetime import datetime

from transload.listing.dates import dated, full_year, micros
from transload.listing.dos import ordered
from transload.listing.facts import DAY, MINUTE, SECOND, Fact

_EPLF = re.compile(rb"\+(?P<facts>[^\t]*)\t(?P<name>.+)", re.DOTALL)
# 206876  Apr 04, 2000 21:06 name, a folder with a slash behind
_VSHELL = re.compile(rb"\s*(?P<size>\d+)\s+(?P<date>[A-Za-z]{3} \d\d, \d{4} \d\d:\d\d)\s(?P<name>\S.*)", re.DOTALL)
# NAME.DOC  11264  05-11-95  14:20 | NAME <DIR> Nov 16 1994 17:16
_WIN16 = re.compile(
    rb"\s*(?P<name>\S+)\s+(?P<size>\d+|<DIR>)\s+(?:(?P<a>\d\d)-(?P<b>\d\d)-(?P<c>\d{2,4})"
    rb"|(?P<m>[A-Za-z]{3}) (?P<d>[ \d]\d),? (?P<y>\d{4}))\s+(?P<clock>\d{1,2}:\d\d)\s*"
)
# name  1014196  06/03/04  Thur.  10:20:03
_NORTEL = re.compile(
    rb"\s*(?P<name>\S+)\s+(?P<size>\d+)\s+(?P<a>\d\d)/(?P<b>\d\d)/(?P<c>\d\d)\s+[A-Za-z]+\.?\s+(?P<clock>\d\d:\d\d:\d\d)\s*"
)
# 2048  Feb-28-1998  05:23:30  name <DIR>
_VXWORKS = re.compile(
    rb"\s*(?P<size>\d+)\s+(?P<m>[A-Za-z]{3})-(?P<d>\d\d)-(?P<y>\d{4})\s+(?P<clock>\d\d:\d\d:\d\d)\s+(?P<name>\S.*?)(?P<folder>\s+<DIR>)?\s*",
    re.DOTALL,
)
# 20.20 07/03/29 1026 d-ewrewr 2650 85920 name
_OS9 = re.compile(
    rb"\s*\d+\.\d+\s+(?P<y>\d\d)/(?P<n>\d\d)/(?P<d>\d\d)\s+(?P<H>\d\d)(?P<M>\d\d)\s+(?P<mode>[-ds][-sewr]{7})\s+\S+\s+(?P<size>\d+)\s+(?P<name>\S.*)",
    re.DOTALL,
)
_MAX_DIGITS = 18


def other(line: bytes, now: datetime) -> Fact | None:
    """The facts of a line of one of these, None when it is none."""
    for read in (_eplf, _vshell, _win16, _nortel, _vxworks, _os9):
        fact = read(line, now)
        if fact is not None:
            return fact
    return None


def _count(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else None


def _eplf(line: bytes, _now: datetime) -> Fact | None:
    found = _EPLF.fullmatch(line)
    if found is None:
        return None
    facts = [fact for fact in found["facts"].split(b",") if fact]
    told = {fact[:1]: fact[1:] for fact in facts}
    seconds = _count(told.get(b"m", b""))
    modified = seconds * 1_000_000 if seconds is not None else None
    if b"/" in facts:
        return Fact(found["name"], "dir", None, modified, SECOND)
    # Without an "r" it is not to be fetched.
    return Fact(found["name"], "file" if b"r" in facts else "other", _count(told.get(b"s", b"")), modified, SECOND)


def _vshell(line: bytes, now: datetime) -> Fact | None:
    found = _VSHELL.fullmatch(line)
    moment = dated(found["date"], now) if found else None
    if found is None or moment is None:
        return None
    if found["name"].endswith(b"/"):
        return Fact(found["name"][:-1], "dir", None, *moment)
    return Fact(found["name"], "file", _count(found["size"]), *moment)


def _win16(line: bytes, now: datetime) -> Fact | None:
    found = _WIN16.fullmatch(line)
    if found is None:
        return None
    if found["m"]:
        moment = dated(b"%b %b, %b %b" % (found["m"], found["d"].strip(), found["y"], found["clock"]), now)
        if moment is None:
            return None
        modified = moment.micros
    else:
        modified = micros(*ordered(found["a"], found["b"], found["c"], b"-"), *_clock(found["clock"]))
    folder = found["size"] == b"<DIR>"
    return Fact(found["name"], "dir" if folder else "file", None if folder else _count(found["size"]), modified, MINUTE)


def _nortel(line: bytes, _now: datetime) -> Fact | None:
    found = _NORTEL.fullmatch(line)
    if found is None:
        return None
    modified = micros(*ordered(found["a"], found["b"], found["c"], b"/"), *_clock(found["clock"]))
    return Fact(found["name"], "file", _count(found["size"]), modified, SECOND)


def _vxworks(line: bytes, now: datetime) -> Fact | None:
    found = _VXWORKS.fullmatch(line)
    moment = dated(b"%b %b, %b %b" % (found["m"], found["d"], found["y"], found["clock"]), now) if found else None
    if found is None or moment is None:
        return None
    return Fact(found["name"], "dir" if found["folder"] else "file", None if found["folder"] else _count(found["size"]), *moment)


def _os9(line: bytes, _now: datetime) -> Fact | None:
    found = _OS9.fullmatch(line)
    if found is None:
        return None
    folder = found["mode"].startswith(b"d")
    modified = micros(full_year(found["y"]), int(found["n"]), int(found["d"]), int(found["H"]), int(found["M"]))
    return Fact(
        found["name"], "dir" if folder else "file", None if folder else _count(found["size"]), modified, MINUTE if modified else DAY
    )


def _clock(text: bytes) -> list[int]:
    return [int(part) for part in text.split(b":")]
