"""Opening what lies beneath a folder, while no part of the way to it is a link."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache

from transload.disk.libc import failure, libc

_OPENAT2 = 437
_BENEATH, _NO_SYMLINKS, _NO_MAGICLINKS = 0x08, 0x04, 0x02
_AWAY = (errno.ENOSYS, errno.EPERM, errno.EINVAL)  # an old kernel, or a sandbox that does not know the call
_TRIES = 64
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, path: bytes, flags: int) -> int:
    """Open the relative `path` beneath the open `folder`, which may be opened with O_PATH. Raises OSError: ELOOP or ENOTDIR at a link."""
    if not path:
        return os.open(b".", flags | os.O_CLOEXEC, dir_fd=folder)
    if _kernel_can():
        return _in_one_call(folder, path, flags)
    return step_by_step(folder, path, flags)


@cache
def _kernel_can() -> bool:
    here = os.open(b"/", os.O_PATH)
    try:
        os.close(_in_one_call(here, b".", os.O_PATH))
    except OSError as error:
        if error.errno not in _AWAY:
            raise
        return False
    finally:
        os.close(here)
    return True


def _in_one_call(folder: int, path: bytes, flags: int) -> int:
    how = _How(flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
    for _ in range(_TRIES):
        found = libc.syscall(_OPENAT2, folder, path, ctypes.byref(how), ctypes.sizeof(how))
        if found >= 0:
            return int(found)
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):  # something was renamed meanwhile
            break
    raise failure(path)


def step_by_step(folder: int, path: bytes, flags: int) -> int:
    """The same, component by component."""
    *above, base = path.split(b"/")
    at = folder
    try:
        for part in above:
            below = os.open(part, _STEP, dir_fd=at)
            if at != folder:
                os.close(at)
            at = below
        return os.open(base, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    finally:
        if at != folder:
            os.close(at)
