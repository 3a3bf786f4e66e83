"""Google Cloud Storage."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from transload.remotes.objects.asking import Unsigned
from transload.remotes.objects.settings import ObjectsRemote, revealed
from transload.remotes.objects.signing import by_private_key, signed
from transload.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import GCSConfig, ObjectStore

    from transload.remotes.objects.bucket import Bucket


class GcsRemote(ObjectsRemote):
    """A bucket of Google Cloud Storage; without credentials, the application default ones."""

    kind: Literal["gcs"] = "gcs"

    bucket: str = Field(min_length=1)
    credentials: Secret | None = Field(None, description="A service account's key, as the JSON document that Google gives out.")

    def root(self) -> str:
        """The bucket's name."""
        return self.bucket

    def secrets(self) -> list[str]:
        """The values that no text may hold."""
        return revealed(self.credentials, self.proxy_password)

    def store(self, patience: float) -> ObjectStore:
        """A client for the bucket."""
        from obstore.store import GCSStore

        config: GCSConfig = {}
        if self.credentials:
            config["service_account_key"] = self.credentials.reveal()
        if self.endpoint:
            config["base_url"] = self.endpoint.rstrip("/")
        return GCSStore(self.bucket, config=config, client_options=self.client(patience), retry_config=self.retry())

    def request(self, bucket: Bucket, method: str, key: str, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Signed with the service account's key; the application default credentials have none to sign with."""
        import obstore

        if not self.credentials:
            raise Unsigned(f"{self.where()}: this takes credentials, a service account's key")
        root = bucket.ask(obstore.sign, bucket.store(), method, "", timedelta(minutes=5))
        account = json.loads(self.credentials.reveal())
        return signed(root, method, key, query, by_private_key(account["private_key"])), {}
