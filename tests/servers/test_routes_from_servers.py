"""Routes that start at our servers, whole: a real client, a real process, hooks, and the commands that tell of it."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import time
from contextlib import contextmanager

import paramiko
import pytest

from tests.commanding import Place
from tests.crash.until import until

PASSWORD = "pass-word-canary-12"
CONFIG = """
[transload]
spool = {{ min_free = "1MB" }}
[servers.sftp]
listen = "127.0.0.1:{port}"
[users.logger]
password = {{ env = "LOGGER_PASSWORD" }}
[users.other]
password = {{ env = "LOGGER_PASSWORD" }}
[remotes.archive]
kind = "folder"
path = "out"
[[routes]]
name = "sensors"
from = {{ server = true, user = "logger", match = "*.csv" }}
to = [{{ remote = "archive" }}]
backoff = {{ first = "100ms", cap = "200ms" }}
attempts = 1000
on_received = {{ command = ["/bin/sh", "hook.sh"] }}
after = "delete"
"""
HOOK = 'told=$(cat); echo "$told" >> told; test -e good || { echo "not yet" >&2; exit 1; }\n'


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGGER_PASSWORD", PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Place(tmp_path) as place:
        place.port = port
        place.config(CONFIG.format(port=port))
        (tmp_path / "hook.sh").write_text(HOOK)
        yield place


@contextmanager
def _client(place, user="logger"):
    transport = paramiko.Transport(("127.0.0.1", place.port))
    try:
        transport.connect(username=user, password=PASSWORD)
        with paramiko.SFTPClient.from_transport(transport) as client:
            yield client
    finally:
        transport.close()


def _told(place) -> list[dict]:
    path = place.folder / "told"
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.exists() else []


def _home(place, user="logger") -> list[str]:
    return sorted(path.name for path in (place.folder / "data" / "inbox" / user).rglob("*") if path.is_file())


@pytest.mark.slow
def test_an_upload_is_told_with_who_sent_it_and_leaves_the_home_when_the_hook_has_said_yes(place):
    up = place.begin("up")
    up.until("transload: up")
    with _client(place) as client:
        client.putfo(io.BytesIO(b"1,2,3"), "x.$$$")
        client.rename("x.$$$", "x.csv")
        client.putfo(io.BytesIO(b"nobody"), "z.bin")
    with _client(place, "other") as client:
        client.putfo(io.BytesIO(b"others"), "y.csv")
    until(lambda: len(_told(place)) >= 2)
    told = _told(place)[0]
    assert ("x.csv", "logger", "127.0.0.1", "sftp", "sensors", 5) == tuple(
        told[key] for key in ("name", "user", "client", "protocol", "route", "size")
    )
    assert abs(time.time() - told["time"]) < 600
    # The hook says no: its delivery is held, the other one was made, and the source stays.
    until(lambda: {"x.csv": "1,2,3"} == place.delivered())
    assert ["x.csv", "z.bin"] == _home(place)
    status = place.give("status")
    assert "2 uploads that no route took: transload explain server:USER/PATH tells why" in status.out
    (place.folder / "good").touch()
    until(lambda: _home(place) == ["z.bin"])
    assert 1 == len({told["id"] for told in _told(place)})
    assert ["y.csv"] == _home(place, "other")
    _explained(place)
    up.stop(signal.SIGTERM)
    assert PASSWORD not in "".join(up.lines)


def _explained(place) -> None:
    for path, words in {
        "logger/x.csv": "route sensors: is not taken: known as arrival 1: delivered",
        "logger/z.bin": "route sensors: is not taken: its name does not match",
    }.items():
        told = place.give("explain", f"server:{path}")
        assert (0, True) == (told.code, words in told.out), told
    other = place.give("explain", "server:other/y.csv")
    assert "route sensors: does not look there, but in the home of logger" in other.out
    assert 1 == place.give("explain", "server:logger/nothing").code
    assert "is not a safe name" in place.give("explain", "server:logger/../x").err
    adopted = place.give("adopt")
    assert "sensors: nothing to adopt: what our servers receive is taken when it arrives" in adopted.out
    planned = place.give("plan")
    assert (0, True) == (planned.code, "it takes what our servers receive, when it arrives" in planned.out)


@pytest.mark.slow
def test_a_slow_hook_delays_no_upload_and_a_run_does_what_a_killed_process_owed(place):
    (place.folder / "hook.sh").write_text('told=$(cat); echo "$told" >> told; test -e good || sleep 30\n')
    up = place.begin("up")
    up.until("transload: up")
    with _client(place) as client:
        begun = time.monotonic()
        for number in range(12):
            client.putfo(io.BytesIO(b"%d" % number), f"{number}.csv")
        took = time.monotonic() - begun
    assert took < 25, "twelve uploads waited for hooks"
    until(lambda: len(_told(place)) == 4)
    until(lambda: len(place.delivered()) == 12)
    os.kill(up.process.pid, signal.SIGKILL)
    up.stop()
    (place.folder / "good").touch()
    done = place.give("run")
    assert 0 == done.code, done
    assert set(range(1, 13)) == {told["id"] for told in _told(place)}
    assert 16 == len(_told(place))
    assert [] == _home(place)
    again = place.give("run")
    assert (0, 16) == (again.code, len(_told(place)))


@pytest.mark.slow
def test_a_hook_changes_with_a_reload(place):
    (place.folder / "good").touch()
    up = place.begin("up")
    up.until("transload: up")
    with _client(place) as client:
        client.putfo(io.BytesIO(b"one"), "one.csv")
        until(lambda: _home(place) == [])
        text = (place.folder / "transload.toml").read_text()
        place.config(
            text.replace('"hook.sh"', '"-c", "echo $TRANSLOAD_NAME >> other"') + '[[routes]]\nname = "no"\nfrom = { server = true }\n'
        )
        up.process.send_signal(signal.SIGHUP)
        assert "refused whole" in up.until("fault=")
        place.config(text.replace('"hook.sh"', '"-c", "echo $TRANSLOAD_NAME >> other"'))
        up.process.send_signal(signal.SIGHUP)
        up.until("the new config is in force")
        client.putfo(io.BytesIO(b"two"), "two.csv")
        until(lambda: _home(place) == [])
    assert "two.csv\n" == (place.folder / "other").read_text()
    assert ["one.csv"] == [told["name"] for told in _told(place)]


def test_a_name_at_a_destination_may_hold_who_sent_it(place):
    place.config(
        CONFIG.format(port=place.port)
        .replace(', user = "logger"', "")
        .replace('{ remote = "archive" }', '{ remote = "archive", name = "{user}/{name}", marker = "{user}/{stem}.done" }')
        .replace('on_received = { command = ["/bin/sh", "hook.sh"] }\n', "")
    )
    up = place.begin("up")
    up.until("transload: up")
    for user in ("logger", "other"):
        with _client(place, user) as client:
            client.putfo(io.BytesIO(user.encode()), "x.csv")
    until(lambda: {"logger/x.csv": "logger", "logger/x.done": "", "other/x.csv": "other", "other/x.done": ""} == place.delivered())
    up.stop(signal.SIGTERM)
