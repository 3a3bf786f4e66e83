"""The servers alone, for a program of one's own: no config, no ledger; in background threads, several in one process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ValidationError

from transload.accounts.file import FilePeople
from transload.accounts.users import Users, fault_lines
from transload.config.server import FtpServer as FtpSettings
from transload.config.server import Server, Servers
from transload.config.server import SftpServer as SftpSettings
from transload.errors import ConfigError
from transload.protocols import Arrived
from transload.servers.calling import AGAIN, Calls, is_called
from transload.servers.doors import Doors
from transload.servers.ground import Ground
from transload.servers.sound import check_account

F = TypeVar("F", bound=Callable[[Arrived], object])
STATE = ".transload"
"""What servers keep in their folder: users, bans, keys."""
_TURN = 3600.0
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - nobody can log in before a user is added


M = TypeVar("M", bound=BaseModel)


class _Server:
    """What both kinds of server do."""

    _name: ClassVar[str]
    _settings: ClassVar[type[Server]]

    def __init__(
        self,
        root: str | os.PathLike[str] = "inbox",
        port: int = 0,
        *,
        host: str = _EVERYWHERE,
        upload_rate: int | str | None = None,
        download_rate: int | str | None = None,
        **settings: Any,
    ) -> None:
        """Users' homes are folders in `root`. Port 0 is any free one; see `port`. Nothing listens before `start`, or `with`.

        `upload_rate` and `download_rate` ("300KB/s", or bytes a second) are what all users of this folder may have together.
        `settings` are the other keys that such a server has in a config, such as banner, idle, sessions or passive_ports; files
        among them are relative to the working folder. Raises ConfigError.
        """
        self.root = Path(root).absolute()
        own = _checked(self._settings, {"listen": f"{f'[{host}]' if ':' in host else host}:{port}", **settings})
        rates = {key: rate for key, rate in (("upload_rate", upload_rate), ("download_rate", download_rate)) if rate is not None}
        self._servers = _checked(Servers, rates).model_copy(update={self._name: own})
        self._state = self.root / STATE
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self._state} cannot be made: {error.strerror}") from error
        self._people = FilePeople(self._state / "users.json")
        self.users = Users(self._people, self.root, self._state, again=True, check=check_account)
        self._function: Callable[[Arrived], object] | None = None
        self._doors: Doors | None = None
        self._ground: Ground | None = None
        self._changing = threading.RLock()
        self._stopped = threading.Event()
        self._stopped.set()

    def on_received(self, function: F) -> F:
        """Call `function` with an `Arrived` for each file that has wholly come by this server; also a decorator.

        It is called in threads, after the sender's "yes", a few at once; when it raises, again after a second, and later ones up to
        five times. Nobody is told twice, or after the process has died: for that, run the program with a route's `on_received`.
        """
        with self._changing:
            self._function = function
            if self._ground is not None:
                self._ground.tell(self._name, Calls(function, AGAIN))
        return function

    def start(self) -> Self:
        """Listen, in threads, and return. Raises ConfigError, such as for a port that is taken. Harmless while it runs."""
        with self._changing:
            if self._doors is not None:
                return self
            ground = Ground.join(self.root, self._name, self._servers, self._people, self._state)
            opened = Doors(self._servers, self._state / "keys", ground.gate)
            try:
                opened.start()
            except BaseException:
                ground.leave(self._name)
                raise
            if self._function is not None:
                ground.tell(self._name, Calls(self._function, AGAIN))
            self._ground, self._doors = ground, opened
            self._stopped.clear()
        return self

    def stop(self) -> None:
        """Listen no more, keep what is cut for resuming, let functions end, and return. Harmless while it does not run.

        Called by a function that is told of a file, it returns at once, and all this is done beside it: `wait` tells when.
        """
        if is_called():
            threading.Thread(target=self._stop, name="transload-stop").start()
        else:
            self._stop()

    def _stop(self) -> None:
        with self._changing:
            ground, opened, self._ground, self._doors = self._ground, self._doors, None, None
            if opened is not None and ground is not None:
                opened.stop()
                ground.leave(self._name)
            self._stopped.set()

    def wait(self) -> None:
        """Return once it is stopped; Ctrl-C raises KeyboardInterrupt as ever."""
        while not self._stopped.wait(_TURN):
            pass

    @property
    def port(self) -> int:
        """The port at which it listens; 0 while it does not."""
        opened = self._doors
        return opened.port(self._name) if opened is not None else 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class FTPServer(_Server):
    """FTP and FTPS in the folder `root`: `users` are its users, `on_received` tells of files, `with` starts and stops it.

    A certificate is made in `root` unless `certificate` and `key` name another; `tls` is "explicit", "required" or "off".
    """

    _name = "ftp"
    _settings = FtpSettings


class SFTPServer(_Server):
    """SFTP in the folder `root`: `users` are its users, `on_received` tells of files, `with` starts and stops it.

    A host key is made in `root` unless `host_keys` names others.
    """

    _name = "sftp"
    _settings = SftpSettings


def _checked(model: type[M], values: dict[str, Any]) -> M:
    try:
        return model.model_validate(values, context={"folder": Path.cwd(), "secrets": True})
    except ValidationError as error:
        raise ConfigError("; ".join(fault_lines(error))) from None


__all__ = ["FTPServer", "SFTPServer"]
