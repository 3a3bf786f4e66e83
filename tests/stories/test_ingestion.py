"""Story I: FTP and SFTP servers and local folders, to a container of Azure Blob Storage."""

from __future__ import annotations

import hashlib
import os
from urllib.parse import unquote, unquote_to_bytes

import pytest

from tests.crash.until import until
from tests.peers.azurite import ACCOUNT, KEY
from tests.peers.fake_ftp import Cut, FakeFtp
from tests.stories.outside import Turnstile, blob_headers, blobs
from tests.stories.stage import LOGIN, PASSWORD, QUICK, ftp, sftp
from transload.model import unspell

LONG_AGO = 1_700_000_000.0


class Ingestion:
    """examples/ingestion.toml with servers of this machine: `partner` (FTP), `survey` (SFTP), `desk` (a folder) and `landed` (Azurite)."""

    def __init__(self, stage, azurite) -> None:
        self.stage, self.azurite = stage, azurite
        self.container = azurite.container()
        self.desk = stage.folder / "outbox"
        self.desk.mkdir()
        stage.secrets |= {"PARTNER_PASSWORD": PASSWORD, "SURVEY_PASSWORD": PASSWORD, "AZURE_SAS": azurite.sas(self.container)}
        store = f'account = "{ACCOUNT}"\nendpoint = "{azurite.url}"'
        self.changes = {'account = "observations"': store, 'container = "landing"': f'container = "{self.container}"'}

    def example(self, partner: str = 'host = "127.0.0.1"\nport = 1', **more) -> None:
        """Write the config; `more` is replaced in it."""
        changes = {'host = "ftp.partner.example"\nuser = "ingest"': f"{partner}\n{LOGIN}"}
        self.stage.example("ingestion", self.changes | changes | more)

    def put(self, name: str, data: bytes = b"data", modified: float = LONG_AGO) -> None:
        """A file on the desk."""
        path = self.desk / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (modified, modified))

    @property
    def landed(self) -> dict[str, bytes]:
        return blobs(self.azurite, self.container)

    def headers(self, name: str) -> dict[str, str]:
        return blob_headers(self.azurite, self.container, name)


@pytest.fixture
def ingestion(stage, azurite):
    yield (made := Ingestion(stage, azurite))
    assert azurite.names(made.container) == azurite.names(made.container, uncommitted=True)


def fake(ftp: FakeFtp) -> str:
    return f'host = "{ftp.host}"\nport = {ftp.port}\ntls = "off"'


ALL_OF_IT = {'path = ["/export", "/reports/monthly.xlsx"]\nmatch = ["*.csv", "*.xlsx", "*.zip"]': 'path = ""\nsettle = "0s"'}
SITE = 'match = "(?i)(?P<site>[a-z]+)_\\\\d{8}_\\\\d{6}\\\\.csv", cron'
NAMED_BY_SITE = "survey/{site}/{source.modified:%Y/%m}/{name}"


