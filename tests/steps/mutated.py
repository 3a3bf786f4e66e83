"""Archives of every format with bytes turned, cut out, doubled and put in, for the fuzz run."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import tempfile
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path

from tests.steps.bench import Bench
from transload.errors import Rejected
from transload.secret import Secret
from transload.steps.archives import child, magic
from transload.steps.archives.reader import Locked
from transload.steps.archives.wire import DONE, Telling
from transload.steps.unpack import Unpack

PASSWORD = "open-sesame"
COMMANDS = {
    "zip": "zip -qr out d",
    "locked": "zip -qr -P open-sesame out d",
    "aes": "bsdtar -cf out --format zip --options zip:encryption=aes256 --passphrase open-sesame d",
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
FORMATS = [*(one for one, command in COMMANDS.items() if shutil.which(command.split()[0])), "rar", "rar5"]


def rar4(name, data):
    """A RAR 4 with one stored file: nothing that is free writes them."""
    fields = struct.pack(
        "<BHHIIBIIBBHI", 0x74, 0x8000, 32 + len(name), len(data), len(data), 3, zlib.crc32(data), 0x51C96000, 29, 0x30, len(name), 0o100644
    )
    heads = (struct.pack("<BHHHI", 0x73, 0, 13, 0, 0), fields + name)
    main, file = (struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head for head in heads)
    return b"Rar!\x1a\7\0" + main + file + data + b"\xc4\x3d\x7b\0\x40\7\0"


def rar5(name, data):
    """A RAR 5 with one stored file."""
    file = bytes([2, 2, len(data), 4, len(data), 0xA4, 0x83, 2]) + struct.pack("<I", zlib.crc32(data)) + bytes([0, 1, len(name)]) + name
    main, file, end = (bytes([len(head)]) + head for head in (b"\1\0\0", file, b"\5\0\0"))
    told = [struct.pack("<I", zlib.crc32(head)) + head for head in (main, file, end)]
    return b"Rar!\x1a\7\1\0" + told[0] + told[1] + data + told[2]


@cache
def made(kind: str) -> bytes:
    """A small archive by the tool that people use."""
    if kind in ("rar", "rar5"):
        return (rar4 if kind == "rar" else rar5)(b"in/a.csv", b"1,2\n" * 25)
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
    """Whether it was opened, refused or found locked, and wrote nothing but its outputs."""
    with tempfile.TemporaryDirectory(dir=root) as folder:
        bench = Bench(Path(folder))
        os.environ["PASSWORD_OF_THE_MUTATED"] = PASSWORD
        try:
            bench.does(Unpack(password=Secret(env="PASSWORD_OF_THE_MUTATED")), data, f"a.{kind}")
        except (Rejected, Locked):
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
        order = {"kind": found, "meter": meter, "memory": 512_000_000, "timeout": 60, "password": PASSWORD}
        return child.outcome(order, file, Telling(BytesIO()))[0] if found else DONE
