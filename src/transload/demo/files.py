"""What the partners have: files with every name that ever broke a transfer, the same on every run."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

_DAY = 86400
_SOME_TIME = 1_750_000_000
_LARGE = 24 * 2**20

AWKWARD = (
    b"two  spaces and one at the end .csv",
    b"hash#1.csv",
    b"hash@1.csv",
    b"what?.csv",
    b"100%.csv",
    b"%41 is no A.csv",
    b"star*.csv",
    b"C:drive.csv",
    b"pipe|and;semicolon&amp.csv",
    b'double"quote.csv',
    b"single'quote.csv",
    b"less<than>more.csv",
    b"[brackets]{braces}$HOME`id`.csv",
    b"-rf.csv",
    b"UPPER.CSV",
    b"upper.csv",
    "Übersicht Tōkyō.csv".encode(),
    "emoji \N{FOX FACE}.csv".encode(),
    "\N{RIGHT-TO-LEFT OVERRIDE}vsc.\N{ARABIC LETTER TEH}\N{ARABIC LETTER QAF}.csv".encode(),
    b"n" * 251 + b".csv",
    b"zero bytes.csv",
    b"year 2026/week #7/deep down.csv",
)
# Not UTF-8, a tab, a backslash; a URL could spell them, but no two web servers agree on what they mean.
RAW = (b"latin-1 caf\xe9.csv", b"tab\there.csv", b"back\\slash.csv")
# FTP ends its lines with it, so only SFTP can name it.
LINES = (b"line\nbreak.csv",)
# Still being written, or hidden: nobody wants these.
UNFINISHED = (b"upload.csv.part", b".hidden.csv")


def body(source: str, name: bytes, size: int) -> bytes:
    """The bytes of a file: the same on every run, and different from those of every other file."""
    if name.startswith(b"zero"):
        return b""
    seed = hashlib.sha256(source.encode() + b"/" + name).digest()
    return seed.hex().encode() + random.Random(seed).randbytes(max(size - 64, 0))


def ordinary(count: int) -> list[tuple[bytes, int]]:
    """Names and sizes of `count` files that give nobody trouble."""
    return [(b"readings/station-%02d/%04d.csv" % (number % 7, number), 1000 + 37 * (number % 200)) for number in range(count)]


def of_ftp() -> list[tuple[bytes, int]]:
    """What the FTP partner has."""
    return [*((name, 3000) for name in (*AWKWARD, *RAW)), *ordinary(150), (b"large.bin", _LARGE)]


def of_sftp() -> list[tuple[bytes, int]]:
    """What the SFTP partner has."""
    return [*((name, 3000) for name in (*AWKWARD, *RAW, *LINES)), *ordinary(250), (b"large.bin", _LARGE)]


def of_web() -> list[tuple[bytes, int]]:
    """What the web site has."""
    return [(name, 3000) for name in AWKWARD]


def plant(root: Path, source: str, files: list[tuple[bytes, int]]) -> None:
    """Write the files of one partner, a minute apart, long ago; and some that are not for anybody yet."""
    for number, (name, size) in enumerate([*files, *((name, 10) for name in UNFINISHED)]):
        write(root, name, body(source, name, size), _SOME_TIME + 60 * number)


def write(root: Path, name: bytes, data: bytes, modified: float) -> None:
    """One file with its time."""
    path = os.fsencode(root) + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.utime(path, (modified, modified))


def correct(root: Path, source: str, name: bytes) -> None:
    """The partner corrects a file: other bytes, a day later, under the same name."""
    write(root, name, body(source, name + b" corrected", 4000), _SOME_TIME + _DAY)


def held(root: Path) -> dict[bytes, bytes]:
    """Every file below `root` but the unfinished ones, with its hash, read from the disk itself."""
    found = {}
    for folder, _, names in os.walk(os.fsencode(root)):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, os.fsencode(root))] = hashlib.file_digest(file, "sha256").digest()
    return {name: digest for name, digest in found.items() if os.path.basename(name) not in UNFINISHED}
