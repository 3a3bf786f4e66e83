"""The output of `ls -l`, in all the shapes that servers give it."""

from __future__ import annotations

import re
from datetime import datetime

from transload.listing.dates import ANY, Moment, dated
from transload.listing.facts import DAY, FACTS, Fact, Kind

# Permissions, with marks for access lists and contexts; NetWare's are in brackets; Connect:Enterprise has words of its own.
_MODE = rb"(?P<mode>[-bcdlpsDnCMP|?][-rwxsStTlLXAFd]{8,9}[-rwxsStTlL+.@*]{0,2}|[-dl] ?\[[-A-Z]{4,}\]|-[-A-Z]{9,14})"
_SIZE = rb"(?P<size>\d+,\s*\d+|0x[0-9a-fA-F]+,?|\d+(?:\.\d+)?[kKMGT]|[-+]?\d+)"
_PLAIN = re.compile(
    rb"\s*" + _MODE + rb"\s+\d+\s+\S+\s+\S+\s+(?P<size>\d+) (?P<date>[A-Za-z]{3} [ \d]\d (?:\d\d:\d\d| \d{4})) (?P<name>.+)", re.DOTALL
)
_ANY = re.compile(rb"\s*" + _MODE + rb"(?:[\s\d].*?)?(?<![\d.,])" + _SIZE + rb"\s+(?P<date>" + ANY + rb") (?P<name>.+)", re.DOTALL)
_DATELESS = re.compile(rb"\s*" + _MODE + rb"\s+\d+\s+\S+\s+\S+\s+(?P<size>\d+)\s+(?P<name>\S.*)", re.DOTALL)
_NUMBERS = re.compile(rb"\s*(?P<mode>0?[01]?[0-7]{5})\s+\d+\s+\d+\s+(?P<size>\d+)\s+(?P<time>\d+)\s+(?P<name>\S.*)", re.DOTALL)
_KINDS: dict[bytes, Kind] = {b"d": "dir", b"l": "link", b"-": "file"}
_OCTAL: dict[int, Kind] = {0o04: "dir", 0o10: "file", 0o12: "link"}
_FORGETFUL = b"["
_ALIGNED = re.compile(rb"\s\d{4}\.\d\d\.\d\d $")


def unix(line: bytes, now: datetime) -> Fact | None:
    """The facts of a line of `ls -l`, None when it is none."""
    head = line[:FACTS]
    found = _PLAIN.fullmatch(head) or _ANY.fullmatch(head)
    moment = dated(found["date"], now) if found else None
    if found is None or moment is None:
        found, moment = _DATELESS.fullmatch(head), Moment(None, DAY)
    if found is None:
        return _numbers(line)
    return _fact(found, line[found.start("name") :], moment)


def _fact(found: re.Match[bytes], name: bytes, moment: Moment) -> Fact:
    mode, size = found["mode"], found["size"]
    kind = _KINDS.get(mode[:1], "file" if _FORGETFUL in mode or mode[1:2].isupper() else "other")
    if _FORGETFUL in mode or _ALIGNED.search(found[0][: found.start("name")]):
        name = name.lstrip(b" ")
    # A rounded size (33.5k) is no size to compare with.
    length = int(size) if size.isdigit() and len(size) < 20 else None
    if kind == "dir" and name.endswith(b"/") and len(name) > 1:
        name = name[:-1]
    if kind == "link":
        name, target = split_link(name, length)
        return Fact(name, kind, None, moment.micros, moment.precision, target)
    return Fact(name, kind, length if kind == "file" else None, moment.micros, moment.precision)


def split_link(name: bytes, length: int | None) -> tuple[bytes, bytes | None]:
    """The link's own name and its target; of several arrows the one whose target is `length` bytes long, else the first."""
    at = name.find(b" -> ")
    first = at
    while at >= 0:
        if length is not None and len(name) - at - 4 == length:
            return name[:at], name[at + 4 :]
        at = name.find(b" -> ", at + 1)
    return (name[:first], name[first + 4 :]) if first >= 0 else (name, None)


def _numbers(line: bytes) -> Fact | None:
    """`stat` in numbers: octal mode, owner, group, size, seconds since 1970, name."""
    found = _NUMBERS.fullmatch(line[:FACTS])
    if found is None or len(found["size"]) > 18 or len(found["time"]) > 12:
        return None
    kind = _OCTAL.get(int(found["mode"], 8) >> 12, "other")
    return Fact(line[found.start("name") :], kind, int(found["size"]) if kind == "file" else None, int(found["time"]) * 1_000_000)
