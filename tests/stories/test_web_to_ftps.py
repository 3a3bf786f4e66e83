"""Story W: CSV files from web addresses, into a folder on an FTPS server."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zoneinfo import ZoneInfo

import pytest

from tests.commanding import TRANSLOAD
from tests.crash.until import until
from tests.peers.fake_ftp import Cut, FakeFtp
from tests.peers.web import Page
from tests.stories.outside import Turnstile
from tests.stories.stage import LOGIN, PASSWORD, QUICK, ftp

URLS = """\
sdn = "https://data.example/exports/sdn.csv"
alt = "https://data.example/exports/alt.csv"
ofsi = "https://lists.example/download/consolidated-list-of-2026.csv"
"""
BACKOFF = 'backoff = { first = "1s", cap = "1m" }'


class Lists:
    """examples/web-to-ftps.toml with pages of this machine and a folder of `peer`."""

    def __init__(self, stage, peer, files, ca) -> None:
        self.stage, self.peer, self.files, self.ca = stage, peer, files, ca
        stage.secrets["FTPS_PASSWORD"] = PASSWORD

    def example(self, urls: dict[str, str], **more: str) -> None:
        """Write the config; `more` is replaced in it."""
        lines = "".join(f'"{key}" = "{url}"\n' for key, url in urls.items())
        changes = {
            URLS: lines,
            'host = "ftps.warehouse.example"\ntls = "explicit"\nuser = "loader"': ftp(self.peer, tls="explicit", ca=self.ca) + LOGIN,
            'path = "incoming/lists"': f'path = "{self.files.name}/incoming/lists"',
        }
        self.stage.example("web-to-ftps", changes | more)

    @property
    def there(self) -> dict[str, bytes]:
        """Everything in the folder of the partner, temporary files too."""
        return {name.decode().removeprefix("incoming/lists/"): data for name, data in self.files.files().items()}


@pytest.fixture
def lists(stage, vsftpd_explicit, certificates, disk):
    """Over vsftpd, which wants login and data encrypted, and the TLS session used again."""
    return Lists(stage, vsftpd_explicit, disk(vsftpd_explicit), certificates.ca)


@pytest.fixture
def pages(web):
    web.pages |= {
        "/exports/sdn.csv": Page(b"id,name\r\n00123,\xe9t\xe9\r\n"),
        "/exports/alt": Page(b'\xef\xbb\xbfid;name\n7;"a\nb"\n'),
        "/download/list-of-2026.csv": Page(b"no line end"),
    }
    return {"sdn": web.url("/exports/sdn.csv"), "alt.csv": web.url("/exports/alt"), "ofsi": web.url("/download/list-of-2026.csv")}


LATER = 1_700_000_100.0
EVERYTHING = {"sdn.csv": b"id,name\r\n00123,\xe9t\xe9\r\n", "alt.csv": b'\xef\xbb\xbfid;name\n7;"a\nb"\n', "ofsi.csv": b"no line end"}


def test_w1_w5_w8_every_source_is_delivered_as_name_csv_byte_for_byte_into_the_ftps_folder(lists, pages):
    """W6 too: no level of the folder is there before."""
    lists.example(pages)
    assert 3 == lists.stage.run()["lists"]["delivered"]
    assert EVERYTHING == lists.there


class _Gate(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    turnstile: Turnstile

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{self.path}"')
        self.send_header("Content-Length", "4")
        self.end_headers()

    def do_GET(self) -> None:
        self.turnstile()
        self.do_HEAD()
        self.wfile.write(b"a,b\n")


@contextmanager
def gated(turnstile: Turnstile):
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Gate", (_Gate,), {"turnstile": turnstile}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("workers", [1, 4])
def test_w2_a_run_takes_the_sources_one_by_one_or_so_many_at_once(lists, workers):
    turnstile = Turnstile(workers)
    with gated(turnstile) as url:
        lists.example({f"n{number}": f"{url}/{number}.csv" for number in range(6)}, **{"connections = 4": f"connections = {workers}"})
        assert 6 == lists.stage.run()["lists"]["delivered"]
    assert (workers, 6) == (turnstile.most, turnstile.passed)


def test_w2_up_keeps_to_a_local_time_every_day(lists, pages):
    lists.example(pages)
    up = lists.stage.begin("up")
    up.until("up routes=")
    [route] = until(lambda: [one for one in lists.stage.give("status", "--json").document["routes"] if one["next_look"]])
    now = datetime.now(ZoneInfo("Europe/London"))
    six = now.replace(hour=6, minute=0, second=0, microsecond=0)
    following = six if six > now else (six + timedelta(days=1)).replace(hour=6)
    assert following == datetime.fromisoformat(route["next_look"])
    assert 0 == up.stop().code
    assert {} == lists.there
    # As if the last look had been two mornings ago.
    lists.stage.run()
    with closing(sqlite3.connect(lists.stage.folder / "web-to-ftps/ledger.db")) as ledger, ledger:
        ledger.execute("update passes set started = started - 2 * 86400000000, ended = ended - 2 * 86400000000")
    [looked] = [one["last_look"] for one in lists.stage.give("status", "--json").document["routes"]]
    up = lists.stage.begin("up")
    until(lambda: lists.stage.give("status", "--json").document["routes"][0]["last_look"] > looked)
    assert 0 == up.stop().code


def test_w3_what_may_be_better_soon_is_tried_three_times_and_what_may_not_is_not(lists, pages, web):
    tries = {500: 3, 503: 3, 408: 3, 429: 3, 400: 1, 401: 1, 403: 1, 404: 1, 410: 1}
    web.pages |= {f"/bad-{status}.csv": Page(b"bad", status=status) for status in tries}
    # The fourth try would come after the end of the run.
    more = {f"bad-{status}": web.url(f"/bad-{status}.csv") for status in tries}
    lists.example(pages | more, **{BACKOFF: 'backoff = { first = "400ms", cap = "1m" }'})
    done = lists.stage.run_badly()["lists"]
    assert EVERYTHING == lists.there
    assert {f"bad-{status}.csv" for status in tries} == {one["path"] for one in done["failures"]}
    asked = [one.path for one in web.heard if one.method == "GET" and "Range" not in one.headers]
    assert tries == {status: asked.count(f"/bad-{status}.csv") for status in tries}


def test_w4_one_failing_source_leaves_the_others_delivered_and_the_summary_tells_all(lists, pages, web):
    web.pages["/bad.csv"] = Page(b"bad", status=500)
    lists.example(pages | {"bad": web.url("/bad.csv")}, **{BACKOFF: QUICK})
    told = lists.stage.give("run")
    assert 1 == told.code
    assert EVERYTHING == lists.there
    size = sum(map(len, EVERYTHING.values()))
    counts, place, seconds = told.out.splitlines()
    assert f"lists: 4 files seen, 3 fetched ({size} B), 3 delivered to warehouse, 1 held" == counts
    assert re.fullmatch(r"  warehouse: ftps://partner@127\.0\.0\.1:\d+/.*/incoming/lists", place)
    assert re.fullmatch(r"[\d.]+s in all", seconds)
    [line] = told.err.splitlines()
    assert line.startswith("lists: bad.csv: ")
    assert "500" in line
    assert "Traceback" not in told.err
    document = lists.stage.run_badly()["lists"]
    assert (4, 1, ["bad.csv"]) == (document["seen"], document["held"], [one["path"] for one in document["failures"]])


def test_w5_without_the_own_authority_nothing_is_said_or_delivered(lists, pages):
    lists.example(pages, **{BACKOFF: QUICK})
    lists.stage.change(f'ca = "{lists.ca}"\n', "")
    told = lists.stage.give("run")
    assert 1 == told.code
    assert {} == lists.there
    assert "certificate" in told.err
    lists.stage.change('tls = "explicit"', f'tls = "explicit"\nca = "{lists.ca}"')
    lists.stage.run()
    assert EVERYTHING == lists.there


def test_w5_tls_is_the_default_and_a_server_without_it_never_hears_the_password(stage, fake_ftp, web, pages):
    stage.secrets["FTPS_PASSWORD"] = PASSWORD
    lines = "".join(f'"{key}" = "{url}"\n' for key, url in pages.items())
    server = f'host = "{fake_ftp.host}"\nport = {fake_ftp.port}\n{LOGIN}'
    stage.example(
        "web-to-ftps", {URLS: lines, 'host = "ftps.warehouse.example"\ntls = "explicit"\nuser = "loader"': server, BACKOFF: QUICK}
    )
    told = stage.give("run")
    assert 1 == told.code
    assert "TLS" in told.err
    assert "PASS" not in fake_ftp.verbs()
    assert {} == fake_ftp.files


def test_w6_whoever_reads_there_never_sees_half_a_file(lists, web):
    data = os.urandom(3_000_000)
    web.pages["/large.csv"] = Page(data)
    lists.example({"large": web.url("/large.csv")}, **{'path = "': 'rate = "2MB/s"\npath = "'})
    run = lists.stage.begin("run")
    seen = set()
    folder = lists.files.path / "incoming/lists"
    while run.process.poll() is None:
        if folder.is_dir():
            seen |= {(name.startswith("."), (folder / name).stat().st_size if name == "large.csv" else None) for name in os.listdir(folder)}
    assert 0 == run.stop().code
    assert (True, None) in seen, "it was never seen on its way"
    assert {(True, None), (False, len(data))} >= seen
    assert {"large.csv": data} == lists.there


@pytest.mark.parametrize("cut", [Cut(400, reply="426 cut"), Cut(400, reply="552 disk full"), Cut(400, reply="close"), Cut(400)], ids=str)
def test_w6_yesterdays_good_file_survives_a_failed_upload(stage, certificates, web, cut):
    web.pages["/sdn.csv"] = Page(b"today" * 1000)
    with FakeFtp({"incoming/lists/sdn.csv": b"yesterday"}, tls=certificates.good.server()) as server:
        lists = Lists(stage, server, type("Files", (), {"name": ""}), certificates.ca)
        lists.example({"sdn": web.url("/sdn.csv")}, **{BACKOFF: QUICK})
        stage.change('path = "/incoming', 'path = "incoming')
        server.cuts = {f"incoming/lists/.transload-1-{claim}.part": cut for claim in range(100)}
        done = stage.run_badly()["lists"]
        assert (0, ["sdn.csv"]) == (done["delivered"], [one["path"] for one in done["failures"]])
        assert b"yesterday" == server.files[b"incoming/lists/sdn.csv"]
        assert {path for path in server.files if not path.startswith(b"incoming/lists/.transload-")} == {b"incoming/lists/sdn.csv"}
        server.cuts = {}
        stage.run()
        assert {b"incoming/lists/sdn.csv": b"today" * 1000} == server.files


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('host = "', "remotes.warehouse.host: missing"),
        ('kind = "http"', "remotes.web.kind: missing"),
        ('name = "lists"', "routes[0].name: missing"),
    ],
)
def test_w7_a_missing_setting_gets_one_line_that_names_it(lists, pages, line, told):
    lists.example(pages)
    text = (lists.stage.folder / "transload.toml").read_text()
    found = next(one for one in text.splitlines() if one.startswith(line))
    lists.stage.change(found + "\n", "")
    done = lists.stage.give("check")
    [said] = done.err.splitlines()
    assert (2, True) == (done.code, told in said), said


def test_w7_a_missing_secret_gets_one_line_that_names_it(lists, pages):
    lists.example(pages)
    environment = {key: value for key, value in lists.stage.environment.items() if key != "FTPS_PASSWORD"}
    told = lists.stage.give("run", env=environment)
    [line] = told.err.splitlines()
    assert (2, "") == (told.code, told.out)
    assert "remotes.warehouse.password: the environment variable FTPS_PASSWORD is not set" in line


def test_w7_connections_are_used_again_and_closed_and_no_temporary_file_remains(stage, certificates, web):
    web.pages = {f"/{number}.csv": Page(b"%d" % number) for number in range(20)}
    with FakeFtp(tls=certificates.good.server()) as server:
        lists = Lists(stage, server, type("Files", (), {"name": ""}), certificates.ca)
        lists.example({f"n{number}": web.url(f"/{number}.csv") for number in range(20)})
        stage.change('path = "/incoming', 'path = "incoming')
        stage.run()
        verbs = server.verbs()
        assert verbs.count("USER") == verbs.count("QUIT") <= 4
        assert {f"incoming/lists/n{number}.csv".encode(): b"%d" % number for number in range(20)} == server.files


@pytest.mark.slow
def test_w8_a_file_larger_than_the_memory_it_takes_passes(lists, nginx, disk):
    """300 MB of CSV while the process takes less than 150 MB."""
    there = disk(nginx)
    block = b"00123,a text,1.50,2026-01-01 00:00:00\r\n" * 25_000
    with (there.path / "large.csv").open("wb") as file:
        for _ in range(300):
            file.write(block)
    lists.example({"large": nginx.url(f"/{there.name}/large.csv")}, settle="limit = 1, settle")
    used = memory_of_a_run(lists.stage)
    assert (there.path / "large.csv").stat().st_size == (lists.files.path / "incoming/lists/large.csv").stat().st_size
    assert 150_000_000 > used
    for path in (there.path, lists.files.path):
        for file in path.rglob("*.csv"):
            file.unlink()


# A process counts the memory of the one that it was forked from as its own peak, so a small one stands between.
LAUNCHER = """
import os, sys
pid = os.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(pid, 0)
print("peak", used.ru_maxrss * 1024, flush=True)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def memory_of_a_run(stage) -> int:
    """How many bytes of memory a run that ends well took at most."""
    command = [sys.executable, "-S", "-c", LAUNCHER, TRANSLOAD, "run", "--json", "-c", str(stage.folder / "transload.toml")]
    done = subprocess.run(command, env=stage.environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return int(done.stdout.rpartition("peak")[2])


def test_w9_what_has_not_changed_is_not_fetched_again_and_what_has_is(lists, pages, web):
    """Whether the server tells a tag, a time, or both."""
    told = {"/exports/sdn.csv": {}, "/exports/alt": {"etag": ""}, "/download/list-of-2026.csv": {"modified": None}}
    web.pages |= {path: Page(web.pages[path].data, **more) for path, more in told.items()}
    lists.example(pages)
    lists.stage.run()
    web.heard.clear()
    again = lists.stage.run()["lists"]
    assert (3, 0, 0) == (again["seen"], again["fetched"], again["bytes"])
    assert [] == [one for one in web.heard if one.method == "GET"]
    web.pages |= {path: Page(b"other\n", **({"modified": LATER} | more)) for path, more in told.items()}
    assert 3 == lists.stage.run()["lists"]["delivered"]
    assert dict.fromkeys(EVERYTHING, b"other\n") == lists.there


def test_w9_an_html_page_answered_with_200_is_caught_and_the_good_file_stays(lists, pages, web):
    lists.example(pages, **{BACKOFF: QUICK})
    lists.stage.run()
    web.pages["/exports/sdn.csv"] = Page(b"<!DOCTYPE html><title>Sorry</title>", modified=LATER)
    web.pages["/exports/alt"] = Page(b"We are sorry", modified=LATER, headers={"Content-Type": "text/html; charset=utf-8"})
    web.pages["/download/list-of-2026.csv"] = Page(b"new", modified=LATER)
    done = lists.stage.run_badly()["lists"]
    assert ["alt.csv", "sdn.csv"] == sorted(one["path"] for one in done["failures"])
    assert all("a web page came where a file was expected" in one["reason"] for one in done["failures"])
    assert EVERYTHING | {"ofsi.csv": b"new"} == lists.there
