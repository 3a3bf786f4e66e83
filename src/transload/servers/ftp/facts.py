"""Listings as our server writes them: LIST as `ls -l` would, MLSD by RFC 3659. Pure functions; times are in UTC."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice

from transload.servers.base import Item

FACTS = ("type", "size", "modify", "perm", "unix.mode")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_HALF_A_YEAR = 180 * 86400
_TRIADS = (b"---", b"--x", b"-w-", b"-wx", b"r--", b"r-x", b"rw-", b"rwx")
_SORTED = 2000
_FOLDER_PERMS = (("aw", b"c"), ("d", b"d"), ("e", b"e"), ("f", b"f"), ("l", b"l"), ("m", b"m"), ("d", b"p"))
_FILE_PERMS = (("a", b"a"), ("d", b"d"), ("f", b"f"), ("r", b"r"), ("w", b"w"))


def stamp(modified: int) -> bytes:
    """Microseconds since 1970 as YYYYMMDDHHMMSS; times that have no such spelling as the first or the last that has."""
    when = time.gmtime(min(max(modified // 1_000_000, -62_135_596_800), 253_402_300_799))
    return b"%04d%02d%02d%02d%02d%02d" % when[:6]


def line(item: Item, owner: bytes, now: float) -> bytes:
    """As `ls -l` has it."""
    seconds = min(max(item.modified // 1_000_000, -62_135_596_800), 253_402_300_799)
    _, month, day, hour, minute = (when := time.gmtime(seconds))[:5]
    recent = -86400 < now - seconds < _HALF_A_YEAR
    hour_or_year = b"%02d:%02d" % (hour, minute) if recent else b"%5d" % when[0]
    kind = b"d" if item.folder else b"-"
    mode = _TRIADS[item.mode >> 6 & 7] + _TRIADS[item.mode >> 3 & 7] + _TRIADS[item.mode & 7]
    size = 0 if item.folder else item.size
    head = b"%s%s   1 %-8s %-8s %12d %s %2d %s " % (kind, mode, owner, owner, size, _MONTHS[month - 1], day, hour_or_year)
    return head + item.name + b"\r\n"


def facts(item: Item, letters: str, wanted: Collection[str]) -> bytes:
    """As MLSD has it, without the name. `letters` are the rights at the item."""
    out = []
    if "type" in wanted:
        out.append(b"type=dir;" if item.folder else b"type=file;")
    if "size" in wanted and not item.folder:
        out.append(b"size=%d;" % item.size)
    if "modify" in wanted:
        out.append(b"modify=%s;" % stamp(item.modified))
    if "perm" in wanted:
        perms = _FOLDER_PERMS if item.folder else _FILE_PERMS
        out.append(b"perm=%s;" % b"".join(sign for needed, sign in perms if any(one in letters for one in needed)))
    if "unix.mode" in wanted:
        out.append(b"unix.mode=%04o;" % (item.mode & 0o777))
    return b"".join(out)


def shown(items: Iterable[Item]) -> Iterator[Item]:
    """Those whose names fit in a line, by name where they are not too many to wait for."""
    items = (one for one in items if b"\n" not in one.name and b"\r" not in one.name)
    first = list(islice(items, _SORTED))
    if len(first) < _SORTED:
        first.sort()
        return iter(first)
    return chain(first, items)
