"""The SFTP server: its socket, its loop in a thread of its own, and who is connected."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import asyncssh

from transload.config.server import SftpServer
from transload.servers.base import Gate
from transload.servers.keys import host_key
from transload.servers.listening import BACKLOG, listening
from transload.servers.sftp import algorithms, hostkeys
from transload.servers.sftp.caller import Caller
from transload.servers.sftp.line import Line
from transload.servers.sftp.pools import Pools
from transload.servers.sftp.watch import look

_LOOK = 1.0
_PATIENCE, _TICK = 10.0, 0.01


class SftpDoor:
    """An SFTP server for whom `gate` lets in."""

    def __init__(self, settings: SftpServer, gate: Gate, keys: Path) -> None:
        """As `settings` say; `keys` is the folder of the host key if they name none: it is made there if need be. Raises ConfigError."""
        self._settings, self._gate = settings, gate
        self._key_paths = settings.host_keys or (host_key(keys),)
        self._keys = hostkeys.load(self._key_paths)
        self._lines: set[Line] = set()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._socket.getsockname()[1]) if self._socket is not None else 0

    def start(self) -> None:
        """Listen, and return. Raises ConfigError when the address cannot be listened at."""
        import uvloop

        self._socket = listening("sftp.listen", self._settings.listen)
        self._loop = uvloop.new_event_loop()
        self._options = self._prepared()
        self._pools = Pools.of("transload-sftp")
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="transload-sftp", daemon=True)
        self._thread.start()
        started.wait()

    def stop(self) -> None:
        """Listen no more, answer what is being made durable, end every session, and return."""
        if self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = None
        self._pools.close()
        self._loop.close()

    def adapt(self, settings: SftpServer) -> None:
        """Go on by these settings, which say nothing new about where to listen or who we are."""
        self._settings = settings
        if self._thread is not None:
            self._options = self._prepared()

    def reload(self) -> None:
        """Read the host keys again, for connections from now on. Raises ConfigError, and the old ones stay."""
        self._keys = hostkeys.load(self._key_paths)
        if self._thread is not None:
            self._options = self._prepared()

    # --- in the loop's thread

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(self._loop.create_server(self._line, sock=self._socket, backlog=BACKLOG))
        self._loop.call_later(_LOOK, self._look)
        started.set()
        self._loop.run_forever()

    def _prepared(self) -> asyncssh.SSHServerConnectionOptions:
        return asyncssh.SSHServerConnectionOptions(
            server_factory=self._caller,
            server_host_keys=self._keys,
            config=None,
            server_version=self._settings.banner.encode("ascii", "replace").decode()[:200] or "Transload",
            kex_algs=list(algorithms.KEX),
            encryption_algs=list(algorithms.ENCRYPTION),
            mac_algs=list(algorithms.MAC),
            compression_algs=["none"],
            signature_algs=list(algorithms.SIGNATURES),
            x509_trusted_certs=None,
            gss_host=None,
            host_based_auth=False,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_pty=False,
            allow_scp=False,
            login_timeout=self._settings.login_time,
            rekey_bytes="4G",
            encoding=None,
        )

    def _caller(self) -> Caller:
        return Caller(self._gate, self._settings, self._loop, self._pools)

    def _line(self) -> Line:
        return Line(self._loop, self._options, self._gate, self._lines)

    def _look(self) -> None:
        now = self._loop.time()
        for line in tuple(self._lines):
            look(line, self._settings, now)
        self._loop.call_later(_LOOK, self._look)

    async def _end(self) -> None:
        self._server.close()
        until = self._loop.time() + _PATIENCE
        for line in tuple(self._lines):
            line.end("the server stops")
        while any(line.lands for line in self._lines) and self._loop.time() < until:  # noqa: ASYNC110 - once in a server's life
            await asyncio.sleep(_TICK)
        for line in tuple(self._lines):
            line.abort()
        await asyncio.sleep(0)
