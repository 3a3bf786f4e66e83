"""Hooks: every arrival is told of, at least once, by a function, a command or a URL; one that fails is asked again, then parked."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.commanding import Place
from tests.crash.fixtures import database  # noqa: F401 - a fixture
from tests.crash.until import until
from tests.engine.byhand import Yard
from transload import Config, ConfigError, Transload, on_received
from transload.remotes.hook import forget

SECRET = "a-secret-canary-4711"
DOCS = Path(__file__).parent.parent / "docs" / "hooks.md"


@pytest.fixture
def yard(tmp_path):
    yards = []

    def make(route: str = "", *, settle: str = "0s", **more: str) -> Yard:
        yards.append(Yard(tmp_path, f'backoff = {{ first = "5m" }}\n{route}', source=f'remote = "src", settle = "{settle}"', **more))
        return yards[-1]

    yield make
    for one in yards:
        one.hand.close()
    forget("r")


@pytest.fixture
def place(tmp_path):
    with Place(tmp_path) as place:
        yield place


def _shell(script: str, more: str = "") -> str:
    return f"on_received = {{ command = ['/bin/sh', '-c', '''{script}''']{more} }}"


def _reason(it: Yard, path: str) -> str:
    return next(one.reason or "" for one in it.hand.deliveries(path).values() if one.target == "@hook")


def _work_off(it: Yard) -> None:
    """All that is to be tried again is tried again, until nothing is."""
    for _ in range(5):
        it.hand.again()
        it.hand.work_off()


# Commands


def test_a_command_gets_the_arrival_as_json_and_in_its_environment(yard, tmp_path):
    script = f'cat > {tmp_path}/told; env > {tmp_path}/env; cat "$TRANSLOAD_PATH" > {tmp_path}/seen'
    it = yard(_shell(f'{script}; stat -c %a "$TRANSLOAD_PATH" > {tmp_path}/mode'))
    it.put("deep/a b.csv", b"hello\n")
    it.hand.go()
    told = json.loads((tmp_path / "told").read_text())
    row = it.hand.row("deep/a b.csv")
    assert "delivered" == row.state
    digest = hashlib.sha256(b"hello\n").hexdigest()
    assert (row.id, "deep/a b.csv", 6, digest, "r") == tuple(told[key] for key in ("id", "name", "size", "sha256", "route"))
    assert abs(time.time() - told["time"]) < 600
    assert "hello\n" == (tmp_path / "seen").read_text()
    assert "400\n" == (tmp_path / "mode").read_text()
    env = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if line.startswith("TRANSLOAD_"))
    env = {key: value for key, value in env.items() if not key.startswith("TRANSLOAD_TEST_")}
    assert {f"TRANSLOAD_{key.upper()}": str(value) for key, value in told.items()} == env
    assert "a b.csv" == os.path.basename(told["path"])
    assert not os.path.exists(told["path"])
    assert {"deep/a b.csv": b"hello\n"} == it.delivered


def test_a_command_may_do_with_its_copy_what_it_likes(yard):
    it = yard(
        _shell(
            "chmod 600 $TRANSLOAD_PATH; echo spoilt > $TRANSLOAD_PATH; mv $TRANSLOAD_PATH /dev/null/no; rm -rf $(dirname $TRANSLOAD_PATH)"
        )
    )
    it.put("a", b"whole")
    it.hand.go()
    assert {"a": b"whole"} == it.delivered
    assert b"whole" == Path(it.hand.spool.path(it.hand.row("a").sha256)).read_bytes()


@pytest.mark.parametrize("name", [b"$(touch hacked).csv", b"; touch hacked", b"-rf", b"`touch hacked`", b"a\nb", b"caf\xe9", b"x" * 255])
def test_a_hostile_name_is_a_name_and_nothing_else(yard, tmp_path, name):
    it = yard(_shell(f'printf %s "$TRANSLOAD_NAME" > {tmp_path}/told; test -f "$TRANSLOAD_PATH"'))
    it.put(name, b"#!/bin/sh\ntouch hacked\n")
    os.chmod(os.path.join(os.fsencode(tmp_path), b"src", name), 0o755)
    it.hand.go()
    (row,) = it.hand.rows()
    assert ("delivered", row.text) == (row.state, (tmp_path / "told").read_text())
    assert [] == [path for path in tmp_path.rglob("hacked*") if path.is_file() and path.name == "hacked"]


def test_a_command_that_fails_is_asked_again_then_parked_and_retry_asks_once_more(yard, tmp_path):
    it = yard(
        _shell(f"echo $TRANSLOAD_ID >> {tmp_path}/calls; echo first >&2; printf 'no\\033[1m good' >&2; test -e {tmp_path}/good || exit 7")
    )
    it.put("a")
    it.hand.go()
    assert "/bin/sh ended with exit code 7: no%1B[1m good" == _reason(it, "a")
    assert "ready" == it.hand.row("a").state
    _work_off(it)
    row = it.hand.row("a")
    assert ("failed", "/bin/sh ended with exit code 7: no%1B[1m good (tried 3 times)") == (row.state, row.reason)
    assert [f"{row.id}"] * 3 == (tmp_path / "calls").read_text().split()
    assert {"a": b"data"} == it.delivered
    (tmp_path / "good").touch()
    it.hand.ledger.hand.retry([row.id], "me")
    it.hand.work_off()
    assert "delivered" == it.hand.row("a").state
    assert [f"{row.id}"] * 4 == (tmp_path / "calls").read_text().split()


def test_a_command_that_hangs_is_killed_with_all_that_it_started(yard, tmp_path):
    it = yard(_shell(f"trap '' TERM; sleep 61 & echo $! > {tmp_path}/child; wait; sleep 61", ', timeout = "300ms"') + "\nattempts = 1")
    it.put("a")
    it.hand.go()
    assert "/bin/sh did not end within 0.3s and was killed" in _reason(it, "a")
    assert "failed" == it.hand.row("a").state
    with pytest.raises(ProcessLookupError):
        _running(int((tmp_path / "child").read_text()))


def _running(pid: int) -> None:
    """Raise ProcessLookupError once the process is gone, or only waits to be buried."""
    until(lambda: not os.path.exists(f"/proc/{pid}") or Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z")
    raise ProcessLookupError


def test_a_command_that_leaves_a_child_behind_has_ended_when_it_ended(yard, tmp_path):
    it = yard(_shell(f"sleep 30 & echo $! > {tmp_path}/child; exit 0"))
    it.put("a")
    begun = time.monotonic()
    it.hand.go()
    assert "delivered" == it.hand.row("a").state
    assert time.monotonic() - begun < 25
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_a_command_that_is_not_there_or_says_much_is_told_in_one_line(yard, tmp_path):
    (tmp_path / "program").symlink_to("/bin/true")
    it = yard("on_received = { command = ['./program'] }")
    (tmp_path / "program").unlink()
    it.put("a")
    it.hand.go()
    assert "./program cannot be started: No such file or directory" == _reason(it, "a")
    it.rewrite(_shell("yes loud | head -c 5000000 >&2; exit 1"), source='remote = "src", settle = "0s"')
    it.hand.again()
    it.hand.work_off()
    assert "/bin/sh ended with exit code 1: loud (tried 2 times)" in {_reason(it, "a"), f"{_reason(it, 'a')} (tried 2 times)"}


# Functions


def test_a_function_is_told_of_each_version_and_of_fetched_files_with_the_path_of_the_bytes(yard):
    told = []

    @on_received("r")
    def hook(file):
        told.append((file.id, file.name, file.size, Path(file.path).read_bytes(), file.route))

    it = yard()
    it.put("a", b"one")
    it.hand.go()
    it.put("a", b"second", 1700000500.0)
    it.hand.go()
    it.put("b", b"one")
    it.hand.go()
    ids = [row.id for row in it.hand.rows()]
    assert [(ids[0], "a", 3, b"one", "r"), (ids[1], "a", 6, b"second", "r"), (ids[2], "b", 3, b"one", "r")] == told
    assert {"delivered"} == set(it.hand.states().values())
    assert [] == os.listdir(it.folder / "data" / "hooks")


def test_a_function_that_raises_is_asked_again_then_parked_and_later_files_go_on(yard):
    told = []

    @on_received("r")
    def hook(file):
        told.append(file.name)
        if file.name == "bad":
            raise ValueError("it is bad\nindeed")

    it = yard()
    it.put("bad", b"1", 1700000000.0)
    it.put("good", b"2", 1700000001.0)
    it.hand.go()
    _work_off(it)
    assert {"bad": "failed", "good": "delivered"} == it.hand.states()
    assert ["bad", "bad", "bad", "good"] == sorted(told)
    assert "the hook raised ValueError: it is bad\nindeed (tried 3 times)" == it.hand.row("bad").reason


def test_a_function_that_hangs_is_given_up_and_not_called_beside_itself(yard):
    held, told = threading.Event(), []

    @on_received("r", timeout=0.2)
    def hook(file):
        told.append(file.name)
        if file.name == "slow":
            held.wait(30)
            told.append(Path(file.path).read_bytes())

    it = yard()
    it.put("slow", b"bytes")
    it.put("quick")
    it.hand.go()
    assert {"slow": "ready", "quick": "delivered"} == it.hand.states()
    assert "it did not return within 0.2s" == _reason(it, "slow")
    it.hand.again()
    it.hand.work_off()
    assert 1 == told.count("slow")
    held.set()
    until(lambda: b"bytes" in told)
    it.hand.again()
    it.hand.work_off()
    assert {"slow": "delivered", "quick": "delivered"} == it.hand.states()
    assert 1 == told.count("slow")


def test_two_functions_for_one_route_are_refused(yard):
    @on_received("r")
    def hook(file): ...

    with pytest.raises(ConfigError, match=r"the route .r. has a hook already"):

        @on_received("r")
        def other(file): ...


def test_an_app_takes_a_function_for_a_route_that_it_has(yard):
    it = yard(to="")
    app = Transload(it.hand.config)
    with pytest.raises(ConfigError, match=r"routes\[r\].to: missing: the route delivers nothing and calls no hook"):
        app.run("r")
    with pytest.raises(ConfigError, match=r'there is no route "rr"; did you mean "r"\?'):
        app.on_received("rr")

    @app.on_received("r")
    def hook(file): ...

    assert ["@hook"] == [to.id for to in it.hand.config.routes[0].destinations]


# URLs


class Receiver:
    """A web server that keeps what is posted, and answers as told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.more, self.wait = 200, {}, threading.Event()
        self.wait.set()
        outer = self

        class Asked(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers.items()), body))
                outer.wait.wait(30)
                with suppress(OSError):
                    self.send_response(outer.status)
                    for key, value in outer.more.items():
                        self.send_header(key, value)
                    self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.wait.set()
    receiver.server.shutdown()
    receiver.server.server_close()


