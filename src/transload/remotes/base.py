"""What all remotes have in common: their settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from transload.secret import Secret
from transload.units import Duration, Rate

if TYPE_CHECKING:
    from transload.protocols import Session


Moved = Callable[[int], None]
"""Hears of bytes just before they are written or sent, and may block, to keep to a rate or to show progress."""


def unmetered(count: int) -> None:
    """Bytes that nobody counts."""


class SessionBase:
    """What all sessions have: `refused` names of the last listing, and `moved`, which an upload calls for each block.

    `in_turn` says that a session moves one file after another, so that only several connections move several at once.
    """

    in_turn: ClassVar[bool] = False

    refused: list[str]
    moved: Moved = staticmethod(unmetered)

    def alive(self) -> bool:
        """Whether a session that nobody used for a while can still be used, as far as that is seen without asking the other side."""
        return True


class RemoteSettings(BaseModel):
    """A remote is its frozen settings; `connect` gives a session.

    A kind adds `kind: Literal["..."]`, `session` (the class whose abilities `check` looks at before anything connects)
    and `connect`. A session is for one thread; one that raised is thrown away. It never retries, limits or logs:
    that wraps it in one place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    session: ClassVar[type]

    kind: str
    connections: int = Field(4, ge=1, le=256, description="How many connections at once, over all workers.")
    timeout: Duration = Field(60.0, gt=0, description="How long the other side may be silent.")
    rate: Rate | None = Field(None, gt=0, description="Bytes a second, over all connections of one worker.")

    def connect(self) -> AbstractContextManager[Session]:
        """A session, logged in; raises Unreachable, Busy or Denied."""
        raise NotImplementedError

    def where(self) -> str:
        """This place as logs and pages show it; never with a secret."""
        raise NotImplementedError


class NetworkSettings(RemoteSettings):
    """What remotes with a host and a login have in common."""

    host: str = Field(min_length=1)
    port: int | None = Field(None, ge=1, le=65535)
    user: str = ""
    password: Secret | None = None
    path: str = Field("", description="The folder below which sources are found and destinations written; the login folder by default.")
    encoding: str = Field("utf-8", description="How the other side spells names that are not ASCII.")
    proxy: str | None = Field(
        None, description="socks5://user@host:port, socks4:// or http://; its password stands in proxy_password, never here."
    )
    proxy_password: Secret | None = None

    @field_validator("host")
    @classmethod
    def _host_alone(cls, host: str) -> str:
        # It is shown in logs, so no login may stand in it.
        if not host.isprintable() or any(char in host for char in "@/ "):
            message = "wants the name or address alone; user, password, port and path have keys of their own"
            raise ValueError(message)
        return host

    def where(self) -> str:
        """This place as logs and pages show it; never with a secret."""
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.kind}://{user}{self.host}{port}/{self.path.lstrip('/')}"
