"""Connecting: a name is resolved once, its addresses are judged, and the judged address is the one connected to."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, unquote

import httpcore2

from transload.errors import Denied

_NAT64 = ip_network("64:ff9b::/96")
_METADATA = {ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")}


class Nearness(IntEnum):
    """How close to us an address is; a redirect never leads closer than what the operator wrote."""

    PUBLIC = 0
    PRIVATE = 1
    OURSELVES = 2
    LINK = 3


def nearness(text: str) -> Nearness:
    """How close the address `text` is, whatever it is wrapped in."""
    address = _unwrapped(ip_address(text.partition("%")[0]))
    if address in _METADATA or address.is_link_local or address.is_multicast:
        return Nearness.LINK
    if address.is_loopback or address.is_unspecified:
        return Nearness.OURSELVES
    return Nearness.PUBLIC if address.is_global else Nearness.PRIVATE


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def resolve(host: str, port: int) -> list[str]:
    """The addresses of `host`, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


class Line(httpcore2.NetworkStream):
    """A connected socket; remembers the last block that came, so that a surplus behind an answer can be seen."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.last = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _mapped(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._sock.settimeout(timeout)
            self.last = self._sock.recv(max_bytes)
            return self.last

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _mapped(httpcore2.WriteTimeout, httpcore2.WriteError):
            self._sock.settimeout(timeout)
            self._sock.sendall(buffer)

    def close(self) -> None:
        self._sock.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> Line:
        with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            self._sock.settimeout(timeout)
            try:
                return Line(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
            except BaseException:
                self._sock.close()
                raise

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        if info == "is_readable":
            return self.readable()
        return self._sock if info == "socket" else None

    def readable(self) -> bool:
        """Whether something, or the end, has come that nobody asked for; also when closed."""
        if self._sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def surplus(self, tail: bytes) -> bool:
        """Whether more has come than an answer whose last bytes are `tail`."""
        if not self.last.endswith(tail[-len(self.last) :] if self.last else b""):
            return True
        if isinstance(self._sock, ssl.SSLSocket):
            return self._sock.fileno() >= 0 and self._sock.pending() > 0
        return self._sock.fileno() >= 0 and self.readable() and bool(self._sock.recv(1, socket.MSG_PEEK))


@contextmanager
def _mapped(timeout: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timeout(error) from error
    except OSError as error:
        raise broken(error) from error


def allowed(host: str, port: int, limit: Nearness, *, proxied: bool) -> list[str]:
    """The addresses of `host` that are no nearer than `limit`; Denied when it has only nearer ones.

    A name that only a proxy can resolve is left to the proxy.
    """
    try:
        addresses = resolve(host, port)
    except OSError:
        if proxied:
            return [host]
        raise
    near = [address for address in addresses if nearness(address) <= limit]
    if not near:
        message = f"a redirect leads to {host}, which is at a private address (allow_private = true lets it)"
        raise Denied(message)
    return near


class Dialer(httpcore2.NetworkBackend):
    """Opens connections, directly or by a SOCKS proxy; with `limit`, to no address that is nearer than that."""

    def __init__(self, socks: SplitResult | None = None, password: str | None = None, limit: Nearness | None = None) -> None:
        self._socks = socks
        self._password = password
        self._limit = limit
        self.dialed = 0

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> Line:
        """A line to `host`, at the first of its addresses that answers; Denied when all of them are nearer than allowed."""
        self.dialed += 1
        with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            return Line(self._first(self._addresses(host, port), port, timeout))

    def _addresses(self, host: str, port: int) -> list[str]:
        if self._limit is not None:
            return allowed(host, port, self._limit, proxied=self._socks is not None)
        return [host] if self._socks else resolve(host, port)

    def _first(self, addresses: list[str], port: int, timeout: float | None) -> socket.socket:
        failed: OSError | None = None
        for address in addresses:
            try:
                sock = self._connected(address, port, timeout)
            except OSError as error:
                failed = failed or error
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
        raise failed or OSError(f"port {port} has no address")

    def _connected(self, address: str, port: int, timeout: float | None) -> socket.socket:
        if self._socks is None:
            return socket.create_connection((address, port), timeout)
        return _by_socks(self._socks, self._password, address, port, timeout)


def _by_socks(proxy: SplitResult, password: str | None, host: str, port: int, timeout: float | None) -> socket.socket:
    from python_socks import ProxyError, ProxyType
    from python_socks.sync import Proxy

    kind = ProxyType.SOCKS4 if proxy.scheme == "socks4" else ProxyType.SOCKS5
    user = unquote(proxy.username) if proxy.username else None
    try:
        return Proxy(kind, proxy.hostname or "", proxy.port or 1080, username=user, password=password).connect(host, port, timeout)
    except ProxyError as error:
        raise httpcore2.ProxyError(str(error)) from error
