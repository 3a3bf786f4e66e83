"""T15: one, two and four workers on PostgreSQL, and a source that is 50 ms away."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.postgres import Postgres
from tests.peers.sshd import Sshd

from bench import pull, who
from bench.race import Row, Wrong, digests

FILES = 20_000
WORKERS = (1, 2, 4)
CONNECTIONS = 2
WAY = 0.025
LONGEST = 600.0


def t15(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """One, two, four workers on PostgreSQL, a source 50 ms away, two connections for each worker."""
    count = round(FILES * scale)
    wanted = pull.small_files(work / "source", count)
    found: dict[int, list[float]] = {number: [] for number in WORKERS}
    notes: dict[int, str] = {}
    with Postgres() as database, Sshd(work / "source") as server, _far_away(server.port) as port:
        for _ in range(pairs):
            for number in WORKERS:
                seconds, shares = _pulled(work / "us", database, {**who.of_sshd(server), "port": port}, number, wanted)
                notes[number] = f"files of each worker: {shares}"
                print(f"    {number} workers {seconds:8.2f} s  {notes[number]}", flush=True)
                found[number].append(seconds)
    alone = statistics.median(found[1])
    work_of = f"pull {count:,} files of 4 KB, SFTP 50 ms away, PostgreSQL"
    yield Row("T15", f"{work_of}, 1 worker", alone, runs=found[1], note=notes[1])
    for number in WORKERS[1:]:
        ours = statistics.median(found[number])
        yield Row(
            "T15", f"{work_of}, {number} workers", ours, peer=f"1 worker / {number}", theirs=alone / number, goal=round(1 / 0.9, 2),
            runs=found[number], their_runs=found[1], note=notes[number],
        )  # fmt: skip


@contextmanager
def _far_away(port: int) -> Iterator[int]:
    line = subprocess.Popen([sys.executable, "-m", "bench.slow_line", str(port), str(WAY)], stdout=subprocess.PIPE, text=True)
    try:
        yield int(line.stdout.readline())
    finally:
        line.kill()
        line.communicate()


def _pulled(work: Path, database: Postgres, source: dict[str, object], number: int, wanted: dict[str, bytes]) -> tuple[float, str]:
    """Seconds from the start of the workers until all is delivered, and how many files each of them fetched."""
    shutil.rmtree(work, ignore_errors=True)
    url = database.url()
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | {"BENCH_DATABASE": url}
    remotes = {who.REMOTE: {**source, "connections": CONNECTIONS * number}, "out": {"kind": "folder", "path": str(work / "out")}}
    route = {"from": {"remote": who.REMOTE, "every": "1h"}, "to": [{"remote": "out"}]}
    files = [who.config(work / str(one) / "transload.toml", remotes, route, database={"env": "BENCH_DATABASE"}) for one in range(number)]
    begun, workers = time.perf_counter(), []
    try:
        for file in files:
            with (file.parent / "said").open("wb") as said:
                workers.append(subprocess.Popen(who.transload(file, "up", "--only", "worker"), stdout=said, stderr=said, env=env))
        _wait_for(url, len(wanted), workers)
        seconds = time.perf_counter() - begun
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    if digests(work / "out") != wanted:
        raise Wrong("what arrived is not what the source has")
    shares = database.run("select count(*) from arrivals group by node order by 1", url.rpartition("/")[2])
    return seconds, ", ".join(shares.split())


def _wait_for(url: str, count: int, workers: list[subprocess.Popen[bytes]]) -> None:
    import psycopg

    until = time.monotonic() + LONGEST
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as line:
        while time.monotonic() < until:
            if any(worker.poll() is not None for worker in workers):
                raise Wrong("a worker has ended")
            there = line.execute("select to_regclass('passes') is not null and to_regclass('arrivals') is not null").fetchone()
            if there and there[0]:
                done = line.execute("select count(*) from arrivals where state = 'delivered'").fetchone()
                if done and done[0] >= count:
                    return
            time.sleep(0.1)
    raise Wrong(f"not all of {count} files were delivered within {LONGEST:.0f} s")
