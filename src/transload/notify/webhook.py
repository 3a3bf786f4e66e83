"""A webhook: the message as JSON by POST, signed as hooks are; taken by a status from 200 to 299."""

from __future__ import annotations

import hashlib
import hmac
import time
from ipaddress import ip_address
from urllib.parse import urlsplit

from transload.errors import ConfigError, Unreachable
from transload.notify.asking import answered, hush, within
from transload.notify.texts import Message
from transload.secret import Secret

TIMESTAMP = "X-Transload-Timestamp"
SIGNATURE = "X-Transload-Signature"
_LOUD = ("httpx2", "httpcore2")
_UNNAMED = "the webhook"


def send(address: Secret | str, secret: Secret | None, message: Message, timeout: float) -> None:
    """Post it once; redirects are not followed. Raises Unreachable, Busy, Denied, Refused, or ConfigError for a bad address."""
    url = address if isinstance(address, str) else address.reveal().strip()
    fault = address_fault(url, secret=not isinstance(address, str))
    if fault:
        raise ConfigError(f"webhook: {fault}")
    status = within(timeout, _who(address), lambda: _post(url, _who(address), message.body, secret, timeout))
    if not 200 <= status <= 299:
        raise answered(_who(address), status)


def address_fault(url: str, *, secret: bool = False) -> str:
    """What is wrong with an address, or nothing; nothing of it is shown."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("https", "http") or not host:
        return "wants an address that begins with https://"
    if parts.scheme == "http" and not _ourselves(host):
        return "wants https://: what is told must not be read on its way"
    if "@" in parts.netloc and not secret:
        return 'holds a login: give it by reference, such as { env = "NAME" }'
    return ""


def _post(url: str, who: str, told: bytes, secret: Secret | None, timeout: float) -> int:
    import httpx2

    hush(_LOUD)
    headers = {"Content-Type": "application/json", "User-Agent": "transload"}
    if secret is not None:
        at = str(int(time.time()))
        headers |= {TIMESTAMP: at, SIGNATURE: signature(secret.reveal_bytes().rstrip(b"\r\n"), at, told)}
    try:
        # The answer's body is not read: it may be endless.
        with httpx2.Client(follow_redirects=False, timeout=timeout) as client:
            answer = client.send(client.build_request("POST", url, content=told, headers=headers), stream=True)
            answer.close()
            return answer.status_code
    except httpx2.TimeoutException as error:
        raise Unreachable(f"{who} did not answer in time") from error
    except httpx2.InvalidURL as error:
        raise ConfigError("webhook: is no address") from error
    except httpx2.HTTPError as error:
        raise Unreachable(f"{who} cannot be reached, or broke off: {type(error).__name__}") from error


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 in hex, over the timestamp, a dot, and the body."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _who(address: Secret | str) -> str:
    # Of a secret address even the host may be secret.
    return urlsplit(address).hostname or "" if isinstance(address, str) else _UNNAMED


def _ourselves(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
