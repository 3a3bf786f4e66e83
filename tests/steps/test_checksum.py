from __future__ import annotations

import hashlib
import subprocess
import time
import zlib

import pytest
from pydantic import ValidationError

from transload.errors import Busy, Rejected, Waiting
from transload.model import Name
from transload.steps.checksum import Checksum

DATA = b"a;b\n1;2\n"
OTHER = hashlib.sha256(b"other").hexdigest()


def _digest(kind):
    return f"{zlib.crc32(DATA):08x}" if kind == "crc32" else hashlib.new(kind, DATA).hexdigest()


def _beside(bench, name, text, **more):
    view = bench.file(text if isinstance(text, bytes) else text.encode(), name, **more)
    bench.others[Name(name).raw] = view
    return view


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("sha256", "in/a.csv.sha256", "{}  a.csv\n"),
        ("sha256", "in/a.csv.SHA256", "{}"),
        ("sha512", "in/a.csv.sha512", "SHA512 (a.csv) = {}\n"),
        ("sha1", "in/a.csv.sha1", "{} *a.csv\r\n"),
        ("md5", "in/a.csv.md5", "\ufeff{}  /home/me/out/a.csv\r\n"),
        ("md5", "in/a.csv.md5", "{}  a.csv.part\n"),
        ("crc32", "in/a.sfv", "; comment\r\na.csv {}\r\n"),
        ("crc32", "in/a.csv.sfv", "a.csv {}"),
        ("crc32", "in/all.sfv", "a.csv {}\nb.csv 00000000"),
        ("sha256", "in/SHA256SUMS", "{}  a.csv\n" + OTHER + "  b.csv\n"),
        ("md5", "in/MD5SUMS.txt", "{}  ./a.csv\n"),
    ],
)
def test_a_file_that_is_what_is_said_of_it_goes_on(bench, kind, name, text):
    _beside(bench, name, text.format(_digest(kind)))
    assert {"in/a.csv": DATA} == bench.does(Checksum(lists=["all.sfv"]), DATA, "in/a.csv")
    assert [("checksum", "ok", {"by": name, "kind": kind})] == [(one.what, one.found, one.facts) for one in bench.verdicts]


@pytest.mark.parametrize("kind", ["sha256", "sha512", "sha1", "md5", "crc32"])
def test_a_file_that_is_not_what_is_said_of_it_is_refused(bench, kind):
    name = "a.csv.sfv" if kind == "crc32" else f"a.csv.{kind}"
    said = "0" * len(_digest(kind))
    _beside(bench, name, f"a.csv {said}" if kind == "crc32" else f"{said}  a.csv\n")
    with pytest.raises(Rejected) as told:
        bench.does(Checksum(), DATA)
    assert str(told.value).startswith(f"its {kind} is {_digest(kind)[:16]}")
    assert f", but {name} says {said[:16]}" in str(told.value)
    assert "differs" == bench.found["checksum"]


def test_all_that_is_said_must_agree(bench):
    _beside(bench, "a.csv.sha256", _digest("sha256"))
    _beside(bench, "MD5SUMS", "0" * 32 + "  a.csv")
    with pytest.raises(Rejected, match="MD5SUMS says 0000"):
        bench.does(Checksum(), DATA)


def test_a_kind_that_is_not_looked_for_says_nothing(bench):
    _beside(bench, "a.csv.md5", "0" * 32)
    _beside(bench, "a.csv.sha256", _digest("sha256"))
    assert 1 == len(bench.does(Checksum(kinds=["sha256"]), DATA))


def test_real_tools_and_a_hostile_name(bench, tmp_path):
    base = b"new\nline \\ \xff.csv"
    with open(bytes(tmp_path) + b"/" + base, "wb") as file:
        file.write(DATA)
    text = subprocess.run(["sha256sum", base], cwd=tmp_path, stdout=subprocess.PIPE, check=True).stdout
    _beside(bench, "SHA256SUMS", text)
    assert 1 == len(bench.does(Checksum(), DATA, base))


def test_a_file_waits_for_its_checksum(bench):
    with pytest.raises(Waiting, match=r"^waits for its checksum, a\.csv\.sha256 or another$") as told:
        bench.does(Checksum(wait="10m"), DATA, "in/a.csv")
    assert b"in/a.csv.sha256" == told.value.name
    assert 590 < told.value.until / 1e6 - time.time() <= 600
    with pytest.raises(Waiting) as told:
        bench.does(Checksum(kinds=["crc32", "md5"]), DATA, "a.csv")
    assert b"a.csv.sfv" == told.value.name


