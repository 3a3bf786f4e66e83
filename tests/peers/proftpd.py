"""ProFTPD, out of .peers/proftpd (its package refuses to stand beside vsftpd's) or the machine's own."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from tests.peers.base import INSTALLED, USER, Peer, program

# PASSWORD as crypt(3) SHA-512 with the salt "transload".
CRYPTED = "$6$transload$HnF8oH/XAPJtW.q2elHhjqooCuf1zFZRT8.sfE1pGkuvN/kGP.dy32mdEwWnieSfBlWmrU1M/tPyCI1wlBmOl1"
SETTINGS = """\
ServerName "ProFTPD"
ServerType standalone
DefaultAddress 127.0.0.1
Port {port}
SocketBindTight on
User {user}
Group {group}
UseReverseDNS off
UseIPv6 off
AuthOrder mod_auth_file.c
AuthUserFile {work}/passwd
AuthGroupFile {work}/group
RequireValidShell off
RootLogin on
DefaultRoot ~
Umask 022 022
AllowOverwrite on
AllowStoreRestart on
AllowRetrieveRestart on
TimesGMT on
MaxInstances 60
MaxLoginAttempts 100
ScoreboardFile {work}/scoreboard
PidFile {work}/proftpd.pid
SystemLog {work}/system.log
TransferLog none
WtmpLog off
DelayEngine off
LangEngine off
{more}
"""


class Proftpd(Peer):
    """ProFTPD over `root` (chrooted as root) for USER with PASSWORD; `more` is text for its configuration."""

    name = "proftpd"

    def __init__(self, root: Path | None = None, *, more: str = "") -> None:
        """Serve `root`, or a temporary folder."""
        self.program = program("proftpd", INSTALLED / "proftpd/usr/sbin")
        super().__init__(root)
        self.more = more

    def start(self) -> None:
        """Start it; returns when it accepts."""
        number, group = os.geteuid(), os.getegid()
        users = self.work / "passwd"
        users.write_text(f"{USER}:{CRYPTED}:{number}:{group}::{self.root}:/bin/false\n")
        users.chmod(0o600)
        groups = self.work / "group"
        groups.write_text(f"all:x:{group}:{USER}\n")
        groups.chmod(0o600)
        settings = self.work / "proftpd.conf"
        names = {"user": pwd.getpwuid(number).pw_name, "group": grp.getgrgid(group).gr_name}
        more = self.more if number == 0 else self.more + "\nDefaultRoot none"
        settings.write_text(SETTINGS.format(port=self.port, work=self.work, more=more, **names))
        libraries = INSTALLED / "proftpd/usr/lib/x86_64-linux-gnu"
        self.spawn([self.program, "-n", "-q", "-c", str(settings)], env={"LD_LIBRARY_PATH": str(libraries)} if libraries.is_dir() else None)

    def log(self) -> str:
        """What it wrote."""
        return (
            super().log() + (self.work / "system.log").read_text("utf-8", "replace")
            if (self.work / "system.log").exists()
            else super().log()
        )
