"""Disks that are full, calls that fail, and the order of things on a real disk."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mounted import memory
from tests.peers.postgres import Postgres
from tests.servers.landings import Wharf, answered
from tests.servers.test_landing_crash import faults
from transload.errors import Full, LedgerAway, TransloadError

DATA = os.urandom(300_000)


def enlarge(at: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(at)], check=True)


def fill(at: Path) -> None:
    file = os.open(at / "filler", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(file, b"x" * 4096)
    os.close(file)


@pytest.mark.parametrize("exists", ["version", "replace"])
@pytest.mark.parametrize("which", ["spool", "home", "ledger"])
def test_a_full_disk_leaves_the_older_file_whole_and_it_goes_on_when_there_is_room(tmp_path, which, exists):
    data = tmp_path / "data"
    place = {"spool": data / "spool", "home": data / "inbox", "ledger": tmp_path / "ledger"}[which]
    (tmp_path / "ledger").mkdir()
    place.mkdir(parents=True, exist_ok=True)
    with memory(place, "size=4m"):
        wharf = Wharf(tmp_path, f"sqlite:///{tmp_path}/ledger/ledger.db", {"arrival": {"exists": exists}})
        try:
            wharf.put("a.csv", b"older")
            fill(place)
            for _ in range(3):
                with pytest.raises(TransloadError) as told:
                    wharf.put("a.csv", DATA)
                assert isinstance(told.value, Full | LedgerAway), told.value
            assert {"a.csv": b"older"} == {name: body for name, body in wharf.files(hidden=True).items() if name == "a.csv"}
            assert 1 == len(wharf.arrivals())
            enlarge(place)
            wharf.spool.room._looked = -1.0
            wharf.put("a.csv", DATA)
            assert DATA == wharf.files()["a.csv"]
            assert 2 == len(wharf.arrivals())
        finally:
            wharf.close()


def test_a_disk_that_fills_in_the_middle_keeps_what_came_if_it_can(tmp_path):
    (tmp_path / "data" / "spool").mkdir(parents=True)
    with memory(tmp_path / "data" / "spool", "size=4m"):
        wharf = Wharf(tmp_path, f"sqlite:///{tmp_path}/ledger.db", {"arrival": {"exists": "replace"}})
        try:
            wharf.put("a.csv", b"older")
            upload = wharf.begin("a.csv")
            with pytest.raises(Full):
                for _ in range(100):
                    upload.write(DATA)
            upload.cut("no room")
            assert {"a.csv": b"older"} == wharf.files()
            wharf.put("b.csv", b"there is room again")
        finally:
            wharf.close()


@pytest.mark.slow
def test_a_database_that_goes_away_and_comes_back_costs_nothing_that_was_promised(tmp_path):
    with Postgres() as postgres:
        wharf = Wharf(tmp_path, postgres.url(), {"arrival": {"exists": "replace"}})
        try:
            wharf.put("a.csv", b"older")
            wharf.put("x.tmp", b"to be renamed")
            postgres.stop()
            for _ in range(3):
                with pytest.raises(LedgerAway):
                    wharf.put("a.csv", b"newer")
                with pytest.raises(LedgerAway):
                    wharf.rename("x.tmp", "x.csv")
                with pytest.raises(LedgerAway):
                    wharf.remove("a.csv")
            assert {"a.csv": b"older", "x.tmp": b"to be renamed"} == wharf.files(hidden=True)
            postgres.start()
            wharf.put("a.csv", b"newer")
            wharf.rename("x.tmp", "x.csv")
            assert {"a.csv": b"newer", "x.csv": b"to be renamed"} == wharf.files(hidden=True)
            assert ["a.csv", "a.csv", "x.csv"] == wharf.names()
        finally:
            wharf.close()


# A real disk, looked at from below


@pytest.fixture
def traced(tmp_path):
    """Runs a program on a disk that must be synced, under strace with these options; what it said, and the trace."""
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], check=False, capture_output=True) if _strace() else None
    if tried is None or tried.returncode:
        pytest.skip("needs strace, and the right to use it")

    def run(module: str, *words: str, options: tuple[str, ...]) -> tuple[str, str, str]:
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-o", str(trace), "-y", *options, sys.executable, "-m", module, *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=55)
        return done.stdout, done.stderr, trace.read_text(errors="replace")

    return run


def _strace() -> bool:
    return any(Path(folder, "strace").exists() for folder in os.environ["PATH"].split(":"))


@pytest.mark.slow
def test_bytes_then_names_then_ledger_then_yes(traced, tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    said, fault, trace = traced(
        "tests.servers.saying_yes", str(tmp_path), url, options=("-e", "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,write")
    )
    assert "yes" in said, fault
    lines = trace.splitlines()
    yes = next(at for at, line in enumerate(lines) if re.search(r'write\(1<[^>]*>, "yes', line))
    begun = next(at for at, line in enumerate(lines) if re.search(r'write\(1<[^>]*>, "begin', line))
    middle = lines[begun:yes]

    def first(pattern: str, after: int = -1) -> int:
        return next((at for at, line in enumerate(middle) if at > after and re.search(pattern, line)), -1)

    bytes_ = first(r"f(data)?sync\(\d+<[^>]*/spool/parts/")
    placed = first(r"rename.*spool/parts/.*spool/[0-9a-f]{2}/", bytes_)
    names = first(r"f(data)?sync\(\d+<[^>]*/spool/[0-9a-f]{2}>", placed)
    ledger = first(r"f(data)?sync\(\d+<[^>]*ledger\.db-wal>", names)
    shown = first(r"rename.*a\.csv", ledger)
    assert -1 < bytes_ < placed < names < ledger < shown, "\n".join(middle)


CALLS = {"fsync": "EIO", "rename": "ENOSPC", "renameat2": "EIO", "openat": "EMFILE", "pwrite64": "ENOSPC", "write": "EIO", "linkat": "EIO"}


def _cases(count: int):
    dice = random.Random(7)
    return [(call, dice.randint(1, 60)) for _ in range(count) for call in CALLS]


def _survives(traced, tmp_path, call: str, number: int) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    Wharf(tmp_path, url).close()
    # Only what concerns our own folders fails: not Python's modules.
    options = ("-e", f"trace={call}", "-P", str(tmp_path), "-e", f"inject={call}:error={CALLS[call]}:when={number}")
    said, fault, _ = traced("tests.servers.dying", str(tmp_path), url, "7", "6", options=options)
    heard = [line.split() for line in said.splitlines() if line]
    assert [] == faults(tmp_path, url, heard), fault[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(("call", "number"), _cases(1))
def test_a_call_that_fails_breaks_no_word(traced, tmp_path, call, number):
    _survives(traced, tmp_path, call, number)


@pytest.mark.prove
@pytest.mark.parametrize("number", range(1, 80))
@pytest.mark.parametrize("call", CALLS)
def test_any_call_that_fails_breaks_no_word(traced, tmp_path, call, number):
    _survives(traced, tmp_path, call, number)


def test_an_upload_that_cannot_be_kept_is_forgotten_without_a_fault(tmp_path):
    wharf = Wharf(tmp_path, f"sqlite:///{tmp_path}/ledger.db")
    try:
        wharf.home.make_folder(b"d")
        upload = wharf.begin("d/a.csv")
        upload.write(b"data")
        wharf.home.remove_folder(b"d")
        upload.cut("the line broke")
        assert {} == wharf.files(hidden=True)
        answered(lambda then: wharf.begin("b.csv").finish(then))
    finally:
        wharf.close()
