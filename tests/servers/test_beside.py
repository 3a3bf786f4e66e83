"""The worker in a process of its own, beside the servers: begun, woken, begun again, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from ftplib import FTP
from io import BytesIO
from pathlib import Path

import pytest

from tests.commanding import Place
from tests.crash.until import until

PASSWORD = "pass-word-canary-12"
CONFIG = """
[transload]
spool = {{ min_free = "1MB" }}
[servers.ftp]
listen = "127.0.0.1:{port}"
tls = "off"
[users.logger]
password = {{ env = "LOGGER_PASSWORD" }}
[remotes.archive]
kind = "folder"
path = "out"
[[routes]]
name = "sensors"
from = {{ server = true }}
to = [{{ remote = "archive" }}]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGGER_PASSWORD", PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Place(tmp_path) as place:
        place.port = port
        place.config(CONFIG.format(port=port))
        yield place


def send(place, name):
    with FTP() as ftp:
        ftp.connect("127.0.0.1", place.port, 20)
        ftp.login("logger", PASSWORD)
        ftp.storbinary(f"STOR {name}", BytesIO(name.encode()))


def children_of(pid) -> list[int]:
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


def worker_of(up) -> int:
    """The process that `up` has begun, once it is there."""
    return until(lambda: children_of(up.process.pid))[0]


def alive(pid) -> bool:
    with suppress(OSError):
        return "Z" != Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


@pytest.mark.slow
def test_a_worker_that_is_killed_is_begun_again_and_no_sender_feels_it(place):
    up = place.begin("up")
    up.until("transload.worker: up")
    send(place, "a.csv")
    until(lambda: {"a.csv": "a.csv"} == place.delivered())
    first = worker_of(up)
    os.kill(first, signal.SIGKILL)
    send(place, "b.csv")
    up.until("the worker has ended and is started again")
    send(place, "c.csv")
    until(lambda: {"a.csv", "b.csv", "c.csv"} == place.delivered().keys(), 60)
    second = worker_of(up)
    assert second != first
    ended = up.stop(signal.SIGTERM)
    assert (0, False) == (ended.code, alive(second))
    assert "transload.worker: stopped" in ended.out


@pytest.mark.slow
def test_a_worker_never_outlives_its_servers(place):
    up = place.begin("up")
    up.until("transload.worker: up")
    worker = worker_of(up)
    os.kill(up.process.pid, signal.SIGKILL)
    until(lambda: not alive(worker))
    up.stop()
    assert 0 == place.give("run").code


def test_without_servers_there_is_one_process(place):
    place.config(
        CONFIG.format(port=place.port)
        .replace("[servers.ftp]", "[remotes.inbox]")
        .replace("listen", "#")
        .replace("tls", "#")
        .replace("[remotes.inbox]", '[remotes.inbox]\nkind = "folder"\npath = "in"')
        .replace("{ server = true }", '{ remote = "inbox" }')
    )
    up = place.begin("up")
    up.until("transload: up")
    assert [] == children_of(up.process.pid)
    up.stop(signal.SIGTERM)
