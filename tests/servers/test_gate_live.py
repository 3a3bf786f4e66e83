"""Who comes in, and what a change means for those who are in, by the real program, its commands, and clients that are not ours."""

from __future__ import annotations

import ftplib
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko
import pytest

from tests import forge
from tests.peers.base import PASSWORD, USER
from tests.servers.running import SECRET, Up

WORD = "a word of its own"


@pytest.fixture(scope="module")
def up(tmp_path_factory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("gate"), servers={"sessions": 400, "sessions_per_address": 300}) as up:
        yield up


def give(up: Up, *words: str, said: str = "") -> str:
    """A command beside the running program."""
    done = forge.run([*words, "-c", str(up.config)], said=said, env=os.environ | {SECRET: PASSWORD}, timeout=50)
    assert 0 == done.returncode, done.stderr
    return done.stdout


def add(up: Up, name: str, *words: str) -> None:
    give(up, "user", "add", name, "--password-stdin", *words, said=f"{WORD}\n")


@contextmanager
def ftp(up: Up, user: str, word: str = WORD) -> Iterator[ftplib.FTP]:
    client = ftplib.FTP(timeout=30)
    client.connect("127.0.0.1", up.port)
    try:
        client.login(user, word)
        yield client
    finally:
        client.close()


@contextmanager
def sftp(up: Up, user: str, word: str = WORD) -> Iterator[paramiko.SFTPClient]:
    transport = paramiko.Transport(("127.0.0.1", up.sftp))
    try:
        transport.connect(username=user, password=word)
        yield paramiko.SFTPClient.from_transport(transport)
    finally:
        transport.close()


def within_five_seconds(true: Callable[[], bool]) -> float:
    """How long it took to come true."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < 5, "not felt within five seconds"
        time.sleep(0.05)
    return time.monotonic() - begun


def is_over(client: ftplib.FTP | paramiko.SFTPClient) -> bool:
    try:
        client.voidcmd("NOOP") if isinstance(client, ftplib.FTP) else client.stat("/")
    except (ftplib.Error, EOFError, OSError, paramiko.SSHException):
        return True
    return False


def is_refused(client: ftplib.FTP | paramiko.SFTPClient, name: str) -> bool:
    try:
        if isinstance(client, ftplib.FTP):
            client.storbinary(f"STOR {name}", io.BytesIO(b"x"))
        else:
            client.putfo(io.BytesIO(b"x"), f"/{name}")
    except (ftplib.error_perm, OSError):
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("by", [ftp, sftp], ids=["ftp", "sftp"])
def test_a_live_session_feels_new_rights_and_a_new_password(up, by):
    name = f"live-{by.__name__}"
    add(up, name)
    with by(up, name) as client:
        assert not is_refused(client, "before.csv")
        give(up, "user", "grant", name, "elr")
        within_five_seconds(lambda: is_refused(client, "after.csv"))
        assert not is_over(client)
        give(up, "user", "passwd", name, "--password-stdin", said="another word\n")
        within_five_seconds(lambda: is_over(client))
    with by(up, name, "another word") as client:
        give(up, "user", "rm", name)
        within_five_seconds(lambda: is_over(client))
    with pytest.raises((ftplib.error_perm, paramiko.AuthenticationException)), by(up, name, "another word"):
        pass


@pytest.mark.slow
def test_an_idle_session_of_a_disabled_user_is_hung_up_on(up):
    add(up, "idle")
    with ftp(up, "idle") as one, sftp(up, "idle") as other:
        give(up, "user", "change", "idle", "--disable")
        within_five_seconds(lambda: b"421" in _peeked(one.sock) or _is_closed(one.sock))
        within_five_seconds(lambda: not other.get_channel().get_transport().is_active())


def _peeked(line: socket.socket) -> bytes:
    line.settimeout(0.01)
    with suppress(TimeoutError, OSError):
        return line.recv(100, socket.MSG_PEEK)
    return b""


def _is_closed(line: socket.socket) -> bool:
    with suppress(TimeoutError, OSError):
        line.settimeout(0.01)
        return line.recv(1, socket.MSG_PEEK) == b""
    return False


class Raw:
    """A client that says USER and PASS and stays."""

    def __init__(self, port: int) -> None:
        self.line = socket.create_connection(("127.0.0.1", port), 60)
        self.file = self.line.makefile("rwb")

    def told(self) -> str:
        return self.file.readline().decode("latin-1")

    def login(self, user: str, word: str) -> str:
        if not self.told().startswith("220"):
            return ""
        for words in (f"USER {user}", f"PASS {word}"):
            self.file.write(f"{words}\r\n".encode())
            self.file.flush()
            answer = self.told()
        return answer

    def close(self) -> None:
        self.file.close()
        self.line.close()


def burst(up: Up, count: int, user: str, word: str) -> list[str]:
    """What so many at once are answered; all stay until all were answered."""
    ready = threading.Barrier(count)
    clients: list[Raw] = []

    def one(_number: int) -> str:
        ready.wait()
        client = Raw(up.port)
        clients.append(client)
        with suppress(OSError):
            return client.login(user, word)
        return ""

    try:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))
    finally:
        for client in clients:
            client.close()


@pytest.mark.slow
def test_a_burst_of_200_logins_gets_as_many_sessions_as_the_user_may_have(up):
    add(up, "burst", "--sessions", "9")
    begun = time.monotonic()
    answers = burst(up, 200, "burst", WORD)
    print(f"200 logins at once: {time.monotonic() - begun:.1f} s")
    assert 9 == sum(answer.startswith("230") for answer in answers)
    within_five_seconds(lambda: _comes_in(up, "burst"))


def _comes_in(up: Up, user: str, word: str = WORD) -> bool:
    try:
        with ftp(up, user, word):
            return True
    except (ftplib.Error, EOFError, OSError):
        return False


@pytest.mark.slow
def test_a_burst_of_200_connections_gets_as_many_as_one_address_may_have(tmp_path: Path):
    with Up(tmp_path / "few", servers={"sessions_per_address": 12}, doors=["ftp"]) as up:
        answers = burst(up, 200, USER, PASSWORD)
        assert 12 == sum(answer.startswith("230") for answer in answers)


@pytest.mark.slow
def test_a_ban_outlives_kill_9_and_is_lifted_by_hand_while_the_program_runs(up):
    add(up, "guessed")
    for _ in range(5):
        assert not _comes_in(up, "guessed", "a guess")
    assert not _comes_in(up, "guessed")
    up.kill()
    up.start()
    assert not _comes_in(up, "guessed"), "a restart forgives nobody"
    assert "guessed" in give(up, "ban", "ls")
    give(up, "ban", "rm", "127.0.0.1", "--user", "guessed")
    within_five_seconds(lambda: _comes_in(up, "guessed"))


@pytest.mark.slow
def test_250_logins_at_once_all_come_in(up):
    begun = time.monotonic()
    answers = burst(up, 250, USER, PASSWORD)
    print(f"250 logins at once: {time.monotonic() - begun:.1f} s")
    assert 250 == sum(answer.startswith("230") for answer in answers)
