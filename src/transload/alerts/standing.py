"""How a thing that stands wrong is told: once when it begins, or has lasted, and once when it is over. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from transload.ledger import Condition
from transload.model import to_datetime
from transload.notice import Notice


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something is wrong: since when (microseconds), and how long (seconds) it has to last before it is told."""

    event: str
    route: str
    subject: str
    reason: str
    since: int
    after: float = 0.0


class Change(NamedTuple):
    """What is to be written: the condition as it stands now, whether it is over, what is to be told."""

    standing: Condition | None = None
    over: bool = False
    notice: Notice | None = None


def change(name: str, wrong: Wrong | None, before: Condition | None, now: int) -> Change:
    """What has changed about the thing `name`, which is wrong or well now, and stood like `before`.

    Two who ask the same at once tell it under the same key.
    """
    if wrong is None:
        return Change() if before is None else Change(over=True, notice=_recovered(name, before, now))
    since = before.since if before is not None else wrong.since
    told = since + round(wrong.after * 1e6) <= now
    if before is not None and (before.told or not told):
        return Change()
    notice = Notice(wrong.event, wrong.route, wrong.subject, wrong.reason, now, f"{wrong.event}/{name}/{since}") if told else None
    return Change(Condition(name, wrong.event, wrong.route, wrong.subject, wrong.reason, since, told), notice=notice)


def _recovered(name: str, before: Condition, now: int) -> Notice | None:
    """What was never told needs no end."""
    if not before.told:
        return None
    reason = f"it is well again; since {to_datetime(before.since):%Y-%m-%d %H:%M} UTC it was: {before.reason}"
    return Notice("recovered", before.route, before.subject, reason, now, f"recovered/{name}/{before.since}")
