"""Foreign errors and status codes as ours, by what to do about them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpcore2
import httpx2

from transload.errors import Busy, Denied, Missing, Refused, TransloadError, Unreachable

_DENYING = {
    401: "it asks for a login: check user and password, or token",
    403: "we may not have it",
    407: "the proxy asks for a login: check the user in proxy, and proxy_password",
}
_BUSY = (408, 425, 429)


class NotConnected(Unreachable):
    """No connection could be made: what else lies at that host cannot be had now either."""


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Foreign errors raised inside become ours, beginning with `what`."""
    try:
        yield
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
        raise _no_connection(what, error) from error
    except httpcore2.ProxyError as error:
        raise _by_proxy(what, str(error)) from error
    except (httpcore2.ReadTimeout, httpcore2.WriteTimeout) as error:
        message = f"{what}: silent for too long"
        raise Unreachable(message) from error
    except (httpcore2.NetworkError, httpcore2.RemoteProtocolError, httpcore2.PoolTimeout) as error:
        raise _broken(what, error) from error
    except (httpx2.InvalidURL, httpcore2.UnsupportedProtocol, httpcore2.LocalProtocolError, UnicodeError) as error:
        message = f"{what}: {error}"
        raise Refused(message) from error


def _root(error: BaseException) -> BaseException:
    # The pool raises "from None": the first argument still is the error that was mapped.
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return error


def _no_connection(what: str, error: Exception) -> TransloadError:
    root = _root(error)
    if isinstance(root, ssl.SSLCertVerificationError):
        return Denied(f"{what}: its certificate is not trusted: {root.verify_message}")
    if isinstance(root, ssl.SSLError):
        return _tls(what, root) or NotConnected(f"{what}: TLS failed: {root.reason or root}")
    if isinstance(root, TimeoutError):
        return NotConnected(f"{what}: no answer to connecting")
    if isinstance(root, socket.gaierror):
        return NotConnected(f"{what}: the name does not resolve: {root.strerror}")
    return NotConnected(f"{what}: {getattr(root, 'strerror', None) or root}")


def _tls(what: str, root: ssl.SSLError) -> TransloadError | None:
    reason = (root.reason or "").upper()
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason or "HANDSHAKE_FAILURE" in reason:
        return Denied(f"{what}: it refuses our TLS: {root.reason} (does it want a client certificate? see cert and key)")
    return None


def _broken(what: str, error: Exception) -> TransloadError:
    root = _root(error)
    denied = _tls(what, root) if isinstance(root, ssl.SSLError) else None
    return denied or Unreachable(f"{what}: the line broke: {root}")


def _by_proxy(what: str, text: str) -> TransloadError:
    if text.startswith("407") or "uthenticat" in text or "sername" in text:
        return Denied(f"{what}: the proxy refuses our login: check the user in proxy, and proxy_password")
    return NotConnected(f"{what}: the proxy says: {text}")


def refusal(what: str, status: int, retry_after: str | None = None) -> TransloadError:
    """The error for an answer that brings no file."""
    if status in (404, 410):
        return Missing(f"{what}: it is not there ({status})")
    if status in _DENYING:
        return Denied(f"{what}: {_DENYING[status]} ({status})")
    if status in _BUSY or status >= 500:
        later = f", try again after {retry_after[:40]}" if retry_after and retry_after.isprintable() else ""
        return Busy(f"{what}: not now ({status}{later})")
    if status == 204:
        return Busy(f"{what}: it answers without a file (204)")
    return Refused(f"{what}: it answers {status}")
