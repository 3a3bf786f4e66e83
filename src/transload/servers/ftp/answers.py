"""What a client is told of an error: a code by what it can do about it, and one line; never the text of an exception that is not ours."""

from __future__ import annotations

from transload.errors import Busy, Conflict, Denied, Full, LedgerAway, Missing, Refused, Rejected, TransloadError, Unreachable

_LONGEST = 400
_LOOKING: dict[type[TransloadError], int] = {Missing: 550, Denied: 550, Conflict: 550, Refused: 550, Rejected: 550, Full: 452, Busy: 450}
_NAMING = {**_LOOKING, Conflict: 553, Refused: 553, Rejected: 553}
_STORING = {**_LOOKING, Refused: 552, Rejected: 550, Unreachable: 426, Busy: 451}


def told(error: TransloadError) -> bytes:
    """For what is looked at, made or removed."""
    return _answer(_LOOKING, error)


def told_of_name(error: TransloadError) -> bytes:
    """For a name that something is to get: 553 where another one would do."""
    return _answer(_NAMING, error)


def told_of_bytes(error: TransloadError) -> bytes:
    """For bytes that have come: 4xx where the same again may well be taken."""
    return _answer(_STORING, error)


def _answer(codes: dict[type[TransloadError], int], error: TransloadError) -> bytes:
    if isinstance(error, LedgerAway):
        return b"451 Not now; try again later"
    code = next((code for kind, code in codes.items() if isinstance(error, kind)), 451)
    line = "".join(c if c.isprintable() else "?" for c in str(error).partition("\n")[0][:_LONGEST])
    return b"%d %s" % (code, line.encode("utf-8", "replace") or b"It cannot be done")


def quoted(path: bytes) -> bytes:
    """A path as 257 has it."""
    return b'"' + path.replace(b'"', b'""') + b'"'
