"""SCAN-SMALL, SCAN-LARGE, UNPACK-ZIP, UNPACK-TAR: what the steps of a route cost, beside those who do nothing else.

Ours is told twice: the whole run (every file listed, fetched, hashed, synced and written into the ledger, taken through its step,
delivered, hashed again), and its steps alone, which still spool, hash and sync what they make, with a row of the ledger for each file.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from tests.peers.base import program
from tests.peers.clamd import Clamd

from bench import pull, who
from bench.race import OURS, Contestant, Measured, Row, Wrong, digests, race, rows, same

SMALL = 2000
LARGE = 2**30
MEMBERS = 10_000
SIZE = 4096
_PART = 16 * 2**20
ALONE = "its steps"
# Nothing is remembered: each scan is one. Large enough for the large file, and settings as they should be.
CLAMD = {"DisableCache": "yes", "StreamMaxLength": "1100M", "MaxFileSize": "1100M", "MaxScanSize": "1100M", "MaxThreads": "10"}


def scan_small(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """Small files scanned by the same clamd."""
    count = round(SMALL * scale)
    pull.small_files(work / "source", count)
    yield from _scanned("SCAN-SMALL", work, pairs, f"scan {count:,} files of 4 KB", 1.3)


def scan_large(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """One large file scanned by the same clamd."""
    size = round(LARGE * scale)
    pull.large_file(work / "source", size)
    yield from _scanned("SCAN-LARGE", work, pairs, f"scan one file of {size / 2**30:.3g} GiB", 1.1)


def unpack_zip(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """A zip of many small members."""
    count = round(MEMBERS * scale)
    (work / "source").mkdir()
    text, wanted = _lines(4 * 2**20), {}
    with zipfile.ZipFile(work / "source" / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            name, data = f"day-{number % 100:02}/file-{number:05}.csv", b"%d\n" % number + text[number * 300 :][: SIZE - 8]
            archive.writestr(name, data)
            wanted[name] = sha256(data).digest()
    yield from _unpacked("UNPACK-ZIP", work, pairs, f"unpack a zip of {count:,} members of 4 KB", wanted)


def unpack_tar(work: Path, pairs: int, scale: float) -> Iterator[Row]:
    """A large tar.gz."""
    count = max(1, round(LARGE * scale / _PART))
    (work / "source").mkdir()
    text, wanted = _lines(_PART), {}
    with tarfile.open(work / "source" / "a.tar.gz", "w:gz", compresslevel=1) as archive:
        for number in range(count):
            data = text[number * 997 :] + text[: number * 997]
            member = tarfile.TarInfo(f"part-{number:03}.csv")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
            wanted[member.name] = sha256(data).digest()
    yield from _unpacked("UNPACK-TAR", work, pairs, f"unpack a tar.gz of {count * _PART / 2**30:.3g} GiB", wanted)


def _lines(size: int) -> bytes:
    """Readings of stations, as a CSV; made in little memory, since a child's peak begins at its parent's size."""
    some, text = random.Random(4), bytearray()
    while len(text) < size:
        line = f"2026-11-{some.randrange(1, 31):02}T{some.randrange(24):02}:{some.randrange(60):02}:00Z,station-{some.randrange(400):03},"
        text += f"{line}{some.uniform(-20, 40):.2f},{some.uniform(0, 100):.1f},ok\n".encode()
    return bytes(memoryview(text)[:size])


def _scanned(bench: str, work: Path, pairs: int, told: str, goal: float) -> Iterator[Row]:
    source = work / "source"
    wanted = digests(source)
    with Clamd(CLAMD) as clamd:
        step = {"kind": "scan", "clamd": f"unix:{clamd.socket}", "max_size": 2**30 + 2**20}
        asked = [program("clamdscan"), "--config-file", str(clamd.conf), "--quiet", str(source)]
        peers = [Contestant("clamdscan", asked), Contestant("clamdscan -m --fdpass", [*asked, "--multiscan", "--fdpass"])]
        yield from _raced(bench, work, pairs, told, (step, peers, wanted), goal)


def _unpacked(bench: str, work: Path, pairs: int, told: str, wanted: dict[str, bytes]) -> Iterator[Row]:
    archive, out = next((work / "source").iterdir()), work / "bsdtar"

    def prepare() -> None:
        who.emptied(out)()
        out.mkdir()

    bsdtar = Contestant("bsdtar", [program("bsdtar"), "-xf", str(archive), "-C", str(out)], prepare=prepare, check=same(out, wanted))
    step = {"kind": "unpack", "timeout": "10m"}
    yield from _raced(bench, work, pairs, told, (step, [bsdtar], {f"a/{name}": digest for name, digest in wanted.items()}), 1.5)


def _raced(
    bench: str, work: Path, pairs: int, told: str, how: tuple[dict[str, object], Sequence[Contestant], dict[str, bytes]], goal: float
) -> Iterator[Row]:
    step, peers, wanted = how
    here = {"kind": "folder", "path": str(work / "source")}
    file = who.to_folder(here, work / "us", **{"from": {"remote": who.REMOTE, "settle": "0s"}, "steps": [step]})
    prepare, check = who.emptied(work / "us" / "data", work / "us" / "out"), same(work / "us" / "out", wanted)
    alone = work / "alone.json"
    steps = Measured(OURS)
    mine = [sys.executable, "-m", "bench.alone", str(file), str(alone)]
    found = race(
        [who.ours(file, prepare, check), Contestant(ALONE, mine, prepare=prepare, check=_noted(alone, steps, check)), *peers], pairs
    )
    names = {peer.name: goal for peer in peers}
    steps.seconds, steps.cpu, steps.memory = steps.seconds[1:], steps.cpu[1:], found[ALONE].memory
    yield from rows(bench, f"{told}, the step alone", found | {OURS: steps}, names)
    yield from rows(bench, f"{told}, whole run with fetching and delivering", found, dict.fromkeys(names))
    memory = found[OURS].memory
    yield Row(bench, "memory of the run", memory, unit="MB", goal=200, goal_unit="MB", memory=memory)


def _noted(file: Path, steps: Measured, check: Callable[[], None]) -> Callable[[], None]:
    def note() -> None:
        check()
        told = json.loads(file.read_text())
        if not told["seconds"]:
            raise Wrong("the steps took no time")
        print(f"    {'alone':<12} {told['seconds']:8.2f} s {told['cpu']:8.2f} s of CPU", flush=True)
        steps.seconds.append(told["seconds"])
        steps.cpu.append(told["cpu"])

    return note
