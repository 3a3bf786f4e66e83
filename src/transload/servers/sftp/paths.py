"""Paths as clients write them."""

from __future__ import annotations

from transload.servers.visit import beneath


def absolute(path: bytes) -> bytes:
    """`path` from the home's top, without ".", ".." and doubled slashes; by its words alone, for there are no links in a home."""
    if path[:1] == b"/" and b"//" not in path and b"/." not in path and path[-1:] != b"/":
        return path
    return b"/" + beneath(path)
