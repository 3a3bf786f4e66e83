"""One piece of work, done in turn by several, each a whole process."""

from __future__ import annotations

import hashlib
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.base import children

OURS = "transload"
LONGEST = 1800.0


class Wrong(Exception):
    """Somebody's result is not what it should be: then no time counts."""


@dataclass
class Contestant:
    """Who does the work: `prepare` is called before each run and not measured, `check` after it.

    Where all have the same client, `server` gives the process whose memory and processor time count in place of the command's.
    """

    name: str
    command: Sequence[str]
    env: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None
    server: Callable[[], int] | None = None


@dataclass
class Measured:
    """What it took: seconds of each run, of the clock and of processors; the memory (MB, of the largest process) of the hungriest."""

    name: str
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: float = 0.0
    whole: float = 0.0
    """The same of all processes together, where that was looked at."""

    @property
    def median(self) -> float:
        """The middle of them."""
        return statistics.median(self.seconds)


@dataclass
class Row:
    """One line of the table: a figure of ours, beside another's, and the goal for their ratio, or for the figure itself."""

    bench: str
    work: str
    ours: float
    unit: str = "s"
    peer: str = ""
    theirs: float | None = None
    goal: float | None = None
    goal_unit: str = ""
    memory: float | None = None
    their_memory: float | None = None
    runs: list[float] = field(default_factory=list)
    their_runs: list[float] = field(default_factory=list)
    cpu: float | None = None
    their_cpu: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours by theirs; below 1 we are faster."""
        return self.ours / self.theirs if self.theirs else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        figure = self.ours if self.goal_unit else self.ratio
        return None if self.goal is None or figure is None else figure <= self.goal


def once(contestant: Contestant) -> tuple[float, float, float]:
    """Seconds, MB and seconds of processors of one run, checked."""
    contestant.prepare()
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"} | contestant.env
    server = contestant.server() if contestant.server else None
    before = spent(server) if server else 0.0
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        process = subprocess.Popen(contestant.command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise Wrong(f"{contestant.name} ended with {process.returncode}: {said.read()[-2000:].decode('utf-8', 'replace')}")
    memory, cpu = (peak(server)[1], spent(server) - before) if server else (usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)
    contestant.check()
    return seconds, memory, cpu


def peak(server: int) -> tuple[float, float]:
    """The most memory (MB) that a process has had so far: it alone, and together with those that it started and that still live."""
    each = [int(found[1]) / 1024 for said in _told(server, "status") if (found := re.search(r"VmHWM:\s+(\d+)", said))]
    return each[0], sum(each)


def spent(server: int) -> float:
    """Seconds of processors that a process, and those that it started, have used so far."""
    # A process's name, in parentheses, may hold anything.
    return sum(sum(map(int, said.rpartition(")")[2].split()[11:15])) for said in _told(server, "stat")) / os.sysconf("SC_CLK_TCK")


def _told(server: int, what: str) -> Iterator[str]:
    for one in (server, *children(server)):
        with suppress(OSError):  # it has just ended
            yield Path(f"/proc/{one}/{what}").read_text()


def race(contestants: Sequence[Contestant], pairs: int) -> dict[str, Measured]:
    """Each in turn, `pairs` times, after a warm-up of each."""
    found = {one.name: Measured(one.name) for one in contestants}
    for turn in range(pairs + 1):
        for one in contestants:
            seconds, memory, cpu = once(one)
            print(f"    {one.name:<12} {seconds:8.2f} s {cpu:8.2f} s of CPU {memory:6.0f} MB{'' if turn else '  (warm-up)'}", flush=True)
            if turn:
                found[one.name].seconds.append(seconds)
                found[one.name].cpu.append(cpu)
                found[one.name].memory = max(found[one.name].memory, memory)
    return found


def rows(bench: str, work: str, found: dict[str, Measured], goals: dict[str, float | None]) -> Iterable[Row]:
    """A line for each of the others."""
    ours = found[OURS]
    for name, goal in goals.items():
        if name in found:
            peer = found[name]
            yield Row(
                bench, work, ours.median, peer=name, theirs=peer.median, goal=goal, memory=ours.memory,
                their_memory=peer.memory, cpu=_middle(ours.cpu), their_cpu=_middle(peer.cpu), runs=ours.seconds, their_runs=peer.seconds,
            )  # fmt: skip


def _middle(figures: list[float]) -> float | None:
    return statistics.median(figures) if figures else None


def digests(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, hidden ones too, with its hash."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = hashlib.file_digest(file, "sha256").digest()
    return found


def same(folder: Path, wanted: dict[str, bytes]) -> Callable[[], None]:
    """A check that `folder` holds exactly the files `wanted`."""

    def check() -> None:
        found = digests(folder)
        if found != wanted:
            wrong = sum(wanted.get(name) != digest for name, digest in found.items())
            raise Wrong(f"{folder}: {len(found)} of {len(wanted)} files, {wrong} of them wrong or not wanted")

    return check
