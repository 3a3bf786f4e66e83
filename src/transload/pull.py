"""Pulling: look at a source, decide what is new, fetch it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from transload import crash
from transload.compare import compare
from transload.errors import Changed, Missing, Rejected, Transient, TransloadError
from transload.ledger import NO_STEPS, Found, Lost, Received, Trouble, now
from transload.match import Selector, Take, Wait
from transload.owed import Owing

if TYPE_CHECKING:
    from transload.config import Route
    from transload.ledger import Claim, Wanted
    from transload.model import Entry, Fetched, Spooled
    from transload.protocols import Reader, Session
    from transload.workplace import Workplace

T = TypeVar("T")
_CHUNK = 5000
_GROUP = 256
_GROUP_BYTES = 64 << 20
_GROUP_SECONDS = 0.25


def look(work: Workplace, claim: Claim) -> None:
    """One look of a route at its source: what is new is written into the ledger, to be fetched."""
    route = work.route(claim.route)
    survey = Survey(work, route)
    try:
        with work.open(claim.remote) as session:
            survey.walk(session)
    except Transient as error:
        work.away(claim.remote, route, error)
        work.ledger.looks.ended(claim.id, route.name, seen=survey.seen, wanted=0, error=str(error))
        return
    except TransloadError as error:
        if not survey.connected:
            work.away(claim.remote, route, error)
        work.ledger.looks.ended(claim.id, route.name, seen=survey.seen, wanted=0, error=str(error))
        return
    crash.point("list")
    found = survey.chosen()
    work.ledger.looks.record(claim.id, route.name, claim.remote, found)
    crash.point("seen")
    work.answers(claim.remote)
    work.ledger.looks.ended(claim.id, route.name, seen=survey.seen, wanted=len(found), note=survey.note)
    work.told("seen", sum(one.reason is None for one in found), sum(one.entry.size or 0 for one in found if one.reason is None))


class Survey:
    """What one look finds: every listed file judged by the route's selection and by what the ledger remembers."""

    def __init__(self, work: Workplace, route: Route) -> None:
        """A look of `route`, now."""
        self._ledger, self._route = work.ledger, route
        self._selector = Selector(route.source, datetime.now(UTC))
        self._fresh: list[Found] = []
        self._news: list[Found] = []
        self.seen = 0
        self.connected = False
        self.note: str | None = None

    def walk(self, session: Reader) -> None:
        """List everything and judge it; raises if any listing is not whole, since then nothing is known."""
        self.connected = True
        refused: list[str] = []
        for folder in self._selector.folders:
            listed = session.list(folder, recursive=self._route.source.recursive)
            for chunk in chunks(iter(self._selector.gather(listed)), _CHUNK):
                self._judge(chunk)
            refused += getattr(session, "refused", [])
        if refused:
            self.note = f"{len(refused)} names refused, the first: {refused[0]}"

    def _judge(self, entries: Sequence[Entry]) -> None:
        self.seen += len(entries)
        judge = self._selector.judge
        judged = [(entry, verdict) for entry in entries if isinstance(verdict := judge(entry), Take | Wait)]
        source = self._route.source
        known = self._ledger.looks.known(self._route.name, source.remote, [entry.path for entry, _ in judged])
        for entry, verdict in judged:
            found = compare(entry, verdict, known.get(entry.path), source)
            if found is not None:
                (self._fresh if found.arrival is None else self._news).append(found)

    def chosen(self) -> list[Found]:
        """What is to be written down: the new ones in the route's order, no more than its limit, and all news of older ones."""
        order = {found.entry.path: found for found in self._fresh}
        entries = self._selector.sort([found.entry for found in self._fresh])
        limit = self._route.source.limit
        return [order[entry.path] for entry in (entries if limit is None else entries[:limit])] + self._news


def fetch(work: Workplace, claim: Claim) -> None:
    """Fetch the files of a claim; each ends received, tried again later, or failed with a reason."""
    Fetching(work, claim).go()


