"""What a disk answers, as an error of ours."""

from __future__ import annotations

import errno
import os

from transload.errors import Busy, Conflict, Denied, Full, Missing, Refused, TransloadError, Unreachable
from transload.model import spell

_BY_ERRNO: dict[int, type[TransloadError]] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), Full),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ETXTBSY), Denied),
    **dict.fromkeys((errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY), Conflict),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EFBIG, errno.ELOOP, errno.EXDEV, errno.ENXIO), Refused),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EBUSY, errno.ENOLCK), Busy),
    errno.ENOENT: Missing,
}


def told(error: OSError, what: bytes | str) -> TransloadError:
    """`error` about the path `what` as one of ours, by what to do about it; a disk that fails is Unreachable."""
    kind = _BY_ERRNO.get(error.errno or 0, Unreachable)
    return kind(f"{spell(os.fsencode(what))}: {error.strerror or error}")
