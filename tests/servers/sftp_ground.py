"""An SFTP server over a real gate, homes, landing, ledger and spool; and the clients that are let loose on it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.sshd import make_key
from transload.accounts import Account
from transload.accounts.passwords import hashed
from transload.config import Config
from transload.config.server import SftpServer
from transload.ledger import Ledger
from transload.servers.gate import Gate
from transload.servers.home import Homes
from transload.servers.landing import FolderLanding, LedgerLanding
from transload.servers.pace import Paces
from transload.servers.sftp import SftpDoor
from transload.servers.sftp.files import Incoming
from transload.servers.visit import Stays
from transload.spool import Spool

USER, PASSWORD = "ann", "open sesame, please"
_HASH = hashed(PASSWORD)


class Ground:
    """A server at `port` on loopback; `home` is the folder of USER, who has PASSWORD and `key`. `plain` is a landing without a ledger."""

    def __init__(self, work: Path | None = None, *, plain: bool = False, settings: dict[str, Any] | None = None, **account: Any) -> None:
        self.work = work or Path(tempfile.mkdtemp(prefix="sftp-ground-"))
        self.work.chmod(0o755)
        self.key = make_key(self.work / "id")
        self.ledger = Ledger(f"sqlite:///{self.work}/ledger.db")
        self.spool = Spool(self.work / "spool", min_free=0, keep=0)
        (self.work / "transload.toml").write_text('[servers.sftp]\nlisten = "127.0.0.1:2022"\n')
        config = Config.load(self.work / "transload.toml")
        self.received = 0
        self.landing: FolderLanding | LedgerLanding = (
            FolderLanding(self.work / "inbox") if plain else LedgerLanding(config, self.ledger, self.spool, "here", self._wake)
        )
        self.homes, self.paces = Homes(self.work / "inbox"), Paces()
        self.gate = Gate(self.ledger.people, self.ledger.bans, Stays(self.homes, self.landing, self.paces))
        self.public = " ".join(self.key.with_suffix(".pub").read_text().split()[:2])
        self.add(USER, **account)
        self.door = SftpDoor(SftpServer(**{"listen": "127.0.0.1:0", **(settings or {})}), self.gate, self.work / "keys")
        self.door.start()
        self.port = self.door.port
        self.home = self.work / "inbox" / USER
        self.home.mkdir(parents=True, exist_ok=True)

    def _wake(self) -> None:
        self.received += 1

    def add(self, name: str, **account: Any) -> None:
        """Make a user, or another one of that name."""
        given = {"password": _HASH, "keys": (self.public,), "home": name, **account}
        self.ledger.people.put(Account(name=name, **given))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop it and remove all that it left."""
        self.gate.close()
        self.door.stop()
        self.landing.close()
        self.spool.close()
        self.ledger.close()
        shutil.rmtree(self.work, ignore_errors=True)

    # clients

    def options(self) -> list[str]:
        """What OpenSSH's programs must be told."""
        return [
            *("-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-F", "none"),
        ]

    def sftp(self, *commands: str, user: str = USER, fails: bool = False, options: tuple[str, ...] = ()) -> str:
        """Let OpenSSH's sftp do `commands`; what it says."""
        done = subprocess.run(
            ["sftp", "-b", "-", "-P", str(self.port), *self.options(), *options, f"{user}@127.0.0.1"],
            input="\n".join(commands),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.work,
        )
        assert fails == (done.returncode != 0), done.stdout + done.stderr
        return done.stdout + done.stderr

    def incoming(self) -> list[Incoming]:
        """The uploads under way at this moment."""
        callers = [line.caller for line in tuple(self.door._lines) if line.caller]
        return [one for caller in callers for talk in tuple(caller.talks) for one in talk.requests.incoming]

    @staticmethod
    def until(true: Callable[[], object], within: float = 20.0) -> None:
        """Wait until `true` is."""
        last = time.monotonic() + within
        while not true():
            assert time.monotonic() < last
            time.sleep(0.01)

    def file(self, name: str, size: int = 1000) -> Path:
        """A file to be sent, of random bytes, outside the home."""
        path = self.work / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path


def sha256(data: bytes) -> str:
    """As `sha256sum` prints it."""
    return hashlib.sha256(data).hexdigest()
