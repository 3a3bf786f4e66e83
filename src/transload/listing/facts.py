"""What one line of a listing tells."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["file", "dir", "link", "other"]

FACTS = 400
"""What comes before the name is never longer: patterns look no further, so that no line can keep them busy."""
DAY = 86_400.0
MINUTE = 60.0
SECOND = 1.0


class Fact(NamedTuple):
    """One name in a folder: raw bytes, never decoded here.

    `size` and `modified` (microseconds since 1970) are None where the line does not tell them, or not exactly; `precision`
    is the seconds that the time is good to, `target` where a link leads, `unique`
    the server's own number for the thing, by which a folder is known again that is reached by two ways.
    """

    name: bytes
    kind: Kind
    size: int | None = None
    modified: int | None = None
    precision: float = SECOND
    target: bytes | None = None
    unique: bytes | None = None


class Unread(NamedTuple):
    """A line that no known family of servers would write."""

    line: bytes
