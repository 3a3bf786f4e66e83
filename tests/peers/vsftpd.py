"""vsftpd: plain, explicit TLS with session reuse required, or implicit TLS; needs root."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tests.peers.base import Peer, need_root, program
from tests.peers.certificates import Pair, certificates
from tests.peers.pam import make_service

EMPTY = Path("/run/vsftpd/empty")
SETTINGS = """\
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=NO
local_enable=YES
guest_enable=YES
guest_username=root
virtual_use_local_privs=YES
pam_service_name={service}
local_root={root}
chroot_local_user=YES
allow_writeable_chroot=YES
secure_chroot_dir={empty}
write_enable=YES
local_umask=022
mdtm_write=YES
use_localtime=NO
xferlog_enable=NO
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
max_login_fails=100
delay_failed_login=0
{more}"""
TLS = """\
ssl_enable=YES
allow_anon_ssl=NO
force_local_data_ssl=YES
force_local_logins_ssl=YES
ssl_tlsv1=YES
require_ssl_reuse=YES
strict_ssl_read_eof=YES
strict_ssl_write_shutdown=NO
ssl_ciphers=HIGH
rsa_cert_file={certificate}
rsa_private_key_file={key}
implicit_ssl={implicit}
"""


class Vsftpd(Peer):
    """vsftpd over `root` (chrooted), for USER with PASSWORD; `tls` is "off", "explicit" or "implicit", both with session reuse required.

    `more` is text for its configuration, one "key=value" a line.
    """

    name = "vsftpd"

    def __init__(
        self,
        root: Path | None = None,
        *,
        tls: Literal["off", "explicit", "implicit"] = "off",
        certificate: Pair | None = None,
        more: str = "",
    ) -> None:
        """Serve `root`, or a temporary folder."""
        self.program = program("vsftpd")
        need_root("vsftpd")
        super().__init__(root)
        self.tls, self.more = tls, more
        self.certificate = certificate or certificates().good
        self.service: Path | None = None

    def start(self) -> None:
        """Start it; returns when it accepts."""
        EMPTY.mkdir(parents=True, exist_ok=True)
        self.service = self.service or make_service("vsftpd", self.work)
        tls = TLS.format(certificate=self.certificate.cert, key=self.certificate.key, implicit="YES" if self.tls == "implicit" else "NO")
        more = (tls if self.tls != "off" else "") + self.more
        settings = self.work / "vsftpd.conf"
        settings.write_text(SETTINGS.format(port=self.port, service=self.service.name, root=self.root, empty=EMPTY, more=more))
        self.spawn([self.program, str(settings)])

    def close(self) -> None:
        """Stop it and remove all that it needed."""
        if self.service is not None:
            self.service.unlink(missing_ok=True)
        super().close()
