"""kill -9 of a process with uploads in hand, at every named point: what was answered with "yes" is there, and nothing is there half."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.servers.dying import ROUTES
from tests.servers.landings import USER, Wharf
from transload.model import Name
from transload.servers.base import RESERVED
from transload.spool import notes

POINTS = (
    "recv-open",
    "recv-writing",
    "recv-synced",
    "recv-placed",
    "recv-committed",
    "recv-visible",
    "recv-before-yes",
    "spool-placed",
)


def lives_until(folder: Path, url: str, seed: int, point: str = "", kill_after: float = 0.0) -> list[list[str]]:
    """What a process said that was killed at that point, or after so many seconds."""
    command = [sys.executable, "-m", "tests.servers.dying", str(folder), url, str(seed), "40" if point else "1000"]
    environment = dict(os.environ) | ({"TRANSLOAD_CRASH_AT": point} if point else {})
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        if kill_after:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(kill_after)
            process.kill()
        said, fault = process.communicate(timeout=50)
        said = (first if kill_after else "") + said
    assert -signal.SIGKILL == process.returncode, f"never got to {point}: {said[-300:]} {fault[-2000:]}"
    # A line that the kill has cut in two was not heard.
    return [line.split() for line in said.splitlines(keepends=True) if line.endswith("\n")]


def faults(folder: Path, url: str, said: list[list[str]]) -> list[str]:
    """A judge that knows what was answered, the spool and the ledger, and nothing else."""
    spool = folder / "data" / "spool"
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        uploads = {row[0] for row in connection.execute(text("select sha256 from uploads"))}
        arrivals = connection.execute(text("select id, route, text, sha256, state from arrivals order by id")).all()
        owed = {row[0] for row in connection.execute(text("select arrival from deliveries where state = 'owed'"))}
    engine.dispose()
    found = []
    for word, name, *more in (line for line in said if len(line) > 1):
        if word == "yes":
            found += [f"lost: {name} was answered with yes, and no upload has its bytes"] if more[0] not in uploads else []
            routes = {row.route for row in arrivals if (row.text, row.sha256) == (f"{USER}/{name}", more[0])}
            wanted = {"all", "again"} if name.endswith(".csv") else {"all"}
            found += [f"lost: {name} was answered with yes, and has arrived for {sorted(routes)}"] if routes != wanted else []
        if word in ("yes", "held"):
            found += [f"lost: the bytes of {name}"] if not _is_whole(spool, more[0]) else []
    found += [f"half: {row.text} is {row.state}" for row in arrivals if row.state != "ready" or row.id not in owed]
    found += [f"half: {row.text} has no bytes" for row in arrivals if not _is_whole(spool, row.sha256)]
    by_path: dict[tuple[str, str], list[str]] = {}
    for row in arrivals:
        by_path.setdefault((row.route, row.text), []).append(row.sha256)
    twice = [where for where, hashes in by_path.items() if any(one == other for one, other in pairwise(hashes))]
    return found + [f"doubled: {path} arrived twice in a row for {route} with the same bytes" for route, path in twice]


def _is_whole(spool: Path, sha256: str) -> bool:
    path = spool / sha256[:2] / sha256
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def home_faults(wharf: Wharf) -> list[str]:
    """What the home shows against what the ledger says; after the mending."""
    files = {name: hashlib.sha256(data).hexdigest() for name, data in wharf.files().items()}
    rows = {row.path.decode(): row.sha256 for row in wharf.ledger.uploads.under(USER, b"")}
    found = [f"{name} should be in the home" for name in rows.keys() - files.keys()]
    found += [f"{name} has other bytes in the home" for name in rows.keys() & files.keys() if rows[name] != files[name]]
    # A rename that died between disk and ledger may leave a file too many; never one with bytes that nobody sent.
    known = set(rows.values()) | {row.sha256 for row in _ever(wharf)}
    found += [f"{name} is in the home with bytes of nobody" for name in files.keys() - rows.keys() if files[name] not in known]
    left = [name for name in wharf.files(hidden=True) if os.fsencode(os.path.basename(name)).startswith(RESERVED + b"new.")]
    return found + [f"{name!r} was left behind" for name in left]


def _ever(wharf: Wharf):
    with wharf.ledger.database.read() as connection:
        return connection.execute(text("select sha256 from uploads")).all()


def dies_and_lives(folder: Path, url: str, seed: int, point: str = "", kill_after: float = 0.0) -> None:
    said = lives_until(folder, url, seed, point, kill_after)
    assert [] == faults(folder, url, said)
    wharf = Wharf(folder, url, *[dict(route) for route in ROUTES])
    try:
        assert wharf.landing._tending.mended.wait(30)
        until = time.monotonic() + 10
        while (found := home_faults(wharf)) and time.monotonic() < until:
            time.sleep(0.05)
        assert [] == found
        wharf.put("after.csv", b"life goes on")
        assert [] == faults(folder, url, said)
    finally:
        wharf.close()


@pytest.mark.parametrize("count", [30, pytest.param(1, marks=pytest.mark.prove)])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point_it_has_kept_its_word(folder, url, point, count):
    dies_and_lives(folder, url, count, f"{point}:{count}")


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(100))
def test_killed_at_any_moment_it_has_kept_its_word(folder, url, seed):
    dies_and_lives(folder, url, seed, kill_after=random.Random(seed).uniform(0, 0.6))


UNDER_WAY = """
import sys
from pathlib import Path
from tests.servers.landings import Wharf
wharf = Wharf(Path(sys.argv[1]), sys.argv[2])
begun = [wharf.begin(name) for name in ("twice.csv", "twice.csv", "plain.csv", "gap.csv", "grown.csv", "small.csv")]
for one, data in zip(begun, (b"1", b"2", b"p", b"g", b"r", b"s"), strict=True):
    one.write(data * (100 if data == b"s" else 100_000))
