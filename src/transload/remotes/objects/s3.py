"""S3 and the stores that speak its language."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from transload.errors import Conflict
from transload.remotes.objects.asking import Unsigned, send
from transload.remotes.objects.settings import ObjectsRemote, revealed
from transload.remotes.objects.signing import by_secret, signed, signer
from transload.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ObjectStore, S3Config

    from transload.remotes.objects.bucket import Bucket


class S3Remote(ObjectsRemote):
    """A bucket of Amazon S3, MinIO, Ceph, R2 and others; without keys, the environment's or the machine's role."""

    kind: Literal["s3"] = "s3"
    copies_safely: ClassVar[bool] = False

    bucket: str = Field(min_length=1)
    region: str | None = Field(None, description="us-east-1 by default.")
    access_key: Secret | None = None
    secret_key: Secret | None = None
    session_token: Secret | None = None
    virtual_hosted: bool = Field(default=False, description="The bucket's name is part of the host's.")
    encryption: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None = None
    kms_key: str | None = None
    create: bool = Field(default=False, description="Make the bucket when it is not there.")

    @model_validator(mode="after")
    def _keys_together(self) -> S3Remote:
        if (self.access_key is None) != (self.secret_key is None):
            message = "wants access_key and secret_key, or neither"
            raise ValueError(message)
        if self.kms_key and not (self.encryption or "").startswith("aws:kms"):
            message = 'kms_key wants encryption = "aws:kms"'
            raise ValueError(message)
        return self

    def root(self) -> str:
        """The bucket's name."""
        return self.bucket

    def secrets(self) -> list[str]:
        """The values that no text may hold."""
        return revealed(self.access_key, self.secret_key, self.session_token, self.proxy_password)

    def tells_md5(self) -> bool:
        """An etag is the MD5 unless a key service encrypts."""
        return not (self.encryption or "").startswith("aws:kms")

    def store(self, patience: float) -> ObjectStore:
        """A client for the bucket."""
        from obstore.store import S3Store

        config: S3Config = {"virtual_hosted_style_request": self.virtual_hosted, "disable_bulk_delete": True}
        if self.endpoint:
            config["endpoint"] = self._hosted(self.endpoint)
        if self.region:
            config["region"] = self.region
        if self.access_key and self.secret_key:
            config["access_key_id"] = self.access_key.reveal()
            config["secret_access_key"] = self.secret_key.reveal()
        if self.session_token:
            config["session_token"] = self.session_token.reveal()
        if self.encryption:
            config["server_side_encryption"] = self.encryption
        if self.kms_key:
            config["sse_kms_key_id"] = self.kms_key
        return S3Store(self.bucket, config=config, client_options=self.client(patience), retry_config=self.retry())

    def _hosted(self, endpoint: str) -> str:
        if not self.virtual_hosted:
            return endpoint.rstrip("/")
        parts = urlsplit(endpoint)
        return parts._replace(netloc=f"{self.bucket}.{parts.netloc}").geturl().rstrip("/")

    def make(self, bucket: Bucket) -> bool:
        """Make the bucket if `create` says so; one that is there already is fine."""
        if not self.create:
            return False
        import obstore

        url = bucket.ask(obstore.sign, bucket.store(), "PUT", "", timedelta(minutes=5))
        region = self.region or "us-east-1"
        body = (
            ""
            if region == "us-east-1"
            else f"<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        )
        with suppress(Conflict):
            send(bucket, "PUT", url, {}, body.encode())
        return True

    def request(self, bucket: Bucket, method: str, key: str, query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Signed as obstore would, with a query; a role's secret is known to obstore alone."""
        import obstore

        root = bucket.ask(obstore.sign, bucket.store(), method, "", timedelta(minutes=5))
        return signed(root, method, key, query, by_secret(self._secret(signer(root)))), {}

    def _secret(self, access_key: str) -> str:
        if self.secret_key:
            return self.secret_key.reveal()
        if os.environ.get("AWS_ACCESS_KEY_ID") == access_key:
            return os.environ.get("AWS_SECRET_ACCESS_KEY", "")
        raise Unsigned(f"{self.where()}: this takes access_key and secret_key, not a role")
