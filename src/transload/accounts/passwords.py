"""Passwords: kept as argon2 hashes, looked at in a time that tells nothing about who exists."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import unicodedata
from collections import OrderedDict
from functools import cache

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from transload.errors import ConfigError

# OWASP's and RFC 9106's advice for servers with many logins: 19 MiB, two passes. A stored hash of other parameters is renewed.
_ARGON = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
LONGEST = 1024
_REMEMBERED = 1024


def check(password: object) -> bytes:
    """The password as it is hashed; ConfigError when it is empty or longer than 1,024 bytes."""
    raw = _raw(password) if isinstance(password, str) else b""
    if not raw:
        raise ConfigError("password: must not be empty")
    if len(raw) > LONGEST:
        raise ConfigError(f"password: may have {LONGEST:,} bytes")
    return raw


def hashed(password: str) -> str:
    """The argon2id hash to keep; ConfigError when the password is empty or longer than 1,024 bytes."""
    return _ARGON.hash(check(password))


def imported(kept: str) -> str:
    """A hash that another program has made; ConfigError when it is no argon2 hash."""
    try:
        extract_parameters(kept)
    except InvalidHashError:
        raise ConfigError("password_hash: is no argon2 hash such as $argon2id$v=19$m=...") from None
    return kept


def outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than are used now."""
    try:
        return _ARGON.check_needs_rehash(kept)
    except InvalidHashError:
        return False


class Passwords:
    """Looks at passwords. As many at once as there are processors; what was right a moment ago is not computed anew."""

    def __init__(self) -> None:
        self._turns = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
        self._lock = threading.Lock()
        # Of a password that was right only a keyed digest is remembered, under a key that lives as long as this process.
        self._key = os.urandom(32)
        self._right: OrderedDict[str, bytes] = OrderedDict()

    def verify(self, kept: str | None, password: str) -> bool:
        """Whether `password` is the one of the hash `kept`; for None it is not, after the same work."""
        raw = _raw(password)
        digest = hashlib.blake2b(raw, key=self._key).digest()
        if kept is not None and self._remembers(kept, digest):
            return True
        with self._turns:
            if kept is not None and self._remembers(kept, digest):
                return True  # many of one user come at once, and the first was right
            right = _is(kept or _nobody(), raw[:LONGEST]) and kept is not None and len(raw) <= LONGEST
        if right and kept is not None:
            self._remember(kept, digest)
        return right

    def _remembers(self, kept: str, digest: bytes) -> bool:
        with self._lock:
            found = self._right.get(kept)
            if found is None or not secrets.compare_digest(found, digest):
                return False
            self._right.move_to_end(kept)
            return True

    def _remember(self, kept: str, digest: bytes) -> None:
        with self._lock:
            self._right[kept] = digest
            if len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)


def _raw(password: str) -> bytes:
    # One password has one spelling, whichever way the keyboard put its accents.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogateescape")


def _is(kept: str, raw: bytes) -> bool:
    try:
        return _ARGON.verify(kept, raw)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobody() -> str:
    """The hash that is looked at for those who do not exist."""
    return _ARGON.hash(secrets.token_bytes(24))
