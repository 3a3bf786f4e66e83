"""Files that nobody sent in good faith, through whole runs: each kept apart once with its reason, nothing of it anywhere else."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import subprocess
import sys
import tarfile

import pytest

from tests.forge import TRANSLOAD
from tests.remotes.contract.asking import HOSTILE
from tests.steps.test_archives import CONTRADICTIONS, _gz_bomb, of_kind, tarred, zipped
from tests.stories.outside import objects
from tests.stories.stage import s3
from transload.steps.archives.names import fault

LIMIT = 1_000_000
UNPACK = '{ kind = "checksum", required = false }, { kind = "unpack", unsafe = "%s" }'
FORMAT = ', { kind = "limits", max_size = "1MB" }, { kind = "format", depth = 100, type = true }'


def config(stage, steps: str, moto=None) -> str:
    bucket = moto.bucket() if moto else ""
    stage.secrets |= {"LAKE_KEY": "lake-key-0001", "LAKE_SECRET": "lake-canary-0001"} if moto else {}
    lake = f'[remotes.lake]\nkind = "s3"\nbucket = "{bucket}"\n{s3(moto)}\n{KEYS}' if moto else ""
    stage.config(
        f'[remotes.source]\nkind = "folder"\npath = "in"\n[remotes.archive]\nkind = "folder"\npath = "out"\n{lake}'
        f'[[routes]]\nname = "gate"\nfrom = {{ remote = "source", settle = "0s" }}\nsteps = [{steps}]\n'
        f'to = [{{ remote = "archive" }}{TOO if moto else ""}]\n'
    )
    (stage.folder / "in").mkdir()
    return bucket


TOO = ', { remote = "lake" }'
KEYS = 'access_key = { env = "LAKE_KEY" }\nsecret_key = { env = "LAKE_SECRET" }\n'


def nested(levels: int) -> bytes:
    data = zipped(("0.csv", b"1,2\n"))
    for level in range(levels):
        data = zipped((f"{level}.zip", data))
    return data


def dolls(levels: int) -> bytes:
    """Zip and gz in turn, so that each opening gives one more to open."""
    data = b"1,2\n"
    for level in range(levels):
        data = gzip.compress(zipped((f"{level}.zip", data)))
    return data


def bad_files() -> dict[str, bytes]:
    """Files, by names that tell what is wrong with them."""
    contradictions = {f"contradiction {one.id}.bin": one.values[0] for one in CONTRADICTIONS}
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE)
    return contradictions | {
        **{f"special {kind.decode()}.tar": tarred(("a.csv", b"1,2\n"), (of_kind(kind), b"")) for kind in kinds},
        "bomb.gz": _gz_bomb(10_000),
        "bomb forged.gz": _gz_bomb(300, honest=False),
        "bomb.bz2": bz2.compress(bytes(45_000_000)),
        "bomb.xz": lzma.compress(bytes(45_000_000), preset=0),
        "bomb.zip": zipped(("a", bytes(45_000_000))),
        "bomb of zips.zip": zipped(*((f"{one}.zip", zipped(("0", bytes(4_000_000)))) for one in range(16))),
        "doll.zip": nested(20),
        "dolls.gz": dolls(12),
        "many.tar.gz": gzip.compress(tarred((of_kind(tarfile.DIRTYPE), b""))[:512] * 12_000, 1),
        "header.tar.xz": lzma.compress(tarred((of_kind(tarfile.REGTYPE, pax_headers={"comment": "x" * 3_000_000}), b"")), preset=0),
        "twice.zip": zipped(("A.csv", b"1,2\n"), ("a.csv", b"1,2\n")),
        "up.zip": zipped(("../../out/up.csv", b"1,2\n")),
        "laughs.xml": b'<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>\n<l>&b;</l>',
        "laughs.zip": zipped(("good.csv", b"1,2\n"), ("laughs.xml", b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>')),
        "deep.xml": b"<a>" * 101 + b"</a>" * 101,
        "deep.json": b"[" * 101 + b"]" * 101,
        "deeper.json": b"[" * 1_000_000,
        "ragged.csv": b"a,b\n1\n",
        "no.pdf": b"MZ\x90\0" + bytes(100),
        "disagrees.txt": b"other bytes",
        "fifty over.txt": b"x" * (LIMIT + 50),
        "fifty over.zip": zipped(("a.txt", b"x" * (LIMIT + 50))),
        "name fifty over.zip": zipped(("x" * (255 + 50), b"1")),
    }


def good_files() -> dict[str, bytes]:
    """Each as near to a limit as can be; and what they become."""
    return {
        "agrees.txt": b"these bytes",
        "at the limit.txt": b"x" * LIMIT,
        "deep good.json": b"[" * 100 + b"]" * 100,
        "deep good.xml": b"<a>" * 100 + b"</a>" * 100,
        "plain.csv": b"a,b\n1,2\n",
    }


PEAK = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
)


def peak(stage) -> int:
    """Run, in processes of their own; the memory (bytes) of the largest of them."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, TRANSLOAD, "run"], cwd=stage.folder, env=stage.environment, capture_output=True, text=True, check=False
    )
    assert 1 == done.returncode, done
    return 1024 * int(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_bad_file_is_kept_apart_once_and_nothing_of_it_is_anywhere_else(stage, moto):
    bucket = config(stage, UNPACK % "quarantine" + FORMAT, moto)
    good, bad = good_files(), bad_files()
    sidecars = {
        f"{name}.sha256": f"{hashlib.sha256(b'these bytes').hexdigest()}  {name}\n".encode() for name in ("agrees.txt", "disagrees.txt")
    }
    for name, data in (good | bad | sidecars | {"three.zip": nested(2)}).items():
        (stage.folder / "in" / name).write_bytes(data)
    for _ in range(2):
        assert peak(stage) < 512 * 2**20
        listed = stage.give("quarantine", "ls", "--json").document
        assert sorted(bad) == sorted(one["path"] for one in listed)
    found = {one["path"]: one["reason"] for one in listed}
    out = stage.folder / "out"
    here = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert good | {"three/1/0/0.csv": b"1,2\n"} == here == objects(moto, bucket)
    assert [] == [reason for reason in found.values() if not reason or "\n" in reason or len(reason) > 700 or "Traceback" in reason]
    assert "the most is 1000000 bytes" in found["fifty over.txt"]
    assert {"in", "out", "data", "transload.toml"} >= {path.name for path in stage.folder.iterdir()} - {"log"}
    assert [] == [path for path in (stage.folder / "data" / "scratch").rglob("*") if path.is_file()]


NAMES = [name for name in HOSTILE if b"/" not in name]


def hostile_tar(name: bytes, number: int) -> bytes:
    """A tar that has the name in every slot: a folder, a file, and an archive within."""
    text = os.fsdecode(name)
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        info = tarfile.TarInfo(text)
        info.size = len(b"%d" % number)
        archive.addfile(info, io.BytesIO(b"%d" % number))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        for place, data in ((f"folder/{text}", b"%d" % number), (f"{text}/file", b"%d" % number), (f"{text[:240]}.tar", inner.getvalue())):
            info = tarfile.TarInfo(place)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("unsafe", ["quarantine", "rename"])
def test_a_hostile_name_in_every_slot_harms_nobody(stage, unsafe):
    config(stage, UNPACK % unsafe)
    for number, name in enumerate(NAMES):
        path = os.fsencode(stage.folder / "in") + b"/%d-" % number + name[:240] + b".tar"
        with open(path, "wb") as file:
            file.write(hostile_tar(name, number))
    stage.give("run")
    refused = {number for number, name in enumerate(NAMES) if fault(name)} if unsafe == "quarantine" else set()
    listed = stage.give("quarantine", "ls", "--json").document
    assert refused == {int(one["path"].partition("-")[0]) for one in listed}
    out = os.fsencode(stage.folder / "out")
    landed: dict[int, list[int]] = {}
    for folder, _, names in os.walk(out):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                landed.setdefault(int(os.path.relpath(folder, out).partition(b"-")[0]), []).append(int(file.read()))
    assert {number: [number] * 3 for number in range(len(NAMES)) if number not in refused} == landed
    assert {"in", "out", "data", "transload.toml", "log"} >= {path.name for path in stage.folder.iterdir()}
    for words in (("ls", "--limit", "1000"), ("quarantine", "ls")):
        told = stage.give(*words)
        assert [] == [char for char in told.out + told.err if not char.isprintable() and char != "\n"], words
