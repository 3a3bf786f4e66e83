from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

import transload
from transload.servers import calling
from transload.servers.gate import Gate

WORD = "a good word"


def until(true, seconds: float = 20.0) -> None:
    """Wait until `true()`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def line(server: transload.SFTPServer | transload.FTPServer, user: str = "agent01", word: str = WORD, **settings) -> transload.Client:
    """A client of that server."""
    keys = server.root / ".transload" / "keys"
    if isinstance(server, transload.SFTPServer):
        return transload.connect(f"sftp://{user}@127.0.0.1:{server.port}", password=word, host_key=public(keys), **settings)
    return transload.connect(f"ftpes://{user}@127.0.0.1:{server.port}", password=word, ca=keys / "server.crt", **settings)


def files(server: transload.SFTPServer | transload.FTPServer, user: str = "agent01", word: str = WORD) -> list[str]:
    """The files in the home of a user."""
    with line(server, user, word) as remote:
        return sorted(one.text for one in remote.list())


def put(server: transload.SFTPServer | transload.FTPServer, local: Path, name: str, user: str = "agent01") -> None:
    """Upload a file."""
    with line(server, user) as remote:
        remote.put(local, name)


def public(keys: Path) -> str:
    from transload.servers.keys import public_line

    return public_line(keys / "host_ed25519")


@pytest.fixture(params=[transload.FTPServer, transload.SFTPServer], ids=["ftp", "sftp"])
def kind(request):
    return request.param


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "report.csv"
    path.write_bytes(os.urandom(300_000))
    return path


def test_a_server_is_begun_used_and_stopped_by_a_program_and_each_file_is_told_once(kind, tmp_path, local):
    told: list[transload.Arrived] = []
    with kind(root=tmp_path / "inbox", port=0, host="127.0.0.1") as server:
        server.users.add("agent01", password=WORD, home="agent01", permissions="elradfmwMT", upload_rate="300MB/s")
        server.on_received(told.append)
        with line(server) as remote:
            remote.put(local, "in/report.csv")
            assert ["in/report.csv"] == [one.text for one in remote.list("in")]
            assert 300_000 == remote.get("in/report.csv", tmp_path / "back.csv")
        until(lambda: told)
        assert 0 < server.port
    assert 0 == server.port
    assert [("in/report.csv", 300_000, "agent01", "127.0.0.1")] == [(one.name, one.size, one.user, one.client) for one in told]
    assert local.read_bytes() == Path(told[0].path).read_bytes() == (tmp_path / "inbox/agent01/in/report.csv").read_bytes()
    assert not [name for name in os.listdir(tmp_path / "inbox/agent01/in") if name != "report.csv"]


def test_users_are_added_changed_and_removed_while_it_runs_and_are_kept(kind, tmp_path, local):
    with kind(root=tmp_path / "inbox", host="127.0.0.1") as server:
        with pytest.raises(transload.Denied):
            files(server)
        server.users.add("agent01", password=WORD)
        put(server, local, "a.csv")
        server.users.change("agent01", permissions="el")
        with line(server) as remote, pytest.raises(transload.TransloadError):
            remote.put(local, "b.csv")
        server.users.passwd("agent01", "another word")
        with pytest.raises(transload.Denied):
            files(server)
        assert ["a.csv"] == files(server, word="another word")
    with kind(root=tmp_path / "inbox", host="127.0.0.1") as server:
        assert ["agent01"] == [one.name for one in server.users.list()]
        assert ["a.csv"] == files(server, word="another word")
        server.users.remove("agent01")
        with pytest.raises(transload.Denied):
            files(server, word="another word")
        assert (tmp_path / "inbox/agent01/a.csv").exists()
    state = tmp_path / "inbox" / ".transload"
    assert WORD not in (state / "users.json").read_text()
    assert 0o600 == (state / "users.json").stat().st_mode & 0o777


def test_several_run_in_one_program_and_those_of_one_folder_share_its_users(tmp_path, local):
    came: dict[str, list[str]] = {"ftp": [], "sftp": [], "other": []}
    one = transload.FTPServer(root=tmp_path / "inbox", host="127.0.0.1")
    two = transload.SFTPServer(root=tmp_path / "inbox", host="127.0.0.1")
    other = transload.SFTPServer(root=tmp_path / "elsewhere", host="127.0.0.1")
    for server, name in ((one, "ftp"), (two, "sftp"), (other, "other")):
        server.on_received(lambda file, name=name: came[name].append(file.name))
    with one, two, other:
        one.users.add("agent01", password=WORD)
        other.users.add("agent02", password=WORD)
        put(one, local, "by-ftp.csv")
        put(two, local, "by-sftp.csv")
        put(other, local, "a.csv", "agent02")
        with pytest.raises(transload.Denied):
            files(other, "agent01")
        assert ["by-ftp.csv", "by-sftp.csv"] == files(two)
        one.stop()
        assert ["by-ftp.csv", "by-sftp.csv"] == files(two)
        one.start()
        assert ["by-ftp.csv", "by-sftp.csv"] == files(one)
    assert {"ftp": ["by-ftp.csv"], "sftp": ["by-sftp.csv"], "other": ["a.csv"]} == came


def test_a_second_one_of_its_kind_in_a_folder_and_a_port_that_is_taken_are_refused_in_one_line(kind, tmp_path):
    with kind(root=tmp_path / "inbox", host="127.0.0.1") as server:
        with pytest.raises(transload.ConfigError, match="already"):
            kind(root=tmp_path / "inbox").start()
        again = kind(root=tmp_path / "other", port=server.port, host="127.0.0.1")
        with pytest.raises(transload.ConfigError, match="in use"):
            again.start()
        assert 0 == again.port
    again.start()
    again.stop()


def test_what_cannot_be_a_setting_is_told(tmp_path, kind):
    for settings in ({"colour": "red"}, {"idle": "soon"}, {"upload_rate": "fast"}, {"port": 70_000}):
        with pytest.raises(transload.ConfigError) as told:
            kind(root=tmp_path / "inbox", **settings)
        assert 1 == len(str(told.value).splitlines())
    (tmp_path / "file").write_text("")
    with pytest.raises(transload.ConfigError, match="cannot be made"):
        kind(root=tmp_path / "file")


def test_a_function_that_raises_is_called_again_and_holds_up_no_other(tmp_path, local, monkeypatch):
    monkeypatch.setattr("transload.servers.library.AGAIN", (0.01, 0.01))
    calls: list[str] = []
    with transload.SFTPServer(root=tmp_path / "inbox", host="127.0.0.1") as server:
        server.users.add("agent01", password=WORD)

        @server.on_received
        def function(file: transload.Arrived) -> None:
            calls.append(file.name)
            if file.name == "bad.csv" or calls.count(file.name) == 1:
                raise ValueError(file.name)

        with line(server) as remote:
            remote.put(local, "bad.csv")
            remote.put(local, "good.csv")
        until(lambda: 3 == calls.count("bad.csv") and 2 == calls.count("good.csv"))
    assert 5 == len(calls)


def test_a_slow_function_stalls_nobody_and_stop_waits_for_it(tmp_path, local):
    go_on, done = threading.Event(), []
    server = transload.SFTPServer(root=tmp_path / "inbox", host="127.0.0.1").start()
    server.users.add("agent01", password=WORD)
    server.on_received(lambda file: go_on.wait(30) and done.append(file.name))
    with line(server) as remote:
        for number in range(8):
            remote.put(local, f"{number}.csv")
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert [] == done
    go_on.set()
    stopping.join(30)
    assert [f"{number}.csv" for number in range(8)] == sorted(done)
    server.wait()


def test_calls_that_wait_to_be_tried_again_are_given_up_with_a_word_when_it_stops(tmp_path):
    calls = calling.Calls(lambda _: 1 / 0, (60.0,))
    arrived = transload.Arrived(1, "/x", "x", 1, "", "u", "c", "sftp", 0.0)
    calls(arrived)
    until(lambda: calls._due and calls._due[0][2] == 1)
    calls.close()


def test_wait_returns_when_it_is_stopped(tmp_path, kind):
    server = kind(root=tmp_path / "inbox", host="127.0.0.1").start()
    waiting = threading.Thread(target=server.wait)
    waiting.start()
    assert waiting.is_alive()
    server.stop()
    waiting.join(20)
    assert not waiting.is_alive()
    server.stop()


def test_a_function_that_is_told_of_a_file_may_stop_its_server_also_while_others_stop_it(tmp_path, local, kind):
    server = kind(root=tmp_path / "inbox", host="127.0.0.1").start()
    server.users.add("agent01", password=WORD)
    came, go_on, ended = [], threading.Event(), []

    @server.on_received
    def received(file):
        came.append(file.name)
        go_on.wait(30)
        server.stop()
        ended.append(file.name)

    with line(server) as remote:
        for number in range(2):
            remote.put(local, f"{number}.csv")
    until(lambda: 2 == len(came))
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    go_on.set()
    stopping.join(30)
    waiting = threading.Thread(target=server.wait)
    waiting.start()
    waiting.join(30)
    assert not stopping.is_alive()
    assert not waiting.is_alive()
    assert ["0.csv", "1.csv"] == sorted(came) == sorted(ended)
    until(lambda: "transload-stop" not in [one.name for one in threading.enumerate()])


def test_a_server_that_cannot_begin_leaves_nothing_open(tmp_path, kind):
    with kind(root=tmp_path / "inbox", host="127.0.0.1") as server:
        again = kind(root=tmp_path / "other", port=server.port, host="127.0.0.1")

        def left() -> tuple[int, int]:
            with pytest.raises(transload.ConfigError, match="in use"):
                again.start()
            return len(os.listdir("/proc/self/fd")), threading.active_count()

        left()
        assert left() == left()


def breaking(remote: transload.Client, verb: str) -> None:
    """The next time that its session does this, it is done, and the line breaks before the answer is heard."""
    session = remote._open()
    does = getattr(session, verb)

    def once(*about):
        list(does(*about) or ())
        raise transload.Unreachable("the line broke")

    setattr(session, verb, once)


def test_what_was_done_when_the_line_broke_is_not_done_twice_and_is_no_error(tmp_path, local, kind):
    with kind(root=tmp_path / "inbox", host="127.0.0.1") as server:
        told: list[str] = []
        server.on_received(lambda file: told.append(file.name))
        server.users.add("agent01", password=WORD)
        with line(server) as remote:
            breaking(remote, "publish")
            remote.put(local, "in/a.csv")
            assert ["in/a.csv"] == [one.text for one in remote.list("in")]
            breaking(remote, "move")
            remote.move("in/a.csv", "out/b.csv")
            assert ["out/b.csv"] == [one.text for one in remote.list(recursive=True)]
            breaking(remote, "remove")
            remote.remove("out/b.csv")
            for wrong in (lambda: remote.remove("out/b.csv"), lambda: remote.move("out/b.csv", "c.csv")):
                with pytest.raises(transload.Missing):
                    wrong()
        assert [] == [path for path in (tmp_path / "inbox/agent01").rglob("*") if path.is_file()]
    assert ["in/a.csv"] == told


def test_who_may_write_only_sends_again_what_may_have_come_when_the_line_broke(tmp_path, local, kind):
    with kind(root=tmp_path / "inbox", host="127.0.0.1") as server:
        server.users.add("agent01", password=WORD, permissions="ewf")
        with line(server) as remote:
            breaking(remote, "publish")
            remote.put(local, "a.csv")
        assert local.read_bytes() == (tmp_path / "inbox/agent01/a.csv").read_bytes()


def test_a_rate_of_all_users_holds_for_a_second_server_that_says_nothing_of_it(tmp_path):
    size = 400_000
    (tmp_path / "a.csv").write_bytes(os.urandom(size))
    limited = transload.FTPServer(root=tmp_path / "inbox", host="127.0.0.1", upload_rate="500KB/s")
    with limited, transload.SFTPServer(root=tmp_path / "inbox", host="127.0.0.1") as other:
        other.users.add("agent01", password=WORD)
        for server in (limited, other):
            begun = time.monotonic()
            put(server, tmp_path / "a.csv", f"{server.port}.csv")
            assert time.monotonic() - begun > 0.5


def test_a_login_that_is_still_looked_at_when_its_server_has_stopped_touches_nothing_and_leaves_no_session(tmp_path):
    first = transload.FTPServer(root=tmp_path / "inbox", host="127.0.0.1", tls="off").start()
    with transload.SFTPServer(root=tmp_path / "inbox", host="127.0.0.1") as other:
        other.users.add("agent01", password=WORD)
        before = {one.name for one in threading.enumerate()}
        lines = [socket.create_connection(("127.0.0.1", first.port)) for _ in range(3)]
        for wire, word in zip(lines, (b"wrong", b"wrong", WORD.encode()), strict=True):
            wire.recv(100)
            wire.sendall(b"USER agent01\r\n")
            wire.recv(100)
            wire.sendall(b"PASS " + word + b"\r\n")
            wire.shutdown(socket.SHUT_RDWR)
        until(lambda: {one.name for one in threading.enumerate()} - before)
        for wire in lines:
            wire.close()
        first.stop()
        opened = [(tmp_path / f"{number}.bin").open("wb") for number in range(30)]
        until(lambda: not [one for one in threading.enumerate() if "login" in one.name])
        assert [0] * 30 == [os.fstat(file.fileno()).st_size for file in opened]
        assert [] == other._ground.gate.present()
        for file in opened:
            file.close()


def test_a_right_login_that_comes_too_late_leaves_no_session_behind(tmp_path, kind, monkeypatch):
    go_on, looked = threading.Event(), threading.Event()
    admit = Gate._proved

    def slow(gate, login):
        known = admit(gate, login)
        looked.set()
        go_on.wait(30)
        return known

    other = transload.FTPServer if kind is transload.SFTPServer else transload.SFTPServer
    first = kind(root=tmp_path / "inbox", host="127.0.0.1").start()
    with other(root=tmp_path / "inbox", host="127.0.0.1") as second:
        second.users.add("agent01", password=WORD)
        monkeypatch.setattr(Gate, "_proved", slow)
        monkeypatch.setattr("transload.servers.ftp.door._PATIENCE", 0.2)

        def late() -> None:
            with pytest.raises(transload.TransloadError):
                files(first)

        trying = threading.Thread(target=late)
        trying.start()
        assert looked.wait(20)
        first.stop()
        trying.join(30)
        go_on.set()
        until(lambda: not [one for one in threading.enumerate() if "login" in one.name])
        assert [] == second._ground.gate.present()