begun[3].write_at(200_000, b"behind a gap")
begun[4].cut_to(200_000)
wharf.cut("resumed.csv", b"kept before")
begun.append(wharf.begin("resumed.csv", append=True))
begun[6].write(b" and now")
wharf.put("whole.csv", b"w" * 100_000)
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_was_under_way_is_kept_as_far_as_it_had_come_without_a_gap(folder, url):
    command = [sys.executable, "-c", UNDER_WAY, str(folder), url]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as dying:
        assert "ready\n" == dying.stdout.readline()
        dying.kill()
    wharf = Wharf(folder, url)
    try:
        kept = {name: wharf.kept(f"{name}.csv") for name in ("twice", "plain", "gap", "grown", "small", "resumed", "whole")}
        # The last byte is left to be sent: all of them may have come.
        assert {"twice": b"2" * 99_999, "plain": b"p" * 99_999, "resumed": b"kept before and no"} == {
            name: data for name, data in kept.items() if data is not None
        }
        assert ["whole.csv"] == wharf.names()
        wharf.put("plain.csv", b"p and more", append=True)
        row = wharf.ledger.uploads.at(USER, Name("plain.csv"))
        assert hashlib.sha256(b"p" * 100_000 + b" and more").hexdigest() == row.sha256
        assert [] == list((wharf.config.data / "spool/parts").rglob("*.note"))
    finally:
        wharf.close()


def test_what_was_under_way_before_the_machine_went_down_begins_anew(folder, url, monkeypatch):
    command = [sys.executable, "-c", UNDER_WAY, str(folder), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as dying:
        assert "ready\n" == dying.stdout.readline()
        dying.kill()
    monkeypatch.setattr(notes, "boot", lambda: "another")
    wharf = Wharf(folder, url)
    try:
        assert {"whole.csv"} == wharf.files(hidden=True).keys()
        assert 0 < wharf.spool.collect_parts(86400).bytes
        assert [] == list((wharf.config.data / "spool/parts").iterdir())
    finally:
        wharf.close()
