"""What was delivered, looked at again: each distinct content once, in the order of the hashes, a page at a time."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from transload.errors import ConfigError, Missing, Transient, TransloadError
from transload.ledger.processing import Found
from transload.ledger.rescans import Sent, Window
from transload.model import to_datetime
from transload.rescan.finds import Find, finds
from transload.rescan.scanners import Judged, Scanners, signature, view

if TYPE_CHECKING:
    from transload.config import Config
    from transload.ledger import Ledger
    from transload.ledger.rescans import Known
    from transload.rescan.scanners import Store
    from transload.steps.scan import Scan

_PAGE = 256


@dataclass(slots=True)
class Tally:
    """What has been looked at so far: files that were delivered, and how many `contents` they are, by their hash."""

    files: int = 0
    contents: int = 0
    scanned: int = 0
    """Contents that a scanner was asked about."""
    verified: int = 0
    """Contents that were found clean before, with the signatures of now."""
    clean: int = 0
    infected: int = 0
    """Files that are named in a Find, but for those that somebody had let on, knowing; also from outside the window."""
    released: int = 0
    unknown: int = 0
    gone: int = 0
    """Files whose bytes are neither in the spool nor in the quarantine any more."""
    gone_last: int | None = None
    """When the last of those was delivered, in microseconds since 1970."""
    unscanned: int = 0
    """Files whose route has no scan step, and had none."""
    archives: int = 0
    """Archives that could not be looked at as a whole; what was delivered of them counts by itself."""
    elsewhere: Counter[str] = field(default_factory=Counter)
    """Files whose bytes lie on another node, by its name."""
    away: Counter[str] = field(default_factory=Counter)
    """Files that are unknown because their scanner does not answer, by what is wrong with it."""
    scanners: Sequence[Mapping[str, str]] = ()

    @property
    def well(self) -> bool:
        """Whether everything was looked at, and nothing is bad."""
        return not (self.infected or self.unknown or self.gone or self.elsewhere)


class Unknown(NamedTuple):
    """A content of which its scanner could not say whether it is clean: over a limit, encrypted. `files` were delivered with it."""

    arrival: int
    route: str
    text: str
    path: bytes
    files: int
    reason: str


class _Content(NamedTuple):
    sent: Sent
    scans: Sequence[Scan]
    routes: Sequence[Sent]

    @property
    def files(self) -> int:
        return sum(one.files for one in self.routes)


class Rescan:
    """Looks again at what was delivered in a window; iterating does it, and gives what is bad (Find) or unknown (Unknown) as it is found.

    A file is looked at by the scan steps that its route has now, else by those that it was received under. What was found is in the
    ledger before it is given: the verdict, and an event "infected" for each arrival that went out. What is infected is named wherever
    it went, also outside the window; nothing is taken back by itself. For any number of files, beside whatever else is at work.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        store: Store,
        window: Window,
        who: str,
        *,
        again: bool = False,
        told: Callable[[float, Tally], None] = lambda _share, _tally: None,
    ) -> None:
        """For `who`, who is written into the audit; with `again` also what was found clean with the signatures of now.

        `told` hears how much is done, from 0 to 1. Raises ConfigError when there is no scan step to look with.
        """
        self._config, self._ledger, self._store, self._window = config, ledger, store, window
        self._again, self._told = again, told
        self._stopped = threading.Event()
        self._scanners = Scanners(config, ledger, self._beat)
        self.tally = Tally()
        if not self._scanners.any(window.route):
            which = f"the route {window.route} has no scan step" if window.route else "no route has a scan step"
            raise ConfigError(f"{which}, and none was ever received under one: there is nothing to look with")
        times = (f"{word} {to_datetime(at).isoformat()}" for word, at in (("since", window.since), ("until", window.until)) if at)
        ledger.hand.note(who, "rescan", " ".join((window.route or "every route", *times)))

    def __iter__(self) -> Iterator[Find | Unknown]:
        """Once."""
        pool = ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0))), "transload-rescan")
        after = ""
        try:
            while page := self._ledger.rescans.hashes(after, _PAGE):
                yield from self._page(page, pool)
                after = page[-1]
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)

    def _beat(self) -> None:
        if self._stopped.is_set():
            raise Transient("nobody waits for it any more")

    def _page(self, page: Sequence[str], pool: ThreadPoolExecutor) -> Iterator[Find | Unknown]:
        sent = self._ledger.rescans.sent(page, self._window, self._store.node)
        contents = [self._content(list(group)) for _, group in groupby(sent, key=lambda one: one.sha256)]
        if contents:
            known = self._ledger.rescans.known([one.sent.sha256 for one in contents])
            self._scanners.ask_who(list(dict.fromkeys(scan for one in contents for scan in one.scans)))
            self.tally.scanners = self._scanners.facts
            judged = []
            for content, one in zip(
                contents, pool.map(lambda one: self._judge(one, known.get(one.sent.sha256, ())), contents), strict=True
            ):
                judged.append(one)
                self._count(content, one)
                self._told(_share(content.sent.sha256), self.tally)
            fresh = [_found(content, one) for content, one in zip(contents, judged, strict=True)]
            self._ledger.rescans.tell(found for each in fresh for found in each)
            for content, one in zip(contents, judged, strict=True):
                yield from self._given(content, one)
        self._told(_share(page[-1]), self.tally)

    def _content(self, group: list[Sent]) -> _Content:
        scans = dict.fromkeys(scan for one in group for scan in self._scanners.of(one.route, one.recipe))
        return _Content(min(group, key=lambda one: (not one.files, one.arrival)), list(scans), group)

    def _judge(self, content: _Content, known: Sequence[Known]) -> Judged:
        sent = content.sent
        bad = next((one for one in known if one.found == "infected"), None)
        if bad is not None:
            return Judged("infected", signature(bad.facts))
        wanted = self._scanners.wanted(content.scans, known, again=self._again)
        if not wanted:
            return Judged("clean")
        try:
            with self._store.lying(sent.sha256) as path:
                return self._scanners.judge(view(sent.arrival, sent.route, sent.size, sent.sha256, path), wanted)
        except Missing:
            return Judged("gone")
        except TransloadError as error:
            return Judged("unknown", str(error))

    def _count(self, content: _Content, judged: Judged) -> None:
        tally, files = self.tally, content.files
        if not content.scans and judged.found != "infected":
            tally.unscanned += files
            tally.files += files
            return
        tally.files += files
        tally.contents += 1
        tally.scanned += bool(judged.fresh)
        tally.verified += judged.found == "clean" and not judged.fresh
        if judged.found == "clean":
            tally.clean += files
        elif judged.found != "infected" and not files:
            tally.archives += 1
        elif judged.found == "gone":
            self._count_gone(content)
        elif judged.found == "unknown":
            tally.unknown += files
            tally.away.update({judged.told: files} if judged.away else {})

    def _count_gone(self, content: _Content) -> None:
        tally, nodes = self.tally, {one.node for one in content.routes if one.node and not one.here}
        if nodes and not any(one.here for one in content.routes) and not self._config.spool.shared:
            tally.elsewhere[min(nodes)] += content.files
            return
        tally.gone += content.files
        tally.gone_last = max([tally.gone_last or 0, *(one.last for one in content.routes)])

    def _given(self, content: _Content, judged: Judged) -> Iterator[Find | Unknown]:
        """What there is to say of it."""
        if judged.found == "infected":
            for find in finds(self._ledger, content.sent.sha256, judged.told):
                self.tally.infected += not find.released
                self.tally.released += find.released
                yield find
        elif judged.found == "unknown" and content.files and not judged.away:
            row = self._ledger.view.arrival(content.sent.arrival)
            if row is not None:
                yield Unknown(row.id, row.route, row.text, row.path, content.files, judged.told)


def _found(content: _Content, judged: Judged) -> list[Found]:
    sent = content.sent
    return [Found(sent.arrival, sent.sha256, one.what, one.found, one.facts) for one in judged.fresh]


def _share(sha256: str) -> float:
    """How much lies before a hash: they are spread evenly."""
    return int(sha256[:8], 16) / 2**32
