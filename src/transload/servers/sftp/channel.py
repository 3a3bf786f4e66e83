"""An SSH channel for SFTP."""

from __future__ import annotations

import asyncio

import asyncssh

_WINDOW = 4 * 1024 * 1024
_PACKET = 256 * 1024 - 1024
"""What one packet may bring: the most that OpenSSH sends, for each packet costs us the same whatever its size."""


class Channel(asyncssh.SSHServerChannel[bytes]):
    """A channel that remembers nothing which a client may send without end."""

    @classmethod
    def of(cls, conn: asyncssh.SSHServerConnection, loop: asyncio.AbstractEventLoop) -> Channel:
        """A channel of `conn`."""
        conn._update_recv_pktlen(_PACKET)  # noqa: SLF001 - as `create_server_channel` does, which makes only its own kind
        return cls(conn, loop, False, False, False, 0, 0, None, "strict", _WINDOW, _PACKET)

    def _process_env_request(self, packet: object) -> bool:  # noqa: ARG002 - variables are for shells, and could fill the memory
        return True
