"""The first words of a TLS client: which protocol it means to speak. Pure functions over RFC 8446's bytes."""

from __future__ import annotations

from collections.abc import Collection

LONGEST = 16384
_HANDSHAKE, _CLIENT_HELLO, _ALPN = 22, 1, 16


def protocols(said: bytes, ours: Collection[bytes]) -> bool:
    """Whether `said` is all of a client's first words; False as long as more must come.

    Raises ValueError when they are no such words, or when the client names protocols and none of them is ours: what it
    says would be taken for another one.
    """
    hello = _hello(said)
    if hello is None:
        if len(said) >= LONGEST:
            raise ValueError("too long")
        return False
    offered = _offered(hello)
    if offered is not None and not any(one in ours for one in offered):
        raise ValueError("it means another server")
    return True


def _hello(said: bytes) -> bytes | None:
    """The first message, put together from its records; None while it is not complete."""
    message, at = b"", 0
    while True:
        if len(said) >= at + 1 and said[at] != _HANDSHAKE:
            raise ValueError("no TLS")
        if len(said) < at + 5:
            return None
        end = at + 5 + int.from_bytes(said[at + 3 : at + 5])
        message += said[at + 5 : end]
        if len(message) >= 1 and message[0] != _CLIENT_HELLO:
            raise ValueError("no TLS client")
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4]):
            return message[4 : 4 + int.from_bytes(message[1:4])]
        if len(said) < end:
            return None
        at = end


def _offered(hello: bytes) -> list[bytes] | None:
    """The protocols that it names, if it names any."""
    at = 34
    at += 1 + hello[at]  # the session
    at += 2 + int.from_bytes(hello[at : at + 2])  # the ciphers
    at += 1 + hello[at]  # the compressions
    at += 2  # the length of the extensions
    while at + 4 <= len(hello):
        kind, count = int.from_bytes(hello[at : at + 2]), int.from_bytes(hello[at + 2 : at + 4])
        if kind == _ALPN:
            return _names(hello[at + 6 : at + 4 + count])
        at += 4 + count
    return None


def _names(listed: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(listed):
        found.append(listed[at + 1 : at + 1 + listed[at]])
        at += 1 + listed[at]
    return found
