"""What goes in and out of the ledger about one file: wanted, received, in trouble."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from transload.ledger.owing import Owed
from transload.ledger.schema import arrivals
from transload.model import Entry, Name, Spooled


class Wanted(NamedTuple):
    """An arrival that is to be fetched: its entry as last listed, and how it fared so far."""

    id: int
    source: str
    version: int
    attempts: int
    first_seen: int
    entry: Entry
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """One arrival whose bytes are durable in the spool, with the deliveries that it owes."""

    arrival: int
    entry: Entry
    spooled: Spooled
    owed: Sequence[Owed] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with one file: `until` is when it is tried again, None when it has ended in `state`.

    `spent` is how many of the file's attempts the try counts for.
    """

    id: int
    reason: str
    until: int | None = None
    spent: int = 1
    state: str = "failed"


NO_STEPS = (hashlib.sha256(b"[]").hexdigest(), "[]")
"""The recipe of what goes through no step, and yet may not be owed as it came: a worker has to see to it first."""

REFUSED = "refused"
"""The verdict on one arrival, not on its bytes: it was bad when it came, before any step. Its fact is the reason."""

KEEP_VERDICT = "insert into verdicts (sha256, what, found, facts, arrival, at) values (?, ?, ?, ?, ?, ?)"
"""Appends what was found out about bytes."""

KEEP_RECIPE = "insert into recipes (digest, steps, at) values (?, ?, ?) on conflict (digest) do nothing"
"""Remembers steps, if they are not yet."""

_ENTRY = (arrivals.c.folder, arrivals.c.path, arrivals.c.size, arrivals.c.modified, arrivals.c.precision, arrivals.c.etag, arrivals.c.link)


def below(path: bytes, folder: str) -> Name:
    """The name below `folder` of the file at `path`."""
    prefix = 0 if folder in ("", ".") else len(folder.rstrip("/").encode("utf-8", "surrogateescape")) + 1
    return Name(path[prefix:])


def entry_of(row: Any) -> Entry:
    """The entry that an arrival's row remembers."""
    return Entry(
        row.folder, below(bytes(row.path), row.folder), row.size, row.modified, row.precision, row.etag, settles=False, link=row.link
    )
