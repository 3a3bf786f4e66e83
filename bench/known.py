"""T7: a pass over many known files with nothing new."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.peers.sshd import Sshd

from bench import who
from bench.race import OURS, Contestant, Measured, Row, Wrong, race, rows

FILES = 100_000
LONGEST = 200.0
_OLD = 1_700_000_000


def t7(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Many known files, nothing new."""
    count = round(FILES * scale)
    for folder in ("source", "out"):
        _plant(work / folder, count)
    with Sshd(work / "source") as server:
        route = {"from": {"remote": who.REMOTE, "every": "1s"}}
        file = who.to_folder(who.of_sshd(server), work / "us", **route)
        subprocess.run(who.transload(file, "adopt"), check=True, capture_output=True, env=_plain())
        peer = who.rclone(server, work / "out", lambda: None, "--size-only")
        peer.prepare = lambda: None
        found = race([Contestant(OURS, who.transload(file), check=_nothing_new(work / "us", count)), peer], pairs)
        told = f"look at {count:,} known files, SFTP (OpenSSH)"
        yield from rows("T7", f"{told}, whole run", found, {"rclone": 2.0})
        found[OURS] = _passes(file, work / "us", max(pairs, 3))
        yield from rows("T7", f"{told}, a pass of up", found, {"rclone": 1.0})
    memory = found[OURS].memory
    yield Row("T7", "memory of up", memory, unit="MB", goal=200, goal_unit="MB", memory=memory)


def _plant(root: Path, count: int) -> None:
    """Files that have a size, and no bytes in memory."""
    for number in range(count):
        path = root / f"day-{number % 100:02}" / f"file-{number:06}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(10)
        os.utime(path, (_OLD, _OLD + number))


def _plain() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def _asked(folder: Path, question: str) -> tuple[int, ...]:
    line = sqlite3.connect(f"file:{folder}/data/ledger.db?mode=ro", uri=True)
    try:
        answer: tuple[int, ...] = line.execute(question).fetchone()
    finally:
        line.close()
    return answer


def _nothing_new(folder: Path, count: int):
    def check() -> None:
        seen, fetched = _asked(folder, "select seen, (select count(*) from events where what = 'received') from passes")
        if (count, 0) != (seen, fetched):
            raise Wrong(f"{seen} of {count} files were seen, and {fetched} fetched though nothing was new")

    return check


def _passes(file: Path, folder: Path, count: int) -> Measured:
    """How long `up` takes for each of `count` passes after its first, by the ledger's own times; and its memory."""
    found, passes = Measured(OURS), {}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(who.transload(file, "up"), stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=_plain())
        until = time.monotonic() + LONGEST
        while len(passes) < count + 2 and time.monotonic() < until and process.poll() is None:
            started, ended = _asked(folder, "select started, coalesce(ended, 0) from passes")
            if ended > started:
                passes[started] = (ended - started) / 1e6
            time.sleep(0.02)
        process.terminate()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if len(passes) < count + 2 or process.returncode:
            raise Wrong(f"up made {len(passes)} passes and ended with {process.returncode}: {said.read()[-1000:].decode()}")
    # The first one found belongs to the run before, the second still warms up.
    found.seconds = [seconds for _, seconds in sorted(passes.items())][2:]
    found.memory = usage.ru_maxrss / 1024
    print(f"    a pass of up {statistics.median(found.seconds):6.2f} s {found.memory:6.0f} MB")
    return found
