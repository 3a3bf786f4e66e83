"""Files and folders over FTP: listings, facts, hashes, odd names, rights, quotas; with the answers that clients go by."""

from __future__ import annotations

import ftplib
import hashlib
import io
import os
import shutil
import zlib
from datetime import UTC, datetime

import pytest

from tests.servers.ftp_ground import FtpGround
from transload.accounts import Limits, Rights
from transload.listing import listed, mlsd

ODD = [
    b"plain.csv",
    b"with space .csv ",
    b" leading",
    b"-rf",
    b".hidden",
    "ümläut".encode(),
    "ümläut".encode("latin-1"),
    b"\xfe\xff\xfd",
    b"quo\"te's",
    b"back\\slash",
    b"percent%46%2F",
    b"semi;colon=type=dir;",
    b"star*[x]?",
    b"tab\there",
    "emoji \U0001f600".encode(),
    "rtl \u202egnp.exe".encode(),
    b"x" * 255,
    b"CON",
    b"trailing.",
]


@pytest.fixture(scope="module")
def ground():
    with FtpGround() as ground:
        yield ground


@pytest.fixture
def raw(ground):
    with ground.raw() as client:
        yield client
    for left in ground.home.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def test_odd_names_are_kept_apart_and_come_back_as_they_were(ground, raw):
    raw.asks("MKD odd", 257)
    raw.asks("CWD odd", 250)
    for number, name in enumerate(ODD):
        said = name.replace(b"\xff", b"\xff\xff")
        assert b"226" == raw.put(said, b"%d" % number)[:3], name
    assert sorted(ODD) == sorted(raw.get("NLST").split(b"\r\n")[:-1])
    assert sorted(ODD) == sorted(mlsd(line).name for line in raw.get("MLSD").split(b"\r\n")[:-1])
    assert sorted(ODD) == sorted(fact.name for fact in listed(raw.get("LIST").split(b"\r\n")[:-1], datetime.now(UTC)))
    assert sorted(ODD) == sorted(os.listdir(os.fsencode(ground.home / "odd")))
    for number, name in enumerate(ODD):
        said = name.replace(b"\xff", b"\xff\xff")
        assert b"%d" % number == raw.get(b"RETR " + said)
        assert len(str(number)) == int(raw.asks(b"SIZE " + said, 213))
        raw.asks(b"DELE " + said, 250)


@pytest.mark.parametrize(
    ("name", "code"),
    [(b"x" * 256, b"553"), (b"../../../up", b"226"), (b"\x1f", b"226"), (b".\x1fpart.a", b"553"), (b"/", b"553"), (b"missing/a", b"550")],
)
def test_names_that_cannot_be_are_refused_and_none_leaves_the_home(ground, raw, name, code):
    assert code == raw.put(name)[:3]
    assert not (ground.home.parent / "up").exists()


def test_folders_are_made_entered_renamed_and_removed(raw):
    assert b'"/a ""b"" c"' in raw.asks('MKD a "b" c', 257)
    raw.asks('CWD a "b" c', 250)
    assert b'"/a ""b"" c"' in raw.asks("PWD", 257)
    raw.asks("MKD below", 257)
    raw.asks("MKD below", 550)
    raw.asks("CWD ../../../..", 250)
    assert b'"/"' in raw.asks("PWD", 257)
    raw.asks('RNFR a "b" c', 350)
    raw.asks("RNTO d", 250)
    raw.asks("RMD d", 550)
    raw.asks("CWD d/below", 250)
    raw.asks("CDUP", 250)
    raw.asks("XRMD below", 250)
    raw.asks("CDUP", 250)
    raw.asks("RMD d", 250)
    raw.asks("RMD d", 550)
    raw.asks("RMD /", 550)
    raw.asks("RNFR nothing", 550)
    raw.asks("RNTO nothing", 503)


def test_nothing_is_replaced_by_a_rename(ground, raw):
    raw.put("old", b"old")
    raw.put("new", b"new")
    raw.asks("RNFR old", 350)
    raw.say("RNTO new")
    raw.answer()
    assert {b"old", b"new"} <= set(ground.files().values())