@pytest.mark.parametrize("kind", ["ftp", "ftps"])
def test_i1_explicit_paths_patterns_and_folders_of_ftp_sftp_and_local_sources_land(ingestion, request, certificates, disk, sshd, kind):
    peer = request.getfixturevalue("proftpd" if kind == "ftp" else "vsftpd_explicit")
    there, survey = disk(peer), disk(sshd)
    for name in (
        "export/a.csv",
        "export/2026/b.xlsx",
        "export/draft_c.csv",
        "export/notes.txt",
        "reports/monthly.xlsx",
        "reports/daily.xlsx",
    ):
        there.plant(name.encode(), name.encode(), LONG_AGO)
    for name in ("out/Tartu_26012026_155959.csv", "out/deep/NARVA_26012026_160000.CSV", "out/readme.csv"):
        survey.plant(name.encode(), name.encode(), LONG_AGO)
    ingestion.put("x/letter.txt", b"a letter")
    partner = ftp(peer) if kind == "ftp" else ftp(peer, tls="explicit", ca=certificates.ca)
    paths = {'["/export", "/reports/monthly.xlsx"]': f'["/{there.name}/export", "/{there.name}/reports/monthly.xlsx"]'}
    host = {
        'host = "sftp.survey.example"\nuser = "ingest"': f'{sftp(sshd)}user = "{sshd.user}"',
        'path = "out"': f'path = "{survey.name}/out"',
    }
    pin = {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJSmFAYypHLcgh0mKphMoXOu5q/p6kGXYhFMKi5UwMhl": sshd.host_key}
    ingestion.example(partner, **paths, **host, **pin)
    done = ingestion.stage.run()
    short = hashlib.sha256(b"a letter").hexdigest()[:8]
    assert {
        "partner/a.csv": b"export/a.csv",
        "partner/2026/b.xlsx": b"export/2026/b.xlsx",
        "partner/monthly.xlsx": b"reports/monthly.xlsx",
        "survey/Tartu/2023/11/Tartu_26012026_155959.csv": b"out/Tartu_26012026_155959.csv",
        "survey/NARVA/2023/11/NARVA_26012026_160000.CSV": b"out/deep/NARVA_26012026_160000.CSV",
        f"desk/x/letter-{short}.txt": b"a letter",
    } == ingestion.landed
    assert {"partner": 3, "survey": 2, "desk": 1} == {route: one["delivered"] for route, one in done.items()}
    assert ["done/x/letter.txt"] == [str(path.relative_to(ingestion.desk)) for path in ingestion.desk.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('password = { env = "PARTNER_PASSWORD" }', 'password = "in clear text"'),
        ('sas = { env = "AZURE_SAS" }', 'sas = "sv=2021&sig=in-clear-text"'),
        ('host = "127.0.0.1"', 'host = "ingest:in-clear-text@127.0.0.1"'),
    ],
)
def test_i1_credentials_in_the_config_or_in_an_address_are_refused(ingestion, old, new):
    ingestion.example()
    ingestion.stage.change(old, new)
    told = ingestion.stage.give("run")
    assert 2 == told.code
    assert "clear" not in told.err


AWKWARD = [
    *(f"odd {char} name.csv".encode() for char in "#?%*:|\"<>'\\&+=;,$@!^`~{}[]()"),
    *(b"control %c.csv" % code for code in (1, 9, 10, 13, 27, 127)),
    "Lõuna-Eesti ülevaade.csv".encode(),
    "日本語 \U0001f600.csv".encode(),
    "\u202etxt.exe".encode(),
    b"latin \xfc\xff.csv",
    b"file#1.csv",
    b"file@1.csv",
    b"file%231.csv",
    b"n" * 251 + b".csv",
]


def test_i2_awkward_names_are_stored_safely_and_told_apart_and_the_original_is_kept(ingestion):
    raw = os.fsencode(ingestion.desk)
    for number, name in enumerate(AWKWARD):
        with open(raw + b"/" + name, "wb") as file:
            file.write(b"%d" % number)
        os.utime(raw + b"/" + name, (LONG_AGO, LONG_AGO))
    ingestion.example(**{"desk/{folder}/{stem}-{sha256:8}{suffix}": "desk/{name}", 'after = { move = "done/" }': ""})
    assert len(AWKWARD) == ingestion.stage.run("desk")["desk"]["delivered"]
    landed = ingestion.landed
    assert {name: b"%d" % number for number, name in enumerate(AWKWARD)} == {
        unspell(name.removeprefix("desk/")): data for name, data in landed.items()
    }
    assert all(name.isprintable() for name in landed)
    told = {name: ingestion.headers(name) for name in landed}
    assert {name: unspell(name.removeprefix("desk/")) for name in landed} == {
        name: unspell(unquote(headers["x-ms-meta-source"])) for name, headers in told.items()
    }
    assert {name: b"desk/" + unspell(name.removeprefix("desk/")) for name in landed} == {
        name: unquote_to_bytes(headers["x-ms-meta-name"]) for name, headers in told.items()
    }
    assert set(AWKWARD) == {unspell(one["path"]) for one in ingestion.stage.ls()}


