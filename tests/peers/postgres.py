"""PostgreSQL in a temporary folder, durable as in production; runs as the user postgres when we are root."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.peers.base import Peer, PeerMissing, program

_numbers = itertools.count(1)


class Postgres(Peer):
    """A server; `url()` makes a new, empty database and gives its SQLAlchemy URL; `stop()` is a crash, `start()` the recovery."""

    name = "postgres"

    def __init__(self) -> None:
        """Find the programs; nothing runs yet."""
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        self.initdb, self.psql = program("initdb", *places), program("psql", *places)
        self.program = program("postgres", *places)
        super().__init__()
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.data = self.work / "data"
        self.sockets = self.work / "sockets"

    def start(self) -> None:
        """Make the cluster, if there is none yet, and start it; returns when it accepts."""
        if not self.data.exists():
            for folder in (self.data, self.sockets):
                folder.mkdir(0o700)
                self._give_away(folder)
            make = [self.initdb, "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
            subprocess.run(self._as_user(make), check=True, capture_output=True, cwd=self.work)
        settings = {"port": self.port, "listen_addresses": self.host, "unix_socket_directories": self.sockets, "max_connections": 200}
        flags = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.spawn(self._as_user([self.program, "-D", str(self.data), *flags]))
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop it as a crash would: no checkpoint, all connections cut (SIGQUIT)."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()
            self.process = None

    def url(self, *, socket: bool = False) -> str:
        """The URL of a new, empty database; by its unix socket on request."""
        name = f"test_{next(_numbers)}"
        self.run(f"CREATE DATABASE {name}")
        if socket:
            return f"postgresql+psycopg://postgres@/{name}?host={self.sockets}&port={self.port}"
        return f"postgresql+psycopg://postgres@{self.host}:{self.port}/{name}"

    def run(self, statement: str, database: str = "postgres") -> str:
        """What psql says to a statement, bare."""
        command = [
            self.psql,
            "-X",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            self.host,
            "-p",
            str(self.port),
            "-U",
            "postgres",
            "-d",
            database,
        ]
        done = subprocess.run([*command, "-c", statement], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def _wait_until_ready(self) -> None:
        # The port accepts before recovery has ended; psql itself is refused until then.
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                self.run("SELECT 1")
            except subprocess.CalledProcessError as error:
                said = error.stderr
            else:
                return
        message = f"postgres is not ready: {said}"
        raise RuntimeError(message)

    def _give_away(self, folder: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(folder, self.user)

    def _as_user(self, command: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return command
        try:
            user = pwd.getpwnam(self.user)
        except KeyError as error:
            message = "there is no user postgres to run PostgreSQL as (root may not)"
            raise PeerMissing(message) from error
        return [program("setpriv"), f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--", *command]
