"""Connections through SOCKS and HTTP proxies."""

from __future__ import annotations

import socket
from urllib.parse import unquote, urlsplit

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy

from transload.errors import ConfigError, Unreachable
from transload.secret import Secret

_TYPES = {"socks5": ProxyType.SOCKS5, "socks5h": ProxyType.SOCKS5, "socks4": ProxyType.SOCKS4, "http": ProxyType.HTTP}
_PORTS = {ProxyType.SOCKS5: 1080, ProxyType.SOCKS4: 1080, ProxyType.HTTP: 8080}


async def through(url: str, password: Secret | None, host: str, port: int, patience: float) -> socket.socket:
    """A socket to `host` by way of the proxy at `url`, which resolves the name; raises Unreachable."""
    parts = urlsplit(url)
    kind = _TYPES.get(parts.scheme)
    if kind is None or not parts.hostname:
        raise ConfigError(
            f"proxy: {parts.scheme}://... cannot be used; it is written as socks5://host:port, socks4://host:port or http://host:port"
        )
    user = unquote(parts.username) if parts.username else None
    proxy = Proxy.create(
        kind, parts.hostname, parts.port or _PORTS[kind], username=user, password=password.reveal() if password else None, rdns=True
    )
    try:
        line = await proxy.connect(host, port, timeout=patience)
    except ProxyTimeoutError as error:
        raise Unreachable(f"the proxy {parts.hostname} gave no answer in time") from error
    except (ProxyError, ProxyConnectionError) as error:
        raise Unreachable(f"the proxy {parts.hostname}: {error}") from error
    return line
