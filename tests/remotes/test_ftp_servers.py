"""What only real FTP servers show: links, hidden names, byte 255, and what they do when a transfer is hung up on."""

from __future__ import annotations

import os

import pytest

from tests.peers.base import PASSWORD, USER
from tests.peers.certificates import certificates
from transload.errors import Busy, Denied
from transload.model import Name, Parcel
from transload.remotes.ftp import FtpRemote
from transload.secret import Secret
from transload.spool import Spool

os.environ["TRANSLOAD_TEST_PASSWORD"] = PASSWORD
PEERS = ["vsftpd", "vsftpd_explicit", "proftpd", "pyftpdlib", "pyftpdlib_bare"]


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in PEERS])
def at(request, tmp_path_factory):
    peer = request.getfixturevalue(request.param)
    folder = peer.root / tmp_path_factory.mktemp("ftp").name
    folder.mkdir()
    secured = {"ca": certificates().ca} if request.param.endswith("explicit") else {"tls": "off"}

    def make(**changed) -> FtpRemote:
        login = {"user": USER, "password": Secret(env="TRANSLOAD_TEST_PASSWORD"), "timeout": 20.0, "path": folder.name}
        return FtpRemote(**({"host": peer.host, "port": peer.port} | login | secured | changed))

    make.folder, make.peer = folder, peer
    return make


def test_links_to_files_are_followed_and_links_to_folders_are_not(at):
    (at.folder / "sub").mkdir()
    (at.folder / "sub" / "real").write_bytes(b"12345")
    (at.folder / "link").symlink_to("sub/real")
    (at.folder / "up").symlink_to("..")
    (at.folder / "broken").symlink_to("nowhere")
    with at(listing="list").connect() as session:
        found = {entry.name.text: entry.size for entry in session.list("", recursive=True)}
        told = session.refused
    # A server without SIZE and MDTM cannot say where a link leads.
    assert {"sub/real": 5, "link": 5} == found or ({"sub/real": 5} == found and "the server cannot tell where the link leads" in told[0])


def test_a_folder_that_is_shown_again_below_itself_is_listed_once(at):
    (at.folder / "sub").mkdir()
    (at.folder / "sub" / "real").write_bytes(b"12345")
    (at.folder / "sub" / "up").symlink_to("..")
    with at().connect() as session:
        assert ["sub/real"] == [entry.name.text for entry in session.list("", recursive=True)]


def test_names_with_a_leading_dot_are_listed(at):
    (at.folder / ".hidden").write_bytes(b"1")
    (at.folder / ".folder").mkdir()
    (at.folder / ".folder" / "shown").write_bytes(b"1")
    for listing in ("auto", "list"):
        with at(listing=listing).connect() as session:
            assert {".hidden", ".folder/shown"} == {entry.name.text for entry in session.list("", recursive=True)}


def test_an_empty_folder_is_empty_and_a_missing_one_is_not(at):
    (at.folder / "empty").mkdir()
    for listing in ("auto", "list"):
        with at(listing=listing).connect() as session:
            assert [] == list(session.list("empty", recursive=True))


def test_names_that_look_like_patterns_or_options_are_names(at, tmp_path):
    names = {b"-la", b"*", b"[a-z]", b"?", b"{a,b}", b"~root", b" lead", b"trail ", b"a  b", b"\xff\xff", b"\xffx"}
    for name in names:
        with open(os.fsencode(at.folder) + b"/" + name, "wb") as file:
            file.write(name)
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool, at().connect() as session:
        outcomes = list(session.fetch(session.list("", recursive=False), spool))
        for outcome in outcomes:
            assert outcome.error is None
            with open(outcome.spooled.part, "rb") as file:
                assert outcome.entry.name.raw == file.read()
    assert names == {outcome.entry.name.raw for outcome in outcomes}


def test_a_transfer_that_we_hang_up_on_leaves_the_session_in_step(at, tmp_path):
    big = os.urandom(3_000_000)
    (at.folder / "big").write_bytes(big)
    (at.folder / "next").write_bytes(b"next")
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool, at().connect() as session:
        known = {entry.name.text: entry for entry in session.list("", recursive=False)}
        part = spool.part(known["big"])
        part.write(b"other bytes" * 100_000)
        part.keep()
        outcomes = list(session.fetch([known["big"], known["next"]], spool))
        assert [len(big), 4] == [outcome.spooled.size for outcome in outcomes]


def test_an_upload_of_every_size_arrives(at, tmp_path):
    parcels = []
    for number, size in enumerate((0, 1, 262_143, 262_144, 262_145, 5_000_000)):
        path = tmp_path / str(size)
        path.write_bytes(os.urandom(size))
        parcels.append(Parcel(number, f"k{number}", Name(f"out/{size}"), str(path), size, ""))
    with at().connect() as session:
        assert all(receipt.error is None for receipt in session.publish(list(session.stage(parcels))))
    for parcel in parcels:
        with open(parcel.file, "rb") as sent:
            assert sent.read() == (at.folder / parcel.name.text).read_bytes()


def test_a_wrong_password_is_denied(at, monkeypatch):
    monkeypatch.setenv("TRANSLOAD_TEST_WRONG", "guess")
    with pytest.raises((Denied, Busy)), at(password=Secret(env="TRANSLOAD_TEST_WRONG")).connect():
        pass
