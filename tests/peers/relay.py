"""A wire that can break: a TCP relay in a thread that cuts, stalls, or refuses when told."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.peers.base import HOST

BLOCK = 65536
PATIENCE = 20


class Relay:
    """Carries connections from `port` to another port of loopback.

    `down_left` and `up_left` are the bytes that may still pass to the client and to the server (None = all); when they are
    used up and the one they went to has read them (a reset throws away what it has not), every connection is reset and new ones
    are refused until `mend()`. `cut()` does that now. With `stall = True` nothing is reset: the bytes just stop. `carried` counts
    both ways.
    """

    def __init__(self, port: int) -> None:
        """Relay to `port`."""
        self.target = port
        self.host = HOST
        self.down_left: int | None = None
        self.up_left: int | None = None
        self.stall = False
        self.carried = 0
        self.broken = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((HOST, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones."""
        self.broken.set()
        with self._lock:
            lines, self._open = self._open, set()
        for line in lines:
            _reset(line)

    def mend(self) -> None:
        """Let new connections through, without a limit."""
        self.down_left = self.up_left = None
        self.stall = False
        self.broken.clear()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.broken.is_set():
                _reset(client)
                continue
            try:
                server = socket.create_connection((HOST, self.target))
            except OSError:
                _reset(client)
                continue
            with self._lock:
                broken = self.broken.is_set()
                self._open |= set() if broken else {client, server}
            if broken:
                _reset(client)
                _reset(server)
                continue
            threading.Thread(target=self._carry, args=(server, client, "down_left"), daemon=True).start()
            threading.Thread(target=self._carry, args=(client, server, "up_left"), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, left: str) -> None:
        with suppress(OSError):
            while data := source.recv(BLOCK):
                with self._lock:
                    allowed = getattr(self, left)
                    if allowed is not None:
                        setattr(self, left, max(allowed - len(data), 0))
                    self.carried += len(data)
                sink.sendall(data if allowed is None else data[:allowed])
                if allowed is not None and allowed <= len(data):
                    if self.stall:
                        self._over.wait()
                    _until_read(sink)
                    self.cut()
                    return
            sink.shutdown(socket.SHUT_WR)


def _until_read(line: socket.socket) -> None:
    """Wait until the program at the other end has read all that was sent to it."""
    host, port = line.getpeername()
    its = f"{socket.inet_aton(host)[::-1].hex().upper()}:{port:04X}"
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines() if its in row]
        if not any(int(row[4].partition(":")[2], 16) for row in rows if row[1] == its):
            return
        time.sleep(0.001)


def _reset(line: socket.socket) -> None:
    with suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # A reader in another thread holds the descriptor open until it is woken.
        line.shutdown(socket.SHUT_RD)
    line.close()
