"""Azure Blob Storage."""

from __future__ import annotations

import base64
import hmac
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, model_validator

from transload.errors import ConfigError, Conflict
from transload.remotes.objects.asking import Unsigned, asked
from transload.remotes.objects.plainly import azure_pages
from transload.remotes.objects.settings import ObjectsRemote, revealed
from transload.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from obstore import ObjectMeta
    from obstore.store import AzureConfig, ObjectStore

    from transload.remotes.objects.bucket import Bucket

_VERSION = "2021-08-06"


class AzureRemote(ObjectsRemote):
    """A container of Azure Blob Storage (or Azurite), by SAS, account key, connection string or managed identity."""

    kind: Literal["azure"] = "azure"
    forbidden: ClassVar[str] = "\\"
    bare_dots: ClassVar[bool] = False
    longest: ClassVar[tuple[int, str]] = (1024, "characters")
    # Blocks that were never committed are dropped by Azure itself after a week.
    keeps_parts: ClassVar[bool] = False

    account: str | None = Field(None, description="The storage account; a connection string names it too.")
    container: str = Field(min_length=1)
    sas: Secret | None = None
    account_key: Secret | None = None
    connection_string: Secret | None = None
    client_id: str | None = Field(None, description="Of a user-assigned managed identity.")
    create: bool = Field(default=False, description="Make the container when it is not there.")

    @model_validator(mode="after")
    def _one_way_in(self) -> AzureRemote:
        given = [name for name in ("sas", "account_key", "connection_string", "client_id") if getattr(self, name) is not None]
        if len(given) > 1:
            message = f"wants one of sas, account_key, connection_string, client_id, not {' and '.join(given)}"
            raise ValueError(message)
        if self.account is None and self.connection_string is None:
            message = "wants account, or a connection_string that names it"
            raise ValueError(message)
        return self

    def root(self) -> str:
        """The account's and the container's name."""
        return f"{self.account}/{self.container}" if self.account else self.container

    def secrets(self) -> list[str]:
        """The values that no text may hold."""
        values = revealed(self.sas, self.account_key, self.connection_string, self.proxy_password)
        login = self._login()
        return [*values, *(value for value in (login.get("account_key"), login.get("sas_key")) if value)]

    def plain_http(self) -> bool:
        """Whether the address was explicitly given as http."""
        return self._login().get("endpoint", "").startswith("http:")

    def store(self, patience: float) -> ObjectStore:
        """A client for the container."""
        from obstore.store import AzureStore

        config = self._login()
        return AzureStore(self.container, config=config, client_options=self.client(patience), retry_config=self.retry())

    def _login(self) -> AzureConfig:
        config: AzureConfig = {}
        if self.account:
            config["account_name"] = self.account
        if self.endpoint:
            config["endpoint"] = self.endpoint.rstrip("/")
        if self.connection_string:
            return {**_connection(self.connection_string.reveal()), **config}
        if self.account_key:
            return {**config, "account_key": self.account_key.reveal(), "credential_type": "access_key"}
        if self.sas:
            return {**config, "sas_key": self.sas.reveal().lstrip("?"), "credential_type": "sas_token"}
        if self.client_id:
            return {**config, "client_id": self.client_id, "credential_type": "managed_identity"}
        return config

    def make(self, bucket: Bucket) -> bool:
        """Make the container if `create` says so; one that is there already is fine."""
        if not self.create:
            return False
        with suppress(Conflict):
            asked(bucket, "PUT", "", {"restype": "container"})
        return True

    def request(self, bucket: Bucket, method: str, key: str, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:  # noqa: ARG002
        """Signed by account key or SAS; a managed identity's token is known to obstore alone."""
        login = self._login()
        account = login["account_name"]
        base = login.get("endpoint") or f"https://{account}.blob.core.windows.net"
        url = "/".join(part for part in (base, self.container, quote(key, safe="/")) if part)
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
        if "sas_key" in login:
            return f"{url}?{urlencode(query, quote_via=quote)}&{login['sas_key']}", headers
        if "account_key" not in login:
            raise Unsigned(f"{self.where()}: this takes account_key or sas, not a managed identity")
        path = f"/{account}{urlsplit(url).path}"
        headers["Authorization"] = _signature(account, login["account_key"], method, path, query, headers)
        return f"{url}?{urlencode(query, quote_via=quote)}", headers

    def pages(self, bucket: Bucket, base: str, *, recursive: bool) -> Iterator[Sequence[ObjectMeta]]:
        """What lies below `base`, by requests of our own: every name as it is."""
        return azure_pages(bucket, base, recursive=recursive)


def _connection(text: str) -> AzureConfig:
    """What a connection string says, as Azure's portal shows them."""
    parts = {key.strip().lower(): value for key, _, value in (part.partition("=") for part in text.split(";")) if value}
    try:
        account = parts["accountname"]
    except KeyError as error:
        message = "connection_string: it names no AccountName"
        raise ConfigError(message) from error
    suffix = parts.get("endpointsuffix", "core.windows.net")
    protocol = parts.get("defaultendpointsprotocol", "https")
    endpoint = parts.get("blobendpoint", f"{protocol}://{account}.blob.{suffix}").rstrip("/")
    config: AzureConfig = {"account_name": account, "endpoint": endpoint}
    if "accountkey" in parts:
        return {**config, "account_key": parts["accountkey"], "credential_type": "access_key"}
    if "sharedaccesssignature" in parts:
        return {**config, "sas_key": parts["sharedaccesssignature"].lstrip("?"), "credential_type": "sas_token"}
    message = "connection_string: it holds neither AccountKey nor SharedAccessSignature"
    raise ConfigError(message)


def _signature(account: str, key: str, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """Shared Key, for a request without a body (Microsoft Learn, "Authorize with Shared Key")."""
    named = [f"{name}:{value}" for name, value in sorted(headers.items())]
    lines = [method, *[""] * 11, *named, path, *(f"{name}:{value}" for name, value in sorted(query.items()))]
    digest = hmac.digest(base64.b64decode(key), "\n".join(lines).encode(), "sha256")
    return f"SharedKey {account}:{base64.b64encode(digest).decode()}"
