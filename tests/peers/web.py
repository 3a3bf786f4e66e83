r"""An HTTP server of our own, in a thread, that does what a page tells it to: ranges, conditions, logins, cuts, lies, silence.

    with Web({"/a.csv": Page(b"a,b\n1,2\n")}) as web:          # .host .port; web.url("/a.csv")
        web.pages["/b"] = Page(b"...", modified=1700000000)     # Last-Modified (seconds; None = not told) and ETag (a hash; "" = not told)
        web.pages["/c"] = Page(b"...", user="joe:secret")       # Basic; bearer="token"; header=("X-Key", "value")
        web.pages["/d"] = Page(redirect="/b")                   # or to a whole URL; status=301
        web.pages["/e"] = Page(b"...", cut=100)                 # the connection is reset after 100 bytes of this answer's body
        web.pages["/e"] = Page(b"...", cut=100, end="fin", times=1)   # closed, and only the first time; then as usual
        web.pages["/f"] = Page(b"...", length=10_000)           # a lying Content-Length (None = none: the body ends with the connection)
        web.pages["/g"] = Page(b"...", chunked=True)            # chunked; with cut it ends within a chunk
        web.pages["/h"] = Page(b"...", gzip=True)               # gzip when the client takes it; gzip="always" even when not asked
        web.pages["/i"] = Page(b"...", ranges="ignore")         # 200 to every Range; "wrong" = 206 with other bytes than were asked for
        web.pages["/j"] = Page(hang="answer")                   # takes the request, never answers; "body" = the head, and then nothing
        web.pages["/k"] = Page(status=503, headers={"Retry-After": "7"})
        web.pages["/l"] = Page(endless=True)                    # bytes for ever
        web.heard                                               # every request: .method .path .headers, and .status of its answer
        web.changing = lambda path: ...                         # called after each whole answer (to change a page behind the client's back)

`Web(pages, tls=ssl_context)` speaks https. Pages may be changed while it runs; HEAD, GET, Range, If-Range, If-None-Match, If-Modified-Since
and PUT (stores a page) work as the standard says.
"""

from __future__ import annotations

import base64
import email.utils
import gzip
import hashlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.peers.base import HOST

BLOCK = 65536


@dataclass
class Page:
    """What is at one path, and how it is told; see the module's text."""

    data: bytes = b""
    modified: float | None = 1700000000.0
    etag: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    bearer: str | None = None
    header: tuple[str, str] | None = None
    redirect: str | None = None
    cut: int | None = None
    end: str = "reset"
    times: int | None = None
    length: int | str | None = "right"
    chunked: bool = False
    gzip: bool | str = False
    ranges: str = "honour"
    hang: str | None = None
    endless: bool = False

    @property
    def tag(self) -> str:
        """The ETag, quotes included; empty when it is not told."""
        return f'"{hashlib.sha256(self.data).hexdigest()[:16]}"' if self.etag is None else self.etag


@dataclass
class Heard:
    """One request, with the status of its answer."""

    method: str
    path: str
    headers: Message
    status: int = 0


