"""Which of the listed files a route takes, now, and why not the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from transload.marks import Marks
from transload.model import Entry, to_micros
from transload.names import dated
from transload.units import show_duration, show_size

if TYPE_CHECKING:
    from transload.config import From


@dataclass(frozen=True, slots=True)
class Take:
    """The file is wanted, whole and settled."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The file is not wanted; it is not looked at again unless it changes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The file is wanted from `until` on (microseconds), and only if it still looks the same then where `again` says so."""

    reason: str
    until: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """The file is wanted, but something is still missing beside it: only another look can tell."""

    reason: str


Verdict = Take | Skip | Wait | Hold
TAKE = Take()


class Selector:
    """What a route's `from` says about listed files at one moment; cheap to make, and quick: listings have 100,000 names.

    Size and age are judged as far as the listing tells them: what it does not tell passes.
    """

    def __init__(self, source: From, now: datetime) -> None:
        """Look at `source` as of `now`."""
        self._source, self._now = source, to_micros(now)
        here = (now if now.tzinfo else now.replace(tzinfo=UTC)).astimezone(ZoneInfo(source.zone))
        self.folders = tuple(dict.fromkeys(dated(path, here) for path in source.path))
        self._depth = source.depth if source.recursive else 1
        self._moved = f"{source.moved_to}/" if source.moved_to else None
        self._nested = self._depth is not None or self._moved is not None
        self._sized = source.min_size is not None or source.max_size is not None
        self._aged = source.min_age is not None or source.max_age is not None
        self._settled = self._now - _micros(source.settle) if source.settle else None
        same = f"taken if it is the same after {show_duration(source.settle)}"
        self._again = Wait(f"it may still be being written: {same}", self._now + _micros(source.settle), again=True)
        self._wanted, self._wanted_whole = source.wanted.base, source.wanted.whole
        self._unfinished, self._unfinished_whole = source.unfinished.base, source.unfinished.whole
        self._unwanted, self._unwanted_whole = source.unwanted.base, source.unwanted.whole
        self.marks = Marks(source.marker) if source.marker else None

    def gather(self, listed: Iterable[Entry]) -> Iterable[Entry]:
        """The listed files, to be judged one by one; where markers are wanted all of them are known then."""
        return listed if self.marks is None else self.marks.gather(listed)

    def judge(self, entry: Entry) -> Verdict:
        """Whether to take the file; what cannot be told to be finished by its time alone waits for a second, equal look."""
        text = entry.name.raw.decode("utf-8", "surrogateescape")
        base = text.rpartition("/")[2]
        if ((test := self._unfinished) and test(base)) or ((test := self._unfinished_whole) and test(text)):
            return _TEMPORARY
        if not (((test := self._wanted) and test(base)) or ((test := self._wanted_whole) and test(text))):
            return _UNWANTED
        if ((test := self._unwanted) and test(base)) or ((test := self._unwanted_whole) and test(text)):
            return _EXCLUDED
        if self._nested or self._sized or self._aged:
            verdict: Verdict | None = self._bounds(entry, text)
            if verdict is not None:
                return verdict
        if self.marks is not None:
            verdict = self._marked(self.marks, entry)
            if verdict is not None:
                return verdict
        return TAKE if self.settled(entry) else self._again

    def settled(self, entry: Entry) -> bool:
        """Whether the file's time alone shows that it is no longer being written, or the route does not ask."""
        limit = self._settled
        return limit is None or (entry.settles and entry.modified is not None and entry.modified <= limit)

    def groups(self, entry: Entry) -> Mapping[str, str]:
        """The named groups of the route's `match`."""
        return self._source.wanted.groups(entry.name)

    def sort(self, entries: Iterable[Entry]) -> list[Entry]:
        """The files in the route's order; those whose time is not told come last."""
        order = self._source.order
        if order == "name":
            return sorted(entries, key=lambda entry: entry.path)
        sign = 1 if order == "oldest" else -1
        return sorted(entries, key=lambda entry: (entry.modified is None, sign * (entry.modified or 0), entry.path))

    def _bounds(self, entry: Entry, text: str) -> Skip | Wait | None:
        if self._depth is not None and text.count("/") >= self._depth:
            return _DEEPER
        if self._moved is not None and text.startswith(self._moved):
            return _MOVED
        return self._size(entry) or self._age(entry)

    def _marked(self, marks: Marks, entry: Entry) -> Verdict | None:
        if marks.one(entry):
            return _MARKER
        lack, vouched = marks.judge(entry)
        if lack:
            return Hold(lack)
        return TAKE if vouched else None

    def _size(self, entry: Entry) -> Skip | None:
        size, least, most = entry.size, self._source.min_size, self._source.max_size
        if size is not None and least is not None and size < least:
            return Skip(f"smaller than min_size ({show_size(size)} < {show_size(least)})")
        if size is not None and most is not None and size > most:
            return Skip(f"larger than max_size ({show_size(size)} > {show_size(most)})")
        return None

    def _age(self, entry: Entry) -> Skip | Wait | None:
        least, most = self._source.min_age, self._source.max_age
        if entry.modified is None:
            return None
        if most is not None and entry.modified < self._now - _micros(most):
            return Skip(f"older than max_age ({show_duration(most)})")
        if least is None:
            return None
        # A listing that drops the seconds may tell a time that is too early by as much.
        until = entry.modified + _micros(entry.precision) + _micros(least)
        return Wait(f"younger than min_age ({show_duration(least)})", until) if until > self._now else None


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)


_TEMPORARY = Skip("its name is one of the temporary ones")
_UNWANTED = Skip("its name does not match")
_EXCLUDED = Skip("its name is excluded")
_MARKER = Skip("it is a marker: it says of another file that it is whole")
_DEEPER = Skip("it lies deeper than the route looks")
_MOVED = Skip("it was moved there after delivery")
