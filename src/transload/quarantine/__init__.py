"""Own copies of what is kept apart, sealed where the config has a key."""

from __future__ import annotations

from transload.quarantine.keys import Keys, key_of
from transload.quarantine.vault import Gone, Vault

__all__ = ["Gone", "Keys", "Vault", "key_of"]
