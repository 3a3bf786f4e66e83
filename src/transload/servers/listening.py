"""The socket at which a server listens."""

from __future__ import annotations

import socket

from transload.errors import ConfigError

BACKLOG = 1024


def listening(key: str, address: str) -> socket.socket:
    """A socket that listens at "host:port" and never blocks; ConfigError names `key` and why it cannot be had."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        door.bind((host.strip("[]"), int(port)))
        door.listen(BACKLOG)
    except OSError as error:
        door.close()
        raise ConfigError(f"servers.{key}: {address}: {error.strerror or error}") from error
    return door
