"""Trying a remote out: does it answer, let us in, list, and take a file?"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from transload.errors import Busy, Conflict, Denied, Full, Missing, Refused, TransloadError, Unreachable
from transload.match import Selector
from transload.model import Entry, Name, Parcel
from transload.protocols import Reader, Remover, Writer
from transload.units import show_duration, show_size

if TYPE_CHECKING:
    from transload.config import Config

Opener = Callable[[str], AbstractContextManager[Any]]
_FIRST = 3


@dataclass(frozen=True, slots=True)
class Tried:
    """One thing that was tried: what, whether it went well, what there is to say, and what to try where it did not."""

    what: str
    well: bool
    told: str
    hint: str = ""


def probe(config: Config, name: str, opened: Opener) -> Iterator[Tried]:
    """Connect to the remote of that name, list what routes list there, and where it can be written put a probe, read it back, remove it.

    Each thing that was tried is told as it is done; the first that fails is the last.
    """
    remote, begun = config.remotes[name], time.monotonic()
    try:
        with opened(name) as session:
            yield Tried("connect", True, f"{remote.where()} in {_since(begun)}")
            if isinstance(session, Reader):
                yield from _lists(config, name, session)
            if isinstance(session, Writer):
                yield from _writes(config, name, session)
    except TransloadError as error:
        yield Tried("connect", False, str(error), hint(error))


def _lists(config: Config, name: str, session: Any) -> Iterator[Tried]:
    """The folders that routes take from, else the base."""
    sources = [route.source for route in config.routes if route.source.remote == name]
    places = {folder: source.recursive for source in sources for folder in Selector(source, datetime.now(UTC)).folders}
    for folder, recursive in (places or {"": False}).items():
        begun, where = time.monotonic(), f"list {folder or 'the base folder'}"
        try:
            count, first = _counted(session.list(folder, recursive=recursive))
        except Missing as error:
            # A destination's folder is made when something is delivered.
            yield Tried(where, not sources, f"{error}" + ("" if sources else "; it is made when something is delivered"), hint(error))
            continue
        except TransloadError as error:
            yield Tried(where, False, str(error), hint(error))
            continue
        shown = f", such as {', '.join(first)}" if first else ""
        yield Tried(where, True, f"{count:,} files in {_since(begun)}{shown}")
        for reason in session.refused[:_FIRST]:
            yield Tried(where, True, f"left out: {reason}")


def _counted(entries: Iterator[Entry]) -> tuple[int, Sequence[str]]:
    count, first = 0, []
    for entry in entries:
        count += 1
        if count <= _FIRST:
            first.append(entry.name.text)
    return count, first


def _writes(config: Config, name: str, session: Any) -> Iterator[Tried]:
    """Where routes deliver to, else the base."""
    roots = dict.fromkeys(to.name.root for route in config.routes for to in route.to if to.remote == name)
    sources = any(route.source.remote == name for route in config.routes)
    for root in roots or ({} if sources else {"": None}):
        yield from _written(root, session)


def _written(root: str, session: Any) -> Iterator[Tried]:
    """Put a probe below `root`, read it back, remove it; whatever happens, it is tried to leave nothing behind."""
    mark = uuid4().hex[:12]
    target = Name(f"{root}/transload-probe-{mark}.txt" if root else f"transload-probe-{mark}.txt")
    data = f"transload writes this to see whether it may, and removes it: {mark}\n".encode()
    what, published = f"write {root or 'the base folder'}", False
    with tempfile.NamedTemporaryFile() as body:
        body.write(data)
        body.flush()
        key = f"transload-probe-{mark}"
        parcel = Parcel(0, key, target, body.name, len(data), hashlib.sha256(data).hexdigest())
        try:
            begun = time.monotonic()
            for outcome in list(session.stage([parcel])):
                _raise(outcome.error)
                for receipt in session.publish([outcome]):
                    _raise(receipt.error)
            published = True
            yield Tried(what, True, f"{show_size(len(data))} as {target.text} in {_since(begun)}")
            what = "read back"
            if session.hash(target) != parcel.sha256:
                yield Tried(what, False, f"{target.text} holds other bytes than were written", "something changes files there: text mode?")
            else:
                yield Tried(what, True, "the same bytes")
        except TransloadError as error:
            yield Tried(what, False, str(error), hint(error))
        yield from _cleared(session, parcel, published=published)


def _cleared(session: Any, parcel: Parcel, *, published: bool) -> Iterator[Tried]:
    try:
        if not published:
            session.sweep(parcel.key, parcel.name)
        elif isinstance(session, Remover):
            session.remove(Entry("", parcel.name, parcel.size))
            yield Tried("remove", True, "the probe is gone")
        else:
            yield Tried("remove", False, f"{parcel.name.text} stays: files cannot be removed there", "remove it by hand")
    except TransloadError as error:
        told = f"{parcel.name.text} stays: {error}" if published else f"a temporary file may be left: {error}"
        yield Tried("remove", False, told, "remove it by hand; deliveries need to remove temporary files, too")


def _raise(error: TransloadError | None) -> None:
    if error is not None:
        raise error


def _since(begun: float) -> str:
    return show_duration(time.monotonic() - begun)


def hint(error: TransloadError) -> str:
    """What to try about an error."""
    return next((text for kind, text in _HINTS if isinstance(error, kind)), "")


_HINTS: Sequence[tuple[type[TransloadError], str]] = (
    (Denied, "check user, password or key, host key or certificate, and the rights of that user"),
    (Unreachable, "check host and port, proxy and firewall, and that the server runs"),
    (Busy, "the server has no place free now: try later, or lower connections"),
    (Missing, "check path: it is relative to the login folder unless it starts with /"),
    (Full, "there is no room left over there"),
    (Conflict, "a file of that name is there"),
    (Refused, "the other side does not take such a name or file"),
)
