"""OpenSSH's sshd with internal-sftp: keys always, passwords as root; `forwarding=True` makes it a jump host."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

from tests.peers.base import Peer, program
from tests.peers.pam import make_service

SETTINGS = """\
ListenAddress 127.0.0.1
Port {port}
{hostkeys}
PidFile none
AuthorizedKeysFile {authorized}
StrictModes no
PermitRootLogin yes
PubkeyAuthentication yes
PasswordAuthentication {password}
KbdInteractiveAuthentication no
UsePAM {password}
UseDNS no
PrintMotd no
X11Forwarding no
AllowTcpForwarding {forwarding}
MaxStartups 1000
MaxSessions 1000
LogLevel VERBOSE
Subsystem sftp internal-sftp -d {root}
ForceCommand {command}
{more}
"""


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new key pair at `path` and `path`.pub; the path."""
    subprocess.run([program("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", path], check=True)
    return path


class Sshd(Peer):
    """sshd for `user` (who runs this) with `key` (a file; `locked_key` is one with the passphrase "open sesame") or, as root, PASSWORD.

    A login starts in `root`; "/" is the machine's. `host_key` is the line to pin ("ssh-ed25519 AAAA..."), `known_hosts` a file that has it.
    """

    name = "sshd"
    passphrase = "open sesame"

    def __init__(
        self, root: Path | None = None, *, host_keys: tuple[str, ...] = ("ed25519",), forwarding: bool = False, more: str = ""
    ) -> None:
        """Serve `root`, or a temporary folder."""
        self.program = program("sshd")
        super().__init__(root)
        self.user = getpass.getuser()
        self.passwords = os.geteuid() == 0
        self.forwarding, self.more = forwarding, more
        self.key = make_key(self.work / "key")
        self.locked_key = make_key(self.work / "locked_key", passphrase=self.passphrase)
        self.host_keys = [make_key(self.work / f"host_{kind}", kind) for kind in host_keys]
        self.service: Path | None = None

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
        called = self.program
        if self.passwords:
            Path("/run/sshd").mkdir(exist_ok=True)
            self.service = self.service or make_service("sshd", self.work, (self.user,))
            # sshd asks PAM for a service of the name that it was called by.
            link = self.work / self.service.name
            if not link.exists():
                link.symlink_to(self.program)
            called = str(link)
        authorized = self.work / "authorized_keys"
        authorized.write_text(self.key.with_suffix(".pub").read_text() + self.locked_key.with_suffix(".pub").read_text())
        settings = self.work / "sshd_config"
        settings.write_text(
            SETTINGS.format(
                port=self.port,
                hostkeys="\n".join(f"HostKey {key}" for key in self.host_keys),
                authorized=authorized,
                password="yes" if self.passwords else "no",
                forwarding="yes" if self.forwarding else "no",
                root=self.root,
                command="none" if self.forwarding else f"internal-sftp -d {self.root}",
                more=self.more,
            )
        )
        self.spawn([called, "-D", "-e", "-f", str(settings)])

    def close(self) -> None:
        """Stop it and remove all that it needed."""
        if self.service is not None:
            self.service.unlink(missing_ok=True)
        super().close()
