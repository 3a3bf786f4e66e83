"""The SHA-256 of a file at the other end: told by the server, else by reading the file back."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from transload.errors import Missing, Unreachable
from transload.remotes.ftp.replies import Reply, fault

if TYPE_CHECKING:
    from transload.remotes.ftp.wire import Wire

_DIGEST = re.compile(rb"(?<![0-9A-Fa-f])([0-9A-Fa-f]{64})(?![0-9A-Fa-f])")
_CHOSEN = b"SHA-256*"


def hashed(wire: Wire, path: bytes) -> str | None:
    """What the server says the hash is; None where it has no command for that."""
    for verb in (b"HASH", b"XSHA256"):
        if verb not in wire.features or not wire.can(verb):
            continue
        if verb == b"HASH" and not _chosen(wire):
            wire.lacks.add(verb)
            continue
        reply = wire.control.one(verb + b" " + path)
        wire.note(verb, reply)
        digests: set[bytes] = {found.lower() for found in _DIGEST.findall(b" ".join(reply.lines))} if reply.ok else set()
        if len(digests) == 1:
            return digests.pop().decode()
    return None


def _chosen(wire: Wire) -> bool:
    """Whether HASH means SHA-256, which is chosen if it has to be."""
    told = wire.features[b"HASH"].upper()
    if _CHOSEN in told:
        return True
    if b"SHA-256" not in told or not wire.control.one(b"OPTS HASH SHA-256").ok:
        return False
    wire.features[b"HASH"] = _CHOSEN
    return True


def read_back(wire: Wire, path: bytes) -> str:
    """The hash of the bytes as they come back."""
    data = wire.start(b"RETR " + path)
    if isinstance(data, Reply):
        raise fault(data, "reading back")
    digest, view, count = hashlib.sha256(), memoryview(wire.block), 0
    try:
        while got := data.read_into(wire.block):
            digest.update(view[:got])
            count += got
        reply = data.read_done()
    except BaseException:
        data.close()
        raise
    if not reply.ok:
        raise fault(reply, "reading back")
    seen = wire.look(path)
    if seen is None and wire.tells:
        message = "it went away while it was read back"
        raise Missing(message)
    if seen and seen.size is not None and seen.size != count:
        message = f"reading back ended after {count} of {seen.size} bytes"
        raise Unreachable(message)
    return digest.hexdigest()
