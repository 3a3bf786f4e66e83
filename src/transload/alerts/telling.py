"""Telling: what the outbox holds for a target becomes messages, and each message is sent until it has arrived."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Literal

from transload import crash, log
from transload.errors import ConfigError, Permanent, Refused, TransloadError
from transload.ledger import Lost, now
from transload.notify import Target, messages
from transload.protocols import NOTIFY
from transload.remotes.base import RemoteSettings, SessionBase

if TYPE_CHECKING:
    from transload.config import Config
    from transload.ledger import Claim
    from transload.workplace import Workplace

_HOUR = 3_600_000_000
_FIRST, _CAP = 5.0, 900.0
_LOOK = 0.05
_GIVEN_UP = 8
"""What an answer that no second try can better counts for in the back-off."""


class TargetPlace(RemoteSettings):
    """Where a target is told things: by one at a time."""

    session: ClassVar[type] = SessionBase
    kind: Literal["notify"] = "notify"
    shown: str

    def where(self) -> str:
        """This place as logs show it."""
        return self.shown


def places_of(config: Config) -> dict[str, RemoteSettings]:
    """The targets, as places of work."""
    return {f"{NOTIFY}{name}": TargetPlace(connections=1, shown=target.where()) for name, target in config.notify.items()}


def due(work: Workplace) -> list[str]:
    """The places of the targets to which a message is to go now."""
    targets = work.config.notify
    waiting = work.ledger.notices.waiting() if targets else {}
    return [f"{NOTIFY}{name}" for name, (_, first) in waiting.items() if name in targets and _is_due(work, name, targets[name], first)]


def _is_due(work: Workplace, name: str, target: Target, first: int) -> bool:
    at = now()
    # A clock that was ahead holds nothing back, here and below.
    if first <= at < first + round(target.group * 1e6):
        return False
    return sum(sent <= at for sent in work.ledger.notices.sent_since(name, at - _HOUR)) < target.rate


def tell(work: Workplace, claim: Claim) -> None:
    """Send a target the messages that are due."""
    name = claim.remote.removeprefix(NOTIFY)
    _tell(work, name, work.config.notify[name], claim.id)


def tell_all(work: Workplace) -> None:
    """Send every target what it is owed, without waiting for more: this process ends. One that is away is left until its time."""
    waiting = work.ledger.notices.waiting() if work.config.notify else {}
    away = {name.removeprefix(NOTIFY) for name, trip in work.ledger.fleet.trips().items() if (trip.next_try or 0) > now()}
    for name in (waiting.keys() & work.config.notify.keys()) - away:
        _tell(work, name, work.config.notify[name].model_copy(update={"group": 0.0}), None)


def _tell(work: Workplace, name: str, target: Target, claim: int | None) -> None:
    """Send it alone: another process that tells it meanwhile, a run beside this one, would send the same."""
    presence, lock = work.ledger.presence, f"telling-{name}"
    until = time.monotonic() + target.timeout + 1.0
    while not presence.hold(lock):
        if time.monotonic() > until:
            return
        time.sleep(_LOOK)
    try:
        _send(work, name, target, claim)
    finally:
        presence.release(lock)


def _send(work: Workplace, name: str, target: Target, claim: int | None) -> None:
    """The messages that are due; one that the target takes for wrong does not keep the others from it."""
    book, place = work.ledger.notices, f"{NOTIFY}{name}"
    at, refused = now(), None
    for message in messages(book.unsent(name), target, at, book.sent_since(name, at - _HOUR)).send:
        try:
            target.send(message)
        except Lost:
            raise
        except Refused as error:
            refused = refused or error
            continue
        except TransloadError as error:
            _away(work, place, error)
            return
        crash.point("told")
        book.sent(claim, name, message.notices)
    if refused is not None:
        _away(work, place, refused)
        return
    work.ledger.fleet.reachable(place)


def _away(work: Workplace, place: str, error: TransloadError) -> None:
    """It is tried again later: files go on meanwhile, and what it was to be told stays in the outbox."""
    trips = work.ledger.fleet.trips()
    failures = trips[place].failures if place in trips else 0
    weight = _GIVEN_UP if isinstance(error, Permanent | ConfigError) else 1
    log.get("transload.alerts").warning("a target cannot be told", target=place.removeprefix(NOTIFY), reason=str(error))
    until = now() + round(min(_CAP, _FIRST * 2.0 ** min(failures + weight - 1, 30)) * 1e6)
    work.ledger.fleet.unreachable(place, str(error), until, weight)
