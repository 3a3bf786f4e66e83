"""What memory a burst of logins leaves behind: none."""

from __future__ import annotations

from transload.disk.libc import libc

_MMAP_THRESHOLD = -3
_LARGE = 4 << 20


def give_back_large_pieces() -> None:
    """Let what is allocated in large pieces (19 MiB for each password that is looked at) go back to the system as soon as it is free.

    By itself glibc learns from the first such piece to keep the next ones, in as many heaps as there are threads. For a whole process, so
    only for a program of our own; harmless elsewhere.
    """
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
