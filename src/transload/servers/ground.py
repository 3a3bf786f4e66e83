"""What the library's servers in one folder share while one of them runs: who may come in, homes, rates, and where files land."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

from transload.accounts.file import FileBans, FilePeople
from transload.config.server import Servers
from transload.errors import ConfigError
from transload.protocols import Arrived
from transload.servers.calling import Calls
from transload.servers.gate import Gate, doors, temper
from transload.servers.home import Homes
from transload.servers.landing import FolderLanding
from transload.servers.pace import Paces
from transload.servers.visit import Stays

_RATES = "upload_rate", "download_rate"


class Ground:
    """One for each folder and process."""

    _all: ClassVar[dict[Path, Ground]] = {}
    _joining: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, root: Path, people: FilePeople, state: Path) -> None:
        """For the servers in `root`, whose users are `people`."""
        self._root = root
        self.servers = Servers()
        self._calls: dict[str, Calls] = {}
        self._landing = FolderLanding(root, self._arrived)
        self._paces = Paces()
        self.gate = Gate(people, FileBans(state / "bans.json"), Stays(Homes(root), self._landing, self._paces))

    @classmethod
    def join(cls, root: Path, name: str, servers: Servers, people: FilePeople, state: Path) -> Ground:
        """The ground of `root`, with the server "ftp" or "sftp" of `servers` on it; ConfigError when it has one of that name already."""
        with cls._joining:
            real = root.resolve()
            ground = cls._all.get(real) or cls(root, people, state)
            if getattr(ground.servers, name) is not None:
                raise ConfigError(f"{root} has an {name.upper()} server in this program already")
            # Whoever says nothing of rates leaves those that hold here as they are.
            kept = {key: getattr(ground.servers, key) for key in _RATES if getattr(servers, key) is None}
            ground.change(ground.servers.model_copy(update={name: getattr(servers, name)}), servers.model_copy(update=kept))
            cls._all[real] = ground
            return ground

    def leave(self, name: str) -> None:
        """That server is closed; with the last one what has come lands, and functions end."""
        with self._joining:
            self.change(self.servers.model_copy(update={name: None}), self.servers)
            last = not self.servers.any
            if last:
                del self._all[self._root.resolve()]
        if last:
            self._landing.close()
            self.gate.close()
        calls = self._calls.pop(name, None)
        if calls is not None:
            calls.close()

    def tell(self, name: str, calls: Calls) -> None:
        """What comes in by that server is told to `calls` from now on."""
        before, self._calls[name] = self._calls.get(name), calls
        if before is not None:
            before.close()

    def change(self, servers: Servers, rates: Servers) -> None:
        """It has these servers now, and all users together these rates."""
        self.servers = servers.model_copy(update={"upload_rate": rates.upload_rate, "download_rate": rates.download_rate})
        self.gate.change(doors(self.servers), temper(self.servers.bans))
        self._paces.change(self.servers.upload_rate, self.servers.download_rate)

    def _arrived(self, arrived: Arrived) -> None:
        calls = self._calls.get("sftp" if arrived.protocol == "sftp" else "ftp")
        if calls is not None:
            calls(arrived)
