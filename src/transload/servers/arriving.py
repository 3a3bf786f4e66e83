"""When an upload counts as an arrival, and for which routes: the arrival contract, as pure judgement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from transload.config import Arriving
from transload.ledger import Wanted, now
from transload.ledger.taking import Take, Verdict
from transload.marks import MARKER, is_marker, marker_of
from transload.match import Selector, Skip, Wait
from transload.model import Entry, Fetched, Name, Spooled, spell
from transload.owed import Owing
from transload.servers.witness import SUFFIXES, fault, marked_by, sidecars_of, spoken_for, suffix_of
from transload.units import show_duration

if TYPE_CHECKING:
    from transload.config import From, Route
    from transload.ledger.taking import Row
    from transload.names import Template
    from transload.servers.witness import Witness

RENAMED, CLOSED, LATER = "renamed", "closed", "later"
"""Why an upload is judged: it got another name, it is whole, or the time has come."""


def contract_of(route: Arriving | None, own: str | None) -> Arriving:
    """How uploads arrive: as the route says; where it says nothing as the user's `own` table (JSON) says."""
    mine = {} if own is None else _own(own).model_dump(exclude_unset=True)
    theirs = {} if route is None else route.model_dump(exclude_unset=True)
    return Arriving.model_validate(mine | theirs) if mine and theirs else route or (Arriving() if own is None else _own(own))


@lru_cache(64)
def _own(text: str) -> Arriving:
    return Arriving.model_validate_json(text)


@dataclass(slots=True)
class Way:
    """One route from our servers, made ready to judge by."""

    route: Route
    source: From
    untimely: From
    """The same, for which no name is a temporary one."""
    owing: Owing
    timeless: bool
    """Whether what it takes does not depend on the time of day."""
    _selectors: dict[int, Selector] = field(default_factory=dict)

    @classmethod
    def of(cls, route: Route) -> Way:
        """For `route`."""
        bare = type(route.source).model_validate(route.source.model_dump() | {"temporary": ()})
        timeless = not any("{now" in path for path in bare.path) and bare.min_age is None and bare.max_age is None
        return cls(route, route.source, bare, Owing(route), timeless)

    def selector(self, source: From) -> Selector:
        """What `source` says now."""
        if not self.timeless:
            return Selector(source, datetime.now(UTC))
        found = self._selectors.get(id(source))
        if found is None:
            found = self._selectors[id(source)] = Selector(source, datetime.now(UTC))
        return found


class Arrivals:
    """What the routes of one config say of uploads. Made anew when the config changes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """The routes of `routes` that begin at our servers and are enabled."""
        self._ways = [Way.of(route) for route in routes if route.source.server and route.enabled]
        self._contracts: dict[tuple[str, str | None], Arriving] = {}

    def contract(self, user: str, path: Name, own: str | None) -> Arriving:
        """What holds for an upload of `user` to `path`: the word of the first route that may take it, else the user's own."""
        mine = [way for way in self._ways if way.source.user in (None, user)]
        likely = next((way for way in mine if _below(way.selector(way.untimely), user, path) is not None), mine[0] if mine else None)
        return self._of(likely, own)

    def _of(self, way: Way | None, own: str | None) -> Arriving:
        key = (way.route.name if way else "", own)
        if key not in self._contracts:
            self._contracts[key] = contract_of(way.route.arrival if way else None, own)
        return self._contracts[key]

    def judge(self, row: Row, why: str, own: str | None, witness: Witness | None = None) -> Verdict:
        """Which routes take this upload now, else why none does yet.

        What other files must say is asked when `witness` is there; without one it is put off to a moment when one is.
        """
        mine = [way for way in self._ways if way.source.user in (None, row.user)]
        if not mine:
            return Verdict(reason="no route takes what this user uploads" if self._ways else "no route takes what the servers receive")
        return _together([self._judge(way, row, why, self._of(way, own), witness) for way in mine])

    def listens(self, user: str, own: str | None) -> bool:
        """Whether other files can say that a file of this user is whole."""
        mine = (self._of(way, own) for way in self._ways if way.source.user in (None, user))
        return any(contract.complete in ("marker", "sidecar") for contract in mine)

    def spoken_for(self, row: Row, own: str | None, witness: Witness) -> list[Row]:
        """The files of which this one says that they are whole."""
        found: dict[int, Row] = {}
        for way in self._ways:
            contract = self._of(way, own)
            template = contract.marker or MARKER
            if way.source.user not in (None, row.user):
                continue
            if contract.complete == "marker" and is_marker(template, Name(row.path)):
                found |= {one.id: one for one in marked_by(template, row, witness)}
            elif contract.complete == "sidecar" and suffix_of(Name(row.path)):
                found |= {one.id: one for one in spoken_for(row, witness)}
        return list(found.values())

    def _judge(self, way: Way, row: Row, why: str, contract: Arriving, witness: Witness | None) -> Verdict:
        name, route = Name(row.path), way.route.name
        if contract.complete == "marker" and is_marker(contract.marker or MARKER, name):
            return _speaks(route, "a marker", asked=witness is not None)
        if contract.complete == "sidecar" and suffix_of(name):
            return _speaks(route, "a checksum", asked=witness is not None)
        source = way.untimely if contract.complete == "close" else way.source
        selector = way.selector(source)
        entry = _entry(selector, row, name)
        if entry is None:
            return Verdict(reason=f"{route}: it does not lie in {' or '.join(selector.folders)}")
        found = selector.judge(entry)
        if isinstance(found, Skip):
            return Verdict(reason=f"{route}: {found.reason}", waits=entry.name in source.unfinished)
        if isinstance(found, Wait):
            return Verdict(reason=f"{route}: {found.reason}", judge=found.until, waits=True)
        return _complete(way, row, entry, why, contract, witness)