def test_i3_files_come_in_parallel_up_to_the_limit_of_the_source_and_a_rerun_transfers_nothing(ingestion, fake_ftp):
    fake_ftp.files |= {f"{number}.csv".encode(): b"%d" % number for number in range(12)}
    turnstile = Turnstile(4)
    fake_ftp.replies["RETR"] = turnstile
    ingestion.example(fake(fake_ftp), **ALL_OF_IT)
    assert 12 == ingestion.stage.run("partner")["partner"]["delivered"]
    assert (4, 12) == (turnstile.most, turnstile.passed), "at most, and in the end, four at once"
    assert {f"partner/{number}.csv": b"%d" % number for number in range(12)} == ingestion.landed
    again = ingestion.stage.run("partner")["partner"]
    assert (12, 0, 0, 0) == (again["seen"], again["fetched"], again["delivered"], again["bytes"])
    assert 12 == turnstile.passed


@pytest.mark.parametrize("peer", ["proftpd", "pyftpdlib_bare"])
def test_i4_sizes_are_checked_times_and_hashes_go_with_the_blob_also_without_size_and_mdtm(ingestion, request, disk, peer):
    server = request.getfixturevalue(peer)
    there = disk(server)
    there.plant(b"a.csv", b"some bytes", LONG_AGO)
    ingestion.example(ftp(server) + f'path = "{there.name}"', **ALL_OF_IT)
    ingestion.stage.change('partner/{folder}/{name}"', 'partner/{folder}/{name}", verify = "hash"')
    ingestion.stage.run("partner")
    digest = hashlib.sha256(b"some bytes").hexdigest()
    told = ingestion.headers("partner/a.csv")
    assert ("10", digest) == (told["content-length"], told["x-ms-meta-sha256"])
    # The old server's LIST drops the year or the minutes: the time is as good as it tells.
    assert told["x-ms-meta-modified"].startswith("2023-11-14T" if peer == "pyftpdlib_bare" else "2023-11-14T22:13:20")
    [life] = ingestion.stage.trace("a.csv")
    assert (digest, 10) == (life["sha256"], life["size"])
    assert [("delivered", True)] == [(one["state"], one["verified"] in ("hash", "read-back")) for one in life["deliveries"]]


def test_i4_a_download_that_ends_early_is_never_delivered(ingestion, fake_ftp):
    fake_ftp.files |= {b"cut.csv": b"x" * 100_000, b"whole.csv": b"whole"}
    fake_ftp.cuts["cut.csv"] = Cut(40_000)
    ingestion.example(fake(fake_ftp), **ALL_OF_IT)
    ingestion.stage.change('to = [{ remote = "landing", name = "partner/', QUICK + '\nto = [{ remote = "landing", name = "partner/')
    done = ingestion.stage.run_badly("partner")["partner"]
    assert {"partner/whole.csv": b"whole"} == ingestion.landed
    assert ["cut.csv"] == [one["path"] for one in done["failures"]]
    fake_ftp.cuts.clear()
    assert 1 == ingestion.stage.run("partner")["partner"]["delivered"]
    assert b"x" * 100_000 == ingestion.landed["partner/cut.csv"]


