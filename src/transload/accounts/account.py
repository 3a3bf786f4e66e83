"""An account: who, how it proves itself, where its home is, what it may do there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from transload.accounts.limits import Limits
from transload.accounts.rights import Rights


class Account(BaseModel):
    """One user of our servers, as the ledger keeps it. Frozen; a change is a new one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    password: str | None = None
    """An argon2 hash, never the password."""
    keys: tuple[str, ...] = ()
    """Public SSH keys as in authorized_keys: type and base64, comments dropped."""
    certificate: str | None = None
    methods: Literal["any", "key+password"] = "any"
    home: str
    """An absolute path."""
    rights: Rights = Rights()
    limits: Limits = Limits()
    arrival: str | None = None
    """How its uploads arrive, as JSON of the config's `arrival` table; None for what the route says."""
    declared: bool = False
    """Whether the config declares it."""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """One try to log in: what the client claims and has shown; `key` and `certificate` have been proved by the protocol."""

    protocol: str
    """ftp (in clear), ftps or sftp."""
    address: str
    user: str
    password: str | None = None
    key: str | None = None
    certificate: str | None = None
