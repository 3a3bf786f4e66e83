"""Places to test remotes at: an empty spot on a running peer, filled and looked at without any code of ours."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.peers import azurite, moto
from tests.peers.base import PASSWORD, USER
from tests.peers.web import Page
from transload.model import Name
from transload.secret import Secret

VARIABLE = "TRANSLOAD_TEST_PASSWORD"
WRONG = "TRANSLOAD_TEST_WRONG_PASSWORD"
S3_KEY, S3_SECRET = "TRANSLOAD_TEST_S3_KEY", "TRANSLOAD_TEST_S3_SECRET"
AZURE_KEY, WRONG_KEY = "TRANSLOAD_TEST_AZURE_KEY", "TRANSLOAD_TEST_WRONG_KEY"
os.environ |= {VARIABLE: PASSWORD, WRONG: "not-the-password", S3_KEY: moto.ACCESS_KEY, S3_SECRET: moto.SECRET_KEY}
os.environ |= {AZURE_KEY: azurite.KEY, WRONG_KEY: base64.b64encode(b"x" * 64).decode()}
PATIENCE = 10
_numbers = itertools.count(1)


@dataclass
class Place:
    """One empty spot for one test.

    `make` gives the remote's settings, some of them changed; `plant` puts a file there behind the remote's back, `files`
    tells everything that is there. `wrong` are settings that let nobody in. The rest tells what the store is able to.
    """

    make: Callable[..., Any]
    plant_file: Callable[[bytes, bytes, float], None]
    files: Callable[[], dict[bytes, bytes]]
    port: int | None = None
    absolute: str | None = None
    folders: bool = True
    holds: Callable[[bytes], bool] = lambda _: True
    sets_time: bool = True
    carries_time: bool = True
    wrong: dict[str, Secret] = field(default_factory=dict)
    planted: dict[bytes, bytes] = field(default_factory=dict)

    def connect(self, **changed: Any) -> AbstractContextManager[Any]:
        """A session."""
        return self.make(**changed).connect()

    def plant(self, name: bytes, data: bytes = b"data", modified: float = 1700000000.0) -> None:
        """Put a file there, of that time where the store lets anybody say so."""
        self.planted[name] = data
        self.plant_file(name, data, modified)


@dataclass(frozen=True)
class Case:
    """One kind of remote on one peer: `fixture` is the peer's, `at` makes a place on it."""

    name: str
    fixture: str
    at: Callable[[Any, Path], Place]
    abilities: frozenset[str]


# On a disk of this machine, whoever serves it


class Disk:
    """A new folder below a server's root, seen from this side."""

    def __init__(self, root: Path) -> None:
        self.name = f"place-{next(_numbers)}"
        self.path = root / self.name
        self.path.mkdir()
        self.raw = os.fsencode(self.path)

    def plant(self, name: bytes, data: bytes, modified: float) -> None:
        whole = self.raw + b"/" + name
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(data)
        os.utime(whole, (modified, modified))

    def files(self) -> dict[bytes, bytes]:
        found = {}
        for folder, _, names in os.walk(self.raw):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    found[os.path.relpath(file.name, self.raw)] = file.read()
        return found


def at_folder(_: Any, work: Path) -> Place:
    from transload.remotes.folder import FolderRemote

    disk = Disk(work)
    return Place(
        lambda **changed: FolderRemote(**{"path": disk.path, **changed}), disk.plant, disk.files, absolute=str(disk.path), port=None
    )


def ftp_at(**more: Any) -> Callable[[Any, Path], Place]:
    def at(peer: Any, _: Path) -> Place:
        from tests.peers.certificates import certificates
        from transload.remotes.ftp import FtpRemote

        disk = Disk(peer.root)
        settings = {"host": peer.host, "port": peer.port, "user": USER, "password": Secret(env=VARIABLE), "path": disk.name}
        settings |= {"timeout": PATIENCE, "tls": "off"} | more
        if settings["tls"] != "off":
            settings["ca"] = certificates().ca
        return Place(
            lambda **changed: FtpRemote(**(settings | changed)),
            disk.plant,
            disk.files,
            port=peer.port,
            absolute=f"/{disk.name}",
            holds=_in(settings.get("encoding", "utf-8")),
            wrong={"password": Secret(env=WRONG)},
            carries_time=peer.name != "pyftpdlib" or "MFMT" not in peer.without,
        )

    return at


def _in(encoding: str) -> Callable[[bytes], bool]:
    def holds(name: bytes) -> bool:
        try:
            name.decode().encode(encoding)
        except UnicodeError:
            return encoding == "utf-8"
        return True

    return holds


def at_sshd(peer: Any, _: Path) -> Place:
    disk = Disk(peer.root)
    login = {"password": Secret(env=VARIABLE)} if peer.passwords else {"key": Secret(file=peer.key)}
    return _sftp(peer, disk, login, str(disk.path))


def at_asyncssh(peer: Any, _: Path) -> Place:
    disk = Disk(peer.root)
    return _sftp(peer, disk, {"password": Secret(env=VARIABLE)}, f"/{disk.name}")


def _sftp(peer: Any, disk: Disk, login: dict[str, Any], absolute: str) -> Place:
    from transload.remotes.sftp import SftpRemote

    settings = {"host": peer.host, "port": peer.port, "user": peer.user, "path": disk.name, "host_key": peer.host_key, "timeout": PATIENCE}
    return Place(
        lambda **changed: SftpRemote(**(settings | login | changed)),
        disk.plant,
        disk.files,
        port=peer.port,
        absolute=absolute,
        wrong={"password": Secret(env=WRONG)},
    )


# Object stores


