"""clamd over TCP and a Unix socket, with one signature: EICAR, wherever it lies; ready in a moment.

with Clamd() as clamd:                                  # .socket (a path), .host, .port
with Clamd({"ConcurrentDatabaseReload": "yes"}) as clamd:   # other settings than SETTINGS
    clamd.signatures(27483, Worm=b"...")                # version 27483 of its signatures, with these bytes in it, from now on
"""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
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

    def signatures(self, version: int, **bad: bytes) -> None:
        """EICAR and these bytes (six at least), by the names given, under that version: what clamd knows when this returns.

        Wants `ConcurrentDatabaseReload yes`: without it clamd first waits for its idle threads to end, half a minute.
        """
        lines = [f"{hashlib.md5(data).hexdigest()}:{len(data)}:{name}\n" for name, data in ({"None": b"no such file"} | bad).items()]
        place = self.work / "signatures" / "daily.cud"
        # Beside and renamed: clamd may be looking.
        place.with_suffix(".new").write_bytes(_database(version, "".join(lines).encode()))
        place.with_suffix(".new").rename(place)
        self.say(b"RELOAD")
        while f"/{version}/" not in self.say(b"VERSION"):
            time.sleep(0.01)

    def say(self, command: bytes) -> str:
        """What it answers to a command."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.socket))
            line.sendall(b"z%s\0" % command)
            return line.recv(1000).decode()


def _database(version: int, hashes: bytes) -> bytes:
    """A "daily" of signatures in ClamAV's own container, unsigned: that has a version."""
    head = f"ClamAV-VDB:21 Nov 2026 09-00 +0000:{version}:1:90:{'x' * 32}:x:tests:1795230000"
    info = f"{head}\ndaily.hdb:{len(hashes)}:{hashlib.sha256(hashes).hexdigest()}\n".encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as files:
        for name, data in (("COPYING", b"none\n"), ("daily.info", info), ("daily.hdb", hashes)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            files.addfile(member, io.BytesIO(data))
    return head.encode().ljust(512) + made.getvalue()


def _accepts(path: Path, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.connect(str(path))
            return
        time.sleep(0.01)
    message = f"clamd does not accept at {path}"
    raise RuntimeError(message)
