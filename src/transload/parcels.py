"""Parcels: a delivery's bytes and everything that goes with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from transload.ledger.origins import Origin
from transload.model import Parcel, spell, to_datetime

if TYPE_CHECKING:
    from transload.config import Route, To
    from transload.ledger import Due
    from transload.workplace import Workplace


def parcel_for(work: Workplace, claim: int, route: Route, to: To, due: Due) -> Parcel:
    """The parcel of a delivery; its key is of delivery and claim, so a zombie never touches another try's temporary file."""
    return Parcel(
        delivery=due.id,
        key=key_of(due.id, claim),
        name=due.name,
        file=work.spool.path(due.sha256),
        size=due.size,
        sha256=due.sha256,
        modified=due.modified,
        replace=due.replace,
        verify=to.verify,
        metadata=_metadata(route, due),
    )


def call_for(work: Workplace, claim: int, route: Route, to: To, due: Due, origin: Origin | None) -> Parcel:
    """The parcel of a call of the route's hook, with all that the hook is told."""
    parcel = parcel_for(work, claim, route, to, due)
    origin = origin or Origin(due.first_seen)
    # Below the folder of its user, what was uploaded has the path that it has in the home.
    name = spell(due.path.partition(b"/")[2] if route.source.server else due.path)
    told = {"name": name, "user": origin.user, "client": origin.client, "protocol": origin.protocol, "time": f"{origin.at / 1e6:.6f}"}
    return replace(parcel, metadata=parcel.metadata | told)


def key_of(delivery: int, claim: int) -> str:
    """What the temporary files of one try of a delivery are called by."""
    return f"transload-{delivery}-{claim}"


def _metadata(route: Route, due: Due) -> dict[str, str]:
    facts = {"sha256": due.sha256, "route": route.name, "source": spell(due.path), "version": str(due.version), "arrival": str(due.arrival)}
    if due.modified is not None:
        facts["modified"] = to_datetime(due.modified).isoformat()
    return facts
