"""The keys of the quarantine: 32 bytes each, written in base64, by reference only."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from functools import partial

from transload.errors import ConfigError
from transload.secret import Secret

LENGTH = 32
WANTED = "wants 32 bytes in base64"
MADE = "make one: (umask 077; openssl rand -base64 32 > quarantine.key)"


def key_of(text: str) -> bytes:
    """The key that `text` spells; ConfigError says what is wanted and how to make one, and nothing of the text."""
    try:
        key = base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        key = b""
    if len(key) != LENGTH:
        raise ConfigError(f"{WANTED}; {MADE}")
    return key


class Keys:
    """What new copies are sealed with, and what older ones may be opened with; each is revealed when it is needed."""

    def __init__(self, key: Secret | None = None, older: Sequence[Secret] = ()) -> None:
        """`key` seals, all of them open; without it new copies are not sealed."""
        self._key, self._older = key, older
        self._known: dict[str, bytes] = {}

    @property
    def seals(self) -> bool:
        """Whether new copies are sealed."""
        return self._key is not None

    def first(self) -> bytes:
        """The key that seals; raises ConfigError when it is not there, or none."""
        assert self._key is not None  # noqa: S101 - who asks has asked `seals`
        return self._revealed("key", self._key)

    def all(self) -> list[Callable[[], bytes]]:
        """Each of them, to be revealed in turn."""
        named = [("key", self._key)] if self._key is not None else []
        named += [(f"older_keys[{index}]", secret) for index, secret in enumerate(self._older)]
        return [partial(self._revealed, name, secret) for name, secret in named]

    def _revealed(self, name: str, secret: Secret) -> bytes:
        if name not in self._known:
            try:
                self._known[name] = key_of(secret.reveal())
            except ConfigError as error:
                raise ConfigError(f"quarantine.{name}: {error}") from error
        return self._known[name]
