"""clamd over TCP and a Unix socket, with one signature: EICAR, wherever it lies; ready in a moment.

with Clamd() as clamd:                          # .socket (a path), .host, .port
    clamd.signatures(...)                       # other signatures, from now on
Clamd({"StreamMaxLength": "1M"})                # other settings than SETTINGS
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.peers.base import HOST, Peer, program

# In pieces, so that no scanner takes this file for what it names.
EICAR = b"".join((b"X5O!P%@AP[4", b"\\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-", b"ANTIVIRUS-TEST", b"-FILE!$H+H*"))
SIGNATURE = "Eicar-Test-Signature"
SETTINGS = {
    "Foreground": "yes",
    "TCPAddr": HOST,
    "LocalSocketMode": "666",
    "AlertExceedsMax": "yes",
    "AlertEncrypted": "yes",
    "ConcurrentDatabaseReload": "no",
    "SelfCheck": "3600",
    "CommandReadTimeout": "5",
    "MaxThreads": "4",
}


class Clamd(Peer):
    """clamd that knows EICAR alone and tells of what it does not look into; `settings` are added to SETTINGS."""

    name = "clamd"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """Keep everything in a temporary folder."""
        self.program = program("clamd")
        super().__init__()
        self.settings = SETTINGS | dict(settings or {})
        self.socket = self.work / "clamd.ctl"
        self.signature = f"{SIGNATURE}:0:*:{EICAR.hex()}"
        self.conf = self.work / "clamd.conf"

    def start(self) -> None:
        """Start it; returns when it accepts at both places."""
        signatures = self.work / "signatures"
        signatures.mkdir(exist_ok=True)
        (signatures / "own.ndb").write_text(f"{self.signature}\n")
        own = {"TCPSocket": str(self.port), "LocalSocket": str(self.socket), "DatabaseDirectory": str(signatures)}
        self.conf.write_text("".join(f"{key} {value}\n" for key, value in (self.settings | own).items()))
        self.spawn([self.program, "--config-file", str(self.conf)])
        _accepts(self.socket)


def _accepts(path: Path, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.connect(str(path))
            return
        time.sleep(0.01)
    message = f"clamd does not accept at {path}"
    raise RuntimeError(message)