def test_a_missing_folder_is_550_to_every_listing(raw):
    for command in ("CWD", "STAT", "MLST", "SIZE", "MDTM", "DELE", "RMD", "RNFR"):
        raw.asks(f"{command} not/there", 550)
    for command in ("MLSD", "LIST", "NLST", "RETR", "STOR", "APPE"):
        line = raw.passive()
        raw.asks(f"{command} not/there", 550)
        line.close()
    for command in ("MLSD", "LIST", "NLST"):
        raw.asks(command, 425)
    raw.put("file")
    line = raw.passive()
    raw.asks("MLSD file", 501)
    line.close()
    raw.asks("SIZE /", 550)
    raw.asks("DELE file", 250)


def test_listings_say_what_is_there(raw):
    raw.asks("MKD sub", 257)
    raw.put("sub/one", b"x" * 1234)
    raw.asks("MFMT 20240229123456 sub/one", 213)
    assert b" sub\r\n" in raw.get("LIST")
    assert b"1234 Feb 29  2024 one\r\n" in raw.get("LIST sub")
    assert b"1234 Feb 29  2024 one\r\n" in raw.get("LIST -la sub")
    assert b"1234 Feb 29  2024 one\r\n" in raw.get("LIST sub/one")
    assert b"sub/one\r\n" == raw.get("NLST sub")
    assert b"1234 Feb 29  2024 one" in raw.asks("STAT sub", 213)
    assert b"type=file;size=1234;modify=20240229123456;perm=adfrw;unix.mode=0644; one\r\n" == raw.get("MLSD sub")
    assert b" type=file;size=1234;modify=20240229123456;perm=adfrw;unix.mode=0644; /sub/one" in raw.asks("MLST sub/one", 250)
    raw.asks("OPTS MLST size;bogus;", 200)
    assert b"size=1234; one\r\n" == raw.get("MLSD sub")
    assert b"MLST type;size*;modify;perm;unix.mode;" in raw.asks("FEAT", 211)
    raw.asks("DELE sub/one", 250)
    assert b"" == raw.get("LIST sub")
    raw.asks("RMD sub", 250)


def test_large_folders_are_listed_whole(ground, raw):
    folder = ground.home / "large"
    folder.mkdir()
    for number in range(5000):
        (folder / f"{number:05d}").touch()
    assert 5000 == raw.get("MLSD large").count(b"\r\n")
    assert 5000 == raw.get("LIST large").count(b"\r\n")
    assert 5000 == raw.asks("STAT large", 213).count(b"\n") - 1
    for number in range(5000):
        (folder / f"{number:05d}").unlink()
    raw.asks("RMD large", 250)


def test_hashes_are_those_of_the_ledger_and_of_the_bytes(ground, raw):
    data = os.urandom(100_000)
    raw.put("sums", data)
    sha256 = hashlib.sha256(data).hexdigest().encode()
    assert sha256 == raw.asks("XSHA256 sums", 250)
    assert b"SHA-256 0-100000 " + sha256 + b" sums" == raw.asks("HASH sums", 213)
    assert sha256.decode() == next(row.sha256 for row in ground.ledger.uploads.under("ann", b"") if row.path == b"sums")
    assert hashlib.sha512(data).hexdigest().encode() == raw.asks('XSHA512 "sums"', 250)
    assert hashlib.sha1(data).hexdigest().encode() == raw.asks("XSHA1 sums", 250)
    assert hashlib.md5(data).hexdigest().encode() == raw.asks("XMD5 sums", 250)
    assert b"%08X" % zlib.crc32(data) == raw.asks("XCRC sums", 250)
    (ground.home / "put there").write_bytes(data)
    assert sha256 == raw.asks("XSHA256 put there", 250)
    for command in ("XSHA256", "XCRC", "HASH"):
        raw.asks(f"{command} nothing", 550)
    for name in ("sums", "put there"):
        raw.asks(f"DELE {name}", 250)


def test_type_a_alters_nothing(ground, raw):
    data = b"a\r\nb\nc\rd\0\xff\n\r" * 1000
    raw.asks("TYPE A", 200)
    assert b"226" == raw.put("text", data)[:3]
    assert data == ground.files()["text"]
    assert data == raw.get("RETR text")
    assert len(data) == int(raw.asks("SIZE text", 213))
    raw.asks("DELE text", 250)


