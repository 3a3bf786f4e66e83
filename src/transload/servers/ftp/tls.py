"""TLS as our FTP server speaks it: from 1.2 on, for FTP only, with a certificate that can be renewed while it runs."""

from __future__ import annotations

import ssl
from pathlib import Path

from transload.config.server import FtpServer
from transload.errors import ConfigError
from transload.servers import keys

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!SHA1"


class Contexts:
    """The TLS contexts of one server."""

    def __init__(self, settings: FtpServer, folder: Path) -> None:
        """As `settings` say; the certificate in `folder`, made if need be, when they name none. Raises ConfigError."""
        self._settings, self._folder = settings, folder
        self._shared = self._made()

    def reload(self) -> None:
        """Read certificate, key and authorities again; raises ConfigError, and the old ones stay."""
        self._shared = self._made()

    def for_session(self) -> ssl.SSLContext:
        """The context of one session's connections. What was resumed in a context of its own was that session's."""
        try:
            return self._made() if self._settings.require_tls_reuse else self._shared
        except ConfigError:  # just being renewed
            return self._shared

    def _made(self) -> ssl.SSLContext:
        settings = self._settings
        if settings.certificate is None or settings.key is None:
            pair = keys.certificate(self._folder)
        else:
            pair = keys.Pair(settings.certificate, settings.key)
            keys.check_pair(pair)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        # A connection that ends without TLS's word for it may have been cut: that must not look like an end.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["ftp"])
        try:
            context.load_cert_chain(pair.certificate, pair.key, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(f"{pair.certificate} and {pair.key} cannot be used") from error
        if settings.client_ca is not None:
            try:
                context.load_verify_locations(settings.client_ca)
            except (OSError, ValueError) as error:
                raise ConfigError(f"servers.ftp.client_ca: {settings.client_ca} cannot be read, or holds no PEM certificates") from error
            context.verify_mode = ssl.CERT_OPTIONAL
        return context
