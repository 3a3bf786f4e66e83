"""What we show of ourselves: headers with a login, a client certificate; and whom we trust."""

from __future__ import annotations

import base64
import os
import ssl
from typing import TYPE_CHECKING

from transload.errors import ConfigError
from transload.secret import Secret

if TYPE_CHECKING:
    from transload.remotes.http.settings import HttpRemote


def request_headers(remote: HttpRemote) -> dict[str, str]:
    """The headers of every request to the operator's own hosts."""
    headers = {"User-Agent": "transload", "Accept": "*/*", "Accept-Encoding": "identity"}
    if remote.token:
        headers["Authorization"] = f"Bearer {_fit('token', remote.token.reveal())}"
    elif remote.user:
        login = f"{remote.user}:{remote.password.reveal() if remote.password else ''}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    for name, value in remote.headers.items():
        headers[name] = _fit(name, value.reveal()) if isinstance(value, Secret) else value
    return headers


def _fit(name: str, value: str) -> str:
    if not value.isprintable():
        message = f"the value of {name} holds characters that a header cannot"
        raise ConfigError(message)
    return value


def tls(remote: HttpRemote) -> ssl.SSLContext:
    """How connections are encrypted and judged; ConfigError names the file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=remote.ca)
    except (OSError, ssl.SSLError) as error:
        message = f"ca: {remote.ca} cannot be used: {error}"
        raise ConfigError(message) from error
    if remote.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if remote.cert:
        _show(context, remote)
    return context


def _show(context: ssl.SSLContext, remote: HttpRemote) -> None:
    # OpenSSL loads keys from files only; a memory file keeps a secret off the disk.
    held = os.memfd_create("key") if remote.key else None
    try:
        if held is not None and remote.key:
            os.write(held, remote.key.reveal_bytes())
        password = remote.key_password.reveal() if remote.key_password else ""
        context.load_cert_chain(str(remote.cert), None if held is None else f"/proc/self/fd/{held}", lambda: password)
    except (OSError, ssl.SSLError) as error:
        message = f"cert and key cannot be used: {error}"
        raise ConfigError(message) from error
    finally:
        if held is not None:
            os.close(held)