def test_a_url_gets_signed_json(yard, receiver, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    it = yard(f'on_received = {{ url = "{receiver.url}/in?x=1", secret = {{ env = "HOOK_SECRET" }} }}')
    it.put("a.csv", b"hello")
    it.hand.go()
    ((path, headers, body),) = receiver.got
    told = json.loads(body)
    assert ("/in?x=1", "application/json") == (path, headers["Content-Type"])
    assert {"id", "name", "size", "sha256", "user", "client", "protocol", "time", "route"} == set(told)
    assert ("a.csv", 5, hashlib.sha256(b"hello").hexdigest()) == (told["name"], told["size"], told["sha256"])
    at = headers["X-Transload-Timestamp"]
    assert abs(time.time() - int(at)) < 300
    assert hmac.new(SECRET.encode(), at.encode() + b"." + body, "sha256").hexdigest() == headers["X-Transload-Signature"]
    assert "delivered" == it.hand.row("a.csv").state


def test_what_the_docs_tell_receivers_to_do_tells_our_calls_from_others(yard, receiver, monkeypatch):
    told: dict = {}
    exec(re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1], told)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    it = yard(f'on_received = {{ url = "{receiver.url}", secret = {{ env = "HOOK_SECRET" }} }}')
    it.put("a.csv")
    it.hand.go()
    ((_, headers, body),) = receiver.got
    assert told["is_ours"](SECRET.encode(), headers, body)
    assert not told["is_ours"](b"another", headers, body)
    assert not told["is_ours"](SECRET.encode(), headers, body + b" ")
    assert not told["is_ours"](SECRET.encode(), headers | {"X-Transload-Timestamp": str(int(headers["X-Transload-Timestamp"]) - 1)}, body)


