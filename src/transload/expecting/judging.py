"""Since when something that is expected is late, by the times and names of what came; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile

from transload.expecting.settings import SOME_DAY, Expect, Received
from transload.model import Name
from transload.units import show_duration

_PAST = 7
"""Three deadlines are still to come, and as many more are behind the last that has passed."""
_BACK = 31
"""How many deadlines back it is looked since when files with dates in their names are late."""

_FARTHEST = timedelta(days=63)
"""Any two deadlines are nearer to each other."""


@dataclass(frozen=True, slots=True)
class Fine:
    """What was expected has come; nothing can be late before `until` (microseconds)."""

    until: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """It is not late yet, and is to come by `until` (microseconds)."""

    until: int


@dataclass(frozen=True, slots=True)
class Late:
    """It has not come: why, and since when (microseconds); `event` is "late", or "empty" for a run that brought nothing."""

    reason: str
    since: int
    event: str = "late"


Verdict = Late | Fine | Waiting


def judge(expect: Expect, received: Sequence[Received], since: int, now: int) -> Verdict:
    """Whether what is expected has come, as of `now`; `since` is when the watching began: nothing was expected before it.

    What came before `since` may be left away. The same question gets the same answer everywhere.
    """
    came = sorted((one for one in received if one.at <= now), key=lambda one: one.at)
    if expect.every is not None:
        return _by_interval(expect, came, since, now)
    if expect.by is not None:
        return _by_deadline(expect, came, since, now)
    return Fine(now + 86_400_000_000)


def judge_run(expect: Expect, brought: int, at: int) -> Verdict:
    """Whether a run that ended `at` and brought so many files is what was expected."""
    return Fine(at) if brought or not expect.empty else Late("the run brought no file", at, "empty")


def deadline_before(expect: Expect, begun: int) -> int:
    """The last deadline (microseconds) that had passed when the watching began: from then on the next one's files may have come."""
    if expect.by is None:
        return begun
    times = expect.times(expect.local(begun).date() - _FARTHEST)
    return max(takewhile(lambda deadline: deadline <= begun, times), default=begun)


def horizon(expect: Expect, since: int, now: int) -> int:
    """How far back (microseconds) `judge` has to know what came: a deadline, or `since`."""
    if expect.by is None:
        return since
    deadlines = _deadlines(expect, since, now)
    return deadlines[-_PAST] if len(deadlines) >= _PAST else since


def _by_interval(expect: Expect, came: list[Received], since: int, now: int) -> Verdict:
    every = round((expect.every or 0) * 1_000_000)
    named = [one for one in came if one.name in expect.names(expect.local(one.at))]
    # The same name twice is one file.
    good = sorted({one.name: one.at for one in named if not expect.misfit(one)}.values())
    enough = good[-expect.at_least] if len(good) >= expect.at_least else None
    if enough is not None and now < enough + every:
        return Fine(enough + every)
    due = max(since, enough or since) + every
    if now < due:
        return Waiting(due)
    there = sum(at > now - every for at in good)
    return Late(f"{_counted(there, expect)} in {show_duration(expect.every or 0)}{_why_not(expect, named, now - every)}", due)


def _by_deadline(expect: Expect, came: list[Received], since: int, now: int) -> Verdict:
    deadlines = _deadlines(expect, since, now)
    passed = bisect_left(deadlines, now + 1)
    count = _dated_counts if expect.dated() else _counts
    there = count(expect, came, since, deadlines, passed)
    if passed == 0:
        return Fine(deadlines[1]) if there[0] >= expect.at_least else Waiting(deadlines[0])
    for at in (passed, passed - 1):
        if there[at] >= expect.at_least:
            return Fine(deadlines[at + 1])
    first = passed - 1
    while first and there[first - 1] < expect.at_least:
        first -= 1
    last = passed - 1
    named = [one for one in came if one.name in expect.names(expect.local(deadlines[last]))]
    begun = deadlines[last - 1] if last else since
    when = f"{expect.local(deadlines[last]):%Y-%m-%d %H:%M} {expect.zone}"
    return Late(f"{_counted(there[last], expect)} by {when}{_why_not(expect, named, begun)}", deadlines[first])


def _counts(expect: Expect, came: list[Received], since: int, deadlines: list[int], _passed: int) -> list[int]:
    """How many files each deadline has; the same name twice is one."""
    there: list[set[Name]] = [set() for _ in deadlines]
    wanted = expect.names(SOME_DAY)
    for one in came:
        if one.at <= since or one.name not in wanted or expect.misfit(one):
            continue
        at = bisect_left(deadlines, one.at)
        if at and len(there[at - 1]) < expect.at_least and 2 * one.at <= deadlines[at - 1] + deadlines[at]:
            at -= 1
        there[at].add(one.name)
    return [len(names) for names in there]


def _dated_counts(expect: Expect, came: list[Received], _since: int, deadlines: list[int], passed: int) -> list[int]:
    """The same where the name tells which deadline a file is for, whenever it came."""
    fit = [one for one in came if not expect.misfit(one)]
    good = {one.name for one in fit}
    # What came early for the next deadline does not make up for what is missing now.
    new = {one.name for one in fit if not passed or one.at > deadlines[passed - 1]}
    first = max(0, passed - _BACK)
    wanted = [expect.names(expect.local(one)) for one in deadlines[first:]]
    there = [sum(name in names for name in (good if first + at < passed else new)) for at, names in enumerate(wanted)]
    return [expect.at_least] * first + there


def _deadlines(expect: Expect, since: int, now: int) -> list[int]:
    """Every deadline after `since`, up to the third that is still to come."""
    found: list[int] = []
    for deadline in expect.times(expect.local(since).date() - timedelta(days=1)):
        if deadline > since:
            found.append(deadline)
        if len(found) > 2 and found[-3] > now:
            return found
    raise AssertionError  # there is always another day


def _counted(there: int, expect: Expect) -> str:
    return f"{there} of {expect.at_least} files came" if there or expect.at_least > 1 else "no file came"


def _why_not(expect: Expect, named: list[Received], begun: int) -> str:
    """What is wrong with the newest file that does not count."""
    faults = [(one.name, fault) for one in named if one.at > begun and (fault := expect.misfit(one))]
    return f"; {faults[-1][0]} {faults[-1][1]}" if faults else ""
