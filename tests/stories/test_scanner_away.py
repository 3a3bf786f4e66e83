"""A scanner that stops in the middle of a thousand files: none is delivered unscanned, none is lost, all are delivered after."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import threading
import time
from contextlib import closing

import pytest

from tests.crash.until import until
from tests.peers.clamd import Clamd
from tests.peers.fixtures import running
from tests.stories.stage import PASSWORD, sftp

FILES = 1000
# What has its bytes at the destination, or on their way there, and was not called clean before.
UNSCANNED = (
    "select d.text from deliveries d join arrivals a on a.id = d.arrival where d.state in ('owed', 'staged', 'delivered') and not exists "
    "(select 1 from verdicts v where v.sha256 = a.sha256 and v.what = 'scan' and v.found = 'clean' and v.at <= d.updated)"
)


@pytest.fixture
def own():
    """A clamd that may be stopped; the one that is shared says whether there is one."""
    running("clamd", Clamd)
    with Clamd() as peer:
        yield peer


class Stopped:
    """It stands still, and nothing tells that it does."""

    def begin(self, peer: Clamd) -> None:
        os.kill(peer.process.pid, signal.SIGSTOP)

    def end(self, peer: Clamd) -> None:
        os.kill(peer.process.pid, signal.SIGCONT)


class Killed:
    """It is gone, and so are the answers that it owed."""

    def begin(self, peer: Clamd) -> None:
        os.kill(peer.process.pid, signal.SIGKILL)
        peer.process.wait()

    def end(self, peer: Clamd) -> None:
        peer.stop()
        peer.socket.unlink(missing_ok=True)
        peer.start()


@pytest.mark.parametrize(
    ("outage", "seconds"),
    [
        pytest.param(Killed(), 2, id="killed", marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
        pytest.param(Stopped(), 20, id="stopped", marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
        pytest.param(Killed(), 600, id="killed for ten minutes", marks=pytest.mark.prove),
        pytest.param(Stopped(), 600, id="stopped for ten minutes", marks=pytest.mark.prove),
    ],
)
def test_a_scanner_that_is_away_for_a_while_lets_nothing_through_and_loses_nothing(stage, own, sshd, disk, outage, seconds):
    there = disk(sshd)
    (stage.folder / "in").mkdir()
    _plant(stage, range(FILES // 2))
    stage.secrets["SSHD_PASSWORD"] = PASSWORD
    stage.config(
        '[remotes.source]\nkind = "folder"\npath = "in"\n'
        f'[remotes.partner]\nkind = "sftp"\n{sftp(sshd)}user = "{sshd.user}"\npassword = {{ env = "SSHD_PASSWORD" }}\n'
        f'host_key = "{sshd.host_key}"\n[[routes]]\nname = "gate"\nfrom = {{ remote = "source", settle = "0s", every = "0.2s" }}\n'
        f'steps = [{{ kind = "scan", clamd = "unix:{own.socket}", timeout = "1s" }}]\nbatch = {{ files = 50 }}\nattempts = 3\n'
        f'to = [{{ remote = "partner", name = "{there.name}/{{name}}" }}]\nbackoff = {{ first = "200ms", cap = "1s" }}\n'
    )
    up = stage.begin("up", "--only", "worker")
    heard = [_heard(up, stream) for stream in (up.process.stdout, up.process.stderr)]
    until(lambda: len(_visible(there)) >= 100, 60)
    # The other half is being found, fetched and scanned while it goes away.
    _plant(stage, range(FILES // 2, FILES))
    outage.begin(own)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert [] == _asked(stage, UNSCANNED)
        time.sleep(0.5)
    clean, visible = _asked(stage, "select distinct sha256 from verdicts where found = 'clean'"), len(_visible(there))
    assert 100 <= visible <= len(clean) < FILES
    held = set(_asked(stage, "select state from arrivals where sha256 not in (select sha256 from verdicts)"))
    assert held <= {"seen", "received"}
    outage.end(own)
    until(lambda: len(_visible(there)) == FILES and not _asked(stage, "select id from deliveries where state <> 'delivered'"), 90)
    assert [] == _asked(stage, UNSCANNED)
    assert FILES == len(_asked(stage, "select distinct sha256 from verdicts where what = 'scan' and found = 'clean'"))
    assert {b"%d.csv" % number: b"%d\n" % number for number in range(FILES)} == there.files()
    up.process.terminate()
    assert 0 == up.process.wait(40)
    for one, stream in zip(heard, (up.process.stdout, up.process.stderr), strict=True):
        one.join()
        stream.close()
    assert {"delivered"} == {one["state"] for one in stage.ls("--limit", "2000")}
    # However often it was asked meanwhile: a file hears of a reason to wait once, and so does the log.
    reasons = _asked(stage, "select distinct detail from events where what = 'held' and target is null")
    again = _asked(stage, "select max(told) from (select count(*) as told from events where what = 'held' group by arrival, detail)")
    assert reasons
    assert 2 >= again[0]
    away = [line["reason"] for line in stage.log() if line["event"] == "a remote cannot be used" and line["remote"].startswith("@steps:")]
    assert 1 <= len(away) <= 4 * len(reasons)
    assert "a remote can be used again" in {line["event"] for line in stage.log()}


def _plant(stage, numbers: range) -> None:
    for number in numbers:
        (stage.folder / "in" / f"{number}.csv").write_bytes(b"%d\n" % number)


def _heard(up, stream) -> threading.Thread:
    """Takes up what it says: a pipe that nobody reads fills, and then whoever writes to it stands still."""
    thread = threading.Thread(target=lambda: up.lines.extend(stream), daemon=True)
    thread.start()
    return thread


def _visible(there) -> list[str]:
    return [name for name in os.listdir(there.path) if re.fullmatch(r"\d+\.csv", name)]


def _asked(stage, sql: str) -> list[str]:
    with closing(sqlite3.connect(stage.folder / "data/ledger.db", timeout=20)) as ledger:
        return [row[0] for row in ledger.execute(sql)]
