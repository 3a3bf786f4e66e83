"""What a run did, route by route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transload.config import Route
    from transload.ledger import Condition, Ledger, PassRow, Row


@dataclass(frozen=True, slots=True)
class RouteSummary:
    """One route's part. `held`, `quarantined` and `failed` count what stands so now, whenever it came about."""

    route: str
    seen: int
    fetched: int
    delivered: int
    skipped: int
    held: int
    quarantined: int
    failed: int
    bytes: int
    seconds: float
    late: Sequence[str]
    failures: Sequence[dict[str, str]]
    destinations: Sequence[str]

    @property
    def well(self) -> bool:
        """Whether nothing is failed, quarantined, held or late, and the source could be looked at."""
        return not (self.held or self.quarantined or self.failed or self.late or any(one["path"] == "" for one in self.failures))


class _Away(NamedTuple):
    """What cannot be used at present, with the reason: remotes, and the disk of the spool."""

    remotes: Mapping[str, str]
    full: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What `run` did."""

    routes: Sequence[RouteSummary]
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 when all is well, 1 while anything is failed, quarantined, held or late."""
        return 0 if all(route.well for route in self.routes) else 1

    def document(self) -> dict[str, Any]:
        """As `run --json` prints it."""
        return {"routes": [asdict(route) for route in self.routes], "seconds": round(self.seconds, 3)}


def summarize(ledger: Ledger, routes: Sequence[Route], asked: int, mark: int, seconds: float, full: str | None) -> Summary:
    """What happened to these routes after the event `mark`; a look that was asked for at `asked` and never ended is a failure.

    `full` says why nothing more can be fetched at present, if so.
    """
    rows, trips = ledger.looks.rows(), ledger.fleet.trips()
    late = [one for one in ledger.notices.conditions().values() if one.event in ("late", "empty")]
    away = _Away({name: trip.reason or "it cannot be reached" for name, trip in trips.items()}, full)
    return Summary([_route(ledger, route, rows[route.name], late, asked, away, mark, seconds) for route in routes], seconds)


def _route(
    ledger: Ledger, route: Route, row: PassRow, late: Sequence[Condition], asked: int, away: _Away, mark: int, seconds: float
) -> RouteSummary:
    happened = ledger.view.happened(route.name, mark)
    standing = ledger.view.standing(route.name)
    fetched, size = happened.get(("received", False), (0, 0))
    # What our own servers receive is not looked for.
    looked = route.source.server or (row.ended or 0) >= asked
    error = None if route.source.server else row.error
    if not looked:
        error = away.remotes.get(route.source.remote, "the source was not looked at")
    failures = [{"path": "", "reason": error}] if error else []
    failures += [{"path": one.text, "reason": _reason(ledger, route, one, away)} for one in ledger.view.failures(route.name)]
    return RouteSummary(
        route=route.name,
        seen=row.seen if looked and not route.source.server else 0,
        fetched=fetched,
        delivered=happened.get(("delivered", True), (0, 0))[0],
        skipped=happened.get(("skipped", False), (0, 0))[0],
        held=sum(standing.get(state, 0) for state in ("seen", "received", "ready")),
        quarantined=standing.get("quarantined", 0),
        failed=standing.get("failed", 0),
        bytes=size,
        seconds=round(seconds, 3),
        late=[one.reason for one in late if one.route == route.name],
        failures=failures,
        destinations=[to.id for to in route.destinations],
    )


def _reason(ledger: Ledger, route: Route, row: Row, away: _Away) -> str:
    """Why a file is where it is: its own reason, its delivery's, or that a remote is away."""
    own = row.reason or ledger.view.held_reason(row.id)
    if own:
        return own
    if row.state == "seen" and away.full:
        return away.full
    remotes = [route.source.remote] if row.state == "seen" else [to.remote for to in route.destinations]
    return next((f"{name}: {away.remotes[name]}" for name in remotes if name in away.remotes), "it is not done yet")
