"""FTP and FTPS servers, as sources and destinations."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from transload.errors import ConfigError
from transload.remotes.base import NetworkSettings
from transload.remotes.ftp.session import FtpSession
from transload.secret import RelativePath, Secret

if TYPE_CHECKING:
    from transload.remotes.ftp.control import Dial

__all__ = ["FtpRemote", "FtpSession"]


class FtpRemote(NetworkSettings):
    """An FTP server, with TLS unless it is said to be without."""

    session: ClassVar[type] = FtpSession

    kind: Literal["ftp"] = "ftp"
    tls: Literal["explicit", "implicit", "off"] = Field(
        "explicit", description="explicit (AUTH TLS), implicit (from the first byte), or off: clear text."
    )
    ca: RelativePath | None = Field(None, description="Certificates to trust instead of the system's.")
    cert: RelativePath | None = Field(None, description="Our own certificate, where the server asks for one.")
    key: RelativePath | None = Field(None, description="The key of `cert`, where it is in a file of its own.")
    key_password: Secret | None = Field(None, description="The password of `key`.")
    insecure: bool = Field(default=False, description="Do not check the server's certificate.")
    listing: Literal["auto", "mlsd", "list"] = Field("auto", description="How folders are listed; auto takes MLSD where the server has it.")

    @model_validator(mode="after")
    def _fits(self) -> FtpRemote:
        if self.tls == "off" and (self.ca or self.cert or self.insecure):
            message = 'ca, cert and insecure mean nothing with tls = "off"'
            raise ValueError(message)
        if self.key and not self.cert:
            message = "key wants cert beside it"
            raise ValueError(message)
        try:
            "".encode(self.encoding)
        except LookupError:
            message = f"{self.encoding!r} is no encoding"
            raise ValueError(message) from None
        return self

    @property
    def number(self) -> int:
        """The port."""
        return self.port or (990 if self.tls == "implicit" else 21)

    def where(self) -> str:
        """This place as logs and pages show it; never with a secret."""
        return super().where().replace("ftp:", "ftps:", 1) if self.tls != "off" else super().where()

    def context(self) -> ssl.SSLContext | None:
        """How TLS is spoken; ConfigError names a file that cannot be used."""
        if self.tls == "off":
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert:
                context.load_cert_chain(self.cert, self.key, lambda: self.key_password.reveal() if self.key_password else "")
        except OSError as error:
            message = f"{self.where()}: ca, cert or key cannot be used: {error.strerror or error}"
            raise ConfigError(message) from error
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def dialler(self) -> Dial | None:
        """How to connect through the proxy, where there is one."""
        if not self.proxy:
            return None
        from transload.remotes.proxied import dial

        return partial(dial, self.proxy, self.proxy_password)

    @contextmanager
    def connect(self) -> Iterator[FtpSession]:
        """A session, logged in; raises Unreachable, Busy or Denied."""
        session = FtpSession.opened(self)
        try:
            yield session
        finally:
            session.close()
