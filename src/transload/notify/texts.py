"""Notices become messages: grouped, few enough, and in the operator's words. Pure: nothing is sent or kept here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from transload.model import to_datetime
from transload.notice import Notice
from transload.secret import scrub

if TYPE_CHECKING:
    from transload.notify.base import Target

FIELDS = ("event", "route", "count", "file", "reason", "source", "time")
TITLE = "Transload: {route}: {event} ({count})"
TEXT = "{event}: {file}: {reason} [route {route}, from {source}, {time}]"

_HOUR = 3_600_000_000
_LINES = 10
_NAMED = 3
_WIDEST = 500
_MOST = 1000
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: words for people, and the notices that it is about, oldest first."""

    title: str
    text: str
    notices: tuple[Notice, ...]

    @property
    def id(self) -> str:
        """The same for the same notices: who gets a message twice can tell."""
        told = sorted((one.key, one.at) for one in self.notices)
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]

    @property
    def body(self) -> bytes:
        """It as JSON, for programs; at most 1,000 of its notices stand in it, `count` says how many there are."""
        alone = _alone(self.notices)
        shown = [{key: _plain(value) if isinstance(value, str) else value for key, value in asdict(one).items()} for one in alone[:_MOST]]
        told = {"id": self.id, "title": self.title, "text": self.text, "count": len(alone), "notices": shown}
        return json.dumps(told, separators=(",", ":")).encode()


class Round(NamedTuple):
    """What to send now, the notices that wait, and until when (microseconds; None when none wait)."""

    send: tuple[Message, ...]
    wait: tuple[Notice, ...]
    until: int | None


def messages(notices: Iterable[Notice], target: Target, now: int, sent_before: Iterable[int]) -> Round:
    """Every notice in one message, or among those that wait; `sent_before` is when earlier messages were sent to this target.

    Notices of one event and route wait for each other as long as `group` says. When there would be more messages than
    `rate` allows an hour, the last one sums up all that is left; when there are none left to send, all wait.
    """
    recent = sorted(at for at in sent_before if now - _HOUR < at <= now)
    room = max(0, target.rate - len(recent))
    groups = _groups(notices)
    due = [group for group in groups if _due(group, target, now) <= now] if room else []
    later = [group for group in groups if _due(group, target, now) > now] if room else groups
    if len(due) > room:
        rest = sorted((one for group in due[room - 1 :] for one in group), key=_age)
        due = [*due[: room - 1], rest]
    recent += [now] * len(due)
    until = None
    if later:
        free = now if len(recent) < target.rate else recent[-target.rate] + _HOUR
        until = max(free, min(_due(group, target, now) for group in later))
    return Round(tuple(_message(group, target) for group in due), tuple(one for group in later for one in group), until)


def template_fault(template: str) -> str:
    """Why the template cannot be used, or nothing."""
    for found in _FIELD.finditer(template):
        if found[0] in ("{{", "}}"):
            continue
        if found[1] is None:
            return f"a single {found[0]} stands for nothing; write {found[0] * 2} for the character"
        if found[1] not in FIELDS:
            return f"{{{found[1]}}} is no field; there are {', '.join(FIELDS)}"
    return ""


def _groups(notices: Iterable[Notice]) -> list[list[Notice]]:
    groups: dict[tuple[str, str], list[Notice]] = {}
    for one in sorted(notices, key=_age):
        groups.setdefault((one.event, one.route), []).append(one)
    return list(groups.values())


def _age(one: Notice) -> tuple[int, str, str]:
    return one.at, one.route, one.key


def _due(group: Sequence[Notice], target: Target, now: int) -> int:
    # A clock that was ahead must not hold a notice back.
    first = group[0].at
    return first + round(target.group * 1_000_000) if first <= now else now


def _message(notices: Sequence[Notice], target: Target) -> Message:
    alone = _alone(notices)
    several = {field: _several(_value(field, one) for one in alone) for field in FIELDS if field not in ("count", "time")}
    several |= {"count": str(len(alone)), "time": _value("time", alone[0])}
    lines = [_filled(target.text, {**{field: _value(field, one) for field in FIELDS}, "count": several["count"]}) for one in alone[:_LINES]]
    if len(alone) > _LINES:
        lines.append(f"and {len(alone) - _LINES} more")
    return Message(_filled(target.title, several), "\n".join(lines), tuple(notices))


def _alone(notices: Iterable[Notice]) -> list[Notice]:
    """One of each key, the oldest."""
    first: dict[str, Notice] = {}
    for one in notices:
        first.setdefault(one.key, one)
    return list(first.values())


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda found: found[0][0] if found[1] is None else values[found[1]], template)


def _value(field: str, one: Notice) -> str:
    if field == "time":
        return f"{to_datetime(one.at):%Y-%m-%d %H:%M:%S} UTC"
    values = {"event": one.event, "route": one.route, "file": one.subject, "reason": one.reason, "source": one.source}
    text = _plain(values.get(field, ""))
    return (text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…") or "-"


def _several(values: Iterable[str]) -> str:
    different = list(dict.fromkeys(values))
    more = f" and {len(different) - _NAMED} more" if len(different) > _NAMED else ""
    return ", ".join(different[:_NAMED]) + more


def _plain(text: str) -> str:
    """One line without control characters, and without a secret."""
    return " ".join("".join(char if char.isprintable() else " " for char in scrub(text)).split())
