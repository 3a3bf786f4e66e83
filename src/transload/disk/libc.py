"""The C library, for the calls that Python does not have."""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def failure(*paths: bytes | str) -> OSError:
    """What the last call into the C library failed with, about the first of `paths`."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), *paths[:1])
