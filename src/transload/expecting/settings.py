"""What a route is expected to bring: the settings, and which files count."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from transload.model import Name, to_datetime, to_micros
from transload.names import dated
from transload.patterns import Patterns
from transload.units import ByteSize, Duration, show_size

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LAST = 31
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
SOME_DAY = datetime(2000, 1, 2, tzinfo=UTC)

Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


@dataclass(frozen=True, slots=True)
class Received:
    """A file that came: when (microseconds), under which name, how large; `rows` is None as long as nobody has counted them."""

    at: int
    name: Name
    size: int
    rows: int | None = None


class Expect(BaseModel):
    """What a route is expected to bring: by a time of day, or every so often.

    A file that comes in the first half of the time between two deadlines belongs to the earlier one if that one still
    lacks it; dates in `match` leave no doubt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    by: str | None = Field(None, description='The time of day by which the files must be there, in `zone`: "06:00".')
    zone: str = Field("UTC", description="The time zone of `by`, `days` and of dates in `match`.")
    days: str = Field("mon-sun", description='The days that `by` is for: "mon-fri", "mon,thu", "1,15" of a month, or "last" of it.')
    every: Duration | None = Field(None, gt=0, description="The longest time that may pass without the files.")
    at_least: int = Field(1, ge=1, description="How many files.")
    match: Texts = Field(("*",), min_length=1, description="Which names count; {now:%Y%m%d} and {now-1d:%Y%m%d} are filled in.")
    min_size: ByteSize | None = Field(None, description="Smaller files do not count.")
    max_size: ByteSize | None = Field(None, description="Larger files do not count.")
    min_rows: int | None = Field(None, ge=0, description="Tables with fewer rows do not count.")
    max_rows: int | None = Field(None, ge=0, description="Tables with more rows do not count.")
    empty: bool = Field(default=False, strict=True, description="Whether a run that brings nothing is told of.")

    @field_validator("by")
    @classmethod
    def _a_time(cls, by: str | None) -> str | None:
        if by is not None and not _CLOCK.fullmatch(by):
            raise ValueError('wants a time of day such as "06:00"')
        return by

    @field_validator("zone")
    @classmethod
    def _a_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError('is no time zone; one is "Europe/Berlin"')
        return zone

    @field_validator("days")
    @classmethod
    def _some_days(cls, days: str) -> str:
        _weekdays_and_dates(days)
        return days

    @field_validator("match")
    @classmethod
    def _usable(cls, match: tuple[str, ...]) -> tuple[str, ...]:
        _patterns(match, SOME_DAY)
        for text in match:
            _, odd, rest = dated(text, SOME_DAY).partition("{now")
            if odd:
                # No file has such a name: all would be late, for ever.
                shown = odd + "".join(rest.partition("}")[:2])
                raise ValueError(f"{shown} is no time; one is {{now:%Y%m%d}} or {{now-1d:%Y%m%d}}")
        return match

    @model_validator(mode="after")
    def _one_of_two(self) -> Expect:
        if self.by is not None and self.every is not None:
            raise ValueError("wants by or every, not both")
        if self.by is None and self.every is None and not self.empty:
            raise ValueError("wants by, every, or empty = true")
        if _above(self.min_size, self.max_size) or _above(self.min_rows, self.max_rows):
            raise ValueError("has a least that is above its most: no file could ever count")
        return self

    def dated(self) -> bool:
        """Whether a name tells which deadline it is for."""
        return any("{now" in text for text in self.match)

    def local(self, at: int) -> datetime:
        """A time (microseconds) as `zone` has it."""
        return to_datetime(at).astimezone(ZoneInfo(self.zone))

    def names(self, moment: datetime) -> Patterns:
        """Which names count, with the dates of `moment`."""
        return _patterns(self.match, moment)

    def times(self, day: date) -> Iterator[int]:
        """The deadlines (microseconds) from that day on, without an end."""
        weekdays, dates = _weekdays_and_dates(self.days)
        clock = time.fromisoformat(self.by or "00:00")
        zone = ZoneInfo(self.zone)
        while True:
            # A time that the clock jumps over in spring is as much later as it jumped; one that comes twice is the first.
            last = calendar.monthrange(day.year, day.month)[1]
            if day.weekday() in weekdays or day.day in {min(one, last) for one in dates}:
                yield to_micros(datetime.combine(day, clock, zone).astimezone(UTC))
            day += timedelta(days=1)

    def counts_rows(self) -> bool:
        """Whether the rows of a table matter."""
        return self.min_rows is not None or self.max_rows is not None

    def misfit(self, one: Received) -> str:
        """Why a file does not count, whatever its name, or nothing."""
        if self.min_size is not None and one.size < self.min_size:
            return f"has {show_size(one.size)}, at least {show_size(self.min_size)} are wanted"
        if self.max_size is not None and one.size > self.max_size:
            return f"has {show_size(one.size)}, at most {show_size(self.max_size)} are wanted"
        if not self.counts_rows():
            return ""
        if one.rows is None:
            return "is a file whose rows nobody has counted"
        if self.min_rows is not None and one.rows < self.min_rows:
            return f"has {one.rows} row{'s' * (one.rows != 1)}, at least {self.min_rows} are wanted"
        if self.max_rows is not None and one.rows > self.max_rows:
            return f"has {one.rows} row{'s' * (one.rows != 1)}, at most {self.max_rows} are wanted"
        return ""


def _weekdays_and_dates(text: str) -> tuple[frozenset[int], frozenset[int]]:
    """The days of the week (0 is Monday) and of the month that `text` names; a month's last one is 31."""
    weekdays: set[int] = set()
    dates: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if first in _DAYS and (last in _DAYS if dash else not last):
            begin, end = _DAYS.index(first), _DAYS.index(last or first)
            weekdays |= {(begin + at) % 7 for at in range((end - begin) % 7 + 1)}
        elif part == "last" or (part.isdecimal() and part.isascii() and 1 <= int(part) <= _LAST):
            dates.add(_LAST if part == "last" else int(part))
        else:
            raise ValueError(f'{part!r} is no day; write "mon-fri", "mon,thu", "1,15" or "last"')
    return frozenset(weekdays), frozenset(dates)


def _patterns(match: tuple[str, ...], moment: datetime) -> Patterns:
    return _compiled(tuple(dated(text, moment) for text in match))


@lru_cache(maxsize=256)
def _compiled(texts: tuple[str, ...]) -> Patterns:
    return Patterns(texts)


def _above(least: int | None, most: int | None) -> bool:
    return least is not None and most is not None and least > most
