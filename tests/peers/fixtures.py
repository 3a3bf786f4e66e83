"""One pytest fixture for each peer, started when a test first asks for it, once per test process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

import pytest

from tests.peers.asyncssh_server import AsyncsshServer
from tests.peers.azurite import Azurite
from tests.peers.base import PeerMissing
from tests.peers.certificates import Certificates
from tests.peers.certificates import certificates as made_certificates
from tests.peers.fake_ftp import FakeFtp
from tests.peers.moto import Moto
from tests.peers.nginx import Nginx
from tests.peers.postgres import Postgres
from tests.peers.proftpd import Proftpd
from tests.peers.proxy import Proxy
from tests.peers.pyftpdlib_server import PyftpdlibServer
from tests.peers.sshd import Sshd
from tests.peers.vsftpd import Vsftpd
from tests.peers.web import Web

P = TypeVar("P")
BARE = ("MLSD", "MLST", "SIZE", "MDTM", "MFMT")
_started: dict[str, object] = {}
_stack = ExitStack()


def running(key: str, start: Callable[[], AbstractContextManager[P]]) -> P:
    """The one peer of this process called `key`, started now if it is the first time; the test is skipped when it is not installed."""
    if key not in _started:
        try:
            _started[key] = _stack.enter_context(start())
        except PeerMissing as error:
            pytest.skip(str(error))
    return _started[key]  # type: ignore[return-value]


def pytest_unconfigure() -> None:
    """Stop them all."""
    _started.clear()
    _stack.close()


def _peer(name: str, start: Callable[[], AbstractContextManager[P]]) -> Callable[[], P]:
    def fixture() -> P:
        return running(name, start)

    fixture.__doc__ = f"The running {name}."
    return pytest.fixture(scope="session", name=name)(fixture)


vsftpd = _peer("vsftpd", Vsftpd)
vsftpd_explicit = _peer("vsftpd_explicit", lambda: Vsftpd(tls="explicit"))
vsftpd_implicit = _peer("vsftpd_implicit", lambda: Vsftpd(tls="implicit"))
proftpd = _peer("proftpd", Proftpd)
pyftpdlib = _peer("pyftpdlib", PyftpdlibServer)
pyftpdlib_bare = _peer("pyftpdlib_bare", lambda: PyftpdlibServer(without=BARE))
pyftpdlib_dos = _peer("pyftpdlib_dos", lambda: PyftpdlibServer(without=BARE, style="dos", encoding="cp1252"))
sshd = _peer("sshd", Sshd)
jump_host = _peer("jump_host", lambda: Sshd(forwarding=True))
asyncssh_server = _peer("asyncssh_server", AsyncsshServer)
moto = _peer("moto", Moto)
azurite = _peer("azurite", Azurite)
nginx = _peer("nginx", Nginx)
postgres = _peer("postgres", Postgres)
socks_proxy = _peer("socks_proxy", Proxy)
http_proxy = _peer("http_proxy", lambda: Proxy("http"))


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """The certificates of this process."""
    return made_certificates()


@pytest.fixture
def web() -> Iterator[Web]:
    """A fresh HTTP server of our own."""
    with Web() as server:
        yield server


@pytest.fixture
def fake_ftp() -> Iterator[FakeFtp]:
    """A fresh FTP server of our own, without files."""
    with FakeFtp() as server:
        yield server
