"""FTPS: whom we trust, and what we never say in clear; and proxies."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from pydantic import ValidationError

from tests.peers.base import PASSWORD, USER
from tests.peers.certificates import certificates
from tests.peers.fake_ftp import LISTING, Cut, FakeFtp
from tests.peers.proxy import Proxy
from transload.errors import ConfigError, Denied, Unreachable
from transload.model import Entry, Name, Parcel, Verify
from transload.remotes.ftp import FtpRemote
from transload.secret import Secret
from transload.spool import Spool

os.environ["TRANSLOAD_TEST_PASSWORD"] = PASSWORD
LOGIN = {"user": USER, "password": Secret(env="TRANSLOAD_TEST_PASSWORD"), "timeout": 20.0}
BIG = os.urandom(1_000_000)


def remote(peer, **changed) -> FtpRemote:
    return FtpRemote(**({"host": peer.host, "port": peer.port, "ca": certificates().ca} | LOGIN | changed))


def data(outcome) -> bytes:
    assert outcome.error is None
    with open(outcome.spooled.part, "rb") as file:
        return file.read()


@pytest.fixture
def spool(tmp_path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", min_free=0, keep=0) as made:
        yield made


@pytest.fixture
def ftps() -> Iterator[FakeFtp]:
    with FakeFtp({"big": BIG, "small": b"small"}, tls=certificates().good.server()) as server:
        yield server


@pytest.mark.parametrize("implicit", [False, True])
def test_files_come_and_go_under_tls(spool, tmp_path, implicit):
    (tmp_path / "up").write_bytes(BIG)
    with FakeFtp({"big": BIG}, tls=certificates().good.server(), implicit=implicit) as ftp:
        with remote(ftp, tls="implicit" if implicit else "explicit").connect() as session:
            (got,) = session.fetch(session.list("", recursive=True), spool)
            assert data(got) == BIG
            (staged,) = session.stage([Parcel(1, "k", Name("up"), str(tmp_path / "up"), len(BIG), "")])
            assert (None, Verify.SIZE) == (staged.error, staged.verified)
        assert ftp.files[b".k.part"] == BIG
        assert b"PROT P" in ftp.heard


@pytest.mark.parametrize("which", ["expired", "elsewhere", "foreign"])
def test_a_certificate_that_is_not_to_be_trusted_is_denied_before_anything_is_said(which):
    with FakeFtp(tls=getattr(certificates(), which).server()) as ftp:
        with pytest.raises(Denied, match="certificate"), remote(ftp).connect():
            pass
        assert {"AUTH"} >= set(ftp.verbs())


def test_a_certificate_of_our_own_authority_is_not_trusted_without_it(ftps):
    with pytest.raises(Denied), remote(ftps, ca=None).connect():
        pass


@pytest.mark.parametrize("which", ["expired", "elsewhere", "foreign"])
def test_insecure_takes_any_certificate(which):
    with FakeFtp(tls=getattr(certificates(), which).server()) as ftp, remote(ftp, ca=None, insecure=True).connect() as session:
        assert [] == list(session.list("", recursive=True))


def test_a_server_without_tls_never_hears_the_password():
    with FakeFtp() as ftp:
        with pytest.raises(Denied, match='tls = "off"'), remote(ftp).connect():
            pass
        assert ["AUTH"] == [verb for verb in ftp.verbs() if verb != "QUIT"]


def test_a_server_that_will_not_encrypt_data_is_denied(ftps):
    ftps.replies["PROT"] = "536 no"
    with pytest.raises(Denied, match="encrypt"), remote(ftps).connect():
        pass


def test_what_comes_behind_the_answer_to_auth_is_dropped(spool):
    """A second answer in clear, slipped in by someone on the wire, is not taken for that to USER."""
    with FakeFtp({"a": b"1"}, tls=certificates().good.server()) as ftp:
        ftp.replies["AUTH"] = lambda _: None
        real = ftp.port

        class Slipping:
            host = "127.0.0.1"

        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = Slipping()
            peer.port = listener.getsockname()[1]

            def carry() -> None:
                with suppress(OSError):
                    client = listener.accept()[0]
                    server = socket.create_connection(("127.0.0.1", real))
                    threading.Thread(target=back, args=(server, client), daemon=True).start()
                    with client, server:
                        while got := client.recv(65536):
                            server.sendall(got)

            def back(server: socket.socket, client: socket.socket) -> None:
                with suppress(OSError):
                    while got := server.recv(65536):
                        client.sendall(got.replace(b"234 go\r\n", b"234 go\r\n230 come in, no password\r\n"))

            thread = threading.Thread(target=carry)
            thread.start()
            with suppress(Unreachable), remote(peer).connect():
                pass
            thread.join()
    assert "PASS" in ftp.verbs() or "USER" not in ftp.verbs()


@pytest.mark.parametrize("name", ["big", "small"])
def test_a_download_without_a_tls_end_is_taken_only_when_it_is_whole(ftps, spool, name):
    with remote(ftps).connect() as session:
        known = {entry.name.text: entry for entry in session.list("", recursive=True)}
        ftps.cuts[name] = Cut(end="torn", times=1)
        (whole,) = session.fetch([known[name]], spool)
        assert data(whole) == ftps.files[name.encode()]
        ftps.cuts[name] = Cut(3, end="torn", times=1)
        (cut,) = session.fetch([known[name]], spool)
        assert isinstance(cut.error, Unreachable)


def test_a_download_of_unknown_size_without_a_tls_end_is_not_taken(ftps, spool):
    ftps.without |= {"MLST", "MLSD", "SIZE"}
    ftps.cuts["small"] = Cut(end="torn")
    with remote(ftps).connect() as session:
        (outcome,) = session.fetch([Entry("", Name("small"))], spool)
        assert isinstance(outcome.error, Unreachable)


def test_a_listing_without_a_tls_end_is_unreachable(ftps):
    ftps.cuts[LISTING] = Cut(end="torn")
    with pytest.raises(Unreachable), remote(ftps).connect() as session:
        list(session.list("", recursive=True))


def test_a_client_certificate_is_shown_where_one_is_asked_for(certificates):
    context = certificates.good.server()
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = certificates.folder / "ca"
    with FakeFtp({"a": b"1"}, tls=context) as ftp:
        with remote(ftp, cert=mine.with_suffix(".crt"), key=mine.with_suffix(".key")).connect() as session:
            assert 1 == len(list(session.list("", recursive=True)))
        with remote(ftp, cert=mine.with_suffix(".pem")).connect() as session:
            assert 1 == len(list(session.list("", recursive=True)))
        # What the server says of it may be lost when it hangs up.
        with pytest.raises((Denied, Unreachable), match="certificate"), remote(ftp).connect():
            pass


def test_files_that_cannot_be_used_for_tls_are_named(ftps, tmp_path):
    for changed in ({"ca": tmp_path / "nothing"}, {"cert": tmp_path / "nothing"}):
        with pytest.raises(ConfigError, match="ca, cert or key"), remote(ftps, **changed).connect():
            pass


@pytest.mark.parametrize(
    "changed",
    [
        {"tls": "off", "insecure": True},
        {"tls": "off"},
        {"key": "k"},
        {"encoding": "klingon"},
        {"tls": "maybe"},
        {"listing": "nlst"},
        {"port": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(changed):
    with pytest.raises(ValidationError):
        FtpRemote(**({"host": "h", "ca": "/ca"} | changed))


def test_where_it_is_shows_no_secret():
    assert "ftps://anna@h:2121/in" == FtpRemote(host="h", port=2121, user="anna", path="/in").where()
    assert "ftp://h/" == FtpRemote(host="h", tls="off").where()


# Proxies


@pytest.mark.parametrize("kind", ["socks5", "socks4", "http"])
def test_control_and_data_go_through_the_proxy(ftps, spool, kind):
    with Proxy(kind) as proxy, remote(ftps, proxy=proxy.url).connect() as session:
        outcomes = list(session.fetch(session.list("", recursive=True), spool))
        assert [BIG, b"small"] == [data(outcome) for outcome in outcomes]
        assert 1 == proxy.connections(ftps.port)
        assert proxy.log().count("->") >= 4


def test_a_proxy_hears_its_password(ftps, monkeypatch):
    monkeypatch.setenv("PROXY_WORD", "open sesame")
    with Proxy("socks5", login="me:open sesame") as proxy:
        with remote(ftps, proxy=proxy.url, proxy_password=Secret(env="PROXY_WORD")).connect() as session:
            assert 2 == len(list(session.list("", recursive=True)))
        with pytest.raises(Unreachable), remote(ftps, proxy=proxy.url, timeout=3).connect():
            pass


def test_a_proxy_that_is_not_there_is_unreachable(ftps):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(Unreachable, match="proxy"), remote(ftps, proxy=f"socks5://127.0.0.1:{port}").connect():
        pass


def test_a_proxy_of_an_unknown_kind_is_named(ftps):
    with pytest.raises(ConfigError, match="ftp://"), remote(ftps, proxy="ftp://127.0.0.1:1").connect():
        pass


@pytest.mark.parametrize("address", ["no-such-host.invalid", "256.1.1.1"])
def test_a_host_that_is_none_is_unreachable(address):
    with pytest.raises(Unreachable), FtpRemote(host=address, tls="off", timeout=5).connect():
        pass
