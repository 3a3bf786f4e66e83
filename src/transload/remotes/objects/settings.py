"""What the settings of all object stores have in common."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from pydantic import Field, field_validator

from transload.errors import ConfigError
from transload.remotes.base import RemoteSettings
from transload.remotes.objects.bucket import Bucket
from transload.remotes.objects.plainly import s3_pages
from transload.remotes.objects.session import ObjectSession
from transload.secret import RelativePath, Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from obstore import ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig


class ObjectsRemote(RemoteSettings):
    """A bucket or container, or what lies below `prefix` in it.

    Names are kept as they are where the store can hold them; what it cannot hold is spelled %XX, uniquely. Folders are
    only parts of names here: one that holds nothing is an empty one.
    """

    session: ClassVar[type] = ObjectSession
    forbidden: ClassVar[str] = ""
    bare_dots: ClassVar[bool] = True
    longest: ClassVar[tuple[int, str]] = (1024, "bytes")
    copies_safely: ClassVar[bool] = True
    keeps_parts: ClassVar[bool] = True

    prefix: str = Field("", description="The folder below which sources are found and destinations written.")
    endpoint: str | None = Field(None, pattern="^https?://", description="The store's address, when it is not the provider's own.")
    parallel: int = Field(16, ge=1, le=128, description="Objects in flight at once on each connection.")
    proxy: str | None = Field(
        None,
        pattern=r"^https?://([^@/:]+@)?[^@/]+$",
        description="http://user@host:port, for all requests (no SOCKS); its password stands in proxy_password, never here.",
    )
    proxy_password: Secret | None = None
    ca: RelativePath | None = Field(None, description="A certificate to trust beside the system's, as a PEM file.")

    @field_validator("prefix")
    @classmethod
    def _plain(cls, prefix: str) -> str:
        return prefix.strip("/")

    @contextmanager
    def connect(self) -> Iterator[ObjectSession]:
        """A session; nothing is asked of the store before the first real request."""
        session = ObjectSession(Bucket(self))
        try:
            yield session
        finally:
            session.close()

    def where(self) -> str:
        """This place as logs and pages show it; never with a secret."""
        return f"{self.kind}://{self.root()}/{self.prefix}".rstrip("/")

    def address(self) -> str:
        """The endpoint that requests go to, for error texts."""
        return self.endpoint or f"the {self.kind} service"

    def root(self) -> str:
        """The bucket's or container's name."""
        raise NotImplementedError

    def store(self, patience: float) -> ObjectStore:
        """A client that waits `patience` seconds for an answer; ConfigError when a secret is missing."""
        raise NotImplementedError

    def secrets(self) -> list[str]:
        """The values that no text may hold."""
        return revealed(self.proxy_password)

    def make(self, bucket: Bucket) -> bool:  # noqa: ARG002
        """Make the bucket or container if the settings ask for it; False if they do not."""
        return False

    def request(self, bucket: Bucket, method: str, key: str, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """URL and headers, signed, of a request that obstore does not make; Unsigned without the credentials for it."""
        raise NotImplementedError

    def pages(self, bucket: Bucket, base: str, *, recursive: bool) -> Iterator[Sequence[ObjectMeta]]:
        """What lies below `base`, by requests of our own: every key as it is."""
        return s3_pages(bucket, base, recursive=recursive)

    def tells_md5(self) -> bool:
        """Whether an etag is made of the MD5 of the bytes."""
        return False

    def client(self, patience: float) -> ClientConfig:
        """How requests are made: http only where the operator wrote it, and no limit on the whole of a long transfer."""
        options: ClientConfig = {
            "allow_http": self.plain_http(),
            "connect_timeout": timedelta(seconds=min(self.timeout, 15)),
            "read_timeout": timedelta(seconds=patience),
            "timeout": timedelta(days=7),
        }
        if self.proxy:
            options["proxy_url"] = self.through() or ""
        if self.ca:
            options["root_certificate"] = _read(self.ca)
        return options

    def through(self) -> str | None:
        """The proxy with its password; not for any text."""
        if not self.proxy or not self.proxy_password:
            return self.proxy
        return self.proxy.replace("@", f":{quote(self.proxy_password.reveal(), safe='')}@")

    def plain_http(self) -> bool:
        """Whether the address was explicitly given as http."""
        return bool(self.endpoint and self.endpoint.startswith("http:"))

    @staticmethod
    def retry() -> RetryConfig:
        """One request is tried again at once or not at all: the patience is elsewhere."""
        backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2}
        return {"max_retries": 2, "retry_timeout": timedelta(seconds=10), "backoff": backoff}  # type: ignore[typeddict-item]


def revealed(*secrets: Secret | None) -> list[str]:
    """The values of those that are set."""
    return [value for secret in secrets if secret is not None and (value := secret.reveal())]


def _read(path: RelativePath) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"ca: {path} cannot be read: {error.strerror}"
        raise ConfigError(message) from error
