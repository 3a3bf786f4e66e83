"""Dates as servers write them, most without a zone and many without a year: taken as UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from transload.listing.facts import DAY, MINUTE, SECOND
from transload.listing.months import MONTHS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOMORROW = timedelta(days=1)
_MIDNIGHT = 24
_PIVOT = 70
_CENTURY = 100
_LATE = 1000
_LEAP_CYCLE = 8


class Moment(NamedTuple):
    """A time in microseconds since 1970, None where the text names none that exists, and the seconds it is good to."""

    micros: int | None
    precision: float


def micros(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int | None:
    """The time in microseconds since 1970; 24:00 is midnight, a leap second the second before; None for what is no date."""
    try:
        moment = datetime(year, month, day, 0 if hour == _MIDNIGHT else hour, minute, min(second, 59), tzinfo=UTC)
        return (moment + _TOMORROW * (hour == _MIDNIGHT) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def full_year(text: bytes) -> int:
    """The year of "1999", "99" (70 to 99 are of the last century), "103" (years since 1900)."""
    year = int(text)
    if year >= _LATE:
        return year
    return year + (2000 if year < _PIVOT else 1900)


def likely_year(month: int, day: int, now: datetime) -> int:
    """The year of a date without one: the latest in which it exists and is not in the future by more than a day."""
    latest = (now + _TOMORROW).date()
    for year in range(latest.year, latest.year - _LEAP_CYCLE - 1, -1):
        try:
            if date(year, month, day) <= latest:
                return year
        except ValueError:
            continue
    return latest.year


# A month by its name, or by a number that carries a sign of its own: 4月.
_NAME = rb"(?P<m>[A-Za-z\x80-\xff][^\s\d.,]{2,}|[A-Za-z\x80-\xff]{2,})\.?,?"
_SIGN = rb"[\x80-\xff][^\s\d]*"
_CLOCK = rb"(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d+))?)?"
_YEAR = rb"(?P<y>\d{4})"
_DAY = rb"(?P<d>\d{1,2})"
_ZONE = rb"(?: (?P<z>[+-]\d{4}))?"

_SHAPES: tuple[bytes, ...] = (
    # Jan 29 03:26:11 2004 | Jan 29 03:26 | Apr  8  1994 | Oct 08, 2002 09:47
    _NAME + rb" +" + _DAY + rb" +" + _CLOCK + rb" " + _YEAR,
    _NAME + rb" +" + _DAY + rb", +" + _YEAR + rb" +" + _CLOCK,
    _NAME + rb" +" + _DAY + rb"[.,]? +" + _CLOCK,
    _NAME + rb" +" + _DAY + rb"[.,]? +" + _YEAR,
    # 26. Juli, 20:10 | 01 oct 2004 | 29 Jul 02:27 | 01-jun-99
    _DAY + rb"\.? +" + _NAME + rb" +" + _CLOCK,
    _DAY + rb"\.? +" + _NAME + rb" +" + _YEAR,
    _DAY + rb"-(?P<m>[A-Za-z\x80-\xff]{3,})-(?P<y>\d{4}|\d\d)(?: +" + _CLOCK + rb")?",
    # 2005-06-07 21:22:11.123456789 +0200 | 1999/10/12 17:12 | 2004.07.15
    rb"(?P<y>\d{4})[-/.](?P<n>\d\d)[-/.](?P<d>\d\d)(?:[ T]+" + _CLOCK + _ZONE + rb")?",
    # 24-04-2003 17:12 | 09-26 2000 | 09-26 13:45 | 3 29 03:26
    rb"(?P<d>\d\d)[-/.](?P<n>\d\d)[-/.](?P<y>\d{4})(?: +" + _CLOCK + rb")?",
    rb"(?P<n>\d\d)-(?P<d>\d\d) +(?:" + _CLOCK + rb"|" + _YEAR + rb")",
    rb"(?P<n>1[0-2]|0?[1-9]) +" + _DAY + rb" +" + _CLOCK,
    # 4月 18日 2003年 | 8月 17 08:52 | 2003 3月 20 | 2005年 1月 6日
    rb"(?P<n>\d{1,2})" + _SIGN + rb" +" + _DAY + rb"(?:" + _SIGN + rb")? +(?:" + _CLOCK + rb"|" + _YEAR + rb"(?:" + _SIGN + rb")?)",
    _YEAR + rb"(?:" + _SIGN + rb")? +(?P<n>\d{1,2})" + _SIGN + rb" +" + _DAY + rb"(?:" + _SIGN + rb")?",
)
_COMPILED = tuple(re.compile(shape) for shape in _SHAPES)
ANY = b"|".join(re.sub(rb"\?P<\w>", b"?:", shape) for shape in _SHAPES)
"""Any date, as part of a pattern."""


@lru_cache(8192)
def dated(text: bytes, now: datetime) -> Moment | None:
    """The time that `text` tells, None when it is not a date at all (an impossible one is a Moment without micros)."""
    for shape in _COMPILED:
        found = shape.fullmatch(text)
        if found is not None:
            moment = _moment(found.groupdict(), now)
            if moment is not None:
                return moment
    return None


def _moment(part: dict[str, bytes | None], now: datetime) -> Moment | None:
    month = MONTHS.get((part.get("m") or b"").lower()) or int(part.get("n") or 0)
    if not month:
        return None
    number: Callable[[str], int] = lambda key: int(part.get(key) or 0)  # noqa: E731
    day, year = number("d"), part.get("y")
    if part.get("n") and day <= 12 < month and part.get("y"):
        month, day = day, month
    if not part.get("H"):
        return Moment(micros(full_year(year or b"0"), month, day), DAY)
    whole = micros(full_year(year) if year else likely_year(month, day, now), month, day, number("H"), number("M"), number("S"))
    return _fine(part, whole)


def _fine(part: dict[str, bytes | None], whole: int | None) -> Moment:
    fraction, zone = (part.get("f") or b"")[:6], part.get("z")
    if whole is not None:
        whole += int(fraction.ljust(6, b"0"))
        if zone:
            ahead = (int(zone[1:3]) * 60 + int(zone[3:5])) * 60_000_000
            whole -= ahead if zone[:1] == b"+" else -ahead
    if not part.get("S"):
        return Moment(whole, MINUTE)
    return Moment(whole, 10.0 ** -len(fraction) if fraction else SECOND)
