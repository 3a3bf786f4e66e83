"""S3 as moto's server tells it."""

from __future__ import annotations

import itertools
import sys
from importlib.util import find_spec
from typing import Any

from tests.peers.base import Peer, PeerMissing

ACCESS_KEY = "testing"
SECRET_KEY = "testing-secret"
REGION = "eu-west-1"
_numbers = itertools.count(1)


class Moto(Peer):
    """An S3 endpoint at `url`, with ACCESS_KEY and SECRET_KEY; `client()` is a boto3 client, `bucket()` makes a new bucket."""

    name = "moto"

    def start(self) -> None:
        """Start it; returns when it accepts."""
        if find_spec("moto") is None or find_spec("flask") is None:
            message = "moto's server is not installed (dependency group test)"
            raise PeerMissing(message)
        self.spawn([sys.executable, "-m", "moto.server", "-H", self.host, "-p", str(self.port)])

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://{self.host}:{self.port}"

    def client(self) -> Any:
        """A boto3 client of this endpoint."""
        import boto3

        return boto3.client("s3", endpoint_url=self.url, region_name=REGION, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY)

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"bucket-{self.port}-{next(_numbers)}"
        self.client().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name