def _speaks(route: str, what: str, *, asked: bool) -> Verdict:
    """It is no arrival, but says that another file is one; `asked`: and nobody was there."""
    return Verdict(reason=f"{route}: it is {what}, and no file waits for it", judge=None if asked else now(), anew=True)


def _complete(way: Way, row: Row, entry: Entry, why: str, contract: Arriving, witness: Witness | None) -> Verdict:
    """Whether a file that the route would take is whole."""
    route, take = way.route.name, _take(way, row, entry)
    if contract.complete == "rename" and why != RENAMED:
        return Verdict(reason=f"{route}: it counts once it is renamed", waits=True)
    if contract.complete == "quiet":
        wait = round(contract.quiet * 1e6)
        until = row.at + wait if why == LATER else now() + wait
        if why != LATER or until > now():
            return Verdict(
                reason=f"{route}: it counts once nothing has changed for {show_duration(contract.quiet)}", judge=until, waits=True
            )
    if contract.complete == "marker":
        return _marked(route, take, row, contract.marker or MARKER, witness)
    if contract.complete == "sidecar":
        return _vouched(route, take, row, witness)
    return Verdict((take,))


def _marked(route: str, take: Take, row: Row, template: Template, witness: Witness | None) -> Verdict:
    name = marker_of(template, Name(row.path))
    if name is None:
        return Verdict(reason=f"{route}: it can have no marker by this name")
    reason = f"{route}: it waits for its marker {name.text}"
    if witness is None:
        return Verdict(reason=reason, judge=now(), waits=True)
    found = witness.at(row.user, name)
    if found is None or found.taken:
        return Verdict(reason=reason, waits=True)
    return Verdict((take,), by=((found.id, f"the marker of {Name(row.path).text}"),))


def _vouched(route: str, take: Take, row: Row, witness: Witness | None) -> Verdict:
    reason = f"{route}: it waits for its checksum ({', '.join(SUFFIXES)})"
    if witness is None:
        return Verdict(reason=reason, judge=now(), waits=True)
    for sidecar, kind in sidecars_of(row, witness):
        wrong = None if sidecar.taken else fault(row, sidecar, kind, witness)
        if wrong is None:
            reason += "" if sidecar.taken else f"; {spell(sidecar.path)} says nothing of it"
        else:
            by = ((sidecar.id, f"the checksum of {Name(row.path).text}"),)
            return Verdict((replace(take, bad=wrong),), by=by)
    return Verdict(reason=reason, waits=True)


def _take(way: Way, row: Row, entry: Entry) -> Take:
    fetched = Fetched(entry, Spooled("", row.size, row.sha256))

    def owed(version: int) -> Any:
        return way.owing.of(Wanted(0, entry.folder, version, 0, 0, entry), fetched)

    def told(version: int) -> Any:
        return way.owing.told(entry, row.sha256, version)

    return Take(way.route.name, entry, owed, told, skip_same=way.source.duplicate == "skip", recipe=way.route.recipe)


def _entry(selector: Selector, row: Row, name: Name) -> Entry | None:
    """The upload as a listing of the route's folders would tell of it, None where it lies in none of them."""
    for folder in selector.folders:
        inside = folder.strip("/").encode("utf-8", "surrogateescape")
        if not inside:
            return Entry(row.user, name, row.size, row.modified or row.at, 1e-6, f"{row.id}", settles=True)
        if name.raw.startswith(inside + b"/"):
            below = Name(name.raw[len(inside) + 1 :])
            return Entry(f"{row.user}/{folder.strip('/')}", below, row.size, row.modified or row.at, 1e-6, f"{row.id}", settles=True)
    return None


def _below(selector: Selector, user: str, path: Name) -> Entry | None:
    """The entry that an upload to `path` would have for a route, if its name is one that the route takes."""
    for folder in selector.folders:
        inside = folder.strip("/").encode("utf-8", "surrogateescape")
        if inside and not path.raw.startswith(inside + b"/"):
            continue
        entry = Entry(user, Name(path.raw[len(inside) + 1 :]) if inside else path)
        if not isinstance(selector.judge(entry), Skip):
            return entry
    return None


def _together(verdicts: Sequence[Verdict]) -> Verdict:
    """What several routes say, as one."""
    reasons = dict.fromkeys(verdict.reason for verdict in verdicts if verdict.reason)
    return Verdict(
        takes=tuple(take for verdict in verdicts for take in verdict.takes),
        reason="; ".join(reasons),
        judge=min((verdict.judge for verdict in verdicts if verdict.judge is not None), default=None),
        waits=any(verdict.waits for verdict in verdicts),
        by=tuple(one for verdict in verdicts for one in verdict.by),
        anew=any(verdict.anew for verdict in verdicts),
    )
