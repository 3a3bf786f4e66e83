"""The real program with our servers in it: `transload up` on a config with a route from the servers into a folder, on SQLite."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests import forge
from tests.peers.base import HOST, PASSWORD, USER, Peer, children
from tests.peers.certificates import certificates
from tests.peers.sshd import make_key
from transload.servers.base import KEPT, RESERVED

PATIENCE = 40
SECRET = "TRANSLOAD_TEST_PASSWORD"


class Up(Peer):
    """FTP with explicit FTPS at `port`, implicit FTPS at `implicit`, SFTP at `sftp`, for USER with PASSWORD or the key `key`.

    What arrives is delivered to the folder `out`. `kill` and `start` as often as a test wants: folder and ports stay. `within` goes before
    the command, to have it run in a network of its own, where it listens at `host`.
    """

    name = "transload"
    user = USER

    def __init__(
        self,
        folder: Path,
        *,
        servers: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        route: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        doors: Sequence[str] = ("ftp", "sftp"),
        host: str = HOST,
        within: Sequence[str] = (),
        forked: bool = True,
    ) -> None:
        """Work in `folder`; `servers` are settings of both servers, the others of the user, the route and the program.

        It begins as a fork of what has imported all of it, unless `forked` is False.
        """
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "home")
        self.host, self.within, self.folder, self.doors = host, list(within), folder, doors
        self.forked = forked and not within
        self.port, self.implicit, self.sftp = steady_ports(3)
        self.data, self.out = folder / "data", folder / "out"
        self.config = folder / "transload.toml"
        self.key = make_key(self.work / "key")
        self.limits, self.route, self.settings, self.servers = limits or {}, route or {}, settings or {}, servers or {}
        self.write()

    def write(self) -> None:
        """Write the config as it is now."""
        pair = certificates().good
        ftp = {"listen": f"{self.host}:{self.port}", "implicit_listen": f"{self.host}:{self.implicit}"}
        ftp |= {"certificate": str(pair.cert), "key": str(pair.key)}
        user = {"password": {"env": SECRET}, "keys": [" ".join(self.key.with_suffix(".pub").read_text().split()[:2])]}
        user |= {"home": str(self.root), "permissions": "elradfmwMT", "limits": self.limits}
        doors = {"ftp": ftp, "sftp": {"listen": f"{self.host}:{self.sftp}"}}
        tables = {
            "transload": {"data": str(self.data), "spool": {"min_free": "1MB"}} | dict(self.settings),
            **{f"servers.{name}": doors[name] | dict(self.servers) for name in self.doors},
            f"users.{USER}": user,
            "remotes.out": {"kind": "folder", "path": str(self.out)},
        }
        text = "".join(
            f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items()) for name, table in tables.items()
        )
        route = {"name": "inbound", "from": {"server": True}, "to": [{"remote": "out"}]} | dict(self.route)
        self.config.write_text(text + "[[routes]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in route.items()))

    # Its life

    def start(self) -> None:
        """Start it; returns when all its ports accept."""
        words, env = ["up", "-c", str(self.config)], {SECRET: PASSWORD}
        if not self.forked:
            self.spawn([*self.within, forge.TRANSLOAD, *words], env=env, cwd=self.folder)
            return
        with (self.work / "log").open("ab") as log:
            given = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.process = forge.Forged(words, cwd=self.folder, env=os.environ | env, **given)
        self.wait_until_it_accepts()

    def wait_until_it_accepts(self, seconds: float = PATIENCE) -> None:
        """Return when it listens at all its ports."""
        assert self.process is not None
        wanted = {self.port, self.implicit} if "ftp" in self.doors else set()
        wanted |= {self.sftp} if "sftp" in self.doors else set()
        end = time.monotonic() + seconds
        while not wanted <= listening(self.process.pid):
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"transload did not start: {self.log()[-3000:]}")
            time.sleep(0.01)

    def kill(self, *, alone: bool = False) -> None:
        """kill -9; `alone` leaves what it has started to see for itself."""
        process, self.process = self.process, None
        if process is not None:
            below = [] if alone else children(process.pid)
            process.kill()
            for child in below:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """SIGTERM; it ends by itself, with 0."""
        assert self.end() in {None, 0}, self.log()[-3000:]

    def end(self, seconds: float = PATIENCE) -> int | None:
        """SIGTERM, and its exit code."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            raise

    # What it has done

    def asks(self, query: str, *values: Any) -> list[Any]:
        """What the ledger file answers, read past the program."""
        with closing(sqlite3.connect(f"file:{self.data}/ledger.db?mode=ro", uri=True)) as ledger:
            return ledger.execute(query, values).fetchall()

    def received(self) -> dict[bytes, tuple[int, str]]:
        """Every whole upload of the ledger that is in the home, with size and hash."""
        return {path: (size, digest) for path, size, digest in self.asks("select path, size, sha256 from uploads where state = 'here'")}

    def arrivals(self) -> list[tuple[bytes, int, str, str]]:
        """Path in the home, size, hash and state of all arrivals, in their order."""
        found = self.asks("select path, size, sha256, state from arrivals order by id")
        return [(path.removeprefix(f"{USER}/".encode()), *rest) for path, *rest in found]

    def delivered(self) -> dict[bytes, str]:
        """The files at the destination, with their hashes."""
        return digests(self.out)

    def held(self) -> dict[bytes, str]:
        """The whole files of the home, with their hashes: what the server keeps for itself is left out."""
        return {path: digest for path, digest in digests(self.root).items() if not os.path.basename(path).startswith(RESERVED)}

    def kept(self) -> dict[bytes, int]:
        """The cut uploads that are kept for resuming, by the names that they would have, with their sizes."""
        found = {}
        for path in _files(self.root):
            folder, base = os.path.split(path)
            if base.startswith(KEPT):
                found[os.path.join(folder, base.removeprefix(KEPT))] = os.stat(os.path.join(os.fsencode(self.root), path)).st_size
        return found

    def under_way(self) -> list[int]:
        """The sizes of the uploads that have brought something and are not over."""
        found = []
        for path in (self.data / "spool" / "parts").glob("*/*[0-9]"):
            with suppress(FileNotFoundError):
                found.append(path.stat().st_size)
        return [size for size in found if size]

    def spooled(self) -> set[str]:
        """The hashes under which bytes lie in the spool."""
        return {path.name for path in (self.data / "spool").rglob("*") if path.is_file() and len(path.name) == 64}


def steady_ports(count: int) -> list[int]:
    """So many free ports, none of which a connection of somebody's may get while nobody listens there."""
    ports, dice = set(), random.Random()
    while len(ports) < count:
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, dice.randrange(10_000, 32_000)))
            ports.add(probe.getsockname()[1])
    return sorted(ports)


def listening(pid: int) -> set[int]:
    """The ports at which somebody listens in the network of process `pid`."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, here, _, state, *_ = line.split()
            if state == "0A":
                found.add(int(here.rpartition(":")[2], 16))
    return found


def digests(folder: Path) -> dict[bytes, str]:
    """Every file below `folder`, by its path, with its hash; nothing where there is no such folder."""
    found = {}
    for path in _files(folder):
        try:
            with open(os.path.join(os.fsencode(folder), path), "rb") as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            continue  # renamed while we looked
    return found


def _files(folder: Path) -> Iterator[bytes]:
    root = os.fsencode(folder)
    for place, _, names in os.walk(root):
        for name in names:
            yield os.path.relpath(os.path.join(place, name), root)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