def test_i6_a_changed_file_is_a_new_version_and_the_old_one_stays_reachable(ingestion, sshd, disk):
    there = disk(sshd)
    there.plant(b"a.csv", b"first", LONG_AGO)
    host = {
        'host = "sftp.survey.example"\nuser = "ingest"': f'{sftp(sshd)}user = "{sshd.user}"\npath = "{there.name}"',
        'path = "out"': 'path = ""',
    }
    pin = {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJSmFAYypHLcgh0mKphMoXOu5q/p6kGXYhFMKi5UwMhl": sshd.host_key}
    ingestion.example(**host, **pin, **{SITE: "cron", NAMED_BY_SITE: "survey/{name}"})
    ingestion.stage.run("survey")
    etag = ingestion.headers("survey/a.csv")["etag"]
    there.plant(b"a.csv", b"first", LONG_AGO + 60)
    touched = ingestion.stage.run("survey")["survey"]
    assert (0, etag) == (touched["delivered"], ingestion.headers("survey/a.csv")["etag"])
    there.plant(b"a.csv", b"second", LONG_AGO + 120)
    assert 1 == ingestion.stage.run("survey")["survey"]["delivered"]
    assert {"survey/a.csv": b"first", "survey/a.v2.csv": b"second"} == ingestion.landed
    assert [(2, "delivered"), (1, "delivered")] == [(one["version"], one["state"]) for one in ingestion.stage.ls()]
    names = [one["deliveries"][0]["name"] for one in ingestion.stage.trace("a.csv")]
    assert ["survey/a.csv", "survey/a.v2.csv"] == sorted(names)


def test_i7_one_bad_file_and_one_bad_source_stop_nothing_else_and_all_tell_the_same_story(ingestion, fake_ftp):
    fake_ftp.files |= {b"good.csv": b"good", b"locked.csv": b"locked"}
    fake_ftp.replies["RETR"] = lambda name: "550 Permission denied." if "locked" in name else None
    ingestion.put("letter.txt", b"a letter")
    ingestion.example(fake(fake_ftp), **ALL_OF_IT, **{'host = "sftp.survey.example"': 'host = "127.0.0.1"\nport = 1\ntimeout = "2s"'})
    for name in ("partner", "survey"):
        ingestion.stage.change(f'name = "{name}"\n', f'name = "{name}"\n{QUICK}\n')
    done = ingestion.stage.run_badly()
    assert ["desk", "partner"] == sorted(name.partition("/")[0] for name in ingestion.landed)
    assert b"good" == ingestion.landed["partner/good.csv"]
    assert {"partner": 1, "survey": 0, "desk": 1} == {route: one["delivered"] for route, one in done.items()}
    [locked], [away] = done["partner"]["failures"], done["survey"]["failures"]
    assert ("locked.csv", "") == (locked["path"], away["path"])
    assert "Permission denied" in locked["reason"]
    assert "127.0.0.1:1" in away["reason"]
    assert [] == done["desk"]["failures"]
    monitor, error = ((ingestion.stage.folder / f"ingestion/log/{name}.log").read_text() for name in ("monitor", "error"))
    for said in ("locked.csv", "127.0.0.1:1"):
        assert said in monitor
    assert set(error.splitlines()) <= set(monitor.splitlines())
    assert {"good.csv": "delivered", "letter.txt": "delivered", "locked.csv": "failed"} == {
        one["path"]: one["state"] for one in ingestion.stage.ls()
    }
    status = ingestion.stage.give("status", "--json")
    assert (1, False) == (status.code, status.document["healthy"])
    assert ["survey"] == [one["remote"] for one in status.document["away"]]


def test_i8_levels_formats_and_paths_of_the_logs_are_as_configured(ingestion):
    ingestion.put("letter.txt")
    ingestion.example(**{'format = "text"': 'format = "json", level = "warning"', "ingestion/log/": "elsewhere/"})
    ingestion.stage.run("desk")
    assert [] == ingestion.stage.log("elsewhere/monitor.log")
    ingestion.stage.change('level = "warning"', 'level = "info"')
    ingestion.put("another.txt")
    ingestion.stage.run("desk")
    lines = ingestion.stage.log("elsewhere/monitor.log")
    assert lines
    assert {"time", "level", "logger", "event"} <= lines[0].keys()
    ingestion.stage.change('format = "json"', 'format = "text"')
    before = (ingestion.stage.folder / "elsewhere/monitor.log").read_text()
    ingestion.put("a third.txt")
    ingestion.stage.run("desk")
    added = (ingestion.stage.folder / "elsewhere/monitor.log").read_text().removeprefix(before).splitlines()
    assert added
    assert [] == [line for line in added if line.startswith("{")]
    assert "" == (ingestion.stage.folder / "elsewhere/error.log").read_text()


def test_i8_i9_runs_that_overlap_deliver_each_file_once_and_tear_no_line_of_the_log(ingestion, fake_ftp):
    fake_ftp.files |= {f"{number}.csv".encode(): b"%d" % number for number in range(30)}
    ingestion.example(fake(fake_ftp), **ALL_OF_IT, **{'format = "text"': 'format = "json", level = "debug"'})
    begun = [ingestion.stage.begin("run", "partner") for _ in range(3)]
    for one in begun:
        ended = one.stop(0)
        assert (0, "") == (ended.code, ended.err)
    assert {f"partner/{number}.csv": b"%d" % number for number in range(30)} == ingestion.landed
    assert 30 == fake_ftp.verbs().count("RETR")
    assert [1] * 30 == [one["version"] for one in ingestion.stage.ls()]
    assert ingestion.stage.log("ingestion/log/monitor.log")


def test_i9_it_runs_as_cron_runs_it(ingestion):
    """From another folder, with hardly any environment and no terminal."""
    ingestion.put("letter.txt")
    ingestion.example()
    bare = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "SHELL": "/bin/sh"} | ingestion.stage.secrets
    told = ingestion.stage.give("run", "desk", "-c", str(ingestion.stage.folder / "transload.toml"), env=bare, cwd="/")
    assert (0, "") == (told.code, told.err)
    assert 1 == len(ingestion.landed)
    assert (ingestion.stage.folder / "ingestion/ledger.db").exists()


