"""Through a proxy, where the server speaks first: not a byte of its greeting is lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from transload.errors import ConfigError, Unreachable
from transload.remotes.proxied import dial
from transload.secret import Secret

GREETING = b"220 hello\r\n"


@contextmanager
def answering(*pieces: bytes, heard: list[bytes] | None = None) -> Iterator[str]:
    """A proxy that answers with these pieces, one segment each, and then hangs up; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            # Who has heard enough hangs up with the rest unread.
            with line, suppress(OSError):
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += line.recv(4096)
                if heard is not None:
                    heard.append(request)
                for piece in pieces:
                    line.sendall(piece)
                line.shutdown(socket.SHUT_WR)
                line.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join()


def _all(line: socket.socket) -> bytes:
    with line:
        return b"".join(iter(lambda: line.recv(4096), b""))


OK = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [OK + GREETING],
        [OK, GREETING],
        [bytes([one]) for one in OK + GREETING],
        [OK[:-1], OK[-1:] + GREETING],
        [OK.replace(b"\r\n", b"\n") + GREETING],
        [b"HTTP/1.0 200 \r\n\r\n" + GREETING],
    ],
    ids=["together", "apart", "byte by byte", "cut in the end", "bare newlines", "no reason"],
)
def test_the_greeting_is_left_whole(pieces: Sequence[bytes]):
    with answering(*pieces) as url:
        assert GREETING == _all(dial(url, None, "ftp.example", 21, 5))


def test_host_and_login_are_told(monkeypatch):
    monkeypatch.setenv("PROXY_WORD", "open: sesame")
    heard: list[bytes] = []
    with answering(OK, heard=heard) as url:
        _all(dial(url.replace("//", "//m%40e@"), Secret(env="PROXY_WORD"), "::1", 2121, 5))
    assert [
        b"CONNECT [::1]:2121 HTTP/1.1\r\nHost: [::1]:2121\r\nProxy-Authorization: Basic bUBlOm9wZW46IHNlc2FtZQ==\r\n\r\n",
    ] == heard


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], "it refuses: 407 Proxy Authentication Required"),
        ([b"SSH-2.0-x\r\n\r\n"], "it refuses: its answer is none of HTTP"),
        ([b"HTTP/1.1 200 OK\r\n"], "it hung up before it answered"),
        ([], "it hung up before it answered"),
        ([b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000], "its answer has no end"),
    ],
    ids=["refused", "no http", "half", "nothing", "endless"],
)
def test_what_is_wrong_with_the_answer_is_told(pieces, said):
    with answering(*pieces) as url, pytest.raises(Unreachable) as told:
        dial(url, None, "ftp.example", 21, 5)
    assert f"the proxy 127.0.0.1: {said}" == str(told.value)


def test_a_proxy_that_says_nothing_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Unreachable, match="gave no answer in time"):
        dial(f"http://127.0.0.1:{server.getsockname()[1]}", None, "ftp.example", 21, 0.2)


def test_a_url_that_is_no_proxy_is_refused():
    for url in ("ftp://127.0.0.1:1", "http://", "127.0.0.1:8080"):
        with pytest.raises(ConfigError, match="cannot be used"):
            dial(url, None, "h", 1, 1)
