from __future__ import annotations

import hashlib
import io
import subprocess
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transload.checksums import KINDS, Sum, digests, kind_of, said_of, told

DATA = b"a;b\n1;2\n"
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"%s  a.csv\n", b"a.csv"),
        (b"%s *a.csv\n", b"a.csv"),
        (b"%s a.csv", b"a.csv"),
        (b"%s\ta.csv\r\n", b"a.csv"),
        (b"%s   a.csv\n", b" a.csv"),
        (b"%s\n", None),
        (b"%s", None),
        (b"  %s  \r\n", None),
        (b"%s  -\n", None),
        (b"\xef\xbb\xbf%s  a.csv\r\n", b"a.csv"),
        (b"SHA256 (a.csv) = %s\n", b"a.csv"),
        (b"SHA256(a.csv)= %s\n", b"a.csv"),
        (b"SHA2-256(a (1).csv)= %s\n", b"a (1).csv"),
        (b"\\%s  a\\nb\\\\c\\rd\n", b"a\nb\\c\rd"),
        (b"\\SHA256 (a\\nb) = %s\n", b"a\nb"),
        (b"%s  a\\nb\n", b"a\\nb"),
        (b"# made by hand\n\n%s  a.csv\n", b"a.csv"),
        (b"%s  in/a.csv\n", b"in/a.csv"),
        (b"%s  \xff\xfe.csv\n", b"\xff\xfe.csv"),
    ],
)
@pytest.mark.parametrize("digest", [SHA, SHA.upper()])
def test_a_line_tells_a_checksum_and_a_name(text, name, digest):
    assert [Sum(SHA, name)] == told(text % digest.encode(), "sha256")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\n",
        b"not here",
        SHA[:-1].encode(),
        SHA.encode() + b"0",
        b"%sx" % SHA.encode(),
        MD5.encode() + b"  a.csv",
        b"SHA3-256 (a.csv) = " + SHA.encode(),
        b"SHA512/256 (a.csv) = " + SHA.encode(),
        b"MD5 (a.csv) = " + SHA.encode(),
        b"\x00" * 5000,
    ],
)
def test_what_is_no_checksum_of_that_kind_says_nothing(text):
    assert [] == told(text, "sha256")


def test_powershell_writes_utf_16():
    assert [Sum(SHA, "ä.csv".encode())] == told(f"{SHA}  ä.csv\r\n".encode("utf-16"), "sha256")


def test_an_sfv_has_the_name_first_and_comments():
    text = b"; made by cksfv\r\n; a.csv 00000000\r\nmy file.csv 0A1B2C3D\r\nb.csv   ffffffff\r\n"
    assert [Sum("0a1b2c3d", b"my file.csv"), Sum("ffffffff", b"b.csv")] == told(text, "crc32")


@pytest.mark.parametrize("flag", ["--tag", "--text", "--binary"])
@pytest.mark.parametrize("base", [b"a.csv", b"a b (1).csv", b"new\nline", b"back\\slash", b"cr\rx", b"\xff.csv", b"*star", b" lead"])
@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_what_coreutils_writes_is_understood(tmp_path, flag, base, kind):
    with open(bytes(tmp_path) + b"/" + base, "wb") as file:
        file.write(DATA)
    text = subprocess.run([kind + "sum", flag, "--", base], cwd=tmp_path, stdout=subprocess.PIPE, check=True).stdout
    expected = hashlib.new(kind, DATA).hexdigest()
    assert {expected} == said_of(told(text, kind), base)


def test_what_openssl_writes_is_understood(tmp_path):
    (tmp_path / "a.csv").write_bytes(DATA)
    text = subprocess.run(["openssl", "dgst", "-sha512", "a.csv"], cwd=tmp_path, stdout=subprocess.PIPE, check=True).stdout
    assert {hashlib.sha512(DATA).hexdigest()} == said_of(told(text, "sha512"), b"a.csv")


def test_the_file_is_found_in_a_list_by_its_name_then_by_the_last_part_of_a_path():
    sums = [
        Sum("1", b"old/a.csv"),
        Sum("2", b"./a.csv"),
        Sum("3", b"C:\\out\\b.csv"),
        Sum("4"),
        Sum("5", b"/x/c.csv"),
        Sum("6", b"y/c.csv"),
    ]
    assert {"2"} == said_of(sums, b"a.csv")
    assert {"3"} == said_of(sums, b"b.csv")
    assert frozenset() == said_of(sums, b"c.csv")
    assert {"2", "7"} == said_of([*sums, Sum("7", b"a.csv")], b"a.csv")
    assert frozenset() == said_of(sums, b"d.csv")
    assert frozenset() == said_of(sums, b"")


@pytest.mark.parametrize(
    ("base", "kind"),
    [
        (b"a.csv.sha256", "sha256"),
        (b"A.MD5", "md5"),
        (b"a.sfv", "crc32"),
        (b"SHA512SUMS", "sha512"),
        (b"md5sums.txt", "md5"),
        (b"a.csv", None),
        (b".sha256", None),
        (b"mysha256", None),
    ],
)
def test_a_sidecar_is_known_by_its_name(base, kind):
    assert kind == kind_of(base)


def test_all_digests_are_made_in_one_reading():
    data, calls = b"x" * 2_500_000, []
    found = digests(io.BytesIO(data), KINDS, lambda: calls.append(1))
    assert {kind: hashlib.new(kind, data).hexdigest() for kind in KINDS if kind != "crc32"} | {"crc32": f"{zlib.crc32(data):08x}"} == found
    assert 3 == len(calls)
    assert "00000000" == digests(io.BytesIO(), ["crc32"])["crc32"]


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from(KINDS),
    st.sampled_from([b"", b"\xff\xfe", b"\xef\xbb\xbf", SHA.encode(), b"\\" + MD5.encode()]),
)
def test_no_bytes_break_it(data, kind, head):
    assert all(one.digest == one.digest.lower() for one in told(head + data, kind))


def test_a_long_line_takes_no_long_time():
    for text in (b" " * 1_000_000, b"a " * 500_000, b"SHA256 (" * 100_000, SHA.encode() + b" " * 1_000_000, b"(" * 1_000_000 + b") = f"):
        for kind in ("sha256", "crc32"):
            told(text, kind)
