"""What the spool's own disk answers, as an error of ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from transload.errors import Busy, Full, TransloadError


def told(error: OSError) -> TransloadError:
    """A fault of the spool's own disk: never the fault of a file, so always to be tried again."""
    kind = Full if error.errno in (errno.ENOSPC, errno.EDQUOT) else Busy
    where = f" at {os.fsdecode(error.filename)!r}" if error.filename else ""
    return kind(f"the spool cannot be written{where}: {error.strerror or error}")


@contextmanager
def telling() -> Iterator[None]:
    """Translate what the disk raises."""
    try:
        yield
    except OSError as error:
        raise told(error) from error
