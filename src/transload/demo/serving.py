"""The partners' servers, each in a process of its own: `python -m transload.demo.serving KIND FOLDER`.

None of it is Transload's: pyftpdlib, asyncssh, the standard library's http.server, moto, Azurite. Each says its port on
the first line of its output, writes a line into FOLDER.journal for each file that it sends, and ends when its standard
input does, so that none outlives the demo.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
USER = "partner"
_children: list[subprocess.Popen[bytes]] = []


def main(kind: str, root: str) -> None:
    """Serve `root` until standard input ends."""
    threading.Thread(target=_end_with_the_demo, daemon=True).start()
    KINDS[kind](root)


def _end_with_the_demo() -> None:
    sys.stdin.read()
    for child in _children:
        child.kill()
    os._exit(0)


def _accepting(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def _journal(root: str) -> Callable[[bytes], None]:
    path = root + ".journal"

    def sent(name: bytes) -> None:
        with open(path, "ab") as file:
            file.write(name.replace(b"\n", b"\\n") + b"\n")

    return sent


def _password(root: str) -> str:
    return Path(root).parent.joinpath("secrets", "password").read_text().strip()


def ftp(root: str, *, tls: bool = False) -> None:
    """FTP by pyftpdlib, with TLS on both channels where asked for."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.servers import FTPServer

    sent, users = _journal(root), DummyAuthorizer()
    users.add_user(USER, _password(root), root, perm="elradfmwMT")

    class Line(TLS_FTPHandler if tls else FTPHandler):  # type: ignore[misc]
        authorizer = users
        use_gmt_times = True
        unicode_errors = "surrogateescape"
        certfile = str(Path(root).parent / "secrets" / "server.pem")
        tls_control_required = tls_data_required = True

        def on_file_sent(self, file: str) -> None:
            sent(os.fsencode(file))

    with FTPServer((HOST, 0), Line, backlog=128) as server:
        _accepting(server.address[1])
        server.serve_forever(handle_exit=False)


def sftp(root: str) -> None:
    """SFTP by asyncssh."""
    import asyncio

    import asyncssh

    sent, password = _journal(root), _password(root)

    class Doorman(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password_given: str) -> bool:
            return (username, password_given) == (USER, password)

    class Files(asyncssh.SFTPServer):
        def __init__(self, line: Any) -> None:
            super().__init__(line, chroot=os.fsencode(root))

        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
            sent(path)
            return super().open(path, pflags, attrs)

        def open56(self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs) -> Any:
            sent(path)
            return super().open56(path, desired_access, flags, attrs)

    async def serve() -> None:
        keys = [str(Path(root).parent / "secrets" / "host_key")]
        made = await asyncssh.listen(HOST, 0, server_factory=Doorman, server_host_keys=keys, sftp_factory=Files, allow_scp=False)
        _accepting(made.get_port())
        await made.wait_closed()

    asyncio.run(serve())


def web(root: str) -> None:
    """HTTP by the standard library."""
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    sent = _journal(root)

    class Line(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            """The journal has it."""

        def log_request(self, code: Any = "-", _size: Any = "-") -> None:
            if self.command == "GET" and int(code) == 200:
                sent(self.path.encode())

    server = ThreadingHTTPServer((HOST, 0), partial(Line, directory=root))
    server.daemon_threads = True
    _accepting(server.server_address[1])
    server.serve_forever()


def s3(_root: str) -> None:
    """S3 by moto, which keeps its objects in memory."""
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = import_module("moto.moto_server.threaded_moto_server").ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    _accepting(server.get_host_and_port()[1])
    threading.Event().wait()


def azure(root: str) -> None:
    """Azure Blob storage by Azurite."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    switches = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", root, "--blobHost", HOST, "--blobPort", str(port)]
    child = subprocess.Popen([*azurite(), *switches], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _children.append(child)
    while child.poll() is None and not _tried(port):
        time.sleep(0.05)
    _accepting(port)
    child.wait()


def azurite() -> list[str]:
    """The command that starts Azurite; empty where it, or node, is not installed."""
    here = Path(__file__).parents[3] / ".peers" / "node" / "node_modules" / ".bin"
    node, program = shutil.which("node"), shutil.which("azurite-blob", path=os.pathsep.join([str(here), os.environ.get("PATH", "")]))
    return [node, program] if node and program else []


def _tried(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False


KINDS: dict[str, Callable[[str], None]] = {"ftp": ftp, "ftps": partial(ftp, tls=True), "sftp": sftp, "web": web, "s3": s3, "azure": azure}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
