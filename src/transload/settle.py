"""Settling: the source file is removed or moved, once every required destination has it, and only if it is still the one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from transload import crash
from transload.compare import same_time
from transload.config import Move
from transload.errors import Conflict, Missing, Transient, TransloadError
from transload.ledger import Lost, Trouble
from transload.marks import Marks
from transload.names import versioned

if TYPE_CHECKING:
    from transload.config import Route
    from transload.ledger import Claim, Settling
    from transload.model import Entry
    from transload.protocols import Session
    from transload.workplace import Workplace


def settle(work: Workplace, claim: Claim) -> None:
    """Remove or move the source files of a claim; each is looked at again before it is touched."""
    route = work.route(claim.route)
    left = {file.id: file for file in work.ledger.deliveries.settling(claim.id)}
    connected = False
    try:
        with work.open(claim.remote) as session:
            connected = True
            for file in list(left.values()):
                trouble = _settle(work, claim, session, file)
                if trouble is not None:
                    work.ledger.deliveries.unsettled(claim.id, [trouble])
                del left[file.id]
        work.answers(claim.remote)
    except Lost:
        raise
    except TransloadError as error:
        work.away(claim.remote, route, error)
        if connected:
            held = [Trouble(file.id, str(error), work.later(route, 0)) for file in left.values()]
            work.ledger.deliveries.unsettled(claim.id, held)


def _settle(work: Workplace, claim: Claim, session: Session, file: Settling) -> Trouble | None:
    """One file; the trouble, if there is any that concerns it alone."""
    after = work.route(claim.route).after
    there = session.stat(file.entry)
    if there is None:
        if file.state == "begun":
            _settle_marker(work.route(claim.route), session, file)
        what = "done by a try that ended without a word" if file.state == "begun" else "somebody else took it away"
        work.ledger.deliveries.settled(claim.id, [file.id], what)
        return None
    if not _unchanged(there.size, file.entry.size) or not same_time(
        there.modified, file.entry.modified, max(there.precision, file.entry.precision)
    ):
        return Trouble(file.id, "the source has another file of that name now; it stays")
    work.ledger.deliveries.settle_begun(claim.id, [file.id])
    crash.point("settling")
    what = "it was gone already"
    try:
        if isinstance(after, Move):
            what = _moved(session, file.entry, after)
        elif after == "delete":
            session.remove(file.entry)  # type: ignore[attr-defined]
            what = "removed"
    except Missing:
        pass
    except Transient:
        raise
    except TransloadError as error:
        return Trouble(file.id, str(error))
    _settle_marker(work.route(claim.route), session, file)
    crash.point("settled")
    work.ledger.deliveries.settled(claim.id, [file.id], what)
    return None


def _settle_marker(route: Route, session: Session, file: Settling) -> None:
    """The marker goes where its file went; one that may speak of other files too stays."""
    template = route.source.marker
    if template is None or "name" not in template.fields:
        return
    marker = Marks(template).of(file.entry)
    if marker is None:
        return
    with suppress(Missing):
        if isinstance(route.after, Move):
            _moved(session, marker, route.after)
        elif route.after == "delete":
            session.remove(marker)  # type: ignore[attr-defined]


def _moved(session: Session, entry: Entry, after: Move) -> str:
    """Move the file; where another has that name already, as the next version of it."""
    target = after.target(entry.name)
    for number in range(2, 1000):
        try:
            session.move(entry, target)  # type: ignore[attr-defined]
        except Conflict:
            target = versioned(after.target(entry.name), number)
        else:
            return f"moved to {target.text}"
    message = f"a thousand files have the name {target.text} already"
    raise Conflict(message)


def _unchanged(one: int | None, other: int | None) -> bool:
    return one is None or other is None or one == other
