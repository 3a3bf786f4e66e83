"""Finding what somebody should hear of: what went wrong with files, what is late, what stands wrong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from transload.alerts.standing import Wrong, change
from transload.expecting import Fine, Late, Verdict, judge_run
from transload.lateness import lateness, watch_of
from transload.ledger import Condition, News, now
from transload.model import to_datetime
from transload.units import show_size

if TYPE_CHECKING:
    from transload.config import Route
    from transload.notice import Notice
    from transload.workplace import Workplace

_READ, _BEGUN = "events", "events from"
_BACK = 120_000_000
"""How far (microseconds) events are read again: one is written down some time after its moment."""
_AGAIN = 15_000_000
"""How soon (microseconds) it is looked again whether what is late has come."""
_SOMETIMES = 600_000_000
_GONE = 86_400_000_000
"""How long (microseconds) a machine may be away and is still remembered: its disk is as full when it is started again."""
_ENOUGH = 1.1

_Found = Iterator[tuple[str, Wrong | None]]
"""By name: something is wrong, or well (None). What cannot be told is left out."""


class Finding:
    """Looks, for the routes of one process, and writes what it finds into the ledger's outbox."""

    def __init__(self, work: Workplace, routes: Sequence[Route]) -> None:
        """Nothing is looked at before `begin`."""
        self._work, self._routes = work, routes
        self._quiet: dict[str, int] = {}
        self._read: set[str] = set()
        self._signed = 0

    def begin(self) -> None:
        """What happens from now on counts, and what is expected is expected from now on, unless that was begun before."""
        book, at = self._work.ledger.notices, now()
        wanted = [watch_of(route) for route in self._routes if route.expect is not None]
        wanted += [_BEGUN, _READ] if self._work.config.notify else []
        missing = set(wanted) - book.watching().keys() if wanted else set()
        if missing:
            book.write(News(watches=[(name, at) for name in sorted(missing)]))

    def look(self, *, alone: bool) -> None:
        """Look at all there is, or (where another does that, not `alone`) at this machine only."""
        at, book, news = now(), self._work.ledger.notices, News()
        before = _begun_by_now(book.conditions(), news, at)
        found = dict(self._disk(at))
        self._sign(before, news, at)
        if alone:
            watching = _set_back(book.watching(), news, at)
            for some in (self._late(watching, at), self._empty(), self._unscanned(before, at), self._backlog(at)):
                found |= dict(some)
            self._forget_others(before, watching, news, at)
            self._troubles(watching, news, at)
        for name, wrong in found.items():
            standing, over, notice = change(name, wrong, before.get(name), at)
            news.standing += [standing] if standing else []
            news.over += [name] if over else []
            if notice is not None:
                news.told[name] = list(self._owed(notice))
        if news.notices or news.standing or news.over or news.watches:
            book.write(news)

    def _owed(self, notice: Notice) -> Iterator[tuple[str, Notice]]:
        """Whom it is to be told."""
        for name in self._work.config.told_of(notice.route):
            if self._work.config.notify[name].wants(notice):
                yield name, notice

    def _troubles(self, watching: dict[str, int], news: News, at: int) -> None:
        """What was quarantined and what has failed since the last time; never what was before anybody was to be told."""
        if not self._work.config.notify:
            return
        found = self._work.ledger.notices.troubles(max(watching[_READ] - _BACK, watching[_BEGUN]))
        for one in found:
            if one.key not in self._read:
                news.notices += self._owed(one)
        self._read = {one.key for one in found}
        if watching[_READ] + _BACK // 2 < at:
            news.watches.append((_READ, at))

    def _late(self, watching: dict[str, int], at: int) -> _Found:
        for route in self._routes:
            # A clock that was ahead keeps nobody quiet.
            quiet = 0 < self._quiet.get(route.name, 0) - at <= _SOMETIMES
            verdict = None if quiet else lateness(self._work.ledger, route, watching, at)
            if verdict is not None:
                self._quiet[route.name] = at + _AGAIN if isinstance(verdict, Late) else min(verdict.until, at + _SOMETIMES)
                yield from _judged(f"late/{route.name}", route, verdict)

    def _empty(self) -> _Found:
        expecting = [route for route in self._routes if route.expect is not None and route.expect.empty and not route.source.server]
        rows = self._work.ledger.looks.rows() if expecting else {}
        for route in expecting:
            row = rows.get(route.name)
            if row is not None and route.expect is not None and row.ended is not None and row.claim is None and row.error is None:
                yield from _judged(f"empty/{route.name}", route, judge_run(route.expect, row.wanted, row.ended))

    def _unscanned(self, before: dict[str, Condition], at: int) -> _Found:
        waiting = {one.route: one for one in self._work.ledger.notices.unscanned()}
        for route in self._routes:
            one = waiting.get(route.name)
            told = f"{'1 file waits' if one.files == 1 else f'{one.files:,} files wait'}: {one.reason}" if one else ""
            wrong = Wrong("scanner", route.name, "", told, at, self._work.config.settings.alerts.scanner) if one else None
            if wrong is not None or f"scanner/{route.name}" in before:
                yield f"scanner/{route.name}", wrong

    def _backlog(self, at: int) -> _Found:
        limit = at - round(self._work.config.settings.alerts.backlog * 1e6)
        for route in self._routes:
            oldest = self._work.ledger.notices.oldest(route.name)
            told = f"the oldest file that is not delivered was seen at {to_datetime(oldest):%Y-%m-%d %H:%M} UTC" if oldest else ""
            yield f"backlog/{route.name}", Wrong("backlog", route.name, "", told, at) if oldest is not None and oldest < limit else None

    def _disk(self, at: int) -> _Found:
        """Room that is just about enough is not told as well again."""
        config, node = self._work.config, self._work.node
        free, least = shutil.disk_usage(config.data).free, config.settings.alerts.disk
        if free < least:
            told = f"{show_size(free)} are free for {config.data}; below {show_size(config.spool.min_free)} nothing is fetched"
            yield f"disk/{node}", Wrong("disk", "", node, told, at)
        elif free >= least * _ENOUGH:
            yield f"disk/{node}", None

    def _sign(self, before: dict[str, Condition], news: News, at: int) -> None:
        """Whatever is said of this machine, it is there."""
        name = f"disk/{self._work.node}"
        if name in before and abs(at - self._signed) > _BACK // 2:
            news.watches.append((name, at))
            self._signed = at

    def _forget_others(self, before: dict[str, Condition], watching: dict[str, int], news: News, at: int) -> None:
        """What is about a route, an expectation or a machine that is no more is over, and nobody has to hear of it.

        A run of some routes says nothing of the others.
        """
        enabled = [route for route in self._work.config.routes if route.enabled]
        routes = {route.name: route for route in (*enabled, *self._routes)}
        nodes = {self._work.node, *(worker.node for worker in self._work.ledger.fleet.workers())}
        for name, one in before.items():
            route = routes.get(one.route)
            expects = route is not None and route.expect is not None
            gone = route is None or (one.event in ("late", "empty") and not expects)
            if one.event == "disk":
                gone = one.subject not in nodes and watching.get(name, one.since) < at - _GONE
            news.over += [name] if gone else []


def _set_back(watching: dict[str, int], news: News, at: int) -> dict[str, int]:
    """What is watched from a time that is yet to come, by a clock that was ahead, is watched from now on."""
    ahead = dict.fromkeys((name for name, since in watching.items() if since > at + _BACK), at)
    news.watches += ahead.items()
    return watching | ahead


def _begun_by_now(before: dict[str, Condition], news: News, at: int) -> dict[str, Condition]:
    """The same of what is not told yet, as it has to last a while first: it begins anew."""
    ahead = {name for name, one in before.items() if not one.told and one.since > at + _BACK}
    news.over += ahead
    return {name: one for name, one in before.items() if name not in ahead}


def _judged(name: str, route: Route, verdict: Verdict) -> _Found:
    if isinstance(verdict, Late):
        yield name, Wrong(verdict.event, route.name, "", verdict.reason, verdict.since)
    elif isinstance(verdict, Fine):
        yield name, None