def test_stou_gives_a_name_that_nothing_has(ground, raw):
    with raw.passive() as line:
        raw.say("STOU")
        first = raw.answer()
        line.sendall(b"x")
    assert b"FILE: " in first
    name = first.partition(b"FILE: ")[2].decode()
    assert name.encode() in raw.hears(226)
    assert [name] == list(ground.files())
    raw.asks(f"DELE {name}", 250)


def test_what_else_clients_ask(raw):
    raw.asks("SYST", 215)
    raw.asks("HELP", 214)
    raw.asks("HELP STOR", 214)
    raw.asks("HELP FOO", 501)
    raw.asks("STRU F", 200)
    raw.asks("STRU R", 504)
    raw.asks("MODE S", 200)
    raw.asks("MODE Z", 504)
    raw.asks("TYPE E", 504)
    raw.asks("OPTS UTF8 ON", 200)
    raw.asks("OPTS FOO", 501)
    raw.asks("STOR", 501)
    raw.asks("PWD x", 501)
    assert 0 < int(raw.asks("AVBL", 213))
    raw.asks("FOO", 500)
    raw.asks("ACCT x", 500)
    raw.asks("SMNT x", 500)


def test_rights_hold_in_each_folder():
    rights = Rights("elr", {"/in": "elaw", "/drop": "w"})
    with FtpGround(rights=rights) as ground, ground.raw() as raw:
        for folder in ("in", "drop"):
            (ground.home / folder).mkdir()
        (ground.home / "readme").write_bytes(b"read me")
        assert b"read me" == raw.get("RETR readme")
        assert b"550" == raw.put("new")[:3]
        assert b"226" == raw.put("in/new")[:3]
        line = raw.passive()
        raw.asks("RETR in/new", 550) if b"in/new" not in ground.uploads() else None
        line.close()
        assert b"226" == raw.put("drop/new")[:3]
        line = raw.passive()
        raw.asks("LIST drop", 550)
        line.close()
        raw.asks("DELE in/new", 550)
        raw.asks("MKD in/below", 550)
        raw.asks("SITE CHMOD 600 readme", 550)
        raw.asks("MFMT 20240101000000 readme", 550)
        raw.asks("RNFR readme", 350)
        raw.asks("RNTO in/readme", 550)
        listing = raw.get("MLSD")
        assert b"perm=r;" in listing
        assert b"perm=cel;" in listing


def test_a_quota_that_is_reached_on_the_way_is_452_and_what_was_there_stays():
    with FtpGround(limits=Limits(quota=1_000_000, max_size=900_000)) as ground, ground.raw() as raw:
        assert b"226" == raw.put("first", b"x" * 800_000)[:3]
        assert b"452" == raw.put("second", b"y" * 500_000)[:3]
        raw.asks("ALLO 500000", 200)
        assert b"452" == raw.put("third", b"y" * 500_000)[:3]
        raw.asks("DELE first", 250)
        for name in ground.kept():
            raw.asks(f"DELE {name}", 250)
        assert b"552" == raw.put("large", b"x" * 950_000)[:3]
        assert {} == ground.files()
        assert 1_000_000 == int(raw.asks("AVBL", 213))


def test_only_names_that_are_taken_are_taken():
    with FtpGround(limits=Limits(match=("*.csv",))) as ground, ground.raw() as raw:
        assert b"553" == raw.put("a.exe")[:3]
        assert b"226" == raw.put("a.csv")[:3]
        assert ["a.csv"] == list(ground.files())


def test_anonymous_may_be_let_in_to_write_only():
    with FtpGround(settings={"anonymous": True}) as ground:
        ground.add("anonymous", password=None, rights=Rights("ew"))
        with ftplib.FTP() as client:
            client.connect("127.0.0.1", ground.port)
            client.login()
            assert client.storbinary("STOR gift", io.BytesIO(b"for you")).startswith("226")
            with pytest.raises(ftplib.error_perm, match="550"):
                client.retrlines("LIST")
        with ground.raw(login=False) as raw:
            raw.asks("USER ftp", 331)
            raw.asks("PASS me@example.org", 230)
    with FtpGround() as ground, ground.raw(login=False) as raw:
        raw.asks("USER anonymous", 331)
        raw.asks("PASS me@example.org", 530)
