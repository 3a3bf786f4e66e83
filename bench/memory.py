"""T14: a large file, by any way in and any way out, in little memory."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

from tests.peers import azurite as azure
from tests.peers.azurite import Azurite
from tests.peers.base import PASSWORD, USER, Peer, PeerMissing, program
from tests.peers.nginx import Nginx
from tests.peers.sshd import Sshd
from tests.peers.vsftpd import Vsftpd

from bench import who
from bench.race import Contestant, Row, Wrong, once

SIZE = 10 * 2**30
_NAME = "large.bin"
Remote = dict[str, object]


class RcloneS3(Peer):
    """S3 as rclone serves a folder: moto keeps an object in memory."""

    name = "rclone"

    def start(self) -> None:
        (self.root / "bench").mkdir()
        login = ["--auth-key", "bench,bench-secret", "--vfs-cache-mode", "off"]
        self.spawn(
            [program("rclone", who.BIN), "serve", "s3", "--config", "", "--addr", f"{self.host}:{self.port}", *login, str(self.root)]
        )


def t14(work: Path, _pairs: int, scale: float) -> Iterator[Row]:
    """A file of 10 GiB, any way in and any way out; memory alone."""
    os.environ |= {"BENCH_S3_KEY": "bench", "BENCH_S3_SECRET": "bench-secret", "BENCH_AZURE_KEY": azure.KEY, "BENCH_PASSWORD": PASSWORD}
    size = round(SIZE * scale)
    with ExitStack() as stack:
        if shutil.disk_usage(work).free < 2.5 * size:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp")))
        (work / "source").mkdir()
        with (work / "source" / _NAME).open("wb") as file:
            file.truncate(size)  # no bytes on any disk: what is read is zeros, and hashed and written like others
        os.utime(file.name, (1_700_000_000, 1_700_000_000))
        for name, remote in _ways_in(work / "source", stack):
            yield _moved(work, size, name, remote, "a folder", {"kind": "folder", "path": "out"}, partial(_on_disk, work / "us" / "out"))
        here: Remote = {"kind": "folder", "path": str(work / "source")}
        for name, remote, arrived in _ways_out(work, stack):
            yield _moved(work, size, "a folder", here, name, remote, arrived)


def _started(stack: ExitStack, make: Callable[[], AbstractContextManager[Peer]]) -> Peer | None:
    try:
        return stack.enter_context(make())
    except PeerMissing as error:
        print(f"    left out: {error}")
        return None


def _ways_in(root: Path, stack: ExitStack) -> Iterator[tuple[str, Remote]]:
    yield "a folder", {"kind": "folder", "path": str(root)}
    if server := _started(stack, lambda: Sshd(root)):
        yield "SFTP (OpenSSH)", who.of_sshd(server)
    if server := _started(stack, lambda: Vsftpd(root)):
        yield "FTP (vsftpd)", who.of_vsftpd(server)
    if server := _started(stack, lambda: Nginx(root)):
        yield "HTTP (nginx)", {"kind": "http", "files": {"large": f"http://127.0.0.1:{server.port}/{_NAME}"}}


def _ways_out(work: Path, stack: ExitStack) -> Iterator[tuple[str, Remote, Callable[[], int]]]:
    if server := _started(stack, lambda: Sshd(work / "sftp")):
        yield "SFTP (OpenSSH)", who.of_sshd(server), partial(_on_disk, work / "sftp")
    if server := _started(stack, lambda: Vsftpd(work / "ftps", tls="explicit")):
        login = {"host": server.host, "port": server.port, "user": USER, "password": {"env": "BENCH_PASSWORD"}}
        yield "FTPS (vsftpd)", {"kind": "ftp", "insecure": True, **login}, partial(_on_disk, work / "ftps")
    if server := _started(stack, lambda: RcloneS3(work / "s3")):
        store = {"bucket": "bench", "endpoint": f"http://127.0.0.1:{server.port}", "region": "us-east-1"}
        keys = {"access_key": {"env": "BENCH_S3_KEY"}, "secret_key": {"env": "BENCH_S3_SECRET"}}
        yield "S3 (rclone serve)", {"kind": "s3", **store, **keys}, partial(_on_disk, work / "s3" / "bench")
    if server := _started(stack, lambda: Azurite(work / "azurite")):
        container = server.container()
        store = {"account": azure.ACCOUNT, "container": container, "endpoint": server.url}
        yield (
            "Azure (Azurite)",
            {"kind": "azure", **store, "account_key": {"env": "BENCH_AZURE_KEY"}},
            partial(_in_azure, server, container),
        )


def _on_disk(folder: Path) -> int:
    """The size of what arrived, which is then removed."""
    size = (folder / _NAME).stat().st_size
    (folder / _NAME).unlink()
    return size


def _in_azure(server: Azurite, container: str) -> int:
    asked = urllib.request.Request(f"{server.url}/{container}/{_NAME}?{server.sas(container)}", method="HEAD")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return int(answer.headers["Content-Length"])


def _moved(work: Path, size: int, source: str, remote: Remote, target: str, out: Remote, arrived: Callable[[], int]) -> Row:
    us = work / "us"
    route = {"from": {"remote": who.REMOTE, "settle": "0s"}, "to": [{"remote": "out"}]}
    file = who.config(us / "transload.toml", {who.REMOTE: remote, "out": out}, route, spool={"keep": "0s", "min_free": "1MB"})

    def check() -> None:
        there = arrived()
        if there != size:
            raise Wrong(f"{there} of {size} bytes arrived at {target}")

    prepare = who.emptied(us / "data", us / "out")
    seconds, memory, _ = once(Contestant(f"{source} to {target}", who.transload(file), prepare=prepare, check=check))
    prepare()
    told = f"{size / 2**30:.3g} GiB from {source} to {target}: memory"
    print(f"    {told} {memory:.0f} MB, {seconds:.1f} s", flush=True)
    return Row("T14", told, memory, unit="MB", goal=150, goal_unit="MB", memory=memory, runs=[seconds])
