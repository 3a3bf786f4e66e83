"""Which program holds the other end of a connection, and that it is known to be ending before its connections end."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from transload.servers.ftp import evidence
from transload.servers.ftp.holders import Holders

CLIENT = """
import socket, sys, time
line = socket.create_connection(("{host}", {port}))
data = socket.create_connection(("{host}", {port}))
sys.stdin.readline()
data.close()
sys.stdin.readline()
"""
BUSY = "while True: pass"


class Client:
    """A program with two connections, as an FTP client has them: it closes the second when it is told."""

    def __init__(self, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as door:
            self.since = time.monotonic()
            script = CLIENT.format(host=host, port=door.getsockname()[1])
            self.process = subprocess.Popen([sys.executable, "-S", "-c", script], stdin=subprocess.PIPE)
            (self.line, _), (self.data, _) = door.accept(), door.accept()

    def close_data(self) -> None:
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        assert b"" == self.data.recv(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.line.close()
        self.data.close()


@pytest.fixture
def holders():
    """Looks are made at once, in this thread."""
    return Holders(lambda look: look())


def lives(holders: Holders, client: Client) -> bool:
    holders.of(client.line, client.since)
    programs = holders.of(client.line, client.since)
    assert programs, "it was not found"
    return all(program.lives for program in programs)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_program_that_closes_its_data_lives(holders, host):
    with Client(host) as client:
        client.close_data()
        assert lives(holders, client)
        assert [client.process.pid] == [program.number for program in holders.of(client.line, client.since)]


def test_a_program_that_is_frozen_lives(holders):
    with Client("127.0.0.1") as client:
        client.close_data()
        client.process.send_signal(signal.SIGSTOP)
        assert lives(holders, client)


def test_a_program_that_is_killed_is_known_to_be_ending_once_its_data_has_ended():
    """The news of the data's end may come at any moment of the death: as soon as it is there, the program does not live."""
    for _ in range(30):
        holders = Holders(lambda look: look())
        with Client("127.0.0.1") as client:
            assert lives(holders, client)
            programs = holders.of(client.line, client.since)
            client.process.kill()
            select.select([client.data], [], [])
            assert not any(program.lives for program in programs)


def test_a_number_that_another_program_has_now_is_not_taken_for_the_first(holders):
    with Client("127.0.0.1") as client:
        assert lives(holders, client)
        (program,) = holders.of(client.line, client.since)
        assert not program._replace(began="1").lives


def test_of_a_connection_made_after_the_last_look_nothing_is_known(holders):
    with Client("127.0.0.1") as client:
        assert lives(holders, client)
        assert set() == holders.of(client.line, time.monotonic())


def test_two_looks_are_not_made_at_once_and_not_one_after_the_other():
    looks = []
    holders = Holders(looks.append)
    with Client("127.0.0.1") as client:
        for _ in range(3):
            assert set() == holders.of(client.line, client.since)
        assert 1 == len(looks)
        looks.pop()()
        assert set() == holders.of(client.line, time.monotonic())
        assert [] == looks, "the next one waits a moment"


def test_a_live_client_of_a_busy_machine_is_not_waited_for_and_another_is():
    busy = [subprocess.Popen([sys.executable, "-S", "-c", BUSY]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        with Client("127.0.0.1") as client:
            quick = evidence.grace(client.line, None)
            waits = [evidence.grace(client.line, lambda: None) for _ in range(200) if not time.sleep(0.001)]
            assert min(waits) >= 0.01, "however few are busy: a dying program may have to wait for one of them"
            assert max(waits) > 0.014
            assert {quick} == {evidence.grace(client.line, lambda: True) for _ in range(50)}
            assert evidence.grace(client.line, lambda: False) >= 1
    finally:
        for one in busy:
            with suppress(ProcessLookupError):
                one.kill()
            one.wait()
