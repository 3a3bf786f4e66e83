"""A notice: something that somebody should hear of, and the events that there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Event = Literal["quarantined", "failed", "late", "empty", "recovered", "scanner", "disk", "backlog", "infected"]
EVENTS: tuple[Event, ...] = get_args(Event)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that somebody should hear of.

    `subject` is a file's path in its safe spelling, or whatever else it is about; `source` the remote that it came from;
    `at` is in microseconds; of those with the same `key` a message speaks once. `route` is empty where it is about no route.
    """

    event: str
    route: str
    subject: str
    reason: str
    at: int
    key: str
    source: str = ""
