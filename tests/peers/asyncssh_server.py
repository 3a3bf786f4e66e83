"""An SFTP server made of asyncssh, in a process of its own: password, key, several host keys."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.peers.base import HOST, PASSWORD, USER, Peer
from tests.peers.sshd import make_key


class AsyncsshServer(Peer):
    """SFTP over `root` (which is "/") for USER with PASSWORD or `key`; `host_keys` are files, `known_hosts` a file that has them all."""

    name = "asyncssh"

    def __init__(self, root: Path | None = None, *, host_keys: tuple[str, ...] = ("ed25519", "ecdsa")) -> None:
        """Serve `root`, or a temporary folder."""
        super().__init__(root)
        self.user = USER
        self.key = make_key(self.work / "key")
        self.host_keys = [make_key(self.work / f"host_{kind}", kind) for kind in host_keys]

    @property
    def host_key(self) -> str:
        """The first host key, as it is pinned."""
        return " ".join(self.host_keys[0].with_suffix(".pub").read_text().split()[:2])

    @property
    def known_hosts(self) -> Path:
        """A known_hosts file with all host keys."""
        path = self.work / "known_hosts"
        keys = [key.with_suffix(".pub").read_text().split() for key in self.host_keys]
        path.write_text("".join(f"[{self.host}]:{self.port} {kind} {text}\n" for kind, text, *_ in keys))
        return path

    def start(self) -> None:
        """Start it; returns when it accepts."""
        places = ["--port", str(self.port), "--root", str(self.root), "--authorized", str(self.key.with_suffix(".pub"))]
        self.spawn([sys.executable, "-m", __name__, *places, *map(str, self.host_keys)])


async def serve(port: int, root: str, authorized: str, host_keys: list[str]) -> None:
    """Serve until cancelled."""
    import asyncssh

    class Doorman(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    class Files(asyncssh.SFTPServer):
        def __init__(self, line: asyncssh.SSHServerChannel[bytes]) -> None:
            super().__init__(line, chroot=root)

    server = await asyncssh.listen(
        HOST,
        port,
        server_factory=Doorman,
        server_host_keys=host_keys,
        authorized_client_keys=authorized,
        sftp_factory=Files,
        allow_scp=False,
    )
    await server.wait_closed()


if __name__ == "__main__":
    wants = argparse.ArgumentParser()
    wants.add_argument("--port", type=int)
    wants.add_argument("--root")
    wants.add_argument("--authorized")
    wants.add_argument("host_keys", nargs="+")
    given = wants.parse_args()
    asyncio.run(serve(given.port, given.root, given.authorized, given.host_keys))
