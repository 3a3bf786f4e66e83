"""The answers of SFTP version 3, packed."""

from __future__ import annotations

import stat
import struct
import time
from collections.abc import Sequence

from transload.remotes.sftp.packets import ATTRS, DATA, EXTENDED_REPLY, HANDLE, HEAD, NAME, STATUS, VERSION, string
from transload.servers.base import Item

MAX_MESSAGE = 256 * 1024
"""The longest message in either direction, its length not counted: what OpenSSH's own server takes."""
MAX_BLOCK = 255 * 1024
"""The most bytes of a file in one message."""
WRITES = 261_101
"""What is told to be the longest write: a prime, so that hardly any file ends where a whole number of them does (see `Incoming`)."""

_NO_WORDS = bytes(8)
_FINE = bytes(4) + _NO_WORDS
_HAS = 1 | 4 | 8  # size, mode, times; whose it is on this machine is nobody's business
_ATTRS = struct.Struct(">IQIII")
_DATA = struct.Struct(">IBII")
_STATVFS = struct.Struct(">11Q")
_LIMITS = struct.Struct(">4Q")
_LATEST = 0xFFFFFFFF
_BLOCK_SIZE = 4096
_HALF_A_YEAR = 182 * 86400
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def version(extensions: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The greeting."""
    body = b"".join(string(name) + string(value) for name, value in extensions)
    return HEAD.pack(5 + len(body), VERSION, 3) + body


def fine(ident: int) -> bytes:
    """It is done."""
    return HEAD.pack(17, STATUS, ident) + _FINE


def status(ident: int, code: int, words: bytes) -> bytes:
    """It is not done, and why."""
    return HEAD.pack(17 + len(words), STATUS, ident) + code.to_bytes(4, "big") + string(words) + bytes(4)


def handle(ident: int, name: bytes) -> bytes:
    """Something was opened."""
    return HEAD.pack(9 + len(name), HANDLE, ident) + string(name)


def data(ident: int, block: bytes) -> bytes:
    """Some bytes of a file."""
    size = len(block)
    return _DATA.pack(9 + size, DATA, ident, size) + block


def attrs(ident: int, item: Item) -> bytes:
    """What is known of a file."""
    return HEAD.pack(5 + _ATTRS.size, ATTRS, ident) + packed(item)


def extended(ident: int, body: bytes) -> bytes:
    """The answer to an extension's request."""
    return HEAD.pack(5 + len(body), EXTENDED_REPLY, ident) + body


def real_path(ident: int, path: bytes) -> bytes:
    """A path, spelled out."""
    return names(ident, [string(path) * 2 + bytes(4)])


def names(ident: int, entries: Sequence[bytes]) -> bytes:
    """A page of names."""
    body = b"".join(entries)
    return HEAD.pack(9 + len(body), NAME, ident) + len(entries).to_bytes(4, "big") + body


def entry(item: Item, owner: bytes, now: float) -> bytes:
    """One name of a page: the name, a line as `ls -l` has it, and what is known."""
    return string(item.name) + string(_line(item, owner, now)) + packed(item)


def packed(item: Item) -> bytes:
    """Size, mode and time."""
    seconds = min(max(item.modified // 1_000_000, 0), _LATEST)
    return _ATTRS.pack(_HAS, max(item.size, 0), _mode(item), seconds, seconds)


def statvfs(total: int, free: int) -> bytes:
    """Room in the home, as statvfs@openssh.com has it."""
    blocks, left = total // _BLOCK_SIZE, max(free, 0) // _BLOCK_SIZE
    many = 1 << 32
    return _STATVFS.pack(_BLOCK_SIZE, _BLOCK_SIZE, blocks, left, left, many, many, many, 0, 2, 255)


def limits(handles: int) -> bytes:
    """What limits@openssh.com wants to know."""
    return _LIMITS.pack(MAX_MESSAGE, MAX_BLOCK, WRITES, handles)


def _mode(item: Item) -> int:
    return (item.mode & 0o777) | (stat.S_IFDIR if item.folder else stat.S_IFREG)


def _line(item: Item, owner: bytes, now: float) -> bytes:
    seconds = item.modified // 1_000_000
    try:
        when = time.gmtime(seconds)
    except (ValueError, OverflowError, OSError):
        when = time.gmtime(0)
    recent = now - _HALF_A_YEAR < seconds <= now + 3600
    last = f"{when.tm_hour:02}:{when.tm_min:02}" if recent else f"{when.tm_year:5}"
    day = f"{_MONTHS[when.tm_mon - 1]} {when.tm_mday:2} {last}"
    return b"%s    1 %-8s %-8s %8d %s %s" % (stat.filemode(_mode(item)).encode(), owner, owner, item.size, day.encode(), item.name)
