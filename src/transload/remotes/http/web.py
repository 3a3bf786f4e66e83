"""Requests and answers: redirects by our rules, credentials to the operator's own hosts only, bodies as raw bytes."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore2
import httpx2

from transload.errors import Denied, Refused
from transload.remotes.http.address import shown
from transload.remotes.http.answer import Answer
from transload.remotes.http.credentials import request_headers, tls
from transload.remotes.http.dial import Dialer, Nearness, allowed, nearness, resolve
from transload.remotes.http.faults import telling
from transload.secret import Secret

if TYPE_CHECKING:
    from transload.remotes.http.settings import HttpRemote

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5


class Web:
    """One session's connections: some to the hosts that the operator wrote, others to where redirects led."""

    def __init__(self, remote: HttpRemote) -> None:
        self._timeout = dict.fromkeys(("connect", "read", "write", "pool"), remote.timeout)
        self._headers = request_headers(remote)
        self._allow_private = remote.allow_private
        self._proxy: SplitResult | None = urlsplit(remote.proxy) if remote.proxy else None
        self._proxy_password = remote.proxy_password.reveal() if remote.proxy_password else ""
        self._tls: ssl.SSLContext = tls(remote)
        self._pools: dict[Nearness | None, tuple[Dialer, httpcore2.ConnectionPool]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections; the next request makes new ones."""
        pools, self._pools = self._pools, {}
        for _, pool in pools.values():
            pool.close()

    @contextmanager
    def asked(
        self, method: str, url: str, *, query: Mapping[str, str | Secret] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Answer]:
        """The answer of `url`, after at most five redirects; its body is read while the context lasts."""
        what = shown(url)
        with telling(what):
            own = here = httpx2.URL(url).copy_merge_params({name: _plain(value) for name, value in (query or {}).items()})
            sent = self._headers
            limit: Nearness | None = None
            for _ in range(_MAX_REDIRECTS + 1):
                with self._sent(method, here, sent | dict(headers or {}), limit) as answer:
                    if answer.status not in _REDIRECTS or not answer.header("location"):
                        yield answer
                        return
                    there = here.join(answer.header("location"))
                _check(what, here, there)
                if not _same_site(own, there):
                    sent = {name: value for name, value in sent.items() if name in ("User-Agent", "Accept", "Accept-Encoding")}
                    limit = self._limit(own)
                here = there
            message = f"{what}: more than {_MAX_REDIRECTS} redirects"
            raise Refused(message)

    def _limit(self, own: httpx2.URL) -> Nearness:
        if self._allow_private:
            return Nearness.LINK
        try:
            return max(nearness(address) for address in resolve(own.host, _port(own)))
        except OSError:
            return Nearness.PUBLIC

    def _sent(self, method: str, url: httpx2.URL, headers: Mapping[str, str], limit: Nearness | None) -> AbstractContextManager[Answer]:
        dialer, pool = self._pool(limit)
        if limit is not None and self._proxy is not None and self._proxy.scheme == "http":
            allowed(url.host, _port(url), limit, proxied=True)
        request = httpcore2.Request(
            method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[(b"Host", url.netloc), *((name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items())],
            extensions={"timeout": self._timeout},
        )
        dialed = dialer.dialed
        try:
            response = pool.handle_request(request)
        except (httpcore2.RemoteProtocolError, httpcore2.ReadError, httpcore2.WriteError):
            if dialer.dialed != dialed:
                raise
            # An idle connection that the other side had closed meanwhile says nothing about the file: ask by a new one.
            self.hang_up()
            response = self._pool(limit)[1].handle_request(request)
        return Answer(shown(str(url)), response, self.hang_up)

    def _pool(self, limit: Nearness | None) -> tuple[Dialer, httpcore2.ConnectionPool]:
        if limit not in self._pools:
            forward = self._proxy if self._proxy is not None and self._proxy.scheme == "http" else None
            dialer = Dialer(None if forward else self._proxy, self._proxy_password, None if forward else limit)
            pool = httpcore2.ConnectionPool(
                ssl_context=self._tls,
                proxy=self._forward(forward) if forward else None,
                max_connections=8,
                keepalive_expiry=15,
                network_backend=dialer,
            )
            self._pools[limit] = dialer, pool
        return self._pools[limit]

    def _forward(self, proxy: SplitResult) -> httpcore2.Proxy:
        url = httpcore2.URL(scheme="http", host=proxy.hostname or "", port=proxy.port or 3128, target="/")
        return httpcore2.Proxy(url, (unquote(proxy.username), self._proxy_password) if proxy.username else None)


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _port(url: httpx2.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _same_site(own: httpx2.URL, there: httpx2.URL) -> bool:
    if own.host != there.host:
        return False
    upgraded = (own.scheme, _port(own), there.scheme, _port(there)) == ("http", 80, "https", 443)
    return upgraded or (own.scheme, _port(own)) == (there.scheme, _port(there))


def _check(what: str, here: httpx2.URL, there: httpx2.URL) -> None:
    fault = ""
    if there.scheme not in ("http", "https") or not there.host:
        fault = "which is no web address"
    elif here.scheme == "https" and there.scheme == "http":
        fault = "which is not encrypted"
    elif there.userinfo:
        fault = "with a user in the URL"
    if fault:
        message = f"{what}: a redirect leads to {shown(str(there))}, {fault}"
        raise Denied(message)
