"""The gate in the demo: a virus in every wrapping, a real clamd that knows it alone, and whoever hears of it."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Self

from transload.errors import TransloadError
from transload.steps.archives.zipcrypto import Decrypter

# EICAR, the harmless test virus, in pieces, so that no scanner takes this file for it.
_EICAR = b"".join((b"X5O!P%@AP[4", b"\\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-", b"ANTIVIRUS-TEST", b"-FILE!$H+H*"))
_PATIENCE = 30.0
_LOCKED = "locked.zip"

_CONFIG = """\
# Nothing unchecked goes on: archives are opened, every file is scanned, what is bad is kept apart, and somebody hears of it.

[transload]
data = "data"
spool = {{ min_free = "10MB" }}
alerts = {{ disk = "10MB" }}

[remotes.partner]
kind = "folder"
path = "in"

[remotes.archive]
kind = "folder"
path = "archive"

[notify.somebody]
command = ["{python}", "hear.py"]
on = ["quarantined", "failed"]

[[routes]]
name = "gate"
from = {{ remote = "partner", settle = "0s" }}
steps = [{{ kind = "unpack" }}, {{ kind = "scan", clamd = "unix:{socket}" }}]
to = [{{ remote = "archive" }}]
attempts = 1
notify = ["somebody"]
"""
_HEAR = """\
import sys
with open("heard.jsonl", "a") as heard:
    heard.write(sys.stdin.read() + "\\n")
"""


def clamd() -> str | None:
    """The scanner's program, if it is installed."""
    return shutil.which("clamd") or shutil.which("clamd", path="/usr/sbin:/usr/local/sbin")


class Gate:
    """A folder with a config, a partner's files, and clamd; `with` starts and stops it."""

    def __init__(self, place: Path, program: str) -> None:
        """Written below `place`; `program` is clamd."""
        self.folder, self._program = place / "gate", program
        self._socket = self.folder / "clamd.ctl"
        self._clamd: subprocess.Popen[bytes] | None = None
        self.good = {"good.csv": b"1,2\n", "good/a.csv": b"3,4\n", "good/b.csv": b"5,6\n"}
        self.bad = {
            "bare.csv": _EICAR,
            "report.pdf": _EICAR,
            "one.zip": _zip(clean=b"7,8\n", evil=_EICAR),
            "deep.tar.gz": _tar_gz("inner.zip", _zip(evil=_EICAR)),
        }

    def __enter__(self) -> Self:
        (self.folder / "in").mkdir(parents=True)
        (self.folder / "transload.toml").write_text(_CONFIG.format(python=sys.executable, socket=self._socket))
        (self.folder / "hear.py").write_text(_HEAR)
        archive = {"good.csv": self.good["good.csv"], "good.zip": _zip(a=self.good["good/a.csv"], b=self.good["good/b.csv"])}
        for name, data in (archive | self.bad | {_LOCKED: _locked("evil.csv", _EICAR, b"known to the partner")}).items():
            (self.folder / "in" / name).write_bytes(data)
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._clamd is not None:
            self._clamd.kill()
            self._clamd.wait()

    def _start(self) -> None:
        (self.folder / "signatures").mkdir()
        (self.folder / "signatures" / "own.ndb").write_text(f"Eicar-Test-Signature:0:*:{_EICAR.hex()}\n")
        settings = {"Foreground": "yes", "LocalSocket": self._socket, "DatabaseDirectory": self.folder / "signatures"}
        settings |= {"AlertExceedsMax": "yes", "AlertEncrypted": "yes", "PidFile": self.folder / "clamd.pid"}
        conf = self.folder / "clamd.conf"
        conf.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        with (self.folder / "clamd.log").open("wb") as log:
            self._clamd = subprocess.Popen([self._program, "--config-file", str(conf)], stdout=log, stderr=log, env=os.environ)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until and self._clamd.poll() is None:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
                line.connect(str(self._socket))
                return
            time.sleep(0.02)
        said = (self.folder / "clamd.log").read_text("utf-8", "replace").strip().splitlines()
        raise TransloadError(f"the demo's clamd did not start: {said[-1] if said else 'it said nothing'}")

    def heard(self) -> list[str]:
        """The texts of the messages that somebody got."""
        with suppress(FileNotFoundError):
            return [json.loads(line)["text"] for line in (self.folder / "heard.jsonl").read_text().splitlines()]
        return []

    def delivered(self) -> dict[str, bytes]:
        """What lies at the destination."""
        root = self.folder / "archive"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _zip(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.csv", data)
    return made.getvalue()


def _tar_gz(name: str, data: bytes) -> bytes:
    made, member = io.BytesIO(), tarfile.TarInfo(name)
    member.size = len(data)
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


def _locked(name: str, data: bytes, password: bytes) -> bytes:
    """A zip with a password, which Python's own module can read and not write (APPNOTE 6.1)."""
    made, turn = io.BytesIO(), Decrypter(password)
    check = zlib.crc32(data)
    plain = os.urandom(11) + bytes([check >> 24]) + data
    # What a zero byte would be turned into is the mask; the real byte is then turned, so that the next mask is right.
    secret = b"".join(_encrypted(turn, byte) for byte in plain)
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(name, secret)
    told = bytearray(made.getvalue())
    for at in (0, told.index(b"PK\1\2") + 2):
        told[at + 6] |= 1
        told[at + 14 : at + 18] = check.to_bytes(4, "little")
        told[at + 22 : at + 26] = len(data).to_bytes(4, "little")
    return bytes(told)


def _encrypted(turn: Decrypter, byte: int) -> bytes:
    made = bytes([byte ^ copy.copy(turn)(b"\0")[0]])
    turn(made)
    return made
