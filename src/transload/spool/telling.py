"""What the spool's own disk answers, as an error of ours."""

from __future__ import annotations

import errno
import os

from transload.errors import Busy, Full, TransloadError


def told(error: OSError) -> TransloadError:
    """A fault of the spool's own disk: never the fault of a file, so always to be tried again."""
    kind = Full if error.errno in (errno.ENOSPC, errno.EDQUOT) else Busy
    where = f" at {os.fsdecode(error.filename)!r}" if error.filename else ""
    return kind(f"the spool cannot be written{where}: {error.strerror or error}")


class telling:  # noqa: N801 - used like a function, several times for each file: quicker than a generator
    """Translate what the disk raises."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise told(error) from error
