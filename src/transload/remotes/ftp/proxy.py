"""Connections through SOCKS and HTTP proxies, control and data alike."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.sync import Proxy

from transload.errors import ConfigError, Unreachable

if TYPE_CHECKING:
    from transload.remotes.ftp.control import Dial
    from transload.secret import Secret

_TYPES = {"socks5": ProxyType.SOCKS5, "socks5h": ProxyType.SOCKS5, "socks4": ProxyType.SOCKS4, "http": ProxyType.HTTP}
_PORTS = {ProxyType.SOCKS5: 1080, ProxyType.SOCKS4: 1080, ProxyType.HTTP: 8080}


def dialler(url: str, password: Secret | None) -> Dial:
    """How to connect through the proxy at `url`; names are resolved by the proxy."""
    parts = urlsplit(url)
    kind = _TYPES.get(parts.scheme)
    if kind is None or not parts.hostname:
        message = f"proxy: {parts.scheme}://... cannot be used; it is written as socks5://host:port, socks4://host:port or http://host:port"
        raise ConfigError(message)
    proxy = Proxy.create(
        kind,
        parts.hostname,
        parts.port or _PORTS[kind],
        username=unquote(parts.username) if parts.username else None,
        password=password.reveal() if password else None,
        rdns=True,
    )

    def dial(host: str, port: int, patience: float) -> socket.socket:
        try:
            line = proxy.connect(host, port, timeout=patience)
        except ProxyTimeoutError as error:
            message = f"the proxy {parts.hostname} gave no answer in time"
            raise Unreachable(message) from error
        except (ProxyError, ProxyConnectionError) as error:
            message = f"the proxy {parts.hostname}: {error}"
            raise Unreachable(message) from error
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line

    return dial