def test_a_url_that_says_no_or_leads_elsewhere_is_asked_again_and_parked(yard, receiver):
    it = yard(f'on_received = {{ url = "{receiver.url}" }}')
    receiver.status, receiver.more = 302, {"Location": f"{receiver.url}/elsewhere"}
    it.put("a")
    it.hand.go()
    assert "127.0.0.1 answered 302 (redirects are not followed: write the address that it leads to)" == _reason(it, "a")
    receiver.status = 500
    _work_off(it)
    assert ["/", "/", "/"] == [path for path, _, _ in receiver.got]
    assert "127.0.0.1 answered 500 (tried 3 times)" == it.hand.row("a").reason
    assert 1 == len({body for *_, body in receiver.got})


def test_a_url_that_hangs_is_given_up_and_one_where_nobody_answers_is_tried_for_ever(yard, receiver):
    it = yard(f'on_received = {{ url = "{receiver.url}", timeout = "200ms" }}\nattempts = 1')
    receiver.wait.clear()
    it.put("a")
    it.hand.go()
    assert ("failed", "127.0.0.1 did not answer in time (tried 1 times)") == (it.hand.row("a").state, it.hand.row("a").reason)
    it.rewrite('on_received = { url = "http://127.0.0.1:1/" }\nattempts = 1', source='remote = "src", settle = "0s"')
    it.put("b")
    it.hand.go()
    _work_off(it)
    assert "ready" == it.hand.row("b").state
    assert _reason(it, "b").startswith("127.0.0.1 cannot be reached")


