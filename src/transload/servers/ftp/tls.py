"""TLS as our FTP server speaks it: from 1.2 on, for FTP only, with a certificate that can be renewed while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transload.config.server import FtpServer
from transload.errors import ConfigError
from transload.servers import keys

if TYPE_CHECKING:
    from OpenSSL import SSL

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!SHA1"
_ALPN = b"ftp"


class Contexts:
    """The TLS contexts of one server."""

    def __init__(self, settings: FtpServer, folder: Path) -> None:
        """As `settings` say; the certificate in `folder`, made if need be, when they name none. Raises ConfigError."""
        self._settings, self._folder = settings, folder
        self._load()
        self._shared = self._made()

    def reload(self) -> None:
        """Read certificate, key and authorities again; raises ConfigError, and the old ones stay."""
        self._load()
        self._shared = self._made()

    def for_session(self) -> SSL.Context:
        """The context of one session's connections. What was resumed in a context of its own was that session's."""
        return self._made() if self._settings.require_tls_reuse else self._shared

    def _load(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        settings = self._settings
        if settings.certificate is None or settings.key is None:
            pair = keys.certificate(self._folder)
        else:
            pair = keys.Pair(settings.certificate, settings.key)
            keys.check_pair(pair)
        try:
            chain = [_pem(part) for part in _parts(pair.certificate.read_bytes())]
            loaded = [x509.load_pem_x509_certificate(part) for part in chain]
            key: Any = load_pem_private_key(pair.key.read_bytes(), None)
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f"{pair.certificate} and {pair.key} cannot be used") from error
        self._chain, self._key = loaded, key

    def _made(self) -> SSL.Context:
        from OpenSSL import SSL

        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
        context.set_cipher_list(_CIPHERS)
        context.use_certificate(self._chain[0])
        for more in self._chain[1:]:
            context.add_extra_chain_cert(more)
        context.use_privatekey(self._key)
        context.set_session_id(b"transload-ftp")
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_alpn_select_callback(_select)
        self._ask_for_certificates(context)
        return context

    def _ask_for_certificates(self, context: SSL.Context) -> None:
        authorities = self._settings.client_ca
        if authorities is None:
            return
        from OpenSSL import SSL

        try:
            context.load_verify_locations(str(authorities))
        except SSL.Error as error:
            raise ConfigError(f"servers.ftp.client_ca: {authorities} cannot be read, or holds no PEM certificates") from error
        context.set_verify(SSL.VERIFY_PEER, _verified)


def _select(_: Any, offered: list[bytes]) -> bytes:
    """Whoever offers other protocols means another server: what it says must not be taken for FTP."""
    if _ALPN not in offered:
        raise ValueError("no FTP client")
    return _ALPN


def _verified(*told: Any) -> bool:
    return bool(told[-1])


def _parts(pem: bytes) -> list[bytes]:
    return [part for part in pem.split(_END) if b"-----BEGIN CERTIFICATE-----" in part]


def _pem(part: bytes) -> bytes:
    return part[part.index(b"-----BEGIN CERTIFICATE-----") :] + _END + b"\n"


_END = b"-----END CERTIFICATE-----"