def test_the_end_of_the_waiting_is_counted_from_the_first_time(bench):
    with pytest.raises(Waiting) as first:
        bench.does(Checksum(wait="10m"), DATA)
    (noted,) = bench.verdicts
    assert ("checksum-1", "awaited", "a.csv.sha256") == (noted.what, noted.found, noted.facts["by"])
    bench.before[noted.what, hashlib.sha256(DATA).hexdigest()] = noted
    with pytest.raises(Waiting) as again:
        bench.does(Checksum(wait="10m"), DATA)
    assert first.value.until == again.value.until
    assert [noted] == bench.verdicts
    other = bench.file(DATA)
    object.__setattr__(other, "id", 2)
    with pytest.raises(Waiting) as later:
        bench.does(Checksum(wait="10m"), other)
    assert later.value.until > first.value.until


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv.sha256", ""),
        ("a.csv.sha256", "soon"),
        ("SHA256SUMS", OTHER + "  b.csv\n"),
        ("SHA256SUMS", OTHER),
        ("SHA256SUMS", OTHER + "  x/a.csv\n" + "0" * 64 + "  y/a.csv\n"),
        ("a.csv.sha256", OTHER + "  b.csv\n" + OTHER + "  c.csv\n"),
        ("other/a.csv.sha256", OTHER),
    ],
)
def test_a_checksum_that_says_nothing_of_the_file_is_waited_for(bench, name, text):
    _beside(bench, name, text)
    with pytest.raises(Waiting):
        bench.does(Checksum(), DATA)


def test_without_a_checksum_a_file_may_pass_where_none_is_required(bench):
    assert {"a.csv": DATA} == bench.does(Checksum(required=False), DATA)
    assert {"checksum": "none"} == bench.found
    _beside(bench, "a.csv.sha256", OTHER)
    with pytest.raises(Rejected):
        bench.does(Checksum(required=False), DATA)


@pytest.mark.parametrize(("name", "text"), [("a.csv.sha256", "{}  a.csv"), ("SHA256SUMS", "{}  a.csv")])
def test_what_is_said_of_an_earlier_file_of_the_name_is_not_held_against_a_new_one(bench, name, text):
    file = bench.file(DATA, version=2)
    _beside(bench, name, text.format(OTHER))
    object.__setattr__(file, "id", 7)
    with pytest.raises(Waiting, match=r"but .* says"):
        bench.does(Checksum(), file)
    object.__setattr__(bench.others[name.encode()], "id", 8)
    with pytest.raises(Rejected):
        bench.does(Checksum(), file)


@pytest.mark.parametrize("name", ["in/a.csv.sha256", "in/A.MD5", "SHA512SUMS", "x.sfv"])
def test_a_checksum_itself_goes_no_further_unless_it_is_kept(bench, name):
    assert {} == bench.does(Checksum(), b"x", name)
    assert {name: b"x"} == bench.does(Checksum(sidecars="keep"), b"x", name)


def test_a_checksum_of_a_kind_that_is_not_looked_for_is_a_file_like_any_other(bench):
    with pytest.raises(Waiting):
        bench.does(Checksum(kinds=["sha256"]), b"x", "a.md5")


def test_two_checksums_for_one_name_are_a_contradiction(bench):
    _beside(bench, "SHA256SUMS", f"{_digest('sha256')}  a.csv\n{OTHER}  a.csv\n")
    with pytest.raises(Rejected, match=r"SHA256SUMS has more than one checksum for a\.csv"):
        bench.does(Checksum(), DATA)


def test_a_sidecar_that_is_too_long_is_none(bench):
    _beside(bench, "a.csv.sha256", b"x" * 65_537)
    with pytest.raises(Rejected, match=r"a\.csv\.sha256 is too long to be a checksum: 65\.5 kB"):
        bench.does(Checksum(), DATA)


def test_a_list_may_be_long(bench):
    lines = "".join(f"{OTHER}  {number}.csv\n" for number in range(20_000))
    _beside(bench, "SHA256SUMS", f"{lines}{_digest('sha256')}  a.csv\n")
    assert 1 == len(bench.does(Checksum(), DATA))


def test_a_sidecar_whose_bytes_are_gone_is_no_answer(bench):
    _beside(bench, "a.csv.sha256", _digest("sha256")).path.unlink()
    with pytest.raises(Busy, match=r"a\.csv\.sha256 cannot be read: No such file"):
        bench.does(Checksum(), DATA)


def test_a_name_too_long_for_a_sidecar_waits(bench):
    with pytest.raises(Waiting):
        bench.does(Checksum(), DATA, "x/" * 2040 + "a" * 12)


def test_a_large_file_shows_that_the_work_goes_on(bench):
    data = b"x" * 3_000_000
    _beside(bench, "a.csv.md5", hashlib.md5(data).hexdigest())
    bench.does(Checksum(), data)
    assert bench.went_on >= 2


@pytest.mark.parametrize(
    "settings", [{"kinds": []}, {"kinds": ["sha3"]}, {"lists": ["a/b.sfv"]}, {"lists": ["all.txt"]}, {"sidecars": "burn"}, {"wait": "soon"}]
)
def test_settings_that_cannot_be_are_said(settings):
    with pytest.raises(ValidationError):
        Checksum(**settings)
