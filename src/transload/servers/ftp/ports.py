"""How data connections come about: at a port of ours, or at one of the client's."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from transload.accounts.addresses import network, plain
from transload.config.server import FtpServer
from transload.errors import ConfigError
from transload.servers.ftp.loop import READ, WRITE, Channel, Loop

if TYPE_CHECKING:
    from transload.servers.ftp.session import Session

_PATIENCE = 5.0
"""Seconds that a client waits for a port when all of the range are taken."""
_BACKLOG = 5


class Ports:
    """Our ports for passive data connections. Each is taken only until the client has come: a few serve many transfers."""

    def __init__(self, settings: FtpServer, loop: Loop) -> None:
        """As `settings` say; raises ConfigError when the public address is none."""
        self._loop = loop
        self._free: list[int] | None = None
        if settings.passive_ports is not None:
            first, _, last = settings.passive_ports.partition("-")
            self._free = list(range(int(first), int(last) + 1))
            random.shuffle(self._free)
        told = settings.public_address
        self._public = {"default": told} if isinstance(told, str) else dict(told or {})
        self._public = {net: _resolved(address) for net, address in self._public.items()}
        self._nets = sorted((net for net in self._public if net != "default"), key=lambda net: -network(net).prefixlen)
        self._waiting: deque[Callable[[socket.socket | None], None]] = deque()

    def public(self, client: str, local: str) -> str:
        """The IPv4 address that a client at the address `client` is told."""
        found = ipaddress.ip_address(client) if self._nets else None
        for net in self._nets:
            if found in network(net):
                return self._public[net]
        return self._public.get("default", local)

    def ask(self, local: str, then: Callable[[socket.socket | None], None]) -> None:
        """A socket that listens at a free port of the address `local`, as soon as there is one; None when none gets free for long."""
        found = self._opened(local)
        if found is not None or self._free is None or len(self._waiting) > 1000:
            then(found)
            return

        def once(_: socket.socket | None = None) -> None:
            with suppress(ValueError):
                self._waiting.remove(once)
                then(self._opened(local))

        self._waiting.append(once)
        self._loop.later(_PATIENCE, once)

    def give_back(self, door: socket.socket, port: int) -> None:
        """That client has come, or will not come."""
        door.close()
        if self._free is not None:
            self._free.append(port)
            if self._waiting:
                self._waiting[0](None)

    def _opened(self, local: str) -> socket.socket | None:
        door = socket.socket(socket.AF_INET6 if ":" in local else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if self._free is None:
                door.bind(_at(local, 0))
            elif not self._bound(door, local):
                door.close()
                return None
            door.listen(_BACKLOG)
        except OSError:
            door.close()
            return None
        return door

    def _bound(self, door: socket.socket, local: str) -> bool:
        """Whether one of the range could be had. Ports that others use are left where they are: they may get free."""
        assert self._free is not None  # noqa: S101 - asked before
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for at, port in enumerate(self._free):
            try:
                door.bind(_at(local, port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
            else:
                del self._free[at]
                return True
        return False


class Awaiting(Channel):
    """A port of ours at which one client's data connection is awaited."""

    def __init__(self, session: Session, door: socket.socket) -> None:
        """From now on."""
        super().__init__(session.loop)
        self._session, self._door = session, door
        self.port = int(door.getsockname()[1])
        self.strangers = 0
        self.since = time.monotonic()
        self.watch(door.fileno(), READ)

    def ready_to_read(self) -> None:
        try:
            line, address = self._door.accept()
        except OSError:
            return
        session = self._session
        if address[0] != session.address and session.hall.settings.data_from_same_address and plain(str(address[0])) != session.address:
            line.close()
            self.strangers += 1
            return
        session.awaiting = None
        self.close()
        session.connected(line)

    def close(self) -> None:
        if self._fileno >= 0:
            self.forget()
            self._session.hall.ports.give_back(self._door, self.port)


class Calling(Channel):
    """A data connection to a port of the client's, on its way."""

    def __init__(self, session: Session, address: str, port: int) -> None:
        """Call; the session is told how that went."""
        super().__init__(session.loop)
        self._session = session
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._line = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with suppress(OSError):  # several addresses of ours: the client may know us by this one alone
            self._line.bind(_at(session.local + session.zone, 0))
        if self._line.connect_ex(_at(address + session.zone, port)) not in (0, errno.EINPROGRESS):
            self._line.close()
            session.loop.later(0, session.not_connected)
            return
        self.watch(self._line.fileno(), WRITE)

    def ready_to_write(self) -> None:
        wrong = self._line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not wrong:
            try:
                self._line.getpeername()
            except OSError:
                return  # not yet: that was meant for another descriptor
        self.unwatch()
        self._session.calling = None
        if wrong:
            self._line.close()
            self._session.not_connected()
        else:
            self._session.connected(self._line)

    ready_to_read = ready_to_write

    def close(self) -> None:
        if self._fileno >= 0:
            super().close()
            self._line.close()


def _at(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """The address and the port as a socket takes them, with the number of the interface behind which the address is one."""
    host, _, zone = address.partition("%")
    return (host, port, 0, int(zone)) if zone else (host, port)


def _resolved(address: str) -> str:
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(address, None, socket.AF_INET)[0][4][0])
    except OSError as error:
        raise ConfigError(f'servers.ftp.public_address: "{address}" is no IPv4 address, nor the name of one') from error
