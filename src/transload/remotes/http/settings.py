"""The settings of web addresses as a source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from transload.errors import Rejected
from transload.model import Name
from transload.remotes.base import RemoteSettings
from transload.remotes.http.address import Address, suffix
from transload.remotes.http.session import HttpSession
from transload.remotes.http.web import Web
from transload.secret import RelativePath, Secret
from transload.units import ByteSize, Duration

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = {"host", "range", "if-range", "accept-encoding", "content-length", "transfer-encoding", "connection", "te", "upgrade", "expect"}
_SECRET = {"authorization", "cookie", "proxy-authorization", "x-api-key"}
_PROXIES = ("http", "socks4", "socks5", "socks5h")


class Expected(BaseModel):
    """What may be said of all files at once, or of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    twice: Duration | None = Field(None, description="Fetch again after this time; a difference means that it was still being written.")
    max_size: ByteSize | None = Field(None, gt=0, description="A larger file is refused.")
    content_type: tuple[str, ...] = Field((), description="Only these content types are taken, such as text/csv; any when empty.")
    refuse_html: bool | None = Field(None, description="Refuse a web page in place of a file; by default unless the URL ends in .html.")
    encoded: bool = Field(default=False, description="Take what comes with a Content-Encoding as it is, still encoded.")
    query: dict[str, str | Secret] = Field(default_factory=dict, description="Added to the URL's query; the place for a key as a secret.")

    @field_validator("content_type", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class HttpFile(Expected):
    """One file: where it is, and what is expected of it."""

    url: Address
    marker: Address | None = Field(None, description="A small file that holds the epoch second at which the data changed.")

    @property
    def refuses_html(self) -> bool:
        """Whether a web page in its place is an error."""
        return suffix(self.url).lower() not in (".html", ".htm", ".xhtml") if self.refuse_html is None else self.refuse_html


class HttpRemote(RemoteSettings, Expected):
    """Files at web addresses: `files = { key = "url" }`; the key names the file, whatever the server calls it."""

    session: ClassVar[type] = HttpSession

    kind: Literal["http"] = "http"
    files: dict[str, HttpFile] = Field(min_length=1, description="Key to URL, or to a table of url, marker, twice, ...")
    user: str = ""
    password: Secret | None = None
    token: Secret | None = Field(None, description="Sent as a bearer token.")
    headers: dict[str, str | Secret] = Field(default_factory=dict, description="Sent to the hosts of the URLs, and to no other.")
    ca: RelativePath | None = Field(None, description="PEM file of the authorities to trust instead of the system's.")
    cert: RelativePath | None = Field(None, description="PEM file of our client certificate.")
    key: Secret | None = Field(None, description="Its private key in PEM; may stand in the certificate's file.")
    key_password: Secret | None = None
    insecure: bool = Field(default=False, description="Do not check certificates.")
    allow_private: bool = Field(default=False, description="Let redirects lead to private, loopback and link-local addresses.")
    proxy: str | None = Field(None, description="http://user@host:port, socks4:// or socks5://; its password stands in proxy_password.")
    proxy_password: Secret | None = None

    @field_validator("files", mode="before")
    @classmethod
    def _plain_url(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: {"url": file} if isinstance(file, str) else file for key, file in value.items()}
        return value

    @field_validator("headers")
    @classmethod
    def _headers_are_safe(cls, headers: dict[str, str | Secret]) -> dict[str, str | Secret]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name) or name.lower() in _OURS:
                message = f"{name!r} is not a header that can be set"
                raise ValueError(message)
            if isinstance(value, str) and name.lower() in _SECRET:
                message = f'{name} is a secret: write it as a reference such as {{ env = "NAME" }}'
                raise ValueError(message)
            if isinstance(value, str) and not (value.isprintable() and value.isascii()):
                message = f"the value of {name} holds characters that a header cannot"
                raise ValueError(message)
        return headers

    @field_validator("proxy")
    @classmethod
    def _proxy_is_one(cls, proxy: str | None) -> str | None:
        if proxy is None:
            return None
        parts = urlsplit(proxy)
        if parts.scheme not in _PROXIES or not parts.hostname:
            message = "wants http://host:port, socks4://host:port or socks5://host:port"
            raise ValueError(message)
        if parts.password is not None:
            message = "no password in a URL: set proxy_password instead"
            raise ValueError(message)
        return proxy

    @model_validator(mode="after")
    def _fits_together(self) -> HttpRemote:
        fault = self._fault()
        if fault:
            raise ValueError(fault)
        return self

    def _fault(self) -> str:
        if self.password and not self.user:
            return "password without user"
        logins = [bool(self.token), bool(self.user), any(name.lower() == "authorization" for name in self.headers)]
        if sum(logins) > 1:
            return "only one of user, token and headers.Authorization"
        return "key without cert" if self.key and not self.cert else self._unnamed()

    def _unnamed(self) -> str:
        names: dict[Name, str] = {}
        for key in self.files:
            try:
                name = self.name(key)
            except Rejected as error:
                return f"files: {error}"
            if name in names:
                return f"files: {names[name]!r} and {key!r} would both be called {name.text}"
            names[name] = key
        return ""

    def name(self, key: str) -> Name:
        """What the file under `key` is called: the key, and the URL's suffix where the key does not have it."""
        Name(key)
        ending = suffix(self.files[key].url)
        return Name(key if key.lower().endswith(ending.lower()) else key + ending)

    def expected(self, key: str) -> HttpFile:
        """The file under `key`, with what was said of all files where nothing was said of this one."""
        file = self.files[key]
        said = {field: getattr(self, field) for field in Expected.model_fields if field not in file.model_fields_set}
        return file.model_copy(update=said | {"query": self.query | file.query})

    @contextmanager
    def connect(self) -> Iterator[HttpSession]:
        """A session; hosts are connected to when they are first asked, and connections kept until its end."""
        with Web(self) as web:
            yield HttpSession({key: (self.name(key), self.expected(key)) for key in self.files}, web)

    def where(self) -> str:
        """This place as logs and pages show it; never with a secret."""
        hosts = dict.fromkeys("{0.scheme}://{0.netloc}".format(urlsplit(file.url)) for file in self.files.values())
        return ", ".join(list(hosts)[:3]) + (", ..." if len(hosts) > 3 else "")
