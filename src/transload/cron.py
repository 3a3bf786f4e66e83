"""Cron lines by the wall clock of a zone: each business time once, whatever the clock does in spring and autumn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

_FIELDS = 5
_NEAR = timedelta(hours=3)
_RANDOM = re.compile(r"(?<![A-Za-z])[RrHh](?![A-Za-z])")


class CronFault(ValueError):
    """The line cannot be used; the message says why."""


class Cron:
    """A line of five fields in a zone; raises CronFault when it is none, or can never come true.

    Fixed hours fire once a day also when the clock goes back; a time that the clock jumps over in spring fires as much
    later as it jumped. A line for every hour (`*` or `*/2`) follows the time that really passes.
    """

    def __init__(self, line: str, zone: str = "UTC") -> None:
        """Check the line, without running anything."""
        if len(line.split()) != _FIELDS or _RANDOM.search(line) or not croniter.is_valid(line):
            raise CronFault('wants five fields: minute, hour, day, month, weekday, such as "30 6 * * mon-fri"')
        self._line = line
        self._zone = ZoneInfo(zone)
        self._hourly = line.split()[1].startswith("*")
        try:
            self.next(datetime(2000, 1, 1, tzinfo=UTC))
        except CroniterError:
            raise CronFault("is a date that never comes") from None

    def next(self, after: datetime) -> datetime:
        """The first time later than `after` at which it fires, in UTC."""
        start = after.astimezone(self._zone).replace(tzinfo=None)
        best, until = None, None
        for wall in self._walls(start - _NEAR if self._changes(after) else start):
            if best is not None and until is not None and wall > until:
                break
            for moment in self._moments(wall):
                if moment > after and (best is None or moment < best):
                    best = moment
                    until = wall + _NEAR if self._changes(moment) else wall
        if best is None:
            raise CronFault(f"{self._line!r} never comes again")
        return best

    def _walls(self, start: datetime) -> Iterator[datetime]:
        yield from croniter(self._line, start).all_next(datetime)

    def _changes(self, moment: datetime) -> bool:
        """Whether the clock is put forward or back near `moment`."""
        return (moment - _NEAR).astimezone(self._zone).utcoffset() != (moment + _NEAR).astimezone(self._zone).utcoffset()

    def _moments(self, wall: datetime) -> Iterator[datetime]:
        first = wall.replace(tzinfo=self._zone).astimezone(UTC)
        skipped = first.astimezone(self._zone).replace(tzinfo=None) != wall
        if not (skipped and self._hourly):
            yield first
        again = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        if self._hourly and not skipped and again != first:
            yield again
