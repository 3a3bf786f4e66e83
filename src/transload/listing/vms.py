"""OpenVMS, whose lines may be broken after the name: MultiNet, UCX, CMU."""

from __future__ import annotations

import re
from datetime import datetime

from transload.listing.dates import dated
from transload.listing.facts import DAY, Fact

# NAME.TYPE;1 2/9 7-JAN-2000 10:40:39.90 [OWNER] (RWED,RWED,RE,), in any order after the name
_LINE = re.compile(rb"\s*(?P<name>\S+;\d+)\s+(?P<rest>\S.*)", re.DOTALL)
_DATE = re.compile(rb"(?<!\S)(?P<day>\d{1,2}-[A-Za-z\x80-\xff]{3,4}-\d{4})(?:\s+(?P<clock>\d{1,2}:\d\d(?::\d\d)?)(?P<rest>\.\d+)?)?(?!\S)")
_SIZE = re.compile(rb"(?<!\S)\d+(?:/\d+|[KMG]?B)?(?!\S)")
NAME_ALONE = re.compile(rb"\s*\S+;\d+\s*")
"""A name whose facts are on the next line."""


def vms(line: bytes, now: datetime) -> Fact | None:
    """The facts of a line with a version after ";", None when it is none. Sizes count blocks of 512 bytes and are left out."""
    found = _LINE.fullmatch(line)
    when = _DATE.search(found["rest"]) if found else None
    if found is None or when is None or not _SIZE.search(found["rest"][: when.start()] + b" " + found["rest"][when.end() :]):
        return None
    text = when["day"] + (b" " + when["clock"] if when["clock"] else b"")
    moment = dated(text, now)
    modified, precision = moment or (None, DAY)
    name = found["name"]
    stem, _, version = name.rpartition(b";")
    if stem.upper().endswith(b".DIR") and version == b"1":
        return Fact(stem[:-4], "dir", None, modified, precision)
    return Fact(name, "file", None, modified, precision)
