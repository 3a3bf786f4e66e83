"""Is a listed file new, another version, still being written, or known? Pure decisions over an entry and what is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transload.ledger import Found
from transload.match import Wait
from transload.model import ArrivalState

if TYPE_CHECKING:
    from transload.config import From
    from transload.ledger import Known
    from transload.match import Take
    from transload.model import Entry


def compare(entry: Entry, verdict: Take | Wait, known: Known | None, source: From) -> Found | None:
    """What to write down about `entry`, or None when there is nothing new to say of it."""
    if known is None:
        return _found(entry, verdict, 1, None)
    if not known.taken:
        return _news(entry, verdict, known)
    if same(entry, known, source.identity):
        return None
    if source.changed != "version" and entry.size is None and entry.modified is None and entry.etag is None:
        # Nothing is told of it: that is no change to be refused.
        return None
    if source.changed == "version":
        return _found(entry, verdict, known.version + 1, None)
    state = ArrivalState.FAILED if source.changed == "fail" else ArrivalState.SKIPPED
    reason = f'it changed after version {known.version} was taken, and the route says changed = "{source.changed}"'
    return Found(entry, known.version + 1, None, state, reason)


def _found(entry: Entry, verdict: Take | Wait, version: int, arrival: int | None) -> Found:
    if isinstance(verdict, Wait):
        return Found(entry, version, arrival, reason=verdict.reason, until=verdict.until)
    return Found(entry, version, arrival)


def _news(entry: Entry, verdict: Take | Wait, known: Known) -> Found | None:
    """A file that was seen and not fetched yet: two equal looks are enough, a change starts the wait anew."""
    if (entry.size, entry.modified, entry.etag) != (known.size, known.modified, known.etag):
        return _found(entry, verdict, known.version, known.arrival)
    return None


def same(entry: Entry, known: Known, identity: str) -> bool:
    """Whether a listed file is the one that was taken, as far as the route wants to know."""
    if identity == "path":
        return True
    if identity == "sha256":
        return False
    if identity == "etag" and entry.etag and known.etag:
        return entry.etag == known.etag
    if entry.size is None and entry.modified is None:
        # Nothing is told but perhaps an etag: without one only the bytes can say.
        return bool(entry.etag) and entry.etag == known.etag
    return _equal_size(entry, known) and same_time(entry.modified, known.modified, max(entry.precision, known.precision))


def _equal_size(entry: Entry, known: Known) -> bool:
    return entry.size is None or known.size is None or entry.size == known.size


def same_time(one: int | None, other: int | None, precision: float) -> bool:
    """Whether two times agree to within what the coarser listing can tell; a time that is not told agrees with any."""
    if one is None or other is None:
        return True
    return abs(one - other) < max(precision, 1e-6) * 1e6 or one == other
