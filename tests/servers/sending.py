"""Uploads by real client processes that stand still in mid-file, so that a test can kill them there.

`python -m tests.servers.sending WAY HOST PORT KEY PATH` is one of those clients: it uploads its standard input as it comes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.peers.base import PASSWORD, REPOSITORY, USER, program

PLAIN, EXPLICIT, IMPLICIT, SFTP = "FTP", "FTPS explicit", "FTPS implicit", "SFTP"
CURL, FTPLIB, PARAMIKO, ASYNCSSH, OPENSSH, LFTP = "curl", "ftplib", "paramiko", "asyncssh", "sftp", "lftp"
BY_WAY = {
    PLAIN: (CURL, FTPLIB, LFTP),
    EXPLICIT: (CURL, FTPLIB, LFTP),
    IMPLICIT: (CURL, LFTP),
    SFTP: (CURL, PARAMIKO, ASYNCSSH, OPENSSH),
}


class Sending:
    """One upload to `path` that has sent `sent` and neither goes on nor ends: a process, `kill` it."""

    def __init__(self, up: Any, way: str, client: str, path: str, sent: bytes, here: Path, within: list[str] | None = None) -> None:
        """Begin it; the process waits for more, or crawls."""
        self.path, self.sent, self.client = path, sent, client
        port = {PLAIN: up.port, EXPLICIT: up.port, IMPLICIT: up.implicit, SFTP: up.sftp}[way]
        if client in {OPENSSH, LFTP}:
            # These send files only: a longer one, so slowly that it does not end.
            file = here / f"{path.replace('/', '-')}.sent"
            file.write_bytes(sent + b"never sent" * 2**20)
            command = _crawling(up, way, client, port, path, file)
        elif client == CURL:
            scheme, trust = {PLAIN: ("ftp", []), SFTP: ("sftp", ["-k"]), EXPLICIT: ("ftp", ["-k", "--ssl-reqd"])}.get(way, ("ftps", ["-k"]))
            words = ["-sS", "-q", *trust, "-u", f"{USER}:{PASSWORD}", "-T", "-"]
            command = [program("curl"), *words, f"{scheme}://{up.host}:{port}/{path}"]
        else:
            command = [sys.executable, "-W", "ignore", "-m", __name__, client, way, up.host, str(port), path]
        ends_with_us = [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := shutil.which("setpriv")) else []
        self.process = subprocess.Popen(
            [*ends_with_us, *(within or []), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=REPOSITORY,
            env=os.environ | {"TERM": "dumb"},
            start_new_session=True,
        )
        assert self.process.stdin is not None
        if client not in {OPENSSH, LFTP}:
            self.process.stdin.write(sent)
            self.process.stdin.flush()

    def kill(self) -> None:
        """kill -9, of the client alone: what it started (ssh) ends as it will."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()


def _crawling(up: Any, way: str, client: str, port: int, path: str, file: Path) -> list[str]:
    if client == OPENSSH:
        ssh = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes", "BatchMode=yes")
        words = ["-q", "-F", "none", "-i", str(up.key), *(word for one in ssh for word in ("-o", one)), "-l", "1600", "-B", "4096"]
        batch = file.with_suffix(".batch")
        batch.write_text(f"put {file} {path}\n")
        return [program("sftp"), *words, "-b", str(batch), "-P", str(port), f"{USER}@{up.host}"]
    tls = "set ssl:verify-certificate no; set ftp:ssl-protect-data yes" if way != PLAIN else "set ftp:ssl-allow no"
    scheme = "ftps" if way == IMPLICIT else "ftp"
    login = f'open -u {USER},"{PASSWORD}" -p {port} {scheme}://{up.host}'
    return [
        program("lftp"),
        "--norc",
        "-c",
        f"{tls}; set net:max-retries 1; set net:limit-rate 0:200000; {login}; put {file} -o {path}; bye",
    ]


# A client of our own making around each library


class _Input:
    """Standard input, as it comes."""

    def read(self, count: int = 65536) -> bytes:
        return os.read(0, count)


@contextmanager
def _by_ftplib(way: str, host: str, port: int) -> Iterator[Any]:
    import ftplib

    line: ftplib.FTP = ftplib.FTP()
    if way == EXPLICIT:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        line = ftplib.FTP_TLS(context=context)
    line.connect(host, port)
    line.login(USER, PASSWORD)
    if isinstance(line, ftplib.FTP_TLS):
        line.prot_p()
    yield line
    line.quit()


def _by_paramiko(host: str, port: int, path: str) -> None:
    import paramiko

    with paramiko.SSHClient() as line:
        line.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        line.connect(host, port, USER, PASSWORD, allow_agent=False, look_for_keys=False)
        with line.open_sftp() as session, session.open(path, "wb") as file:
            while data := os.read(0, 32768):
                file.write(data)


async def _by_asyncssh(host: str, port: int, path: str) -> None:
    import asyncssh

    async with (
        asyncssh.connect(host, port, username=USER, password=PASSWORD, known_hosts=None, client_keys=[]) as line,
        line.start_sftp_client() as session,
        session.open(path, "wb") as file,
    ):
        while data := await asyncio.to_thread(os.read, 0, 32768):
            await file.write(data)


def main(client: str, way: str, host: str, port: int, path: str) -> None:
    """Upload standard input."""
    if client == FTPLIB:
        with _by_ftplib(way, host, port) as line:
            line.storbinary(f"STOR {path}", _Input())
    elif client == PARAMIKO:
        _by_paramiko(host, port, path)
    else:
        asyncio.run(_by_asyncssh(host, port, path))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