class Web:
    """A scriptable HTTP server; see the module's text."""

    def __init__(self, pages: Mapping[str, Page] | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        """Serve `pages`."""
        self.pages = dict(pages or {})
        self.heard: list[Heard] = []
        self.changing: Callable[[str], None] = lambda _: None
        self.over = threading.Event()
        self.tls = tls
        web = self

        class Line(_Line):
            peer = web

        self._server = _Server((HOST, 0), Line)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.host = HOST
        self.port: int = self._server.server_address[1]

    def url(self, path: str = "/", user: str = "") -> str:
        """The URL of a path."""
        return f"{'https' if self.tls else 'http'}://{user and user + '@'}{self.host}:{self.port}{path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Line(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    peer: Web

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.peer.pages[self.path] = Page(data)
        self.remember(HTTPStatus.CREATED)
        self.head(HTTPStatus.CREATED, {"Content-Length": "0"})

    def remember(self, status: int) -> None:
        self.peer.heard.append(Heard(self.command, self.path, self.headers, status))

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.flush()

    def plain(self, status: int, headers: Mapping[str, str] | None = None, *, body: bool = True) -> None:
        self.remember(status)
        text = b"" if status == HTTPStatus.NOT_MODIFIED else f"{status}\n".encode()
        self.head(status, {"Content-Length": str(len(text)), **(headers or {})})
        if body:
            self.wfile.write(text)

    def answer(self, *, body: bool) -> None:
        page = self.peer.pages.get(self.path.partition("?")[0])
        if page is None:
            self.plain(HTTPStatus.NOT_FOUND, body=body)
        elif page.hang == "answer":
            self.peer.over.wait()
            self.close_connection = True
        elif not self.let_in(page):
            self.plain(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="test"'}, body=body)
        elif page.redirect is not None:
            status = page.status if page.status != HTTPStatus.OK else HTTPStatus.FOUND
            self.plain(status, {"Location": page.redirect, **page.headers}, body=body)
        elif page.status != HTTPStatus.OK:
            self.plain(page.status, page.headers, body=body)
        elif self.unchanged(page):
            self.plain(HTTPStatus.NOT_MODIFIED, self.told(page), body=body)
        else:
            self.give(page, body=body)

    def let_in(self, page: Page) -> bool:
        given = self.headers.get("Authorization", "")
        if page.user is not None:
            return given == "Basic " + base64.b64encode(page.user.encode()).decode()
        if page.bearer is not None:
            return given == f"Bearer {page.bearer}"
        return page.header is None or self.headers.get(page.header[0]) == page.header[1]

    def unchanged(self, page: Page) -> bool:
        known = self.headers.get("If-None-Match")
        if known is not None:
            return page.tag != "" and page.tag in known
        since = self.headers.get("If-Modified-Since")
        return since is not None and page.modified is not None and page.modified <= email.utils.parsedate_to_datetime(since).timestamp()

    def told(self, page: Page) -> dict[str, str]:
        told = {"ETag": page.tag} if page.tag else {}
        if page.modified is not None:
            told["Last-Modified"] = email.utils.formatdate(page.modified, usegmt=True)
        if page.ranges == "honour":
            told["Accept-Ranges"] = "bytes"
        return told | page.headers

    def give(self, page: Page, *, body: bool) -> None:
        data, status, headers = page.data, HTTPStatus.OK, self.told(page)
        wanted = self.wanted(page)
        if wanted is not None:
            start, end = wanted
            if start >= len(data):
                self.plain(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{len(data)}"}, body=body)
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            status = HTTPStatus.PARTIAL_CONTENT
            data = data[start:end] if page.ranges != "wrong" else data[: end - start]
        if page.gzip == "always" or (page.gzip and "gzip" in self.headers.get("Accept-Encoding", "")):
            data = gzip.compress(data)
            headers["Content-Encoding"] = "gzip"
        self.send(page, data, status, headers, body=body)

    def wanted(self, page: Page) -> tuple[int, int] | None:
        """The range that is asked for and may be given, as start and end."""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if found is None or page.ranges == "ignore" or self.command != "GET":
            return None
        stamp = email.utils.formatdate(page.modified, usegmt=True) if page.modified is not None else None
        if condition is not None and condition not in (page.tag or None, stamp):
            return None
        return int(found[1]), min(int(found[2]) + 1, len(page.data)) if found[2] else len(page.data)

    def send(self, page: Page, data: bytes, status: int, headers: dict[str, str], *, body: bool) -> None:
        if page.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif page.length == "right" and not page.endless:
            headers["Content-Length"] = str(len(data))
        elif page.length is not None and not page.endless:
            headers["Content-Length"] = str(page.length)
            self.close_connection = True
        else:
            headers["Connection"] = "close"
            self.close_connection = True
        self.remember(status)
        self.head(status, headers)
        if not body:
            return
        if page.hang == "body":
            self.peer.over.wait()
        cut = page.cut if page.times != 0 else None
        if cut is not None and page.times is not None:
            page.times -= 1
        while page.endless:
            self.wfile.write(b"x" * BLOCK)
        self.write(data if cut is None else data[:cut], chunked=page.chunked, whole=cut is None)
        if cut is not None:
            self.sever(page.end)
        else:
            self.peer.changing(self.path)

    def write(self, data: bytes, *, chunked: bool, whole: bool) -> None:
        if not chunked:
            self.wfile.write(data)
        else:
            for at in range(0, len(data), BLOCK):
                piece = data[at : at + BLOCK]
                promised = len(piece) if whole or at + BLOCK < len(data) else len(piece) + 1
                self.wfile.write(b"%x\r\n" % promised + piece + (b"\r\n" if promised == len(piece) else b""))
            self.wfile.write(b"0\r\n\r\n" if whole else b"")
        self.wfile.flush()

    def sever(self, end: str) -> None:
        self.close_connection = True
        with suppress(OSError):
            if end == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.connection.shutdown(socket.SHUT_WR)
