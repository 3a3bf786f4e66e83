"""Parcels: a delivery's bytes and everything that goes with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def key_of(delivery: int, claim: int) -> str:
    """What the temporary files of one try of a delivery are called by."""
    return f"transload-{delivery}-{claim}"


def _metadata(route: Route, due: Due) -> dict[str, str]:
    facts = {"sha256": due.sha256, "route": route.name, "source": spell(due.path), "version": str(due.version), "arrival": str(due.arrival)}
    if due.modified is not None:
        facts["modified"] = to_datetime(due.modified).isoformat()
    return facts