# Whole processes


MODULE = """
import os, time
from pathlib import Path
from transload import on_received

@on_received("files")
def hook(file):
    with open("calls", "a") as calls:
        calls.write(f"{file.id} {file.name} {os.getpid()}\\n")
    if os.path.exists("hold"):
        time.sleep(40)
    if os.path.exists("die"):
        os.kill(os.getpid(), 9)
"""
FILES = """
[transload]
modules = ["hooks_of_test"]
{database}
spool = {{ min_free = "1MB" }}
[remotes.source]
kind = "folder"
path = "in"
[[routes]]
name = "files"
from = {{ remote = "source", settle = "0s", every = "200ms" }}
after = "delete"
"""


def _calls(place: Place) -> list[list[str]]:
    path = place.folder / "calls"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def _count(place: Place, name: str) -> int:
    path = place.folder / f"calls.{name}"
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_process_that_is_killed_while_a_hook_runs_calls_it_again_with_the_same_id(place, request, kind):
    url = request.getfixturevalue("database")() if kind == "postgresql" else None
    place.config(FILES.format(database=f'database = "{url}"' if url else ""))
    (place.folder / "hooks_of_test.py").write_text(MODULE)
    (place.folder / "hold").touch()
    place.file("a.csv")
    up = place.begin("up")
    until(lambda: _calls(place))
    up.stop(signal.SIGKILL)
    (place.folder / "hold").unlink()
    assert place.give("run").code == 0
    first, second = _calls(place)
    assert first[:2] == second[:2]
    assert first[2] != second[2]
    assert [] == [path.name for path in (place.folder / "in").iterdir()]
    assert [] == [path.name for path in (place.folder / "data" / "hooks").iterdir()]


@pytest.mark.slow
def test_a_function_that_kills_the_process_again_and_again_is_parked(place):
    place.config(FILES.format(database=""))
    (place.folder / "hooks_of_test.py").write_text(MODULE)
    (place.folder / "die").touch()
    place.file("a.csv")
    codes = [place.give("run").code for _ in range(5)]
    assert [-9, -9, -9, -9, 1] == codes
    (row,) = place.give("ls", "--json").document
    assert ("failed", "the process died 4 times with this file in hand") == (row["state"], row["reason"])
    assert [["1", "a.csv"]] * 4 == [call[:2] for call in _calls(place)]
    (place.folder / "die").unlink()
    assert 0 == place.give("retry", "1").code
    assert 0 == place.give("run").code
    assert 5 == len(_calls(place))


@pytest.mark.slow
def test_slow_hooks_stall_neither_deliveries_nor_other_hooks(place):
    routes = "".join(
        f"""
[[routes]]
name = "{name}"
from = {{ remote = "source", settle = "0s", every = "200ms" }}
to = [{{ remote = "archive", name = "{name}/{{name}}" }}]
on_received = {{ command = ["/bin/sh", "-c", "echo $TRANSLOAD_ID >> calls.{name}; {script}"] }}
"""
        for name, script in (("quick", "true"), ("slow", "sleep 40"))
    )
    place.config(
        '[transload]\nspool = { min_free = "1MB" }\n[remotes.source]\nkind = "folder"\npath = "in"\n'
        f'[remotes.archive]\nkind = "folder"\npath = "out"\n{routes}'
    )
    for number in range(12):
        place.file(f"{number}.csv")
    up = place.begin("up")
    until(lambda: len(place.delivered()) == 24)
    until(lambda: _count(place, "quick") == 12)
    until(lambda: _count(place, "slow") == 4)
    up.kill()


