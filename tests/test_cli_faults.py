from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commanding import FOLDERS, ROUTE, Place
from tests.peers.base import USER

QUICK = 'attempts = 2\nbackoff = { first = "50ms", cap = "50ms" }\n'


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Place(tmp_path) as made:
        made.config(FOLDERS + ROUTE)
        yield made


def bad_route(name: str, remote: str) -> str:
    return f'[[routes]]\nname = "{name}"\nfrom = {{ remote = "{remote}", settle = "0s" }}\nto = [{{ remote = "archive" }}]\n{QUICK}'


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


BAD = """
[transload]
dota = "x"
[remotes.source]
kind = "folder"
path = "in"
[remotes.web]
kind = "http"
files = { a = "http://127.0.0.1/a.csv" }
[remotes.strange]
kind = "sftp"
host = "h"
user = "u"
connections = "many"
[remotes.warehouse]
kind = "ftp"
host = "h"
user = "u"
password = { env = "TRANSLOAD_NOT_SET" }
[remotes.keyed]
kind = "sftp"
host = "h"
user = "u"
key = { file = "nokey" }
[[routes]]
name = "a"
from = { remote = "source" }
to = [{ remote = "web" }]
[[routes]]
name = "a"
from = { remote = "sorce" }
to = [{ remote = "source", name = "x/{nmae}" }]
"""
FAULTS = [
    'transload.toml:3: transload.dota: unknown key; did you mean "data"?',
    "transload.toml:14: remotes.strange.connections: wants a whole number",
    "transload.toml:19: remotes.warehouse.password: the environment variable TRANSLOAD_NOT_SET is not set; set it before the start",
    "transload.toml:24: remotes.keyed.key: {folder}/nokey cannot be read: No such file or directory",
    'transload.toml:28: routes[a].to[0].remote: nothing can be delivered to a remote of kind "http"; name another remote',
    "transload.toml:30: routes[a].name: another route has this name; name it otherwise: the ledger goes by it",
    'transload.toml:31: routes[a].from.remote: there is no remote "sorce"; did you mean "source"?',
]


@pytest.mark.parametrize("command", ["check", "run", "up", "plan"])
def test_every_fault_of_the_config_is_told_at_once_a_line_each(place, command):
    place.config(BAD)
    told = place.give(command)
    assert (2, "") == told[:2]
    lines = told.err.splitlines()
    assert [] == [fault for fault in FAULTS if fault.format(folder=place.folder) not in lines]
    assert len(FAULTS) + 1 == len(lines)
    assert not (place.folder / "data").exists()


def test_check_gives_keys_and_hints_as_json(place):
    place.config(BAD)
    told = place.give("check", "--json")
    assert 2 == told.code
    assert {"key": "transload.dota", "fault": "unknown key", "hint": 'did you mean "data"?', "line": 3} == told.document[0]


def test_a_secret_of_a_remote_is_not_asked_for_by_commands_that_do_not_connect(place):
    place.config(FOLDERS + '[remotes.ftp]\nkind = "ftp"\nhost = "h"\nuser = "u"\npassword = { env = "TRANSLOAD_NOT_SET" }\n' + ROUTE)
    assert [0, 0, 2] == [place.give(command).code for command in ("ls", "status", "check")]


def test_a_config_that_is_not_there_is_named(place):
    told = place.give("run", "-c", "other.toml")
    assert (2, "", "other.toml: cannot be read: No such file or directory; transload init writes one\n") == told


def test_the_config_may_be_named_by_the_environment(place):
    os.rename(place.folder / "transload.toml", place.folder / "named.toml")
    assert "named.toml: no faults" in place.give("check", env={"TRANSLOAD_CONFIG": "named.toml"}).out


def test_remotes_that_cannot_be_used_get_a_clear_line_and_the_other_routes_go_on(place, pyftpdlib):
    port = closed_port()
    place.config(
        FOLDERS
        + f'[remotes.refused]\nkind = "sftp"\nhost = "127.0.0.1"\nport = {port}\nuser = "u"\npassword = {{ env = "WRONG" }}\n'
        + '[remotes.unnamed]\nkind = "ftp"\nhost = "no-such-host.invalid"\ntls = "off"\n'
        + f'[remotes.locked]\nkind = "ftp"\nhost = "127.0.0.1"\nport = {pyftpdlib.port}\ntls = "off"\nuser = "{USER}"\n'
        + 'password = { env = "WRONG" }\n'
        + "".join(bad_route(name, name) for name in ("refused", "unnamed", "locked"))
        + ROUTE
    )
    place.file("a.csv")
    told = place.give("run", env={"WRONG": "not the word"})
    assert 1 == told.code
    assert {"a.csv": "x\n"} == place.delivered()
    lines = {line.partition(":")[0]: line for line in told.err.splitlines()}
    assert ["locked", "refused", "unnamed"] == sorted(lines)
    assert f"127.0.0.1:{port}" in lines["refused"]
    assert "no-such-host.invalid" in lines["unnamed"]
    assert "not the word" not in told.err + told.out + (place.folder / "log" / "monitor.log").read_text()
    failed = place.give("test", "locked", env={"WRONG": "not the word"})
    assert (1, "") == failed[:2]
    assert "check user, password or key" in failed.err
    away = place.give("status", "--json").document["away"]
    assert ["locked", "refused", "unnamed"] == [one["remote"] for one in away]


