"""Who comes in by SFTP, with what proof, and what a client hears that does not."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import time
from contextlib import contextmanager

import paramiko
import pytest

from tests.peers.sshd import make_key
from tests.servers.sftp_ground import PASSWORD, USER, Ground
from transload.config.server import SftpServer
from transload.errors import ConfigError
from transload.servers.gate import Door
from transload.servers.sftp import SftpDoor

logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@pytest.fixture(scope="module")
def ground():
    with Ground() as ground:
        ground.add("both", methods="key+password")
        yield ground


@contextmanager
def called(ground):
    with socket.create_connection(("127.0.0.1", ground.port), timeout=20) as wire, paramiko.Transport(wire) as transport:
        transport.start_client(timeout=20)
        yield transport
    transport.join(10)


def key(path):
    return paramiko.Ed25519Key.from_private_key_file(str(path))


def test_a_password_or_a_key_is_enough(ground):
    with called(ground) as transport:
        assert [] == transport.auth_password(USER, PASSWORD)
    with called(ground) as transport:
        assert [] == transport.auth_publickey(USER, key(ground.key))
    with called(ground) as transport:
        assert [] == transport.auth_interactive(USER, lambda *_: [PASSWORD])


def test_key_and_password_are_both_wanted_where_it_says_so(ground):
    with called(ground) as transport:
        assert {"password", "keyboard-interactive"} == set(transport.auth_publickey("both", key(ground.key)))
        assert not transport.is_authenticated()
        with pytest.raises(paramiko.SSHException):
            transport.open_session(timeout=5)
    with called(ground) as transport:
        transport.auth_publickey("both", key(ground.key))
        assert [] == transport.auth_password("both", PASSWORD)
        assert transport.is_authenticated()
    with called(ground) as transport, pytest.raises(paramiko.AuthenticationException):
        transport.auth_password("both", PASSWORD)
    with called(ground) as transport:
        transport.auth_publickey("both", key(ground.key))
        assert [] == transport.auth_interactive("both", lambda *_: [PASSWORD])


def test_the_key_that_was_shown_counts_for_its_user_only(ground):
    with called(ground) as transport:
        transport.auth_publickey("both", key(ground.key))
        assert [] == transport.auth_password(USER, PASSWORD)
        assert transport.get_username() == USER


def test_openssh_asks_for_both(ground):
    ask = ground.work / "ask"
    ask.write_text(f"#!/bin/sh\necho '{PASSWORD}'\n")
    ask.chmod(0o700)
    options = ["BatchMode=no" if one == "BatchMode=yes" else one for one in ground.options()]
    done = subprocess.run(
        ["sftp", "-P", str(ground.port), *options, "both@127.0.0.1"],
        input=b"pwd\n",
        env={**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert b"Remote working directory: /" in done.stdout, done.stderr


def test_three_wrong_passwords_end_the_connection_and_nothing_is_told(ground):
    ground.add("wrong")
    with called(ground) as transport:
        for _ in range(2):
            with pytest.raises(paramiko.AuthenticationException, match=r"^Authentication failed\.$"):
                transport.auth_password("wrong", "no")
        with pytest.raises(paramiko.SSHException):
            transport.auth_password("wrong", "no")
        assert not transport.is_active()
    ground.ledger.bans.lift([ban.key for ban in ground.ledger.bans.all()])


def test_nobody_hears_whether_there_is_such_a_user(ground):
    other = key(make_key(ground.work / "stranger"))
    for user in ("nobody-at-all", USER):
        with called(ground) as transport, pytest.raises(paramiko.AuthenticationException) as refused:
            transport.auth_publickey(user, other)
        assert "Authentication failed." == str(refused.value)
    with called(ground) as transport, pytest.raises(paramiko.BadAuthenticationType) as refused:
        transport.auth_none("nobody-at-all")
    assert {"publickey", "keyboard-interactive", "password"} == set(refused.value.allowed_types)


def test_a_login_that_is_too_slow_is_dropped():
    with Ground(settings={"login_time": "1s"}) as ground, socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire:
        wire.recv(100)
        begun = time.monotonic()
        while wire.recv(4096):
            pass
        assert time.monotonic() - begun < 8


def test_too_many_connections_are_told_so():
    with Ground() as ground:
        ground.add("one", limits={"sessions": 1})
        with called(ground) as transport:
            transport.auth_password("one", PASSWORD)
            with called(ground) as second, pytest.raises(paramiko.SSHException):
                second.auth_password("one", PASSWORD)
        ground.until(lambda: ground.sftp("pwd", user="one"))


def test_a_user_who_is_taken_away_is_out_within_seconds(ground):
    ground.add("leaves")
    with called(ground) as transport:
        transport.auth_password("leaves", PASSWORD)
        transport.open_session().invoke_subsystem("sftp")
        ground.ledger.people.remove("leaves")
        ground.until(lambda: not transport.is_active(), within=6)


def test_all_seats_are_free_again_when_everybody_has_gone(ground):
    ground.until(lambda: not ground.door._lines)
    assert not ground.gate._seats.taken()


# host keys


def door(ground, *paths):
    return SftpDoor(SftpServer(listen="127.0.0.1:0", host_keys=paths), ground.gate, ground.work / "keys")


def test_a_host_key_that_others_can_read_is_refused_in_one_line(ground):
    open_key = make_key(ground.work / "open_key")
    open_key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"open_key .*chmod") as refused:
        door(ground, open_key)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("fault", ["missing", "rubbish", "locked", "short"])
def test_a_host_key_that_cannot_be_used_is_one_line(ground, fault):
    path = ground.work / f"bad_{fault}"
    if fault == "rubbish":
        path.write_text("no key")
    if fault == "locked":
        make_key(path, passphrase="secret")
    if fault == "short":
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-f", path], check=True)
    if path.exists():
        path.chmod(0o600)
    with pytest.raises(ConfigError, match=f"bad_{fault}") as refused:
        door(ground, path)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def shown(port):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as wire, paramiko.Transport(wire) as transport:
        transport.start_client(timeout=20)
        got = transport.get_remote_server_key().get_base64()
    transport.join(10)
    return got


def test_new_host_keys_are_shown_without_a_restart(ground):
    path = make_key(ground.work / "renewed")
    ours = door(ground, path)
    ours.start()
    try:
        old = shown(ours.port)
        path.unlink()
        make_key(path)
        ours.reload()
        assert old != shown(ours.port) == path.with_suffix(".pub").read_text().split()[1]
        path.chmod(0o666)
        with pytest.raises(ConfigError):
            ours.reload()
        shown(ours.port)
    finally:
        ours.stop()


def test_a_port_that_is_taken_is_one_line(ground):
    taken = SftpDoor(SftpServer(listen=f"127.0.0.1:{ground.port}"), ground.gate, ground.work / "keys")
    with pytest.raises(ConfigError, match=f"{ground.port}.*in use"):
        taken.start()


def test_it_listens_at_ipv6_for_both(ground):
    ours = SftpDoor(SftpServer(listen="[::]:0"), ground.gate, ground.work / "keys")
    ours.start()
    try:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, ours.port), timeout=10) as wire:
                assert wire.recv(8) == b"SSH-2.0-"
    finally:
        ours.stop()


def test_a_stopped_server_frees_its_port_and_starts_again(ground):
    ours = SftpDoor(SftpServer(listen="127.0.0.1:0"), ground.gate, ground.work / "keys")
    ours.start()
    port = ours.port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.recv(100)
        ours.stop()
    again = SftpDoor(SftpServer(listen=f"127.0.0.1:{port}"), ground.gate, ground.work / "keys")
    again.start()
    again.stop()


def test_who_may_not_even_connect_is_told_in_a_word():
    with Ground() as ground:
        ground.gate.greet("sftp", "127.0.0.1")
        ground.gate._doors["sftp"] = Door(sessions=1)
        with socket.create_connection(("127.0.0.1", ground.port), timeout=10) as wire:
            assert wire.recv(100).startswith(b"Not now")
            assert b"" == wire.recv(100)
        assert not ground.door._lines
        ground.gate.gone("sftp", "127.0.0.1")
        ground.sftp("pwd")