PROGRAM = """
import sys, threading, time
from transload import Config, Transload

app = Transload(Config.load("transload.toml"))
begun = threading.Semaphore(0)

@app.on_received("files")
def hook(file):
    begun.release()
    print(f"called {file.name}\\n", end="", flush=True)
    if file.name == "slow.csv":
        time.sleep(50)

app.start()
begun.acquire()
begun.acquire()
at = time.monotonic()
app.stop(grace=0.5)
print("stopped after", round(time.monotonic() - at), flush=True)
"""


def test_a_stop_does_not_wait_for_a_function_that_hangs_and_what_it_was_told_of_is_told_again(place):
    place.config(FILES.format(database="").replace('modules = ["hooks_of_test"]', ""))
    (place.folder / "program.py").write_text(PROGRAM)
    place.file("slow.csv")
    place.file("quick.csv")
    told = subprocess.run([sys.executable, "program.py"], cwd=place.folder, capture_output=True, text=True, timeout=40, check=False).stdout
    assert ["called quick.csv", "called slow.csv"] == sorted(told.splitlines()[:2])
    assert int(told.split()[-1]) < 20
    assert {"slow.csv": "ready"} == {
        row["path"]: row["state"] for row in place.give("ls", "--json").document if row["state"] != "delivered"
    }
    hook = 'on_received = { command = ["/bin/sh", "-c", "echo $TRANSLOAD_NAME >> again"] }'
    place.config((place.folder / "transload.toml").read_text().replace("[[routes]]", f"[[routes]]\n{hook}"))
    assert 0 == place.give("run").code
    assert "slow.csv\n" == (place.folder / "again").read_text()


def test_the_secret_and_the_password_of_a_url_are_nowhere(place, receiver):
    receiver.status = 500
    config = f"""
[transload]
spool = {{ min_free = "1MB" }}
[remotes.source]
kind = "folder"
path = "in"
[[routes]]
name = "files"
from = {{ remote = "source", settle = "0s" }}
attempts = 1
on_received = {{ url = "{receiver.url}/?token=token-canary-99", secret = {{ env = "HOOK_SECRET" }} }}
"""
    place.config(config)
    place.file("a.csv")
    done = place.give("run", env={"HOOK_SECRET": SECRET})
    assert 1 == done.code
    assert "127.0.0.1 answered 500" in done.err
    everything = b"".join(path.read_bytes() for path in place.folder.rglob("*") if path.is_file())
    assert SECRET.encode() not in everything + done.out.encode() + done.err.encode()
    told = b"".join(path.read_bytes() for path in place.folder.rglob("*") if path.is_file() and path.name != "transload.toml")
    assert b"token-canary-99" not in told + done.out.encode() + done.err.encode()
    place.config(config.replace("http://127", "http://me:pass-word@127"))
    refused = place.give("check", env={"HOOK_SECRET": SECRET})
    assert 2 == refused.code
    assert "routes[files].on_received.url: holds a login" in refused.out + refused.err


def test_a_function_for_a_route_that_there_is_not_is_told(place):
    place.config(FILES.format(database="").replace('name = "files"', 'name = "file"'))
    (place.folder / "hooks_of_test.py").write_text(MODULE)
    told = place.give("check")
    assert 2 == told.code
    fault = 'transload.modules[0]: has a function that is told of the route "files", which there is not; did you mean "file"?'
    assert fault in told.out + told.err


def test_a_config_may_leave_to_away_only_where_a_hook_is_told(place, tmp_path):
    place.config('[remotes.source]\nkind = "folder"\npath = "in"\n[[routes]]\nname = "files"\nfrom = { remote = "source" }\n')
    told = place.give("check")
    assert 2 == told.code
    assert "routes[files].to: missing: the route delivers nothing and calls no hook" in told.out + told.err
    assert Config.load(tmp_path / "transload.toml").routes[0].destinations == ()
    assert 2 == place.give("run").code
