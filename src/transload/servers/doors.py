"""All our servers in one process: doors before one gate and one landing; opened, changed and closed together."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from transload import log
from transload.errors import TransloadError
from transload.servers import keys

if TYPE_CHECKING:
    from transload.config.server import Server, Servers
    from transload.servers.base import Gate

LIVE = frozenset(
    {"banner", "idle", "stalled", "deadline", "least_rate", "login_time", "sessions", "sessions_per_address", "sessions_per_user"}
    | {"active", "data_from_same_address", "anonymous"}
)
"""Settings that an open door takes over, with all who came in by it."""
RENEWED = 30.0
"""Seconds between two looks at certificates and host keys: a new file is shown without a restart."""


class Door(Protocol):
    """One server: FTP with FTPS, or SFTP."""

    @property
    def port(self) -> int:
        """The port that it listens at."""

    def start(self) -> None:
        """Listen, and return. Raises ConfigError when the address cannot be listened at."""

    def stop(self) -> None:
        """Listen no more, answer what is being made durable, end every session, and return."""

    def adapt(self, settings: Any) -> None:
        """Go on by these settings, which differ in LIVE ones alone, for open sessions too."""

    def reload(self) -> None:
        """Read certificates or host keys again, for connections from now on. Raises ConfigError, and the old ones stay."""


class Doors:
    """The doors of one process. For any thread."""

    def __init__(self, servers: Servers, folder: Path, gate: Gate, *, renewed: float = RENEWED) -> None:
        """Nothing listens yet. `folder` has the keys that the settings do not name; `renewed` is how often they are looked at."""
        self._servers, self._folder, self._gate, self._every = servers, folder, gate, renewed
        self._open: dict[str, Door] = {}
        self._stamps: dict[str, Any] = {}
        self._over = threading.Event()
        self._changing = threading.Lock()
        self._watch = threading.Thread(target=self._watching, name="transload-keys", daemon=True)
        self._log = log.get("transload.servers")

    def start(self) -> None:
        """Open all, or none: raises ConfigError."""
        self._open_all(_settings(self._servers))
        self._watch.start()

    def stop(self) -> None:
        """Take nothing new; what is being made durable is answered, what is under way is cut and kept for resuming."""
        self._over.set()
        if self._watch.ident is not None:
            self._watch.join()
        with self._changing:
            self._close(self._open)

    def port(self, name: str) -> int:
        """The port of a door; 0 when it is not open."""
        door = self._open.get(name)
        return door.port if door is not None else 0

    def ports(self) -> dict[str, int]:
        """The ports of all doors that are open."""
        return {name: door.port for name, door in dict(self._open).items()}

    def change(self, servers: Servers) -> None:
        """Go on with these settings, or raise ConfigError, and nothing has changed.

        A door stays open, with all who came in, where its own settings are the same but for LIVE ones; another is closed and opened anew.
        """
        with self._changing:
            old, new = _settings(self._servers), _settings(servers)
            for settings in new.values():
                keys.ready(settings, self._folder)
            different = [name for name in {**old, **new} if _core(old.get(name)) != _core(new.get(name))]
            # A new door may want the address of an old one, so that is closed first; it comes back when the new one cannot be opened.
            self._close(different)
            try:
                self._open_all({name: new[name] for name in different if name in new})
            except BaseException:
                self._open_all({name: old[name] for name in different if name in old})
                raise
            self._servers = servers
            for name in new.keys() - set(different):
                self._open[name].adapt(new[name])
            self._renew(name for name in new if name not in different)

    def _open_all(self, wanted: Mapping[str, Server]) -> None:
        try:
            for name, settings in wanted.items():
                stamp = _stamp(keys.ready(settings, self._folder))
                door = _made(name, settings, self._gate, self._folder)
                door.start()
                self._open[name], self._stamps[name] = door, stamp
                self._log.info("listening", server=name, port=door.port)
        except BaseException:
            self._close(wanted)
            raise

    def _close(self, names: Iterable[str]) -> None:
        doors = [self._open.pop(name) for name in list(names) if name in self._open]
        if doors:
            with ThreadPoolExecutor(len(doors)) as pool:
                list(pool.map(lambda door: door.stop(), doors))

    # Keys that are renewed

    def renew(self) -> None:
        """Show the certificates and host keys that are there now, from now on; where they cannot be used, the old ones stay."""
        with self._changing:
            self._renew(list(self._open))

    def _watching(self) -> None:
        while not self._over.wait(self._every):
            self.renew()

    def _renew(self, names: Iterable[str]) -> None:
        for name in names:
            settings = _settings(self._servers)[name]
            try:
                stamp = _stamp(keys.ready(settings, self._folder))
                if stamp == self._stamps[name]:
                    continue
                self._open[name].reload()
            except TransloadError as error:
                if self._stamps[name] != str(error):
                    self._log.error("a new key or certificate cannot be used, the old one stays", server=name, reason=str(error))
                    self._stamps[name] = str(error)
            else:
                self._stamps[name] = stamp
                self._log.info("a new key or certificate is shown from now on", server=name)


def _made(name: str, settings: Any, gate: Gate, folder: Path) -> Door:
    if name == "sftp":
        from transload.servers.sftp import SftpDoor

        return SftpDoor(settings, gate, folder)
    from transload.servers.ftp import FtpDoor

    return FtpDoor(settings, gate, folder)


def _settings(servers: Servers) -> dict[str, Server]:
    told: dict[str, Server | None] = {"ftp": servers.ftp, "sftp": servers.sftp}
    return {name: one for name, one in told.items() if one is not None}


def _core(settings: Server | None) -> Any:
    """What no open door can take over."""
    return settings and settings.model_dump(exclude=set(LIVE))


def _stamp(paths: Iterable[Path]) -> Any:
    """What changes when one of the files does."""
    return [(path, *_identity(path.stat())) for path in paths]


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_mtime_ns, found.st_size
