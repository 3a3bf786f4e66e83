"""Every peer starts, says what it is, and the foreign clients agree."""

from __future__ import annotations

import ftplib
import io
import socket
import ssl
import subprocess

import pytest

from tests.peers.base import PASSWORD, USER, program
from tests.peers.fake_ftp import Cut, FakeFtp
from tests.peers.relay import Relay
from tests.peers.web import Page

FTP = ("vsftpd", "proftpd", "pyftpdlib", "pyftpdlib_bare", "pyftpdlib_dos")


@pytest.mark.parametrize("name", FTP)
def test_a_foreign_client_fetches_from_every_ftp_peer(request, name):
    peer = request.getfixturevalue(name)
    (peer.root / "hello").write_bytes(b"hello\n")
    fetched = subprocess.run(
        [program("curl"), "-sS", "-u", f"{USER}:{PASSWORD}", f"ftp://{peer.host}:{peer.port}/hello"], check=True, capture_output=True
    )
    assert b"hello\n" == fetched.stdout


@pytest.mark.parametrize("name", ["sshd", "jump_host", "asyncssh_server"])
def test_a_foreign_client_fetches_from_every_sftp_peer(request, name, tmp_path):
    peer = request.getfixturevalue(name)
    (peer.root / "hello").write_bytes(b"hello\n")
    options = ["-q", "-b", "-", "-P", str(peer.port), "-i", str(peer.key), "-F", "none", "-o", f"UserKnownHostsFile={peer.known_hosts}"]
    command = [program("sftp"), *options, f"{peer.user}@{peer.host}"]
    subprocess.run(command, input=f"get hello {tmp_path}/hello\n".encode(), check=True, capture_output=True)
    assert b"hello\n" == (tmp_path / "hello").read_bytes()


@pytest.mark.parametrize(
    "name", ["moto", "azurite", "nginx", "postgres", "socks_proxy", "http_proxy", "vsftpd_explicit", "vsftpd_implicit"]
)
def test_it_comes_back_at_its_port_after_a_stop(request, name):
    peer = request.getfixturevalue(name)
    peer.stop()
    peer.start()
    assert peer.process.poll() is None


def test_azurite_keeps_what_is_put(azurite):
    container = azurite.container()
    azurite.put(container, "in/ü #?%41.txt", b"data")
    assert ["in/ü #?%41.txt"] == azurite.names(container)
    assert b"data" == azurite.get(container, "in/ü #?%41.txt")


def test_each_url_is_a_new_database(postgres):
    assert postgres.url() != postgres.url()
    assert "on" == postgres.run("SHOW fsync")


def retrieved(ftp: ftplib.FTP, name: str) -> bytes:
    data = io.BytesIO()
    ftp.retrbinary(f"RETR {name}", data.write)
    return data.getvalue()


@pytest.mark.parametrize("secure", [False, True])
def test_the_fake_ftp_server_cuts_as_told_and_then_no_more(certificates, secure):
    context = ssl.create_default_context(cafile=certificates.ca)
    with (
        FakeFtp({"a": b"x" * 1000}, tls=certificates.good.server()) as fake,
        ftplib.FTP_TLS(context=context, timeout=5) if secure else ftplib.FTP(timeout=5) as ftp,
    ):
        fake.cuts["a"] = Cut(400, times=1)
        ftp.connect(fake.host, fake.port)
        ftp.login(USER, PASSWORD)
        if secure:
            ftp.prot_p()
        assert 400 == len(retrieved(ftp, "a"))
        assert 1000 == len(retrieved(ftp, "a"))
        fake.cuts["a"] = Cut(400, end="reset", reply="426 cut")
        with pytest.raises(OSError):
            retrieved(ftp, "a")
        ftp.close()
    assert 3 == fake.verbs().count("RETR")


def test_the_fake_ftp_server_tears_tls_as_told(certificates):
    context = ssl.create_default_context(cafile=certificates.ca)
    with FakeFtp({"a": b"x" * 1000}, tls=certificates.good.server()) as fake, ftplib.FTP_TLS(context=context, timeout=5) as ftp:
        fake.cuts["a"] = Cut(400, end="torn")
        ftp.connect(fake.host, fake.port)
        ftp.login(USER, PASSWORD)
        ftp.prot_p()
        ftp.putcmd("PASV")
        host, port = ftplib.parse227(ftp.getresp())
        with socket.create_connection((host, port), 5) as raw:
            ftp.sendcmd("RETR a")
            line = context.wrap_socket(raw, server_hostname=fake.host, suppress_ragged_eofs=False)
            assert 400 == len(line.recv(1000))
            with pytest.raises(ssl.SSLEOFError):
                line.recv(1)
            line.close()


def test_a_relay_lets_so_many_bytes_through(web):
    web.pages["/a"] = Page(b"x" * 1_000_000)
    with Relay(web.port) as relay:
        url = f"http://{relay.host}:{relay.port}/a"
        relay.down_left = 300_000
        broken = subprocess.run([program("curl"), "-sS", url], check=False, capture_output=True)
        assert 0 != broken.returncode
        assert len(broken.stdout) < 300_000
        relay.mend()
        assert 1_000_000 == len(subprocess.run([program("curl"), "-sS", url], check=True, capture_output=True).stdout)


@pytest.mark.parametrize("name", ["vsftpd", "proftpd", "pyftpdlib"])
def test_a_stop_cuts_the_sessions_too(request, name):
    peer = request.getfixturevalue(name)
    ftp = ftplib.FTP(timeout=5)
    ftp.connect(peer.host, peer.port)
    ftp.login(USER, PASSWORD)
    peer.stop()
    with pytest.raises((OSError, EOFError, ftplib.error_temp)):
        ftp.pwd()
    ftp.close()
    peer.start()
