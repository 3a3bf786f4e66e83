"""Paths on the server, as raw bytes."""

from __future__ import annotations

from transload.errors import Refused
from transload.model import spell

_MAX_PART = 255


def join(folder: bytes, name: bytes) -> bytes:
    """The path of `name` in `folder`; of `name` alone if that is absolute."""
    if not folder or name.startswith(b"/"):
        return name
    return folder.rstrip(b"/") + b"/" + name if name else folder


def fits(path: bytes) -> None:
    """Raise Refused if a part of `path` is longer than file systems can hold."""
    if len(path) <= _MAX_PART:
        return
    longest = max(map(len, path.split(b"/")))
    if longest > _MAX_PART:
        raise Refused(f"{spell(path[:80])}...: a part of the name has {longest} bytes, {_MAX_PART} are possible")


def beside(path: bytes, key: str) -> bytes:
    """The temporary name for `path`."""
    return _near(path, f".{key}.part")


def aside(path: bytes, key: str) -> bytes:
    """Where an old file waits while a server without atomic replacement lets a new one take its place."""
    return _near(path, f".{key}.old")


def _near(path: bytes, base: str) -> bytes:
    folder, slash, _ = path.rpartition(b"/")
    return folder + slash + base.encode()
