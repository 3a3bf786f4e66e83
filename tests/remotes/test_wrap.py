"""Around all sessions: kept and thrown away, tried again, limited and counted."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from tests.peers.base import PASSWORD, USER
from tests.peers.pyftpdlib_server import PyftpdlibServer
from tests.peers.web import Page
from tests.remotes.places import CASES
from transload.errors import Denied, Missing, Unreachable
from transload.model import Name, Parcel
from transload.protocols import Mover, Reader, Remover, Writer
from transload.remotes.folder import FolderRemote
from transload.remotes.ftp import FtpRemote
from transload.remotes.http import HttpRemote
from transload.remotes.metering import MeteredSpool
from transload.remotes.rate import Rate
from transload.remotes.wrap import Sessions
from transload.spool import Spool

MB = 10**6
WRITERS = ("folder", "ftp-vsftpd", "ftp-vsftpd-implicit", "sftp-openssh", "s3-moto", "azure-azurite")


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool:
        yield spool


@pytest.fixture
def sessions():
    sessions = Sessions()
    yield sessions
    sessions.close_all()


@pytest.fixture
def server():
    with PyftpdlibServer() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return FolderRemote(path=tmp_path / "in")


@pytest.fixture
def ftp(server, tmp_path):
    (tmp_path / "password").write_text(PASSWORD)

    def made(**settings):
        login = {"host": server.host, "port": server.port, "user": USER, "password": {"file": str(tmp_path / "password")}}
        return FtpRemote.model_validate({"kind": "ftp", "tls": "off", "timeout": "5s"} | login | settings)

    return made


def parcel(tmp_path, data, name="out.bin"):
    (tmp_path / "body").write_bytes(data)
    return Parcel(1, "d1-c1", Name(name), str(tmp_path / "body"), len(data), sha256(data).hexdigest(), replace=True)


def everything(session):
    return list(session.list("", recursive=True))


def lines(sessions):
    return {name: [line.session for line in some] for name, some in sessions._lines.items() if some}


# Kept and thrown away


def test_a_session_is_used_again(sessions, server, ftp):
    remote = ftp()
    with sessions.open("a", remote) as session:
        everything(session)
        inner = session._session
    with sessions.open("a", remote) as session:
        assert inner is session._session
        with sessions.open("a", remote) as other:
            assert inner is not other._session
            assert [] == everything(other)
    assert 2 == len(lines(sessions)["a"])


def test_another_remote_or_other_settings_get_a_session_of_their_own(sessions, ftp):
    with sessions.open("a", ftp()) as session:
        inner = session._session
    with sessions.open("b", ftp()) as session:
        assert inner is not session._session
    with sessions.open("a", ftp(timeout="7s")) as session:
        assert inner is not session._session
    assert inner not in lines(sessions)["a"]


def test_a_file_that_fails_leaves_the_session_good(sessions, ftp):
    remote = ftp()
    with pytest.raises(Missing), sessions.open("a", remote) as session:
        list(session.list("nowhere", recursive=True))
    assert 1 == len(lines(sessions)["a"])


def test_a_session_that_broke_is_thrown_away(sessions, server, ftp):
    remote = ftp()
    with pytest.raises(Unreachable), sessions.open("a", remote) as session:
        everything(session)
        server.stop()
        everything(session)
    assert {} == lines(sessions)
    server.start()
    with sessions.open("a", remote) as session:
        assert [] == everything(session)


def test_a_session_whose_error_was_caught_by_its_user_is_thrown_away_too(sessions, server, ftp):
    with sessions.open("a", ftp()) as session:
        server.stop()
        with pytest.raises(Unreachable):
            everything(session)
    assert {} == lines(sessions)


def test_a_session_that_died_while_idle_is_not_handed_out(sessions, server, ftp):
    remote = ftp()
    with sessions.open("a", remote) as session:
        inner = session._session
    server.stop()
    server.start()
    with sessions.open("a", remote) as session:
        assert inner is not session._session
        assert [] == everything(session)


def test_a_session_that_was_left_half_way_is_thrown_away(sessions, folder):
    for name in ("1", "2"):
        (folder.path / name).write_bytes(b"x")
    with sessions.open("a", folder) as session:
        listing = session.list("", recursive=True)
        next(listing)
    assert {} == lines(sessions)
    with sessions.open("a", folder) as session:
        listing.close()
        listing = session.list("", recursive=True)
        next(listing)
        listing.close()
    assert {} == lines(sessions)
    with pytest.raises(ZeroDivisionError), sessions.open("a", folder):
        raise ZeroDivisionError
    assert {} == lines(sessions)


def test_no_more_sessions_are_kept_than_connections_are_allowed(sessions, folder):
    remote = folder.model_copy(update={"connections": 2})
    with sessions.open("a", remote), sessions.open("a", remote), sessions.open("a", remote):
        pass
    assert 2 == len(lines(sessions)["a"])


def test_idle_sessions_are_closed(ftp):
    sessions = Sessions(idle=0.1)
    with sessions.open("a", ftp()) as session:
        inner = session._session
    end = time.monotonic() + 5
    while lines(sessions) and time.monotonic() < end:
        time.sleep(0.01)
    assert {} == lines(sessions)
    assert not inner.alive()


def test_close_all_closes_what_is_idle_and_later_what_was_in_use(sessions, ftp):
    with sessions.open("a", ftp()) as busy:
        with sessions.open("a", ftp()) as session:
            idle = session._session
        sessions.close_all()
        assert not idle.alive()
        assert [] == everything(busy)
    assert {} == lines(sessions)
    with sessions.open("a", ftp()):
        pass
    assert 1 == len(lines(sessions)["a"])


def test_a_wrapped_session_can_do_what_its_kind_can(sessions, folder, web):
    web.pages["/a"] = Page(b"1")
    web_remote = HttpRemote.model_validate({"files": {"a": web.url("/a"), "..b": web.url("/a")}})
    with sessions.open("a", folder) as session, sessions.open("b", web_remote) as source:
        assert all(isinstance(session, ability) for ability in (Reader, Writer, Remover, Mover))
        assert isinstance(source, Reader)
        assert not any(isinstance(source, ability) for ability in (Writer, Remover, Mover))
        session._session.refused.append("a name")
        assert ["a name"] == session.refused


# Tried again


def test_connecting_is_tried_again_for_some_seconds(sessions, server, ftp):
    remote = ftp()
    server.stop()
    threading.Timer(0.3, server.start).start()
    with sessions.open("a", remote) as session:
        assert [] == everything(session)


def test_connecting_ends_with_what_was_wrong(sessions):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(Unreachable), sessions.open("a", FtpRemote(host="127.0.0.1", port=port, tls="off", user="x")):
        pass
    assert time.monotonic() - began < 10


def test_a_wrong_password_is_tried_once(sessions, server, ftp, tmp_path):
    (tmp_path / "wrong").write_text("no")
    began = time.monotonic()
    with pytest.raises(Denied), sessions.open("a", ftp(password={"file": str(tmp_path / "wrong")})):
        pass
    assert time.monotonic() - began < 4


# Counted and limited


@pytest.mark.parametrize("size", [1_024_000, 9_000_000])
@pytest.mark.parametrize("case", [case for case in CASES if case.name in WRITERS], ids=lambda case: case.name)
def test_every_byte_is_counted_both_ways(request, sessions, spool, tmp_path, case, size):
    data = bytes(range(256)) * (size // 256)
    place = case.at(request.getfixturevalue(case.fixture), tmp_path)
    counted = []
    with sessions.open("a", place.make(), moved=counted.append) as session:
        (staged,) = session.stage([parcel(tmp_path, data)])
        (receipt,) = session.publish([staged])
        assert receipt.error is None
        assert len(data) == sum(counted)
        entries = [entry for entry in everything(session) if entry.name == Name("out.bin")]
        (outcome,) = session.fetch(entries, spool)
        assert 2 * len(data) == sum(counted)
        assert sha256(data).hexdigest() == outcome.spooled.sha256
        inner = session._session
    with sessions.open("a", place.make()) as session:
        assert inner is session._session
        assert len(entries) == len(list(session.fetch(entries, spool)))
    assert 2 * len(data) == sum(counted)


@pytest.mark.parametrize("direction", ["fetch", "stage"])
def test_a_rate_holds_over_all_sessions_of_a_remote_within_ten_percent(sessions, server, ftp, spool, tmp_path, direction):
    data = b"x" * (2 * MB)
    for number in range(2):
        (server.root / f"{number}").write_bytes(data)
    remote = ftp(rate="4MB/s")
    gate = threading.Barrier(3)

    def work(number):
        with sessions.open("a", remote) as session:
            entries = [entry for entry in everything(session) if entry.name == Name(str(number))]
            gate.wait()
            if direction == "fetch":
                return [outcome.error for outcome in session.fetch(entries, spool)]
            place = tmp_path / str(number)
            place.mkdir()
            return [staged.error for staged in session.stage([parcel(place, data, f"out{number}")])]

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(work, number) for number in range(2)]
        gate.wait()
        began = time.monotonic()
        assert [[None], [None]] == [one.result() for one in running]
        took = time.monotonic() - began
    assert 0.9 <= took <= 1.1 + 0.3, took  # the upper end with room for a busy machine


def test_a_rate_lets_pass_what_its_limit_says():
    rate = Rate(10 * MB)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rate.wait, [50_000] * 100))
    assert 0.45 <= time.monotonic() - began <= 0.7


def test_a_metered_spool_passes_everything_on(spool, folder, tmp_path):
    counted = []
    metered = MeteredSpool(spool, counted.append)
    (folder.path / "big").write_bytes(b"ab" * MB)
    with folder.connect() as session:
        (entry,) = session.list("", recursive=True)
    part = metered.part(entry)
    part.write(b"ab" * 1000)
    part.keep()
    part = metered.part(entry)
    assert (2000, b"abab", b"bab") == (part.offset, part.head(4), part.tail(3))
    part.restart()
    part.write(b"xy")
    assert 2 == part.done().size
    assert 3 == metered.put(entry, b"123").size
    metered.part(entry).drop()
    assert [2000, 2, 3] == counted
