"""Certificates for tests: an authority of our own, a server's for localhost, an expired one, and those of a foreign authority."""

from __future__ import annotations

import atexit
import shutil
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


class Pair:
    """A certificate with its key in one PEM file `path`; `cert` and `key` are files with one of them each."""

    def __init__(self, folder: Path, name: str, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """Write the files `name`.pem, `name`.crt and `name`.key."""
        self.x509, self.secret = cert, key
        self.path, self.cert, self.key = (folder / f"{name}.{suffix}" for suffix in ("pem", "crt", "key"))
        shown = cert.public_bytes(serialization.Encoding.PEM)
        hidden = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.cert.write_bytes(shown)
        self.key.write_bytes(hidden)
        self.path.write_bytes(hidden + shown)
        self.key.chmod(0o600)
        self.path.chmod(0o600)

    def server(self) -> ssl.SSLContext:
        """A server's TLS context with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path)
        return context


class Certificates:
    """`ca` (a file to trust), `good`, `expired`, `elsewhere` (another host's name), and `foreign` (of an authority nobody trusts)."""

    def __init__(self, folder: Path | None = None) -> None:
        """Make them all in `folder`."""
        self.folder = folder or Path(tempfile.mkdtemp(prefix="peer-certificates-"))
        authority = self._authority("ca")
        self.ca = authority.cert
        self.good = self._server("good", authority)
        self.expired = self._server("expired", authority, since=-20 * DAY, until=-10 * DAY)
        self.elsewhere = self._server("elsewhere", authority, hosts=("elsewhere.example",), addresses=())
        self.foreign = self._server("foreign", self._authority("foreign-ca"))

    def _authority(self, name: str) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        title = _title(f"Transload tests {name}")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        made = _begun(title, title, key, -DAY, 3650 * DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).add_extension(usage, critical=True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return Pair(self.folder, name, made.sign(key, hashes.SHA256()), key)

    def _server(
        self,
        name: str,
        authority: Pair,
        *,
        since: timedelta = -DAY,
        until: timedelta = 3650 * DAY,
        hosts: tuple[str, ...] = ("localhost",),
        addresses: tuple[IPv4Address | IPv6Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1")),
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([*map(x509.DNSName, hosts), *map(x509.IPAddress, addresses)])
        made = _begun(_title(hosts[0]), authority.x509.subject, key, since, until).add_extension(alternatives, critical=False)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.secret.public_key()), critical=False)
        return Pair(self.folder, name, made.sign(authority.secret, hashes.SHA256()), key)


@cache
def certificates() -> Certificates:
    """The certificates of this process, made once and removed at its end."""
    made = Certificates()
    atexit.register(shutil.rmtree, made.folder, ignore_errors=True)
    return made


def _title(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _begun(
    title: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, since: timedelta, until: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(title).issuer_name(issuer).public_key(key.public_key())
    return made.serial_number(x509.random_serial_number()).not_valid_before(now + since).not_valid_after(now + until)
