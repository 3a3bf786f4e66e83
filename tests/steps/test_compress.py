from __future__ import annotations

import gzip
import io
import os
import resource
import shutil
import subprocess
import sys
import zipfile

import pytest
from pydantic import ValidationError

from tests.steps.bench import Bench
from transload.errors import ConfigError, Rejected
from transload.steps.compress import Compress

DATA = b"a;b\n1;2\n" * 1000
MOMENT = 1_700_000_000_000_000
KINDS = ["gz", "zip", "zst"]


def _unpacked(kind, path):
    command = {"gz": ["gzip", "-dc"], "zip": ["unzip", "-p"], "zst": ["zstd", "-dcq"]}[kind]
    with open(path, "rb") as packed:
        return subprocess.run([*command, path] if kind == "zip" else command, stdin=packed, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [DATA, b"", b"x"], ids=["some", "none", "one"])
def test_the_usual_tools_unpack_it(bench, kind, data):
    if not shutil.which({"gz": "gzip", "zip": "unzip", "zst": "zstd"}[kind]):
        pytest.skip("the tool is not there")
    (name,) = bench.does(Compress(**{"as": kind}), data, "in/a.csv", modified=MOMENT)
    assert (f"in/a.csv.{kind}", MOMENT) == (name, bench.outputs[0].modified)
    assert data == _unpacked(kind, bench.outputs[0].path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [None, 1, 9])
def test_the_same_bytes_become_the_same_bytes(tmp_path, kind, level):
    outputs = []
    for number in range(2):
        bench = Bench(tmp_path)
        file = bench.file(DATA, "in/a.csv", modified=MOMENT)
        os.utime(file.path, (number, number))
        outputs.append(bench.does(Compress(**{"as": kind, "level": level}), file))
        file.path.unlink()
        bench.outputs[0].path.unlink()
    assert outputs[0] == outputs[1]
    assert len(DATA) / 20 > len(next(iter(outputs[0].values())))


def test_a_gz_tells_neither_name_nor_time(bench):
    (packed,) = bench.does(Compress(), DATA, "in/secret.csv", modified=MOMENT).values()
    assert b"\x1f\x8b\x08\0\0\0\0\0" == packed[:8]
    assert DATA == gzip.decompress(packed)


def test_a_zip_holds_the_file_without_its_folders_and_with_its_time(bench):
    (packed,) = bench.does(Compress(**{"as": "zip"}), DATA, "in/deep/a.csv", modified=MOMENT).values()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        (member,) = archive.infolist()
        assert ("a.csv", (2023, 11, 14, 22, 13, 20), 0o100644) == (member.filename, member.date_time, member.external_attr >> 16)


@pytest.mark.parametrize(
    ("modified", "date"),
    [
        (None, (1980, 1, 1, 0, 0, 0)),
        (0, (1980, 1, 1, 0, 0, 0)),
        (-(10**18), (1980, 1, 1, 0, 0, 0)),
        (10**16, (2107, 12, 31, 23, 59, 58)),
        (10**30, (1980, 1, 1, 0, 0, 0)),
    ],
)
def test_a_time_that_a_zip_cannot_hold_is_the_nearest_one(bench, modified, date):
    (packed,) = bench.does(Compress(**{"as": "zip"}), DATA, modified=modified).values()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert date == archive.infolist()[0].date_time


@pytest.mark.parametrize(
    ("name", "inner"), [(b"\xff\n.csv", "%FF%0A.csv"), ("ü.csv", "ü.csv"), ("..\\evil", "..%5Cevil"), ("x" * 255, "x" * 255)]
)
def test_odd_names_are_spelled_safely_inside_a_zip(bench, name, inner):
    (packed,) = bench.does(Compress(**{"as": "zip"}), DATA, name).values()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert [inner] == archive.namelist()


@pytest.mark.parametrize("name", [b"\xff\n.csv", "-a", "a.gz", "x" * 255])
def test_the_name_gets_the_suffix_whatever_it_is(bench, name):
    bench.does(Compress(), DATA, name)
    assert (name if isinstance(name, bytes) else name.encode()) + b".gz" == bench.outputs[0].name.raw


def test_a_name_that_has_no_room_for_the_suffix_is_refused(bench):
    with pytest.raises(Rejected, match="the limit is 4096"):
        bench.does(Compress(), DATA, "x/" * 2047 + "a")


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_file_takes_little_memory(bench, tmp_path, kind):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (output,) = Compress(**{"as": kind, "level": 1})(bench.file(path), bench)
    assert 1_000_000 > output.size
    assert 40_000 > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert 50 < bench.went_on


def test_without_the_package_the_operator_is_told(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.delattr("backports.zstd", raising=False)
    with pytest.raises(ConfigError, match=r"pip install backports\.zstd"):
        bench.does(Compress(**{"as": "zst"}), DATA)


@pytest.mark.parametrize("wrong", [{"as": "rar"}, {"as": "gz", "level": 10}, {"as": "zst", "level": 20}, {"level": 0}, {"as_": "gz"}])
def test_settings_that_cannot_be_are_said(wrong):
    with pytest.raises(ValidationError):
        Compress(**wrong)
