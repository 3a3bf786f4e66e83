"""What our servers show to prove who they are: an SSH host key and a TLS certificate, made where they are missing."""

from __future__ import annotations

import base64
import fcntl
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from transload import disk
from transload.config.server import FtpServer, Server, SftpServer
from transload.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

HOST_KEY, CERTIFICATE, KEY = "host_ed25519", "server.crt", "server.key"
_VALID = timedelta(days=2 * 365)
_LOOPBACK = ("127.0.0.1", "::1")


class Pair(NamedTuple):
    """A certificate (PEM, with its chain) and its private key."""

    certificate: Path
    key: Path


def host_key(folder: Path) -> Path:
    """The private SSH host key (Ed25519) in `folder`, made if it is not there; raises ConfigError where it cannot be."""
    path = folder / HOST_KEY
    with _alone(folder):
        if not path.exists():
            _make_host_key(path)
    refuse_open(path)
    return path


def certificate(folder: Path) -> Pair:
    """The certificate in `folder` with its key, made if both are missing: signed by itself, for this host, for two years.

    Raises ConfigError when one is there without the other, and when they cannot be used.
    """
    pair = Pair(folder / CERTIFICATE, folder / KEY)
    with _alone(folder):
        there = [path for path in pair if path.exists()]
        if not there:
            _make_certificate(pair)
        elif len(there) == 1:
            lacking = pair.key if there[0] == pair.certificate else pair.certificate
            raise ConfigError(f"{there[0]} is there, but {lacking} is not: put it back, or remove both and they are made anew")
    check_pair(pair)
    return pair


def check_pair(pair: Pair) -> None:
    """Raise ConfigError, in one line, unless these are a certificate and its key, which only their owner can read."""
    for path in pair:
        _refuse_unreadable(path)
    refuse_open(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password at hand OpenSSL would ask for one on the terminal.
        context.load_cert_chain(pair.certificate, pair.key, password="")
    except (OSError, ValueError) as error:
        told = "the key is not the certificate's" if "MISMATCH" in str(error) else "wanted are a PEM certificate and a PEM key in clear"
        raise ConfigError(f"{pair.certificate} and {pair.key} cannot be used: {told}") from error


def refuse_open(path: Path) -> None:
    """Raise ConfigError when everybody on this machine can get at the private key `path`."""
    _refuse_unreadable(path)
    if path.stat().st_mode & stat.S_IRWXO:
        raise ConfigError(f"{path} is a private key that everybody on this machine can get at: chmod o-rwx {path}")


def ready(settings: Server, folder: Path) -> list[Path]:
    """The files by which a server with these settings is known; those in `folder`, if it names none, are made if need be.

    Raises ConfigError when one of them cannot be used.
    """
    if isinstance(settings, SftpServer):
        for path in settings.host_keys:
            refuse_open(path)
        return list(settings.host_keys) or [host_key(folder)]
    if not isinstance(settings, FtpServer) or settings.tls == "off":
        return []
    if settings.certificate is None or settings.key is None:
        pair = certificate(folder)
    else:
        pair = Pair(settings.certificate, settings.key)
        check_pair(pair)
    return [*pair, *([settings.client_ca] if settings.client_ca else [])]


def public_line(path: Path) -> str:
    """The public half of an SSH host key, as known_hosts has it: "ssh-ed25519 AAAA..."."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} is no private SSH key without passphrase") from error
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def fingerprint(line: str) -> str:
    """What `ssh-keygen -l` calls a public key: "SHA256:..."."""
    from hashlib import sha256

    return "SHA256:" + base64.b64encode(sha256(base64.b64decode(line.split()[1])).digest()).decode().rstrip("=")


def valid_until(certificate: Path) -> datetime:
    """Until when the first certificate of the file holds; raises ConfigError when it is none."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise ConfigError(f"{certificate} is no PEM certificate") from error


def _refuse_unreadable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """In the folder, made for its owner alone, with no other process making keys there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise ConfigError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _make_host_key(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    disk.replace_file(path, made, 0o600)


def _make_certificate(pair: Pair) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    # The key first: a death in between leaves a key alone, and the next start says so.
    disk.replace_file(pair.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    disk.replace_file(pair.certificate, _signed(key, _hosts()).public_bytes(Encoding.PEM), 0o644)


def _hosts() -> list[str]:
    return list(dict.fromkeys(("localhost", socket.gethostname(), *_LOOPBACK)))


def _signed(key: EllipticCurvePrivateKey, hosts: list[str]) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.now(UTC)
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[1][:64] if len(hosts) > 1 else hosts[0])])
    names = [x509.IPAddress(ip_address(host)) if host in _LOOPBACK else x509.DNSName(host) for host in hosts]
    made = x509.CertificateBuilder().subject_name(title).issuer_name(title).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + _VALID)
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return made.sign(key, hashes.SHA256())
