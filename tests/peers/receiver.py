"""A web server that takes what it is told, or does not.

receiver = Receiver()                           # .at (host:port), .got: (path, headers, body) of each POST
receiver.status = 503                           # from now on
receiver.refused = b"odd"                       # 400 for what holds this
receiver.wait.clear()                           # nothing is answered until it is set
"""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Receiver:
    """Keeps what is posted, and answers as told."""

    def __init__(self, certificate: Any = None) -> None:
        """Listen on loopback, with TLS where there is a certificate."""
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.more, self.wait = 200, {}, threading.Event()
        self.refused: bytes | None = None
        self.wait.set()
        outer = self

        class Asked(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers.items()), body))
                outer.wait.wait(20)
                with suppress(OSError):
                    odd = outer.refused is not None and outer.refused in body
                    self.send_response(400 if odd else outer.status)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def at(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        """Answer whoever waits, and end."""
        self.wait.set()
        self.server.shutdown()
        self.server.server_close()
