"""A folder with servers of ours in its config, begun and asked by the command line."""

from __future__ import annotations

import signal
import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import transload
from tests.commanding import Begun, Place
from tests.peers.base import free_port
from transload.servers import keys

WORD = "pass-word-canary-12"
CONFIG = """
[transload]
data = "data"
spool = {{ min_free = "1MB" }}
{servers}
[users.first]
password = {{ file = "word" }}
{user}
[remotes.archive]
kind = "folder"
path = "out"
[[routes]]
name = "received"
from = {{ server = true{source} }}
to = [{{ remote = "archive"{to} }}]
{route}
"""


class Site(Place):
    """`doors` are the servers in the config, each with what its table says beside `listen`; `more` goes where CONFIG has room."""

    def __init__(self, folder: Path, *, doors: dict[str, str] | None = None, **more: str) -> None:
        super().__init__(folder)
        self._doors, self._more = doors or {"ftp": "", "sftp": ""}, more
        self.ports = {name: free_port() for name in self._doors}
        (folder / "word").write_text(WORD)
        self.write()

    def write(self, *, doors: dict[str, str] | None = None, **more: str) -> None:
        """Write the config, with these changes."""
        said = self._doors | (doors or {})
        servers = "\n".join(f'[servers.{name}]\nlisten = "127.0.0.1:{port}"\n{said[name]}' for name, port in self.ports.items())
        self.config(CONFIG.format(**{"user": "", "source": "", "to": "", "route": "", **self._more, **more, "servers": servers}))

    def up(self, *words: str) -> Begun:
        """`up`, which serves when this returns."""
        begun = self.begin("up", *words)
        begun.until("transload: up")
        return begun

    def client(self, kind: str, *, port: int | None = None, word: str = WORD, **settings: Any) -> transload.Client:
        """Our own client at the server, which is known by its key or certificate."""
        made = self.folder / "data/keys"
        at = f"first@127.0.0.1:{port or self.ports['sftp' if kind == 'sftp' else 'ftp']}"
        if kind == "sftp":
            return transload.connect(f"sftp://{at}", password=word, host_key=keys.public_line(made / "host_ed25519"), **settings)
        if kind == "ftps":
            return transload.connect(f"ftpes://{at}", password=word, ca=made / "server.crt", **settings)
        return transload.connect(f"ftp://{at}", password=word, **settings)


def killed(begun: Begun, number: int = signal.SIGKILL) -> None:
    """End it as told, and wait until it is gone."""
    begun.process.send_signal(number)
    begun.process.communicate(timeout=60)


def certificate_at(port: int) -> bytes:
    """The certificate that the FTP server at this port shows now."""
    with closing(socket.create_connection(("127.0.0.1", port), 20)) as line:
        line.recv(1000)
        line.sendall(b"AUTH TLS\r\n")
        line.recv(1000)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(line) as secured:
            return secured.getpeercert(binary_form=True) or b""