def test_i9_its_own_scheduler_takes_what_comes(ingestion):
    ingestion.example(**{'duplicate = "skip", settle = "10s"': 'every = "200ms"'})
    up = ingestion.stage.begin("up")
    up.until("up routes=")
    for number in (1, 2):
        ingestion.put(f"{number}.txt", b"%d" % number)
        until(lambda number=number: len(ingestion.landed) == number)
    told = ingestion.stage.give("run", "desk")
    assert (0, "") == (told.code, told.err)
    ended = up.stop()
    assert (0, "") == (ended.code, ended.err)
    assert {b"1", b"2"} == set(ingestion.landed.values())


def test_i10_what_was_uploaded_is_listed_page_by_page(ingestion):
    for number in range(5):
        ingestion.put(f"{number}.txt", b"%d" % number, LONG_AGO + number)
    ingestion.example()
    ingestion.stage.run("desk")
    everything = ingestion.stage.ls()
    assert 5 == len(everything)
    assert everything[:2] == ingestion.stage.ls("--limit", "2")
    assert {"delivered"} == {one["state"] for one in everything}
    told = ingestion.stage.give("ls", "--limit", "2", "--state", "delivered")
    assert 3 == len(told.out.splitlines())


def test_i10_the_container_is_made_when_asked_and_only_then(ingestion):
    ingestion.put("letter.txt")
    ingestion.example()
    stage = ingestion.stage
    stage.secrets["AZURE_KEY"] = KEY
    stage.change('sas = { env = "AZURE_SAS" }', 'account_key = { env = "AZURE_KEY" }')
    stage.change(f'container = "{ingestion.container}"', 'container = "made-when-asked"')
    stage.change('name = "desk"\n', f'name = "desk"\n{QUICK}\n')
    done = stage.run_badly("desk")["desk"]
    assert "made-when-asked" in done["failures"][0]["reason"]
    stage.change('container = "made-when-asked"', 'container = "made-when-asked"\ncreate = true')
    stage.run("desk")
    assert [b"data"] == list(blobs(ingestion.azurite, "made-when-asked").values())
