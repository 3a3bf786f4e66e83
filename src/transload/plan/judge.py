"""One route's judgement of listed files: what would be done with each, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transload.compare import compare
from transload.errors import Rejected
from transload.ledger import now
from transload.ledger.standing import Standing
from transload.match import TAKE, Hold, Selector, Skip, Take, Wait
from transload.model import to_datetime
from transload.names import Facts

if TYPE_CHECKING:
    from transload.config import Route
    from transload.ledger import Known, Ledger
    from transload.ledger.standing import Stand
    from transload.model import Entry

_UNKNOWN_HASH = "?" * 64


@dataclass(frozen=True, slots=True)
class Planned:
    """One file: `action` is fetch, deliver, skip or wait; `to` are (remote, name) of what would be delivered."""

    route: str
    remote: str
    path: bytes
    text: str
    size: int | None
    modified: int | None
    action: str
    reason: str
    to: tuple[tuple[str, str], ...] = ()
    arrival: int | None = None


class Judge:
    """Judges as a look of the route would at this moment, by its selection and by what the ledger remembers."""

    def __init__(self, route: Route, ledger: Ledger | None) -> None:
        """Without a ledger nothing is known yet."""
        self._route, self._ledger = route, ledger
        self.selector = Selector(route.source, datetime.now(UTC))

    def judge(self, entries: Sequence[Entry]) -> list[Planned]:
        """What would be done with each, in the order given; those that are owed on are told as known."""
        route, ledger = self._route, self._ledger
        known = ledger.looks.known(route.name, route.source.remote, [entry.path for entry in entries]) if ledger else {}
        stands = Standing(ledger.database).of({one.arrival for one in known.values()}) if ledger and known else {}
        return [self._one(entry, known.get(entry.path), stands) for entry in entries]

    def _one(self, entry: Entry, known: Known | None, stands: dict[int, Stand]) -> Planned:
        verdict = self.selector.judge(entry)
        stand = stands.get(known.arrival) if known else None
        if isinstance(verdict, Skip):
            return self.planned(entry, "skip", verdict.reason, stand)
        if isinstance(verdict, Hold):
            if stand is None or compare(entry, TAKE, known, self._route.source):
                return self.planned(entry, "wait", verdict.reason, stand)
            verdict = TAKE
        found = compare(entry, verdict, known, self._route.source)
        if found is None:
            return self._known(entry, verdict, stand)
        if found.state.value != "seen":
            return self.planned(entry, "skip", found.reason or found.state.value, stand)
        if found.until is not None:
            return self.planned(entry, "wait", f"{found.reason}; not before {_at(found.until)}", stand)
        reason = "new" if known is None else f"it changed: version {found.version}" if found.version > 1 else "seen before, not fetched yet"
        return self._wanted(entry, reason, found.version, stand)

    def _known(self, entry: Entry, verdict: Take | Wait, stand: Stand | None) -> Planned:
        """Nothing is new about it: where it stands is the answer."""
        if stand is None:
            return self.planned(entry, "skip", "known", None)
        if stand.state != "seen":
            return self.planned(entry, "skip", standing(stand), stand)
        if stand.next_try is not None and stand.next_try > now():
            return self.planned(entry, "wait", held(stand.reason, stand.next_try), stand)
        if isinstance(verdict, Wait) and not verdict.again:
            return self.planned(entry, "wait", verdict.reason, stand)
        return self._wanted(entry, "seen before, not fetched yet", stand.version, stand)

    def _wanted(self, entry: Entry, reason: str, version: int, stand: Stand | None) -> Planned:
        try:
            to = self._destinations(entry, version)
        except Rejected as error:
            return self.planned(entry, "fetch", f"{reason}; it would be quarantined: {error}", stand)
        if not to:
            reason += "; none of the destinations takes it"
        return replace(self.planned(entry, "fetch", reason, stand), to=to)

    def _destinations(self, entry: Entry, version: int) -> tuple[tuple[str, str], ...]:
        route = self._route
        facts = Facts(
            name=entry.name,
            route=route.name,
            now=datetime.now(UTC),
            modified=entry.modified,
            sha256=_UNKNOWN_HASH,
            version=version,
            groups=self.selector.groups(entry),
        )
        return tuple((to.remote, to.name.render(facts).text) for to in route.to if to.takes(entry.name))

    def planned(self, entry: Entry, action: str, reason: str, stand: Stand | None) -> Planned:
        """The outcome for an entry."""
        arrival = stand.id if stand else None
        remote = self._route.source.remote
        return Planned(self._route.name, remote, entry.path, entry.text, entry.size, entry.modified, action, reason, (), arrival)


def standing(stand: Stand) -> str:
    """Why an arrival that was taken is not taken again."""
    version = f", version {stand.version}" if stand.version > 1 else ""
    told = {
        "received": f"fetched, and waits: {held(stand.reason, stand.next_try)}" if stand.next_try else "fetched",
        "ready": "fetched, not delivered everywhere yet",
        "delivered": "delivered",
        "skipped": f"skipped: {stand.reason}",
        "failed": f"failed: {stand.reason}; transload retry {stand.id} tries again",
        "quarantined": f"quarantined: {stand.reason}",
    }
    settling = {"owed": "; the source is still to be cleared", "begun": "; the source is still to be cleared"}
    return f"known as arrival {stand.id}{version}: {told.get(stand.state, stand.state)}{settling.get(stand.settle, '')}"


def held(reason: str | None, until: int) -> str:
    """Why something waits, and until when."""
    return f"{reason or 'to be tried again'}; not before {_at(until)}"


def _at(micros: int) -> str:
    return f"{to_datetime(micros):%Y-%m-%dT%H:%M:%SZ}"
