"""What the disk of a home answers, as an error of ours that its user may read."""

from __future__ import annotations

import errno

from transload import disk
from transload.errors import Missing, TransloadError
from transload.model import spell

_NO_WAY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENXIO)


def told(error: OSError, path: bytes) -> TransloadError:
    """`error` about the path `path` of a home; that something is a link, or has one on its way, is nobody's business."""
    return missing(path) if error.errno in _NO_WAY else disk.told(error, path)


def missing(path: bytes) -> Missing:
    """Nothing that a user could know of is at `path`."""
    return Missing(f"{spell(path) or '/'}: there is no such file or folder")
