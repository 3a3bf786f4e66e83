"""A client that uploads many small files and tells of each "yes": `python -m tests.servers.good WAY HOST PORT FOLDER COUNT [rename]`.

With "rename" every second one gets a temporary name first. For each file that was answered "yes" it writes a line to standard output, at
once: the name and the hash of what it sent.
"""

from __future__ import annotations

import ftplib
import hashlib
import io
import random
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.peers.base import PASSWORD, USER

LINES = 4
SIZES = (50, 100, 1448, 4096, 20_000, 100_000)


def content(path: str) -> bytes:
    """What the file at that path holds: the same each time it is asked for, and not what another holds."""
    dice = random.Random(path)
    return dice.randbytes(dice.choice(SIZES))


def digest(path: str) -> str:
    """The hash of it."""
    return hashlib.sha256(content(path)).hexdigest()


def main(way: str, host: str, port: int, folder: str, count: int, *, renaming: bool) -> None:
    """Upload them on several lines at once; the first fault ends it all."""
    names = [f"file-{number:05}.csv" for number in range(count)]
    faults: list[Exception] = []
    lock = threading.Lock()

    def work(mine: list[str]) -> None:
        try:
            with session(way, host, port) as put:
                for name in mine:
                    data = content(f"{folder}/{name}")
                    if renaming and name[-5] in "02468":
                        put(f"{folder}/{name}.part", data)
                        put.rename(f"{folder}/{name}.part", f"{folder}/{name}")
                    else:
                        put(f"{folder}/{name}", data)
                    with lock:
                        print(name, hashlib.sha256(data).hexdigest(), flush=True)
        except Exception as error:  # noqa: BLE001 - raised below, by the thread that can end the program
            faults.append(error)

    with session(way, host, port) as put:
        put.mkdir(folder)  # type: ignore[attr-defined]
    threads = [threading.Thread(target=work, args=(names[start::LINES],)) for start in range(LINES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


class Put:
    """Uploads, and makes folders."""

    def __init__(self, put: Callable[[str, bytes], None], mkdir: Callable[[str], Any], rename: Callable[[str, str], Any]) -> None:
        self._put, self.mkdir, self.rename = put, mkdir, rename

    def __call__(self, path: str, data: bytes) -> None:
        self._put(path, data)


@contextmanager
def session(way: str, host: str, port: int) -> Iterator[Put]:
    """Logged in by ftplib or paramiko."""
    if way == "SFTP":
        import paramiko

        with paramiko.SSHClient() as line:
            line.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            line.connect(host, port, USER, PASSWORD, allow_agent=False, look_for_keys=False, timeout=30, banner_timeout=30)
            with line.open_sftp() as files:
                yield Put(lambda path, data: _put(files, path, data), files.mkdir, files.rename)
        return
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ftp: ftplib.FTP = ftplib.FTP(timeout=60)
    if way != "FTP":
        from tests.servers.clients import ImplicitTls

        ftp = (ImplicitTls if way == "FTPS implicit" else ftplib.FTP_TLS)(context=context, timeout=60)
    with ftp:
        ftp.connect(host, port)
        ftp.login(USER, PASSWORD)
        if isinstance(ftp, ftplib.FTP_TLS):
            ftp.prot_p()
        yield Put(lambda path, data: _stor(ftp, path, data), ftp.mkd, ftp.rename)


def _put(files: Any, path: str, data: bytes) -> None:
    with files.open(path, "wb") as file:
        file.set_pipelined(True)
        file.write(data)


def _stor(ftp: ftplib.FTP, path: str, data: bytes) -> None:
    ftp.storbinary(f"STOR {path}", io.BytesIO(data))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), renaming="rename" in sys.argv)
