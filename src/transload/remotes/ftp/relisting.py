"""One file as the listing would tell of it now: its time is comparable with the one that was listed, zone and all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from transload.errors import Unreachable
from transload.listing import Fact, listed
from transload.remotes.ftp.replies import Reply, fault

if TYPE_CHECKING:
    from transload.model import Entry
    from transload.remotes.ftp.wire import Wire

_LIMIT = 1 << 30
_WILD = frozenset(b"*?[]{}\\ ")


def relisted(wire: Wire, entry: Entry) -> Entry | None:
    """The entry as LIST tells of it now, None when it is not there."""
    fact = listed_at(wire, wire.place(entry))
    return replace(entry, size=fact.size, modified=fact.modified, precision=fact.precision) if fact else None


def listed_at(wire: Wire, path: bytes) -> Fact | None:
    """What LIST tells of the file at `path`, None when it is not there."""
    folder, _, base = wire.sayable(path).rpartition(b"/")
    if not (set(base) & _WILD) and wire.absolute:
        fact = _found(wire, b"LIST " + path, base)
        if fact is not None:
            return fact
    if wire.absolute and not wire.control.one(b"CWD " + (folder or b"/")).ok:
        return None
    return _found(wire, b"LIST", base) or _found(wire, b"LIST -a", base)


def _found(wire: Wire, command: bytes, base: bytes) -> Fact | None:
    data = wire.start(command)
    if isinstance(data, Reply):
        return None
    text = bytearray()
    while (got := data.read_into(wire.block)) and len(text) < _LIMIT:
        text += memoryview(wire.block)[:got]
    reply = data.read_done()
    if not reply.ok:
        raise fault(reply, "looking")
    if text and (not text.endswith(b"\n") or not data.whole):
        message = "the listing was cut"
        raise Unreachable(message)
    lines = (line.removesuffix(b"\r") for line in bytes(text).split(b"\n") if line)
    for fact in listed(lines, datetime.now(UTC)):
        if isinstance(fact, Fact) and fact.name.rpartition(b"/")[2] == base and fact.kind == "file":
            return fact
    return None
