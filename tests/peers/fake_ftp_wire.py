"""What the fake FTP server's parts share: how a transfer ends, and how names are on the wire."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

LISTING = b"(listing)"
MOMENT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
Stream = bytes | Iterable[bytes]
T = TypeVar("T")


@dataclass
class Cut:
    """How a transfer ends: after how many bytes (None = all), how the data connection ends, and what is said then.

    `end` is "fin", "reset", "hang" or "torn"; `reply` is a reply line, None (silence) or "close" (the control connection dies).
    """

    after: int | None = None
    end: str = "fin"
    reply: str | None = "226 done"
    early: bool = False
    times: int | None = None


class Over(Exception):
    """This control connection is at its end."""


def pieces(data: Stream) -> Iterable[bytes]:
    return (data[at : at + 65536] for at in range(0, len(data), 65536)) if isinstance(data, bytes) else data


def raw_name(name: str | bytes) -> bytes:
    return name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name


def either(table: Mapping[str | bytes, T], name: bytes, default: T) -> T:
    return table.get(name, table.get(name.decode("utf-8", "surrogateescape"), default))


def to_utf8(wire: bytes, encoding: str) -> bytes:
    return wire if encoding == "utf-8" else wire.decode(encoding, "surrogateescape").encode("utf-8", "surrogateescape")


def from_utf8(name: bytes, encoding: str) -> bytes:
    return name if encoding == "utf-8" else name.decode("utf-8", "surrogateescape").encode(encoding, "surrogateescape")


def reset(line: socket.socket) -> None:
    """Close with RST instead of FIN."""
    with suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if isinstance(line, ssl.SSLSocket):
            line = socket.socket(fileno=line.detach())
    with suppress(OSError):
        line.shutdown(socket.SHUT_RD)
    line.close()
