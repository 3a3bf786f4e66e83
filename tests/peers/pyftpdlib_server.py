"""pyftpdlib in a process of its own: with or without MLSD, SIZE, MDTM, REST; any encoding; LIST in Unix or DOS style."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tests.peers.base import HOST, PASSWORD, USER, Peer


class PyftpdlibServer(Peer):
    """FTP over `root` (which is "/") for USER with PASSWORD; verbs in `without` are unknown to it."""

    name = "pyftpdlib"

    def __init__(
        self, root: Path | None = None, *, without: Iterable[str] = (), encoding: str = "utf-8", style: Literal["unix", "dos"] = "unix"
    ) -> None:
        """Serve `root`, or a temporary folder."""
        super().__init__(root)
        self.without, self.encoding, self.style = tuple(without), encoding, style

    def start(self) -> None:
        """Start it; returns when it accepts."""
        wants = ["--port", str(self.port), "--root", str(self.root), "--without", ",".join(self.without)]
        self.spawn([sys.executable, "-W", "ignore", "-m", __name__, *wants, "--encoding", self.encoding, "--style", self.style])


def dos_line(path: str, name: str) -> str:
    """A line of a listing as a server on Windows writes it."""
    facts = os.stat(path)
    what = "<DIR>         " if stat.S_ISDIR(facts.st_mode) else f"{facts.st_size:>20}"
    return f"{datetime.fromtimestamp(facts.st_mtime, UTC):%m-%d-%y  %I:%M%p}       {what:<14} {name}\r\n"


def main(port: int, root: str, without: set[str], encoding: str, style: str) -> None:
    """Serve until killed."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    class Files(AbstractedFS):  # type: ignore[misc]
        def format_list(self, basedir: Any, listing: Any, ignore_err: bool = True) -> Any:
            if style != "dos":
                yield from super().format_list(basedir, listing, ignore_err)
                return
            for name in listing:
                yield dos_line(os.path.join(basedir, name), name).encode(encoding, "surrogateescape")

    class Line(FTPHandler):  # type: ignore[misc]
        proto_cmds = {verb: facts for verb, facts in FTPHandler.proto_cmds.items() if verb not in without}  # noqa: RUF012
        use_gmt_times = True
        unicode_errors = "surrogateescape"
        auth_failed_timeout = 0

    users = DummyAuthorizer()
    users.add_user(USER, PASSWORD, root, perm="elradfmwMT")
    Line.authorizer = users
    Line.abstracted_fs = Files
    Line.encoding = encoding
    server = FTPServer((HOST, port), Line, backlog=128)
    # A crowd is let in: half the connections are those for data.
    server.max_cons = 4096
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    wants = argparse.ArgumentParser()
    wants.add_argument("--port", type=int)
    for name in ("root", "without", "encoding", "style"):
        wants.add_argument(f"--{name}")
    given = wants.parse_args()
    main(given.port, given.root, set(given.without.split(",")), given.encoding, given.style)
