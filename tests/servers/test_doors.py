from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from tests.servers.site import certificate_at
from transload.accounts.people import Known
from transload.config.server import FtpServer, Servers, SftpServer
from transload.errors import ConfigError
from transload.servers import keys
from transload.servers.doors import Doors


class Nobody:
    """A gate at which connections come and nobody gets in."""

    def greet(self, protocol: str, address: str) -> None: ...

    def gone(self, protocol: str, address: str) -> None: ...

    def methods(self, user: str) -> str:
        return "any"

    def has_key(self, user: str, key: str) -> bool:
        return False

    def find(self, name: str) -> Known | None:
        return None


FTP = FtpServer(listen="127.0.0.1:0")
SFTP = SftpServer(listen="127.0.0.1:0")


@pytest.fixture
def doors(tmp_path: Path):
    made = Doors(Servers(ftp=FTP, sftp=SFTP), tmp_path, Nobody(), renewed=0.05)
    made.start()
    yield made
    made.stop()


def test_a_certificate_that_was_renewed_is_shown_within_moments_by_itself(doors, tmp_path):
    before = certificate_at(doors.port("ftp"))
    fresh = keys.certificate(tmp_path / "fresh")
    os.replace(fresh.key, tmp_path / "server.key")
    time.sleep(0.2)  # between the two files of a pair there is none that could be shown
    assert before == certificate_at(doors.port("ftp"))
    os.replace(fresh.certificate, tmp_path / "server.crt")
    end = time.monotonic() + 20
    while before == certificate_at(doors.port("ftp")):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_is_the_same_stays_open_and_what_cannot_be_opened_changes_nothing(doors):
    ports = doors.ports()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="in use"):
            doors.change(Servers(ftp=FTP, sftp=SFTP.model_copy(update={"listen": address})))
    assert ports["ftp"] == doors.port("ftp")
    assert 0 < doors.port("sftp")
    doors.change(Servers(ftp=FTP))
    assert {"ftp": ports["ftp"]} == doors.ports()
    doors.change(Servers(ftp=FTP, sftp=SFTP))
    assert {"ftp", "sftp"} == doors.ports().keys()


class Line:
    """A client that says something and looks at the answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.stream = self.socket.makefile("rb")
        self.greeting = self.stream.readline()

    def asks(self, line: bytes) -> bytes:
        self.socket.sendall(line)
        return self.stream.readline()

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


def test_who_is_in_stays_in_when_limits_are_changed_and_feels_them(doors):
    ports, ftp, sftp = doors.ports(), Line(doors.port("ftp")), Line(doors.port("sftp"))
    limits = {"banner": "Another", "sessions": 7, "stalled": 5.0, "login_time": 2.0}
    doors.change(Servers(ftp=FTP.model_copy(update=limits), sftp=SFTP.model_copy(update=limits)))
    assert ports == doors.ports()
    assert b"200" == ftp.asks(b"NOOP\r\n")[:3]
    later = Line(doors.port("ftp")), Line(doors.port("sftp"))
    assert (b"220 Another\r\n", b"SSH-2.0-Another\r\n") == tuple(one.greeting for one in later)
    # Both have no more than two seconds for their login now.
    assert b"421" == ftp.stream.readline()[:3]
    for line in (ftp, sftp, *later):
        line.close()


@pytest.mark.parametrize("other", [{"passive_ports": "30000-30010"}, {"tls": "off"}, {"public_address": "203.0.113.7"}])
def test_a_door_that_must_listen_in_another_way_is_opened_anew_and_the_other_is_not(doors, other):
    sftp, ftp = doors.port("sftp"), Line(doors.port("ftp"))
    doors.change(Servers(ftp=FTP.model_copy(update=other), sftp=SFTP))
    assert ftp.stream.read().startswith(b"421")
    assert sftp == doors.port("sftp")
    ftp.close()


def test_none_is_open_when_one_cannot_be(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        made = Doors(Servers(ftp=FTP, sftp=SftpServer(listen=f"127.0.0.1:{taken.getsockname()[1]}")), tmp_path, Nobody())
        with pytest.raises(ConfigError, match="in use"):
            made.start()
        assert {} == made.ports()
        made.stop()
