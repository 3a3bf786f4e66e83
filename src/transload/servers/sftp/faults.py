"""What a client is told of an error: one status and one line, and never the text of an exception that is not ours."""

from __future__ import annotations

from transload.errors import Denied, LedgerAway, Missing, TransloadError
from transload.remotes.sftp.packets import FAILURE, NO_SUCH_FILE, PERMISSION_DENIED

_LONGEST = 300


def told(error: TransloadError) -> tuple[int, bytes]:
    """The status for `error`, and its one line."""
    if isinstance(error, Missing):
        return NO_SUCH_FILE, _line(error)
    if isinstance(error, Denied):
        return PERMISSION_DENIED, _line(error)
    if isinstance(error, LedgerAway):
        return FAILURE, b"not now; try again later"
    return FAILURE, _line(error)


def _line(error: TransloadError) -> bytes:
    return str(error).partition("\n")[0][:_LONGEST].encode("utf-8", "replace")