def at_s3(peer: moto.Moto, _: Path) -> Place:
    from transload.remotes.objects import S3Remote

    bucket, client = peer.bucket(), peer.client()

    def plant(name: bytes, data: bytes, _: float) -> None:
        client.put_object(Bucket=bucket, Key=f"base/{name.decode()}", Body=data)

    def files() -> dict[bytes, bytes]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key.removeprefix("base/").encode(): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def make(**changed: Any) -> S3Remote:
        port = changed.pop("port", peer.port)
        settings = {"bucket": bucket, "prefix": "base", "endpoint": f"http://{peer.host}:{port}", "region": moto.REGION}
        login = {"access_key": Secret(env=S3_KEY), "secret_key": Secret(env=S3_SECRET)}
        return S3Remote(**(settings | login | {"timeout": PATIENCE} | changed))

    return Place(make, plant, files, port=peer.port, absolute="/base", **_OBJECTS)


def at_azure(peer: azurite.Azurite, _: Path) -> Place:
    from transload.remotes.objects import AzureRemote

    container = peer.container()

    def plant(name: bytes, data: bytes, _: float) -> None:
        peer.put(container, f"base/{name.decode()}", data)

    def files() -> dict[bytes, bytes]:
        return {name.removeprefix("base/").encode(): peer.get(container, name) for name in peer.names(container)}

    def make(**changed: Any) -> AzureRemote:
        port = changed.pop("port", peer.port)
        settings = {"container": container, "prefix": "base", "endpoint": f"http://{peer.host}:{port}/{azurite.ACCOUNT}"}
        login = {"account": azurite.ACCOUNT, "account_key": Secret(env=AZURE_KEY)}
        return AzureRemote(**(settings | login | {"timeout": PATIENCE} | changed))

    return Place(make, plant, files, port=peer.port, absolute="/base", wrong={"account_key": Secret(env=WRONG_KEY)}, **_OBJECTS)


def _plain_text(name: bytes) -> bool:
    # Neither moto nor Azurite nor obstore lists control characters; Azurite takes a backslash for a slash.
    return Name(name).is_text and name.decode().isprintable() and b"\\" not in name


_OBJECTS: dict[str, Any] = {"folders": False, "holds": _plain_text, "sets_time": False, "carries_time": False}

# Web addresses


def at_web(peer: Any, _: Path) -> Place:
    path = f"/place-{next(_numbers)}"

    def plant(name: bytes, data: bytes, modified: float) -> None:
        peer.pages[f"{path}/{_plain(name)}"] = Page(data, modified=modified)

    return _http(peer.port, path, plant)


def at_nginx(peer: Any, _: Path) -> Place:
    disk = Disk(peer.root)
    return _http(peer.port, f"/{disk.name}", lambda name, data, modified: disk.plant(_plain(name).encode(), data, modified))


def _plain(name: bytes) -> str:
    return hashlib.sha256(name).hexdigest()[:32]


def _http(port: int, path: str, plant: Callable[[bytes, bytes, float], None]) -> Place:
    from transload.remotes.http import HttpRemote

    def make(**changed: Any) -> HttpRemote:
        base = f"http://127.0.0.1:{changed.pop('port', port)}{path}/"
        keys = place.planted or {b"nothing": b""}
        files = {name.decode("utf-8", "surrogateescape"): base + _plain(name) for name in keys}
        return HttpRemote(**({"files": files, "timeout": PATIENCE} | changed))

    place = Place(make, plant, lambda: dict(place.planted), port=port)
    return place


@contextmanager
def own_web() -> Iterator[Any]:
    """The HTTP server of our own, for a whole test process."""
    from tests.peers.web import Web

    with Web() as server:
        yield server


_READS = frozenset({"reads"})
_NET = frozenset({"network"})
_WRITES = _READS | {"writes", "settles"}
_FILES = _WRITES | {"temporaries"}
_FTP = _FILES | _NET | {"password"}
_SFTP = _FILES | _NET | {"one-port"}
_STORE = _WRITES | _NET | {"one-port"}

CASES = (
    Case("folder", "tmp_path", at_folder, _FILES),
    Case("ftp-vsftpd", "vsftpd", ftp_at(), _FTP),
    Case("ftp-vsftpd-explicit", "vsftpd_explicit", ftp_at(tls="explicit"), _FTP),
    Case("ftp-vsftpd-implicit", "vsftpd_implicit", ftp_at(tls="implicit"), _FTP),
    Case("ftp-proftpd", "proftpd", ftp_at(), _FTP),
    Case("ftp-pyftpdlib", "pyftpdlib", ftp_at(), _FTP),
    Case("ftp-pyftpdlib-bare", "pyftpdlib_bare", ftp_at(), _FTP),
    Case("ftp-pyftpdlib-dos", "pyftpdlib_dos", ftp_at(encoding="cp1252"), _FTP),
    Case("sftp-openssh", "sshd", at_sshd, _SFTP | {"password"}),
    Case("sftp-asyncssh", "asyncssh_server", at_asyncssh, _SFTP | {"password"}),
    Case("http-own", "own_web", at_web, _READS | _NET | {"one-port"}),
    Case("http-nginx", "nginx", at_nginx, _READS | _NET | {"one-port"}),
    Case("s3-moto", "moto", at_s3, _STORE),
    Case("azure-azurite", "azurite", at_azure, _STORE | {"password"}),
)


def now() -> float:
    """Whole seconds, now."""
    return float(int(time.time()))


FAR: dict[str, Any] = {
    "folder": ("tmp_path", at_folder),
    "ftp": ("vsftpd", ftp_at()),
    "sftp": ("sshd", at_sshd),
    "s3": ("moto", at_s3),
    "azure": ("azurite", at_azure),
}
"""A kind of destination: the peer that it wants, and how to make an empty place there."""
