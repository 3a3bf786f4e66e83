"""How a copy is sealed: AES-256-GCM in chunks, each bound to its place, so that what is cut, longer or in another order is noticed.

This is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): a nonce is the chunk's number and whether it is the last
one. Every file has a key of its own, made of the config's key and 32 random bytes by HKDF (RFC 5869), so that no nonce is used twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from transload.errors import Denied, Rejected

CHUNK = 256 * 1024
"""Bytes of the file in each chunk but the last."""
_TAG = 16
_MAGIC = b"transload seal\x00\x01"
_SALT, _CHECK = 32, 16
HEAD = len(_MAGIC) + _SALT + _CHECK
"""Bytes before the first chunk."""


def size_of(sealed: int) -> int:
    """How many bytes are in a copy of `sealed` bytes."""
    body = max(0, sealed - HEAD)
    return body - _TAG * max(1, -(-body // (CHUNK + _TAG)))


def seal(key: bytes, source: BinaryIO, write: Callable[[bytes], object]) -> None:
    """Write what is left of `source`, sealed; no more than two chunks are in memory."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt = secrets.token_bytes(_SALT)
    head = _MAGIC + salt + _derived(key, salt, b"which key", _CHECK)
    write(head)
    box = AESGCM(_derived(key, salt, b"bytes", 32))
    number, block = 0, source.read(CHUNK)
    while True:
        after = source.read(CHUNK) if len(block) == CHUNK else b""
        write(box.encrypt(_nonce(number, last=not after), block, head))
        if not after:
            return
        number, block = number + 1, after


def is_by(key: bytes, file: BinaryIO) -> bool:
    """Whether `file` says that it was sealed with this key."""
    file.seek(0)
    return _salt(file.read(HEAD), key) is not None


def opened(keys: Iterable[Callable[[], bytes]], file: BinaryIO) -> Iterator[bytes]:
    """The bytes, a chunk at a time, each known to be as it was sealed and in its place.

    Raises Denied when none of `keys` sealed it, Rejected where it is damaged or cut, and what a key raises that cannot be had.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = file.read(HEAD)
    if len(head) < HEAD or not head.startswith(_MAGIC):
        raise Rejected("it is damaged: its first bytes are none of ours")
    box = AESGCM(_key_for(keys, head))
    number, block = 0, file.read(CHUNK + _TAG)
    while True:
        after = file.read(CHUNK + _TAG)
        try:
            data = box.decrypt(_nonce(number, last=not after), block, head)
        except InvalidTag:
            raise Rejected(f"it is damaged or cut in chunk {number}") from None
        if data:
            yield data
        if not after:
            return
        number, block = number + 1, after


def _key_for(keys: Iterable[Callable[[], bytes]], head: bytes) -> bytes:
    for reveal in keys:
        key = reveal()
        salt = _salt(head, key)
        if salt is not None:
            return _derived(key, salt, b"bytes", 32)
    raise Denied("none of the keys in the config has sealed it")


def _salt(head: bytes, key: bytes) -> bytes | None:
    """The salt of a file that was sealed with `key`, None for another."""
    salt = head[len(_MAGIC) : len(_MAGIC) + _SALT]
    told = head[len(_MAGIC) + _SALT :]
    return salt if head.startswith(_MAGIC) and secrets.compare_digest(told, _derived(key, salt, b"which key", _CHECK)) else None


def _derived(key: bytes, salt: bytes, what: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt, b"transload quarantine: " + what).derive(key)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
