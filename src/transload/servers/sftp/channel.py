"""An SSH channel for SFTP."""

from __future__ import annotations

import asyncio
from typing import cast

import asyncssh
from asyncssh.packet import UInt32

from transload.servers.sftp.quick import Bytes, Quick, Taker

_WINDOW = 4 * 1024 * 1024
_PACKET = 256 * 1024 - 1024
"""What one packet may bring, the most that OpenSSH sends: each costs us much the same whatever its size."""
_DATA = 94


class Channel(Taker):
    """A channel that copies little, and remembers nothing which a client may send without end. Lives in the event loop."""

    @classmethod
    def of(cls, conn: asyncssh.SSHServerConnection, loop: asyncio.AbstractEventLoop) -> Channel:
        """A channel of `conn`."""
        conn._update_recv_pktlen(_PACKET)  # noqa: SLF001 - as `create_server_channel` does, which makes only its own kind
        return cls(conn, loop, False, False, False, 0, 0, None, "strict", _WINDOW, _PACKET)

    def write(self, data: Bytes, datatype: int | None = None) -> None:
        """Send `data`, now or as soon as the client takes more. Raises BrokenPipeError when the channel is closed."""
        if self._send_state != "open":
            raise BrokenPipeError("the channel is closed")
        if not self._send_buf and self._sent_at_once(data):
            return
        self._send_buf.append((memoryview(data), datatype))  # type: ignore[arg-type] # only `_flush_send_buf` looks at it
        self._send_buf_len += len(data)
        self._flush_send_buf()

    def _sent_at_once(self, data: Bytes) -> bool:
        size, to = len(data), self._send_chan
        if to is None or size > self._send_window or size > self._send_pktsize or not cast("Quick", self._conn).send_data(to, (data,)):
            return False
        self._send_window -= size
        return True

    def take(self, data: memoryview) -> None:
        """Hand on what has come, as `_accept_data` does."""
        left = self._recv_window - len(data)
        if self._recv_paused or self._send_state != "open" or left < _WINDOW // 2 or self._session is None:
            self._accept_data(data)  # type: ignore[arg-type]
            return
        self._recv_window = left
        self._session.data_received(data, None)  # type: ignore[arg-type]

    def _flush_send_buf(self) -> None:
        pieces: list[Bytes] = []
        while self._send_buf and self._send_window:
            room = min(self._send_window, self._send_pktsize)
            data, datatype = self._send_buf[0]
            if len(data) > room:
                self._send_buf[0] = data[room:], datatype
                data = data[:room]
            else:
                del self._send_buf[0]
            self._send_window -= len(data)
            self._send_buf_len -= len(data)
            pieces.append(data)
        if pieces and self._send_chan is not None and not cast("Quick", self._conn).send_data(self._send_chan, pieces):
            for piece in pieces:
                self.send_packet(_DATA, UInt32(len(piece)), bytes(piece))
        super()._flush_send_buf()  # its loop has nothing left to do; the end of the channel is what it does

    def _process_env_request(self, packet: object) -> bool:  # noqa: ARG002 - variables are for shells, and could fill the memory
        return True
