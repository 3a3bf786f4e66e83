"""The FTP server: FTP, explicit and implicit FTPS beside each other, in one loop in a thread of its own."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from transload import log
from transload.accounts.addresses import plain
from transload.config.server import FtpServer
from transload.errors import Busy, ConfigError, TransloadError
from transload.servers.base import Gate
from transload.servers.ftp import watch
from transload.servers.ftp.commands import do
from transload.servers.ftp.hall import Hall
from transload.servers.ftp.loop import Entrance, Loop
from transload.servers.ftp.ports import Ports
from transload.servers.ftp.session import Session
from transload.servers.ftp.tls import Contexts
from transload.servers.listening import listening

_LOGINS, _WORK, _SUMS = 64, 4, 2
_PATIENCE, _TICK, _RUNNING = 10.0, 0.02, 2.0
_LOOK = 1.0


class FtpDoor:
    """An FTP server for whom `gate` lets in."""

    def __init__(self, settings: FtpServer, gate: Gate, keys: Path) -> None:
        """As `settings` say; `keys` is the folder of the certificate if they name none: it is made there if need be. Raises ConfigError."""
        self._settings, self._gate = settings, gate
        tls = settings.tls != "off" or settings.implicit_listen is not None
        self._contexts = Contexts(settings, keys) if tls else None
        self._doors: dict[str, socket.socket] = {}
        self._hall: Hall | None = None

    @property
    def port(self) -> int:
        """The port at which FTP listens; that of implicit FTPS when there is no other."""
        return self._port("listen") or self.implicit_port

    @property
    def implicit_port(self) -> int:
        """The port at which implicit FTPS listens; 0 when it does not."""
        return self._port("implicit_listen")

    def _port(self, name: str) -> int:
        door = self._doors.get(name)
        return int(door.getsockname()[1]) if door is not None else 0

    def start(self) -> None:
        """Listen, and return. Raises ConfigError when an address cannot be listened at."""
        settings = self._settings
        loop = Loop("transload-ftp")
        try:
            ports = Ports(settings, loop)
            for name, address in (("listen", settings.listen), ("implicit_listen", settings.implicit_listen)):
                if address is not None:
                    self._doors[name] = listening(f"ftp.{name}", address)
        except ConfigError:
            self._close_doors()
            loop.stop()
            raise
        logins, work = ThreadPoolExecutor(_LOGINS, "transload-ftp-login"), ThreadPoolExecutor(_WORK, "transload-ftp-work")
        contexts = self._contexts
        self._hall = Hall(settings, self._gate, loop, ports, contexts, logins, work, ThreadPoolExecutor(_SUMS, "transload-ftp-sum"))
        self._entrances = [
            Entrance(loop, door, partial(self._come, implicit=name == "implicit_listen")) for name, door in self._doors.items()
        ]
        loop.start()
        loop.call(self._look)

    def stop(self) -> None:
        """Listen no more, answer what is being made durable, end every session, and return."""
        hall, self._hall = self._hall, None
        if hall is None:
            return
        ended = threading.Event()
        hall.loop.call(self._end, hall, ended, time.monotonic())
        ended.wait()
        hall.logins.shutdown(wait=False)
        hall.work.shutdown()
        hall.sums.shutdown()
        hall.loop.stop()
        self._doors.clear()

    def adapt(self, settings: FtpServer) -> None:
        """Go on by these settings, which say nothing new about where and how to listen."""
        hall = self._hall
        if hall is not None:
            hall.loop.call(self._adapt, hall, settings)

    def _adapt(self, hall: Hall, settings: FtpServer) -> None:
        self._settings = hall.settings = settings

    def reload(self) -> None:
        """Read the certificate again, for connections from now on. Raises ConfigError, and the old one stays."""
        if self._contexts is not None:
            self._contexts.reload()

    reload_certificate = reload

    def _close_doors(self) -> None:
        for door in self._doors.values():
            door.close()
        self._doors.clear()

    # --- in the loop's thread

    def _come(self, line: socket.socket, address: str, *, implicit: bool) -> None:
        hall = self._hall
        if hall is None:
            line.close()
            return
        address = plain(address)
        try:
            self._gate.greet("ftp", address)
        except TransloadError as error:
            with suppress(OSError):
                if not implicit:
                    line.send(b"421 Not now: too many sessions\r\n" if isinstance(error, Busy) else b"421 Not from there\r\n")
            line.close()
            return
        try:
            Session(hall, line, address, do, implicit=implicit)
        except OSError:  # it has gone before we looked
            self._gate.gone("ftp", address)
            line.close()

    def _look(self) -> None:
        hall = self._hall
        if hall is None:
            return
        now = time.monotonic()
        for session in tuple(hall.sessions):
            watch.look(session, self._settings, now)
        settings = self._settings
        times = (settings.idle, settings.stalled, settings.deadline, settings.login_time)
        hall.loop.later(min(_LOOK, *(seconds / 4 for seconds in times)), self._look)

    def _end(self, hall: Hall, ended: threading.Event, since: float) -> None:
        for entrance in self._entrances:
            entrance.close()
        self._entrances = []
        waited = time.monotonic() - since
        for session in tuple(hall.sessions):
            try:
                if waited > _PATIENCE:
                    hall.sessions.discard(session)
                    session.close()
                elif not session.lands and (session.transfer is None or waited > _RUNNING):
                    watch.part(session, "the server stops")
            except Exception:  # noqa: BLE001 - the others must be ended all the same
                log.get("transload.ftp").exception("a session could not be ended")
        if not hall.sessions:
            for orphan in tuple(hall.orphans):
                orphan.give_up()
        if hall.sessions:
            hall.loop.later(_TICK, self._end, hall, ended, since)
        else:
            ended.set()
