"""One connection's client: how it proves who it is, and the visit that it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import asyncssh

from transload import log
from transload.accounts import Login
from transload.config.server import SftpServer
from transload.errors import Busy, TransloadError
from transload.servers.base import Gate, Visit
from transload.servers.sftp.channel import Channel
from transload.servers.sftp.pools import Pools
from transload.servers.sftp.talk import Talk

T = TypeVar("T")

_WRONG, _KEYS, _CHANNELS = 3, 20, 8
"""Wrong logins, keys that are not the user's, and channels at once, that one connection may have."""


class Caller(asyncssh.SSHServer):
    """Whoever is at the other end. Lives in the event loop; what asks the gate runs in a thread."""

    def __init__(self, gate: Gate, settings: SftpServer, loop: asyncio.AbstractEventLoop, pools: Pools) -> None:
        """A caller yet to be asked who it is."""
        self._gate, self._settings, self._loop, self._pools = gate, settings, loop, pools
        self.visit: Visit | None = None
        self.talks: set[Talk] = set()
        self.since = loop.time()
        self.partial = False
        self._address = ""
        self._proved: tuple[str, str] | None = None
        self._asking: asyncio.Future[object] | None = None
        self._wrong = self._shown = 0
        self._gone = False

    # --- what asyncssh calls

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """The connection is there."""
        self._conn = conn
        self._address = str(conn.get_extra_info("peername")[0])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the channels have been told before
        """The connection is gone."""
        self._gone = True
        if self.visit is not None:
            self.visit.close()

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - nobody comes in without proof
        """Who it is must be proved."""
        return True

    def password_auth_supported(self) -> bool:
        """Passwords are a proof."""
        return True

    def public_key_auth_supported(self) -> bool:
        """So are keys, until one has been shown where both are wanted."""
        return self._proved is None

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether `username` may show `key`; that it has it is proved later."""
        may = await self._ask(self._has_key, username, spelled(key))
        self._shown += not may
        if self._shown > _KEYS:
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Too many keys")
        return may

    async def validate_password(self, username: str, password: str) -> bool:
        """Log in with a password, and with the key that was proved before, if any."""
        key = self._proved[1] if self._proved and self._proved[0] == username else None
        return await self._admit(Login("sftp", self._address, username, password=password, key=key))

    async def proved(self, username: str, key: str) -> bool:
        """Log in with a key that the client has proved to have; or go on to the password, where that is wanted too."""
        if await self._ask(self._methods, username) == "key+password":
            self._proved, self.partial = (username, key), True
            return False
        return await self._admit(Login("sftp", self._address, username, key=key))

    def wrong(self) -> None:
        """A proof was wrong. Raises DisconnectError when it was the last try."""
        self._wrong += 1
        if self._wrong >= _WRONG:
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Login incorrect")

    def session_requested(self) -> tuple[Channel, Talk] | bool:
        """A channel for SFTP."""
        if self.visit is None or len(self.talks) >= _CHANNELS:
            return False
        talk = Talk(self.visit, self._loop, self._pools, self._talked)
        self.talks.add(talk)
        return Channel.of(self._conn, self._loop), talk

    # --- asking the gate

    async def _ask(self, question: Callable[..., T], *about: object) -> T:
        """The answer, from a thread. One question at a time: each may cost a thread and a password hash."""
        if self._asking is not None and not self._asking.done():
            raise asyncssh.DisconnectError(asyncssh.DISC_PROTOCOL_ERROR, "One login at a time")
        answer = self._loop.run_in_executor(self._pools.logins, question, *about)
        self._asking = answer  # type: ignore[assignment]
        return await asyncio.shield(answer)

    def _has_key(self, user: str, key: str) -> bool:
        try:
            return self._gate.has_key(user, key)
        except TransloadError as error:
            raise _not_now() from error

    def _methods(self, user: str) -> str:
        try:
            return self._gate.methods(user)
        except TransloadError as error:
            raise _not_now() from error

    async def _admit(self, login: Login) -> bool:
        try:
            visit = await self._ask(self._enter, login)
        except Busy as error:
            raise _not_now() from error
        except TransloadError:
            self.wrong()  # the gate has noted why; the client is not told
            return False
        self.visit = visit
        self.since = self._loop.time()
        return True

    def _enter(self, login: Login) -> Visit:
        """In a thread. A client that has gone meanwhile leaves no visit behind."""
        try:
            visit = self._gate.admit(login)
        except TransloadError:
            raise
        except Exception as error:
            log.get("transload.sftp").exception("a login failed", user=login.user)
            raise Busy("not now") from error
        with suppress(RuntimeError):  # the server has stopped, and its loop is closed
            self._loop.call_soon_threadsafe(self._too_late, visit)
        if self._gone:  # a loop that has ended does not look any more
            visit.close()
        return visit

    def _too_late(self, visit: Visit) -> None:
        if self._gone and visit is not self.visit:
            visit.close()

    # --- its channels

    def _talked(self, talk: Talk) -> None:
        self.talks.discard(talk)
        self.since = self._loop.time()


def _not_now() -> asyncssh.DisconnectError:
    return asyncssh.DisconnectError(asyncssh.DISC_TOO_MANY_CONNECTIONS, "Too many sessions, or not now")


def spelled(key: asyncssh.SSHKey) -> str:
    """A public key as it stands in authorized_keys, without a comment."""
    return " ".join(key.export_public_key("openssh").decode().split()[:2])
