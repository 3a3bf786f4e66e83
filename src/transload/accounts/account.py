"""An account: who, how it proves itself, where its home is, what it may do there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from transload.accounts.limits import Limits
from transload.accounts.rights import Rights

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class Account(BaseModel):
    """One user of our servers, as the ledger keeps it. Frozen; a change is a new one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=NAME)
    password: str | None = Field(None, repr=False)
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
    password: str | None = field(default=None, repr=False)
    key: str | None = None
    certificate: str | None = None
