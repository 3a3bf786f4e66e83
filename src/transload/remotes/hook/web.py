"""A hook that is a URL: the arrival as JSON by POST, signed; yes by a status from 200 to 299."""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import urlsplit

from transload.errors import Transient, Unreachable
from transload.secret import Secret

TIMESTAMP = "X-Transload-Timestamp"
SIGNATURE = "X-Transload-Signature"


def post(url: str, told: bytes, secret: Secret | None, timeout: float) -> None:
    """Post it once; redirects are not followed. Unreachable when nobody answers, Transient when the answer is not yes."""
    import httpx2

    headers = {"Content-Type": "application/json", "User-Agent": "transload"}
    if secret is not None:
        at = str(int(time.time()))
        headers |= {TIMESTAMP: at, SIGNATURE: signature(secret.reveal_bytes().rstrip(b"\r\n"), at, told)}
    host = urlsplit(url).hostname or ""
    try:
        # The answer's body is not read: it may be endless.
        with httpx2.Client(follow_redirects=False, timeout=timeout) as client:
            answer = client.send(client.build_request("POST", url, content=told, headers=headers), stream=True)
            status = answer.status_code
            answer.close()
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise Unreachable(f"{host} cannot be reached: {error}") from error
    except httpx2.TimeoutException as error:
        raise Transient(f"{host} did not answer in time") from error
    except httpx2.HTTPError as error:
        raise Transient(f"{host} broke off: {error or type(error).__name__}") from error
    if not 200 <= status <= 299:
        why = " (redirects are not followed: write the address that it leads to)" if 300 <= status <= 399 else ""
        raise Transient(f"{host} answered {status}{why}")


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 in hex, over the timestamp, a dot, and the body."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
