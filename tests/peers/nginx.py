"""nginx over a folder: a foreign HTTP server, with or without TLS, a listing, or a password."""

from __future__ import annotations

import os
from pathlib import Path

from tests.peers.base import PASSWORD, USER, Peer, program
from tests.peers.certificates import Pair

SETTINGS = """\
daemon off;
{user}
pid {work}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    server {{
        listen 127.0.0.1:{port}{ssl};
        {tls}
        root {root};
        autoindex on;
        location /private/ {{ auth_basic "private"; auth_basic_user_file {work}/users; }}
        {more}
    }}
}}
"""


class Nginx(Peer):
    """nginx over `root`, gzip for whoever asks; below /private/ only for USER with PASSWORD; `more` goes into its server block."""

    name = "nginx"

    def __init__(self, root: Path | None = None, *, certificate: Pair | None = None, more: str = "") -> None:
        """Serve `root`, or a temporary folder."""
        self.program = program("nginx")
        super().__init__(root)
        self.certificate, self.more = certificate, more

    def url(self, path: str = "/") -> str:
        """The URL of a path (already quoted)."""
        return f"{'https' if self.certificate else 'http'}://{self.host}:{self.port}{path}"

    def start(self) -> None:
        """Start it; returns when it accepts."""
        (self.work / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        pair = self.certificate
        tls = f"ssl_certificate {pair.cert}; ssl_certificate_key {pair.key};" if pair else ""
        user = "user root;" if os.geteuid() == 0 else ""
        settings = self.work / "nginx.conf"
        settings.write_text(
            SETTINGS.format(user=user, work=self.work, port=self.port, ssl=" ssl" if pair else "", tls=tls, root=self.root, more=self.more)
        )
        self.spawn([self.program, "-p", str(self.work), "-e", "stderr", "-c", str(settings)])
