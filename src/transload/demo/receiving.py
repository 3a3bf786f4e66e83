"""Our own FTP server in the demo: a logger as loggers are uploads to it, and a function is told of the file, once."""

from __future__ import annotations

import ftplib
import hashlib
import io
import re
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from transload.errors import TransloadError

NAME, TEMPORARY = "Tartu_26012026_155959.csv", "Tartu_26012026_155959.$$$"
CUT = "Tartu_26012026_165959.csv"
_PATIENCE = 60.0

_CONFIG = """\
# Loggers upload by FTP to a server of our own; each file is told to a function, and kept in a folder of its site.

[transload]
data = "data"
spool = { min_free = "10MB" }
alerts = { disk = "10MB" }
modules = ["my_hooks"]

[servers.ftp]
listen = "127.0.0.1:0"

[users.observator]
password = { file = "password" }

[remotes.sites]
kind = "folder"
path = "sites"

[[routes]]
name = "sensors"
from = { server = true, match = "(?i)(?P<site>[a-z0-9]+)_\\\\d{8}_\\\\d{6}\\\\.csv" }
to = [{ remote = "sites", name = "{site}/raw/{name}" }]
"""
_HOOK = """\
from pathlib import Path
from transload import on_received

@on_received("sensors")
def on_file_received(file):
    with Path(__file__).with_name("told.txt").open("a") as told:
        print(file.id, file.name, file.size, file.sha256, file.user, file.client, file=told)
"""


class Site:
    """A folder with a config, and `transload up` in it."""

    def __init__(self, folder: Path, command: list[str], env: dict[str, str]) -> None:
        """Written below `folder`; `command` starts `up` with the environment `env`."""
        self.folder = folder / "sensors"
        self._command, self._env = command, env
        self._word = secrets.token_urlsafe(12)
        self._up: subprocess.Popen[str] | None = None
        self.port = 0
        self.folder.mkdir()
        (self.folder / "transload.toml").write_text(_CONFIG)
        (self.folder / "my_hooks.py").write_text(_HOOK)
        (self.folder / "password").write_text(self._word)

    def up(self) -> None:
        """Begin, and return once the server listens."""
        self._up = subprocess.Popen(
            self._command, cwd=self.folder, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        out: IO[str] | None = self._up.stdout
        said: list[str] = []
        for line in out or ():
            said.append(line)
            found = re.search(r"server=ftp port=(\d+)", line)
            self.port = int(found[1]) if found else self.port
            if " transload: up " in line:
                return
        raise TransloadError(f"the demo's own server did not start: {''.join(said).strip()}")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end, or kill it; gives its process number."""
        if self._up is None:
            return 0
        self._up.send_signal(number)
        self._up.communicate()
        pid, self._up = self._up.pid, None
        return pid

    def logger(self) -> ftplib.FTP:
        """A client as loggers have it, logged in."""
        ftp = ftplib.FTP()
        ftp.connect("127.0.0.1", self.port, timeout=_PATIENCE)
        ftp.login("observator", self._word)
        return ftp

    def cut(self, data: bytes) -> None:
        """Upload half of a file, and be gone."""
        ftp = self.logger()
        ftp.voidcmd("TYPE I")
        with ftp.transfercmd(f"STOR {CUT}") as line:
            line.sendall(data[: len(data) // 2])
            ftp.close()

    def told(self) -> list[list[str]]:
        """What the function was told: id, name, size, hash, user, client."""
        with suppress(FileNotFoundError):
            return [line.split() for line in (self.folder / "told.txt").read_text().splitlines()]
        return []

    def wait(self) -> bool:
        """Wait until the file is told and in the folder of its site; whether it is."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if self.told() and (self.folder / "sites/Tartu/raw" / NAME).exists():
                return True
            time.sleep(0.02)
        return False

    def whole(self, data: bytes) -> bool:
        """Whether the folder of the site holds exactly that file, and the function was told of it alone, once, with the right hash."""
        files = {path.relative_to(self.folder / "sites").as_posix(): path.read_bytes() for path in (self.folder / "sites").rglob("*.*")}
        told = [one[1:4] for one in self.told()]
        return files == {f"Tartu/raw/{NAME}": data} and told == [[NAME, str(len(data)), hashlib.sha256(data).hexdigest()]]


def readings() -> bytes:
    """A logger's file."""
    rows = "".join(f"26-01-2026 {hour:02}:{minute:02}:00,4.{minute % 10},7.1\n" for hour in range(24) for minute in range(0, 60, 5))
    return ("TimeStamp,Temp C,pH\ndd-mm-yyyy hh:mm:ss,C,pH\n" + rows).encode()


def sent(ftp: ftplib.FTP, name: str, data: bytes) -> str:
    """The server's answer to an upload."""
    return ftp.storbinary(f"STOR {name}", io.BytesIO(data)).splitlines()[-1]
