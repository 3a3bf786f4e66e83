"""The worker in a process of its own, beside the servers: begun, woken, begun again, and never left behind."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from ftplib import FTP
from io import BytesIO
from pathlib import Path

import pytest

from tests.crash.until import until
from tests.servers.site import WORD, Site


@pytest.fixture
def place(tmp_path):
    with Site(tmp_path, doors={"ftp": 'tls = "off"'}) as place:
        yield place


def send(place, name):
    with FTP() as ftp:
        ftp.connect("127.0.0.1", place.ports["ftp"], 20)
        ftp.login("first", WORD)
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


def test_whoever_waits_for_a_yes_comes_before_the_worker_where_processors_are_scarce(place):
    up = place.begin("up")
    up.until("transload.worker: up")
    worker = worker_of(up)
    below = os.getpriority(os.PRIO_PROCESS, worker) - os.getpriority(os.PRIO_PROCESS, up.process.pid)
    up.stop(signal.SIGTERM)
    assert below == min(5, 19 - os.getpriority(os.PRIO_PROCESS, 0))


def test_without_servers_there_is_one_process(place):
    place.config(
        (place.folder / "transload.toml")
        .read_text()
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
