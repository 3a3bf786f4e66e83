"""Destinations looked at past the program: what is there, and what was written with it."""

from __future__ import annotations

import threading
import urllib.parse
import urllib.request
from typing import Any


def blobs(azurite: Any, container: str) -> dict[str, bytes]:
    """Everything in a container of Azurite."""
    return {name: azurite.get(container, name) for name in azurite.names(container)}


def blob_headers(azurite: Any, container: str, name: str) -> dict[str, str]:
    """A blob's headers; `x-ms-meta-...` are its metadata."""
    url = f"{azurite.url}/{container}/{urllib.parse.quote(name)}?{azurite.sas(container)}"
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
        return {key.lower(): value for key, value in answer.headers.items()}


def objects(moto: Any, bucket: str) -> dict[str, bytes]:
    """Everything in a bucket of moto; nothing half uploaded may be beside it."""
    client = moto.client()
    assert [] == client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


class Turnstile:
    """Holds the first downloads back until `size` are wanted at once, which they never are one by one; `most` were there at once."""

    def __init__(self, size: int) -> None:
        self._size, self._full, self._lock = size, threading.Event(), threading.Lock()
        self._now = self.most = self.passed = 0

    def __call__(self, _: str = "") -> None:
        """A download passes."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        if self.most >= self._size:
            self._full.set()
        self._full.wait(20)
        with self._lock:
            self._now -= 1
            self.passed += 1
