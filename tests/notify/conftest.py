"""A web server that takes what it is told, or does not."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.peers.certificates import Certificates
from transload.notify import Message, Notice


class Receiver:
    """Keeps what is posted, and answers as told."""

    def __init__(self, certificate=None) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.more, self.wait = 200, {}, threading.Event()
        self.wait.set()
        outer = self

        class Asked(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers.items()), body))
                outer.wait.wait(20)
                with suppress(OSError):
                    self.send_response(outer.status)
                    for key, value in {"Content-Length": "2", **outer.more}.items():
                        self.send_header(key, value)
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None: ...

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None: ...

        self.server = Quiet(("127.0.0.1", 0), Asked)
        if certificate is not None:
            self.server.socket = certificate.server().wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.wait.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def certificates():
    return Certificates()


@pytest.fixture
def secure(certificates):
    """Makes servers with TLS."""
    made: list[Receiver] = []

    def make(name: str = "good") -> Receiver:
        made.append(Receiver(getattr(certificates, name)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def message():
    notice = Notice("quarantined", "acl", "in/a b.csv", "EICAR was found", 1_700_000_000_000_000, "acl/1", "sftp://carrier/out")
    return Message("Transload: acl: quarantined (1)", "quarantined: in/a b.csv <!channel> & *bold*", (notice,))