class Fetching:
    """One claim's files on their way in."""

    def __init__(self, work: Workplace, claim: Claim) -> None:
        """The files of `claim`."""
        self._work, self._claim, self._route = work, claim, work.route(claim.route)
        self._left = {wanted.entry.path: wanted for wanted in work.ledger.arrivals.wanted(claim.id)}
        self._hand: dict[bytes, Wanted] = {}
        self._group: list[Received] = []
        self._group_since = 0.0
        self._group_bytes = 0
        self._done = 0
        self._changed: list[Wanted] = []
        self._owing = Owing(self._route)
        # A folder needs no slot: what is owed to one is delivered on the spot.
        self._spot = {to.remote for to in self._route.to if work.config.remotes[to.remote].kind == "folder"}

    def go(self) -> None:
        """All of them, over one connection; what was in hand when it broke waits, the others are due again at once."""
        work, remote = self._work, self._claim.remote
        connected = False
        try:
            with work.open(remote) as session:
                connected = True
                for outcome in session.fetch(self._entries(), work.spool.of(f"{self._claim.route}\0{remote}")):
                    self._ended(outcome)
                self._look_again(session)
            work.answers(remote)
        except Lost:
            raise
        except TransloadError as error:
            self._flush()
            if not connected or not self._done:
                work.away(remote, self._route, error)
            if connected:
                self._broken(error)
        self._flush()

    def _entries(self) -> Iterator[Entry]:
        for path in list(self._left):
            if self._work.stopping():
                return
            wanted = self._left[path]
            self._hand[path] = self._left.pop(path)
            yield wanted.entry

    def _broken(self, error: TransloadError) -> None:
        work = self._work
        held = [Trouble(one.id, str(error), work.later(self._route, one.attempts)) for one in self._hand.values()]
        work.ledger.arrivals.troubled(self._claim.id, held)

    def _ended(self, outcome: Fetched) -> None:
        wanted = self._hand.pop(outcome.entry.path)
        crash.point("fetched")
        error = outcome.error
        if error is None and outcome.spooled is not None and wanted.sha256 is not None:
            self._again(wanted, outcome.spooled)
        elif error is None and outcome.spooled is not None:
            self._came(wanted, outcome, outcome.spooled)
            return
        if isinstance(error, Missing):
            self._work.ledger.arrivals.gone(self._claim.id, [wanted.id], "it was gone before it could be fetched")
        elif isinstance(error, Changed) and self._route.source.marker is not None:
            # Its marker was that of the file as it was: another look has to see one that is newer.
            self._work.ledger.arrivals.gone(self._claim.id, [wanted.id], f"{error}; it is new when its marker is newer than it")
        elif isinstance(error, Rejected):
            # Its remote says so, and gave no bytes that could be kept apart.
            self._work.ledger.arrivals.troubled(self._claim.id, [Trouble(wanted.id, f"{error}; it did not come, so nothing of it is kept")])
        elif error is not None:
            if isinstance(error, Changed):
                self._changed.append(wanted)
            self._work.ledger.arrivals.troubled(self._claim.id, [self._work.trouble(wanted.id, self._route, wanted.attempts, error)])
        self._done += 1

    def _came(self, wanted: Wanted, outcome: Fetched, spooled: Spooled) -> None:
        """It is here, to be recorded with the next group."""
        try:
            owed = self._owing.of(wanted, outcome)
        except Rejected:
            # Who takes it through its steps finds the same, and can keep its bytes apart.
            told = self._owing.told(outcome.entry, spooled.sha256, wanted.version)
            self._accept([Received(wanted.id, outcome.entry, spooled, told)], NO_STEPS)
        else:
            self._add(Received(wanted.id, outcome.entry, spooled, owed))

    def _look_again(self, session: Session) -> None:
        """Files that changed under our hands are remembered as they are now, and left alone until they have settled."""
        wait = round(self._route.source.settle * 1e6)
        news = []
        for wanted in self._changed:
            there = session.stat(wanted.entry)
            if there is not None:
                fresh = replace(wanted.entry, size=there.size, modified=there.modified, precision=there.precision, etag=there.etag)
                until = max(now() + wait, self._work.later(self._route, wanted.attempts))
                news.append(Found(fresh, wanted.version, wanted.id, reason="it changed while it was fetched", until=until))
        if news:
            self._work.ledger.looks.record(self._claim.id, self._route.name, self._claim.remote, news)

    def _again(self, wanted: Wanted, spooled: Spooled) -> None:
        """Bytes that were ours already, but lie on a node that is away."""
        work = self._work
        if spooled.sha256 != wanted.sha256:
            reason = "its bytes lie on a node that is away, and the source has other bytes now"
            work.ledger.arrivals.troubled(self._claim.id, [Trouble(wanted.id, reason, work.later(self._route, wanted.attempts))])
            work.spool.forget([spooled])
            return
        with work.spool.accepting():
            work.spool.commit([spooled])
            work.ledger.arrivals.back(self._claim.id, work.node, [wanted.id])
        self._done += 1

    def _add(self, received: Received) -> None:
        if not self._group:
            self._group_since = time.monotonic()
        self._group.append(received)
        self._group_bytes += received.spooled.size
        full = len(self._group) >= _GROUP or self._group_bytes >= _GROUP_BYTES
        if full or time.monotonic() - self._group_since > _GROUP_SECONDS:
            self._flush()

    def _flush(self) -> None:
        if not self._group:
            return
        group, self._group, self._group_bytes = self._group, [], 0
        self._accept(group, self._route.recipe)

    def _accept(self, group: Sequence[Received], recipe: tuple[str, str] | None) -> None:
        route, work = self._route, self._work
        skip_same = route.source.duplicate == "skip"
        outcome = work.intake.accept(
            self._claim.id,
            route.name,
            self._claim.remote,
            group,
            skip_same=skip_same,
            worker=work.worker,
            deliver=self._spot,
            recipe=recipe,
        )
        self._done += len(group)
        work.told("fetched", len(outcome.taken), sum(one.spooled.size for one in group))
        for claim in outcome.claims:
            work.deliver(work, claim)
            work.ledger.claims.done(claim.id)


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of up to `size`."""
    while chunk := list(islice(items, size)):
        yield chunk