def test_a_truncated_ledger_is_refused_with_code_3_and_what_to_do(place):
    place.file("a.csv")
    place.give("run")
    os.truncate(place.folder / "data" / "ledger.db", 5000)
    for words in (["run"], ["up"], ["ls"], ["status"], ["plan"], ["skip", "1", "--why", "x"], ["pause", "files"]):
        told = place.give(*words)
        assert (3, "") == told[:2]
        assert "ledger.db is damaged" in told.err
        assert "restore it with `transload db restore" in told.err
        assert 1 == len(told.err.splitlines())
    assert 5000 == (place.folder / "data" / "ledger.db").stat().st_size


def test_something_that_is_no_ledger_is_refused(place):
    (place.folder / "data").mkdir()
    (place.folder / "data" / "ledger.db").write_text("a text\n" * 1000)
    told = place.give("ls")
    assert (3, True) == (told.code, "it is no SQLite database" in told.err)


def test_a_database_that_does_not_answer_is_code_3_without_its_password(place):
    place.config(f'[transload]\ndatabase = {{ env = "LEDGER" }}\n{FOLDERS}{ROUTE}')
    url = f"postgresql://ledger:ver-y-secret@127.0.0.1:{closed_port()}/ledger"
    for command in ("status", "run"):
        told = place.give(command, env={"LEDGER": url})
        assert 3 == told.code
        assert "the ledger postgresql://ledger:***@127.0.0.1" in told.err
        assert "ver-y-secret" not in told.err


def test_up_works_until_sigterm_and_reloads_all_or_nothing(place):
    place.config(FOLDERS + ROUTE.replace('settle = "0s"', 'settle = "0s", every = "200ms"'))
    place.file("a.csv")
    up = place.begin("up")
    try:
        up.until("transload: up routes=")
        up.until("delivered")
        assert {"a.csv": "x\n"} == place.delivered()
        status = place.give("status", "--json").document
        assert [("up", True)] == [(one["role"], one["alive"]) for one in status["workers"]]
        good = (place.folder / "transload.toml").read_text()
        place.config(good + "[transload]\ndota = 1\n")
        up.process.send_signal(signal.SIGHUP)
        assert "unknown key" in up.until("refused whole")
        place.config(good.replace('name = "files"', 'name = "renamed"'))
        up.process.send_signal(signal.SIGHUP)
        assert "renamed" in up.until("the new config is in force")
        place.file("b.csv")
        up.until("delivered")
    finally:
        ended = up.stop()
    assert (0, "") == (ended.code, ended.err)
    assert "stopping" in ended.out
    assert "stopped" in ended.out
    logged = [json.loads(line)["event"] for line in (place.folder / "log" / "monitor.log").read_text().splitlines()]
    assert ("up", "stopped") == (logged[0], logged[-1])
    assert [] == place.give("status", "--json").document["workers"]


def test_a_run_beside_up_hands_over_and_follows(place):
    place.config(FOLDERS + ROUTE.replace('settle = "0s"', 'settle = "0s", every = "1h"'))
    up = place.begin("up")
    try:
        up.until("transload: up routes=")
        while place.give("status", "--json").document["routes"][0]["last_look"] is None:
            pass
        place.file("a.csv")
        done = place.give("run", "--json")
        assert (0, 1) == (done.code, done.document["routes"][0]["delivered"])
    finally:
        up.stop()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_stopped_says_so_and_loses_nothing(place, number, code):
    port = closed_port()
    # A source that is tried again for a long time keeps the run going.
    config = (
        FOLDERS + f'[remotes.away]\nkind = "sftp"\nhost = "127.0.0.1"\nport = {port}\nuser = "u"\npassword = {{ env = "HOME" }}\n' + ROUTE
    )
    place.config(config + bad_route("away", "away").replace(QUICK, 'attempts = 100\nbackoff = { first = "1s" }\n'))
    place.file("a.csv")
    run = place.begin("run")
    while not place.delivered():
        assert run.process.poll() is None
    ended = run.stop(number)
    assert (code, "", "stopping: what is in hand is finished or put back\nstopped\n") == ended
    place.config(FOLDERS + ROUTE)
    assert 0 == place.give("run").code
    assert {"a.csv": "x\n"} == place.delivered()
