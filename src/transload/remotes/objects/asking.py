"""The requests that obstore does not make: a new bucket, a listing of keys that it refuses, parts that nobody completed."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from transload.errors import ConfigError, Refused
from transload.remotes.objects.telling import ObjectStoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from transload.remotes.objects.bucket import Bucket
    from transload.remotes.objects.settings import ObjectsRemote

# A thousand keys of 1,024 characters, each spelled with nine, and what is told of them.
LARGEST = 16 * 2**20


class Unsigned(Refused):
    """We cannot sign such a request with the credentials at hand."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signature is for one host, and for nobody else to see."""

    def redirect_request(
        self,
        req: urllib.request.Request,  # noqa: ARG002
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: http.client.HTTPMessage,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        return None


def opener(remote: ObjectsRemote) -> urllib.request.OpenerDirector:
    """What carries requests to the store as obstore would: by the same proxy, trusting the same certificates."""
    through = remote.through()
    proxies = {"http": through, "https": through} if through else None
    context = ssl.create_default_context()
    if remote.ca:
        try:
            context.load_verify_locations(remote.ca)
        except OSError as error:
            raise ConfigError(f"ca: {remote.ca} cannot be read: {error.strerror}") from error
    return urllib.request.build_opener(urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context), _NoRedirect)


def asked(
    bucket: Bucket, method: str, key: str, query: Mapping[str, str], body: bytes = b"", told: Mapping[str, str] | None = None
) -> bytes:
    """The answer to a request about `key` ("" for the bucket itself), with the headers `told`; Unsigned if we cannot make it."""
    url, headers = bucket.remote.request(bucket, method, key, query)
    return send(bucket, method, url, {**headers, **(told or {})}, body, key=key)


def send(bucket: Bucket, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, key: str = "") -> bytes:
    """The answer's body; errors are what they are for obstore's requests. No text shows the URL: it may hold a signature."""
    # urllib's own word for a body is that it is a form.
    told = {"Content-Type": "application/octet-stream", **headers} if body else dict(headers)
    request = urllib.request.Request(url, body or None, told, method=method)  # noqa: S310 - http and https by the settings' pattern
    if method == "PUT":
        request.add_unredirected_header("Content-Length", str(len(body)))
    carrier = bucket.opener()

    def exchange() -> bytes:
        try:
            with carrier.open(request, timeout=bucket.remote.timeout) as answer:
                data: bytes = answer.read(LARGEST + 1)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(4096).decode("utf-8", "replace")
            raise ObjectStoreError(f"status code: {error.code}\n{said}") from None
        except (OSError, http.client.HTTPException) as error:
            raise ObjectStoreError(repr(getattr(error, "reason", error))) from None
        if len(data) > LARGEST:
            raise Refused(f"{bucket.remote.where()}: it answers with more than {LARGEST // 2**20} MiB at once")
        return data

    return bucket.ask(exchange, key=key)
