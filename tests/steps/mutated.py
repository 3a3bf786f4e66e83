"""Archives of every format with bytes turned, cut out, doubled and put in, for the fuzz run."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path

from tests.steps.bench import Bench
from transload.errors import Rejected
from transload.steps.archives import child, magic
from transload.steps.archives.wire import DONE, Telling
from transload.steps.unpack import Unpack

COMMANDS = {
    "zip": "zip -qr out d",
    "tar": "tar cf out d",
    "tar.gz": "tar czf out d",
    "tar.bz2": "tar cjf out d",
    "tar.xz": "tar cJf out d",
    "tar.zst": "tar --zstd -cf out d",
    "gz": "gzip -c d/a.csv > out",
    "7z": "bsdtar -cf out --format 7zip d",
    "iso": "bsdtar -cf out --format iso9660 d",
    "cab": "gcab -c out d/a.csv d/b.csv",
}
FORMATS = [one for one, command in COMMANDS.items() if shutil.which(command.split()[0])]


@cache
def made(kind: str) -> bytes:
    """A small archive by the tool that people use."""
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder, "d")
        (inner / "in").mkdir(parents=True)
        (inner / "a.csv").write_bytes(b"1,2\n" * 200)
        (inner / "b.csv").write_bytes(random.Random(1).randbytes(300))
        (inner / "in/c.csv").write_bytes(b"")
        subprocess.run(COMMANDS[kind] + " 2>/dev/null; [ -e out ] || mv out.zip out", shell=True, cwd=folder, check=True)
        return Path(folder, "out").read_bytes()


def mutations(kind: str, count: int, seed: int):
    """`count` archives, each with one to six faults; the same ones for the same seed."""
    chance = random.Random(f"{kind} {seed}")
    for _ in range(count):
        data = bytearray(made(kind))
        for _ in range(chance.randint(1, 6)):
            at, length = chance.randrange(len(data) or 1), chance.choice((1, 1, 2, 4, 40, 512))
            what = chance.randrange(5)
            if what == 0 and data:
                data[at] ^= 1 << chance.randrange(8)
            elif what == 1:
                data[at : at + length] = chance.randbytes(length)
            elif what == 2:
                del data[at : at + length]
            elif what == 3:
                data[at:at] = data[at : at + length]
            else:
                data[at : at + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\0\0\0\x80", b"PK\5\6"))
        yield bytes(data)


def survived(root: Path, kind: str, data: bytes) -> bool:
    """Whether it was opened or refused, wrote nothing but its outputs."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        bench = Bench(Path(folder))
        try:
            bench.does(Unpack(), data, f"a.{kind}")
        except Rejected:
            bench.outputs = []
        strange = [one for one in Path(folder).rglob("*") if one != bench.folder and not one.name.startswith(("output-", "spooled-"))]
    return not strange


def read_here(root: Path, kind: str, data: bytes) -> bytes:
    """How reading ends, in this process: quick, and an error that nobody catches in the child is seen."""
    path = root / "mutated"
    path.write_bytes(data)
    with path.open("rb") as file:
        found = magic.kind(file)
        file.seek(0)
        meter = [len(data), 100, 10_000, 10**9, [0, 0]]
        order = {"kind": found, "meter": meter, "memory": 512_000_000, "timeout": 60, "password": None}
        return child.outcome(order, file, Telling(BytesIO()))[0] if found else DONE
