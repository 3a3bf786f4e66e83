"""What all peers have in common: a free port, a folder, a process that is stopped by its pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
USER = "partner"
PASSWORD = "s3cret word"
REPOSITORY = Path(__file__).resolve().parents[2]
INSTALLED = REPOSITORY / ".peers"


class PeerMissing(Exception):
    """A foreign program is not installed here, or cannot run as this user; the message names it."""


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str, *places: Path) -> str:
    """The path of an installed program; PeerMissing says how to get it."""
    path = os.pathsep.join([*map(str, places), os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        message = f"{name} is not installed (tests/peers/install.sh installs it)"
        raise PeerMissing(message)
    return found


def need_root(name: str) -> None:
    """PeerMissing when we are not root, which `name` needs to log users in."""
    if os.geteuid() != 0:
        message = f"{name} can only be started by root"
        raise PeerMissing(message)


def children(pid: int) -> list[int]:
    """The processes that `pid` started, and those that they did."""
    with suppress(OSError):
        below = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return below + [deeper for child in below for deeper in children(child)]
    return []


class Peer:
    """A server on loopback: `with` starts and stops it; `host`, `port` and `root` (the folder that it serves) tell where."""

    name = "peer"

    def __init__(self, root: Path | None = None) -> None:
        """Serve `root`, or a temporary folder that is removed at the end."""
        self.host = HOST
        self.port = free_port()
        self.work = Path(tempfile.mkdtemp(prefix=f"peer-{self.name}-"))
        self.work.chmod(0o755)
        self.root = root or self.work / "root"
        self.root.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the server; returns when it accepts."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the server and cut its sessions; `start` starts it again at the same port over the same folder."""
        process, self.process = self.process, None
        if process is None:
            return
        # Children that serve a session would outlive it.
        serving = children(process.pid)
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in serving:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def close(self) -> None:
        """Stop the server and remove its temporary folder."""
        self.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def log(self) -> str:
        """What the server wrote to its standard output and error."""
        with suppress(FileNotFoundError):
            return (self.work / "log").read_text("utf-8", "replace")
        return ""

    def spawn(self, command: Sequence[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
        """Run the server as a child that ends with us, and wait until its port accepts."""
        if threading.current_thread() is threading.main_thread() and shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        with (self.work / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd or self.work,
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])} | (env or {}),
                start_new_session=True,
            )
        self.wait_until_it_accepts()

    def wait_until_it_accepts(self, seconds: float = 30) -> None:
        """Return when the port accepts; RuntimeError, with the server's own words, when it ends or takes too long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                break
            with suppress(OSError), socket.create_connection((self.host, self.port), 1):
                return
            time.sleep(0.01)
        message = f"{self.name} did not start at port {self.port}: {self.log()[-2000:]}"
        raise RuntimeError(message)
