"""The partners of the demo: their folders, their servers, their secrets; all in one temporary folder."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from transload.demo import files
from transload.demo.serving import azurite
from transload.errors import ConfigError, TransloadError

SOURCES = ("ftp", "sftp", "web")
_NEEDED = {"moto": "moto", "flask": "moto", "pyftpdlib": "pyftpdlib", "OpenSSL": "pyopenssl"}


@dataclass
class Partners:
    """Servers over folders below `place`; `with` starts and stops them. `ports` tells where each listens."""

    place: Path
    azure: bool = field(default_factory=lambda: bool(azurite()))
    ports: dict[str, int] = field(default_factory=dict)
    host_key: str = ""
    _running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    @property
    def kinds(self) -> list[str]:
        """The servers that are started."""
        return [*SOURCES, "ftps", "s3", *(["azure"] if self.azure else [])]

    def root(self, kind: str) -> Path:
        """The folder that a server serves."""
        return self.place / "partners" / kind

    def __enter__(self) -> Self:
        missing = sorted({package for module, package in _NEEDED.items() if find_spec(module) is None})
        if missing:
            raise ConfigError(f"the demo's own servers need {', '.join(missing)}: pip install 'transload[demo]'")
        for kind in self.kinds:
            self.root(kind).mkdir(parents=True)
        self._make_secrets(self.place / "partners" / "secrets")
        files.plant(self.root("ftp"), "ftp", files.of_ftp())
        files.plant(self.root("sftp"), "sftp", files.of_sftp())
        files.plant(self.root("web"), "web", files.of_web())
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._running.values():
            server.communicate()

    def _start(self) -> None:
        for kind in self.kinds:
            command = [sys.executable, "-W", "ignore", "-m", "transload.demo.serving", kind, str(self.root(kind))]
            with (self.place / "partners" / f"{kind}.log").open("wb") as log:
                server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
            self._running[kind] = server
        for kind, server in self._running.items():
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                said = (self.place / "partners" / f"{kind}.log").read_text("utf-8", "replace").strip().splitlines()
                raise TransloadError(f"the demo's {kind} server did not start: {said[-1] if said else 'it said nothing'}")
            self.ports[kind] = int(line)

    def sent(self, kind: str) -> int:
        """How many times this partner's server was asked for a file so far, by its own account."""
        journal = self.root(kind).with_suffix(".journal")
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def _make_secrets(self, folder: Path) -> None:
        import asyncssh

        folder.mkdir(mode=0o700)
        (folder / "password").write_text(secrets.token_urlsafe(12) + "\n")
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(folder / "host_key")
        self.host_key = " ".join(key.export_public_key().decode().split()[:2])
        _certificate(folder)
        for path in folder.iterdir():
            os.chmod(path, 0o600)


def _certificate(folder: Path) -> None:
    """server.pem with its key, signed by itself, and server.crt to trust."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a partner of the demo")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = (
        made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    )
    hosts = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    cert = made.add_extension(hosts, critical=False).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.crt").write_bytes(cert)
    (folder / "server.pem").write_bytes(key.private_bytes(*form) + cert)
