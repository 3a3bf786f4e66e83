"""Connections through SOCKS and HTTP proxies, for the protocols in which the server speaks first."""

from __future__ import annotations

import re
import socket
import time
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.sync import Proxy

from transload.errors import ConfigError, Unreachable

if TYPE_CHECKING:
    from transload.secret import Secret

_SOCKS = {"socks5": ProxyType.SOCKS5, "socks5h": ProxyType.SOCKS5, "socks4": ProxyType.SOCKS4}
_LONGEST = 65_536
_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})([^\r\n]*)")
_END = re.compile(rb"\r?\n\r?\n")


def dial(url: str, password: Secret | None, host: str, port: int, patience: float) -> socket.socket:
    """A connection to `host`, whose name the proxy at `url` resolves; `patience` (seconds) is for each answer.

    Raises Unreachable, or ConfigError for a URL that is no proxy's.
    """
    proxy = urlsplit(url)
    if proxy.scheme not in {*_SOCKS, "http"} or not proxy.hostname:
        message = f"proxy: {proxy.scheme}://... cannot be used; it is written as socks5://host:port, socks4://host:port or http://host:port"
        raise ConfigError(message)
    word = password.reveal() if password else None
    try:
        line = (_by_http if proxy.scheme == "http" else _by_socks)(proxy, word, host, port, patience)
    except (TimeoutError, ProxyTimeoutError) as error:
        message = f"the proxy {proxy.hostname} gave no answer in time"
        raise Unreachable(message) from error
    except (ProxyError, ProxyConnectionError, OSError) as error:
        message = f"the proxy {proxy.hostname}: {error}"
        raise Unreachable(message) from error
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _by_socks(proxy: SplitResult, password: str | None, host: str, port: int, patience: float) -> socket.socket:
    kind, user = _SOCKS[proxy.scheme], unquote(proxy.username) if proxy.username else None
    made = Proxy.create(kind, proxy.hostname or "", proxy.port or 1080, username=user, password=password, rdns=True)
    return made.connect(host, port, timeout=patience)


def _by_http(proxy: SplitResult, password: str | None, host: str, port: int, patience: float) -> socket.socket:
    """CONNECT (RFC 9110, 9.3.6). Nothing behind the proxy's answer is read: it is the server's greeting already."""
    line = socket.create_connection((proxy.hostname, proxy.port or 8080), patience)
    try:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        request = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
        if proxy.username:
            login = b64encode(f"{unquote(proxy.username)}:{password or ''}".encode()).decode()
            request += f"Proxy-Authorization: Basic {login}\r\n"
        line.sendall(f"{request}\r\n".encode())
        answer = _head(line, time.monotonic() + patience)
        status = _STATUS.match(answer)
        if status is None or status[1][:1] != b"2":
            shown = (status[1] + status[2]).decode("ascii", "replace") if status else "its answer is none of HTTP"
            raise ProxyError(f"it refuses: {shown}")
    except BaseException:
        line.close()
        raise
    return line


def _head(line: socket.socket, until: float) -> bytes:
    """The proxy's answer, to the empty line, and not a byte more."""
    head = b""
    while len(head) < _LONGEST:
        # What is only looked at stays: so a part of the answer is taken once it is known to be one.
        seen = line.recv(4096, socket.MSG_PEEK)
        if not seen:
            raise ProxyError("it hung up before it answered")
        end = _END.search(head[-3:] + seen)
        count = len(seen) if end is None else end.end() - len(head[-3:])
        head += line.recv(count)
        if end is not None:
            return head
        if time.monotonic() > until:
            raise TimeoutError
    raise ProxyError("its answer has no end")
