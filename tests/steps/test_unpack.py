"""Archives made by the programs that people use, and what the step makes of them."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from random import Random

import pytest

from tests.steps.mutated import rar4, rar5
from tests.steps.test_archives import of_kind, tarred, zipped
from transload.errors import Busy, ConfigError, Full, Rejected
from transload.secret import Secret
from transload.steps.archives import others, streams
from transload.steps.archives.limits import Meter
from transload.steps.archives.reader import Bounds, Reader
from transload.steps.archives.wire import BLOCK
from transload.steps.unpack import Unpack

TEXT = b"".join(b"%d,%d\n" % (one, one * one) for one in range(20_000))
TREE = {"a/d/a.csv": b"1,2\n", "a/d/in/b.txt": TEXT, "a/d/in/empty": b""}
MODIFIED = 1_600_000_000


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder with files, which the archives of this module are made of."""
    root = tmp_path_factory.mktemp("tree")
    for name, data in TREE.items():
        path = root / name[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        subprocess.run(["touch", "-d", f"@{MODIFIED}", path], check=True)
    return root


def by(tree, command):
    """The archive that a command makes as `out`."""
    program = command.split()[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    for old in tree.glob("out*"):
        old.unlink()
    subprocess.run(command, shell=True, cwd=tree, check=True, capture_output=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"})
    return next(tree.glob("out*")).read_bytes()


@pytest.mark.parametrize(
    ("suffix", "command"),
    [
        ("zip", "zip -r out.zip d"),
        ("zip", "zip -r -fz out.zip d"),
        ("zip", "zip -r -Z bzip2 out.zip d"),
        ("zip", "zip -r - d > out"),
        ("zip", "7z a -tzip -mm=LZMA out.zip d"),
        ("zip", "bsdtar -cf out --format zip d"),
        ("zip", f"{sys.executable} -m zipfile -c out d"),
        ("tar", "tar -cf out --format=gnu d"),
        ("tar", "tar -cf out --format=pax d"),
        ("tar", "tar -cf out --format=ustar d"),
        ("tar", "tar -cf out --format=v7 d"),
        ("tar.gz", "tar -czf out d"),
        ("tgz", "bsdtar -czf out ./d"),
        ("tar.bz2", "tar -cjf out d"),
        ("tar.xz", "tar -cJf out d"),
        ("tar.zst", "tar --zstd -cf out d"),
        ("7z", "7z a out.7z d"),
        ("iso", "genisoimage -quiet -R -J -graft-points -o out d=d"),
        ("iso", "xorriso -outdev out -map d /d"),
    ],
)
def test_an_archive_of_any_kind_is_opened_whatever_it_is_called(bench, tree, suffix, command):
    data = by(tree, command)
    assert TREE == bench.does(Unpack(), data, f"a.{suffix}")
    assert {one.member for one in bench.outputs} == {True}
    assert {one.modified for one in bench.outputs} == {MODIFIED * 1_000_000}
    assert TREE.keys() == {name.replace("holiday.jpg/", "a/") for name in bench.does(Unpack(), data, "holiday.jpg")}


@pytest.mark.parametrize("make", [rar4, rar5])
def test_a_rar_is_opened(bench, make):
    assert {"a/in/x.csv": b"1,2\n"} == bench.does(Unpack(), make(b"in/x.csv", b"1,2\n"), "a.rar")
    with pytest.raises(Rejected, match=r'a path with "\.\."'):
        bench.does(Unpack(), make(b"../x.csv", b"1,2\n"), "a.rar")
    with pytest.raises(Rejected, match="cut off"):
        bench.does(Unpack(), make(b"x", b"1") + b"junk")
    with pytest.raises(Rejected, match=r"a\.rar holds a file with a wrong checksum: in/x\.csv"):
        bench.does(Unpack(), make(b"in/x.csv", b"1,2\n").replace(b"1,2", b"1,3"), "a.rar")


def test_the_least_memory_is_enough_for_what_is_small(bench, tree):
    for command in ("zip -r out.zip d", "tar -cJf out d", "tar --zstd -cf out d", "7z a out.7z d"):
        assert TREE == bench.does(Unpack(memory="64MB"), by(tree, command), "a.zip")


def test_a_cab_is_opened(bench, tree):
    assert {"in/a/d/a.csv": b"1,2\n"} == bench.does(Unpack(), by(tree, "gcab -c out d/a.csv"), "in/a.cab")


@pytest.mark.parametrize(
    ("suffix", "command"),
    [
        ("gz", "gzip -c d/in/b.txt > out"),
        ("bz2", "bzip2 -c d/in/b.txt > out"),
        ("xz", "xz -c d/in/b.txt > out"),
        ("zst", "zstd -qc d/in/b.txt > out"),
    ],
)
def test_a_single_file_loses_its_suffix_and_streams_put_together_are_one(bench, tree, suffix, command):
    data = by(tree, command)
    assert {"x/b.csv": TEXT} == bench.does(Unpack(), data, f"x/b.csv.{suffix}")
    assert {"b": TEXT} == bench.does(Unpack(), data, "b")
    assert {"b": TEXT * 2} == bench.does(Unpack(), data * 2, "b")
    assert {"b": TEXT, f"b.{suffix}": data} == bench.does(Unpack(container="keep"), data, f"b.{suffix}")


ENCRYPTED = {
    "old": "zip -r -P open-sesame out.zip d",
    "old, stored": "zip -0 -r -P open-sesame out.zip d",
    "AES 256": "7z a -tzip -mem=AES256 -popen-sesame out.zip d",
    "AES 192, lzma": "7z a -tzip -mem=AES192 -mm=LZMA -popen-sesame out.zip d",
    "AES 128, stored": "7z a -tzip -mem=AES128 -mm=Copy -popen-sesame out.zip d",
    "AES 256, bsdtar": "bsdtar -cf out --format zip --options zip:encryption=aes256 --passphrase open-sesame d",
    "AES 128, bsdtar": "bsdtar -cf out --format zip --options zip:encryption=aes128 --passphrase open-sesame d",
}


@pytest.mark.parametrize("command", ENCRYPTED.values(), ids=ENCRYPTED.keys())
def test_an_encrypted_zip_waits_until_its_password_is_there(bench, tree, monkeypatch, command):
    data = by(tree, command)
    monkeypatch.setenv("RIGHT", "open-sesame")
    monkeypatch.setenv("WRONG", "open-barley")
    with pytest.raises(Busy, match=r"^a\.zip is encrypted: no password is set"):
        bench.does(Unpack(), data, "a.zip")
    with pytest.raises(Busy, match=r"^a\.zip is encrypted: the password is wrong"):
        bench.does(Unpack(password=Secret(env="WRONG")), data, "a.zip")
    assert [] == bench.outputs
    assert TREE == bench.does(Unpack(password=Secret(env="RIGHT"), memory="64MB"), data, "a.zip")


def test_an_encrypted_zip_within_another_archive_waits_too(bench, tree):
    data = tarred(("in/b.zip", by(tree, ENCRYPTED["AES 256"])))
    with pytest.raises(Busy, match=r"^in/b\.zip is encrypted: no password is set"):
        bench.does(Unpack(), data, "a.tar")


def test_one_changed_byte_of_an_encrypted_zip_is_seen(bench, tree, monkeypatch):
    monkeypatch.setenv("RIGHT", "open-sesame")
    data = by(tree, ENCRYPTED["AES 128, stored"])
    at = len(data) // 2
    with pytest.raises(Busy, match="the password is wrong, or it is damaged"):
        bench.does(Unpack(password=Secret(env="RIGHT")), data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert [] == bench.outputs


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\1\x99\7\0\2\0AE", b"\1\x99\7\0\3\0AE", "in a way that is not opened"),
        (b"\1\x99\7\0\2\0AE\3", b"\1\x99\7\0\2\0AE\4", "in a way that is not opened"),
        (b"\1\x99\7\0\2\0AE\3", b"\2\x99\7\0\2\0AE\3", "in a way that is not opened"),
    ],
)
def test_an_encryption_that_nobody_writes_is_refused(bench, tree, old, new, reason):
    data = by(tree, ENCRYPTED["AES 256"])
    assert old in data
    with pytest.raises(Rejected, match=reason):
        bench.does(Unpack(), data.replace(old, new))


def test_two_headers_that_tell_of_two_encryptions_are_refused(bench, tree, monkeypatch):
    monkeypatch.setenv("RIGHT", "open-sesame")
    data = by(tree, ENCRYPTED["AES 256"])
    with pytest.raises(Rejected, match="two different things of the encryption"):
        bench.does(Unpack(password=Secret(env="RIGHT")), data.replace(b"\2\0AE\3", b"\2\0AE\2", 1))


@pytest.mark.parametrize("command", ["7z a -psecret out.7z d", "7z a -psecret -mhe=on out.7z d"])
def test_an_encrypted_7z_is_refused_with_its_reason(bench, tree, monkeypatch, command):
    monkeypatch.setenv("RIGHT", "secret")
    for step in (Unpack(), Unpack(password=Secret(env="RIGHT"))):
        with pytest.raises(Rejected, match="is encrypted: only zip files are opened with a password"):
            bench.does(step, by(tree, command))


@pytest.mark.parametrize("more", [b"junk", bytes(512)])
def test_what_stands_after_a_7z_has_it_refused(bench, tree, more):
    with pytest.raises(Rejected, match="is cut off, or has something else after its end"):
        bench.does(Unpack(), by(tree, "7z a out.7z d") + more)


def test_a_split_archive_is_refused(bench, tree):
    for part in (
        by(tree, "head -c 300000 /dev/urandom > noise; zip -s 64k out.zip noise; rm out.z*[0-9]"),
        by(tree, "7z a -v64k out.7z noise; rm out.7z.00[2-9]"),
    ):
        with pytest.raises(Rejected):
            bench.does(Unpack(), part)


def test_a_part_of_a_split_cab_is_refused(bench, tree):
    data = bytearray(by(tree, "gcab -cn out d/a.csv"))
    at = int.from_bytes(data[16:20], "little") + 8
    data[at : at + 2] = b"\xfe\xff"  # the file goes on in the next cabinet
    with pytest.raises(Rejected, match="split in multivolume"):
        bench.does(Unpack(), bytes(data))


@pytest.mark.parametrize("command", ["7z a -mx0 out.7z needle", "gcab -cn out needle", "7z a -mx0 -tzip out.zip needle"])
def test_a_wrong_checksum_is_seen_in_every_format(bench, tree, command):
    (tree / "needle").write_bytes(b"NEEDLE 1234567890")
    data = by(tree, command)
    assert {"a/needle": b"NEEDLE 1234567890"} == bench.does(Unpack(), data, "a.zip")
    with pytest.raises(Rejected, match=r"CRC|[Cc]hecksum"):
        bench.does(Unpack(), data.replace(b"NEEDLE", b"NEEDLF"))


def test_links_are_refused_in_what_libarchive_opens(bench, tree):
    for command in ("bsdtar -cf out --format 7zip l", "bsdtar -cf out --format iso9660 l"):
        with pytest.raises(Rejected, match="a symbolic link"):
            bench.does(Unpack(), by(tree, f"bsdtar --version; mkdir -p l; ln -sf /etc/passwd l/x; {command}"))


def test_archives_in_archives_are_opened(bench):
    inner = gzip.compress(tarred(("x.csv", b"1")))
    data = zipped(("day/b.tar.gz", inner), ("c.csv.gz", gzip.compress(b"2")), ("plain", b"3"))
    assert {"a/day/b/x.csv": b"1", "a/c.csv": b"2", "a/plain": b"3"} == bench.does(Unpack(), data, "a.zip")
    kept = bench.does(Unpack(container="keep"), data, "a.zip")
    assert {"a.zip", "a/day/b.tar.gz", "a/day/b/x.csv", "a/c.csv.gz", "a/c.csv", "a/plain"} == kept.keys()
    assert [False, True] == [one.member for one in bench.outputs][:2]
    within = gzip.compress(zipped(("x", b"4")))
    assert {"in/b/x": b"4"} == bench.does(Unpack(), within, "in/b.zip.gz")
    assert {"b/x": b"4"} == bench.does(Unpack(), within, "b.gz")
    assert {"b.zip.gz", "b.zip", "b/x"} == bench.does(Unpack(container="keep"), within, "b.zip.gz").keys()


def test_hundreds_of_archives_in_one_take_one_child(bench):
    data = zipped(*((f"{one}.csv.gz", gzip.compress(b"%d" % one)) for one in range(300)))
    began = time.monotonic()
    assert {f"a/{one}.csv": b"%d" % one for one in range(300)} == bench.does(Unpack(), data, "a.zip")
    assert time.monotonic() - began < 3


def test_an_archive_without_a_suffix_can_be_kept_beside_its_members(bench):
    assert {"data", "data.d/x"} == bench.does(Unpack(container="keep"), zipped(("x", b"1")), "data").keys()


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_tar_whose_first_header_has_no_name_is_one_all_the_same(bench, suffix):
    data = bytearray(tarred(("long/" * 30 + "x", b"1")))
    data[:100] = bytes(100)  # of the header that holds the name of what follows
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    packed = bytes(data) if suffix == "tar" else gzip.compress(bytes(data))
    assert {"a/" + "long/" * 30 + "x": b"1"} == bench.does(Unpack(), packed, f"a.{suffix}")


def test_a_zip_whose_first_file_is_called_a_little_like_that_of_a_document_is_opened(bench):
    assert {"a/mimetypes.csv": b"1", "a/x": b"2"} == bench.does(Unpack(), zipped(("mimetypes.csv", b"1"), ("x", b"2")), "a.zip")


def test_what_is_no_archive_goes_on_or_is_refused(bench):
    for data in (b"1,2\n", b"", b"PK", b"BZh9 is how this text begins", bytes(2000)):
        assert {"a.zip": data} == bench.does(Unpack(), data, "a.zip")
        assert [None] == [one.path for one in bench.outputs]
        with pytest.raises(Rejected, match=r"a\.zip is no archive"):
            bench.does(Unpack(others="refuse"), data, "a.zip")


def test_unsafe_names_are_made_safe_where_the_route_says_so(bench):
    data = zipped(("../x", b"1"), ("/x", b"2"), ("x", b"3"), ("X", b"4"), ("C:\\x", b"5"), ("NUL", b"6"), ("x/y", b"7"))
    expected = {"a/_/x": b"1", "a/x": b"2", "a/x~1": b"3", "a/X~2": b"4", "a/C_/x": b"5", "a/_NUL": b"6", "a/x~3/y": b"7"}
    found = bench.does(Unpack(unsafe="rename"), data, "a.zip")
    assert expected.keys() == found.keys()
    assert expected == found
    with pytest.raises(Rejected, match="a symbolic link"):
        bench.does(Unpack(unsafe="rename"), tarred((of_kind(tarfile.SYMTYPE), b"")))


def test_names_that_are_not_utf8_stay_as_they_are(bench):
    info = zipfile.ZipInfo("caf_.csv")
    data = zipped((info, b"1")).replace(b"caf_", b"caf\x82")
    assert {"a/caf%82.csv": b"1"} == bench.does(Unpack(), data, "a.zip")
    assert b"a/caf\x82.csv" == bench.outputs[0].name.raw
    assert {"a/%A4%A2": b"1"} == bench.does(Unpack(), tarred(("\udca4\udca2", b"1"), form=tarfile.GNU_FORMAT), "a.tar")


def test_times_that_no_calendar_holds_are_dropped_and_so_are_modes(bench):
    infos = [of_kind(tarfile.REGTYPE, str(one), mtime=one, mode=0o6777) for one in (-5, 2**40, 1_700_000_000)]
    bench.does(Unpack(), tarred(*((info, b"") for info in infos), form=tarfile.GNU_FORMAT))
    assert [None, None, 1_700_000_000_000_000] == [one.modified for one in bench.outputs]
    assert {0o600, 0o644} >= {one.path.stat().st_mode & 0o7777 for one in bench.outputs}


def test_no_room_stays_no_room_and_ends_the_child(bench, monkeypatch):
    def write(self, data):
        raise Full("no room")

    monkeypatch.setattr("tests.steps.bench.BenchSink.write", write)
    with pytest.raises(Full):
        bench.does(Unpack(), zipped(("a", b"1")))


def test_a_child_that_cannot_be_started_says_nothing_of_the_file(bench, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Busy, match="could not be opened"):
        bench.does(Unpack(), zipped(("a", b"1")))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Busy, match="what opens it does not start"):
        bench.does(Unpack(), zipped(("a", b"1")))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("os.kill(os.getpid(), 24)", "takes too long to open"),
        ("os.kill(os.getpid(), 11)", r"breaks what opens it \(signal 11\)"),
        ("print('nonsense, and more of it')", "talk nonsense"),
        ("raise SystemExit(1)", "cannot be opened"),
        ("os.write(1, b'E\\0\\0\\0\\0')", "talk nonsense"),
        (r"os.write(1, b'M\0\0\0\x09' + bytes(8) + b'xZ\0\0\0\0')", "talk nonsense"),
        (r"os.write(1, b'M\0\0\0\0')", "an empty name"),
    ],
)
def test_a_child_that_dies_or_talks_nonsense_condemns_the_file(bench, tmp_path, monkeypatch, script, reason):
    (tmp_path / "start.py").write_text(r"import os; os.write(1, b'B\0\0\0\0'); " + script)
    monkeypatch.setattr("transload.steps.archives.reader._START", tmp_path / "start.py")
    with pytest.raises(Rejected, match=reason):
        bench.does(Unpack(), zipped(("a", b"1")))


@pytest.mark.parametrize("number", [1, 2, 9, 15])
def test_a_child_that_somebody_killed_says_nothing_of_the_file(bench, tmp_path, monkeypatch, number):
    # Under nohup, or in the background of a script, it would begin with some of them ignored.
    by_default = "" if number == 9 else f"signal.signal({number}, signal.SIG_DFL); "
    (tmp_path / "start.py").write_text(rf"import os, signal; {by_default}os.write(1, b'B\0\0\0\0'); os.kill(os.getpid(), {number})")
    monkeypatch.setattr("transload.steps.archives.reader._START", tmp_path / "start.py")
    with pytest.raises(Busy, match=rf"what opens it was killed \(signal {number}\)"):
        bench.does(Unpack(), zipped(("a", b"1")))


def test_the_time_of_the_processor_ends_the_child_by_a_signal_of_its_own(bench):
    bounds = Bounds(100_000_000, 1, time.monotonic() + 60)
    with Reader(bench.folder, bounds, None, bench.go_on) as reader:
        packed = bench.file(gzip.compress(b"1"))
        assert [b"O", b"D", b"E"] == [what for what, _ in reader.frames("gz", packed.path, Meter(packed.size, 1e9, 10, 10**9))]
        limits = Path(f"/proc/{reader._child.pid}/limits").read_text().splitlines()
    assert ["2", "3"] == next(line.split()[-3:-1] for line in limits if line.startswith("Max cpu time"))


def test_a_library_that_is_missing_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "libarchive", None)
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(ConfigError, match="pip install libarchive-c"):
        others.load()
    with pytest.raises(ConfigError, match=r"pip install backports\.zstd"):
        streams.Stream("zst", io.BytesIO(), 1, None)


def test_the_child_is_bound(bench):
    bounds = Bounds(100_000_000, 7, time.monotonic() + 7)
    with Reader(bench.folder, bounds, None, bench.go_on) as reader:
        packed = bench.file(gzip.compress(bytes(5_000_000)))
        frames = reader.frames("gz", packed.path, Meter(packed.size, 1e9, 10, 10**9))
        next(frames)
        proc = Path(f"/proc/{reader._child.pid}")
        limits = {line[:26].strip(): line.split()[-3] for line in (proc / "limits").read_text().splitlines()[1:]}
        assert "NoNewPrivs:\t1" in (proc / "status").read_text()
        assert bench.folder == (proc / "cwd").readlink()
        assert {b"LC_ALL=C.UTF-8"} == set((proc / "environ").read_bytes().split(b"\0")) - {b""}
        frames.close()
    assert ("8", "0", "0", "32", "100000000") == tuple(
        limits[f"Max {what}"] for what in ("cpu time", "file size", "core file size", "open files", "address space")
    )
    assert not proc.exists()


def test_the_child_imports_little_and_is_bound(tmp_path):
    start = Path(streams.__file__).with_name("start.py")
    code = f"import sys, runpy\ntry: runpy.run_path({str(start)!r}, run_name='__main__')\nexcept OSError: print(*sys.modules)"
    run = subprocess.run([sys.executable, "-I", "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "transload.steps.archives.zips" in loaded
    assert not {"pydantic", "transload.config", "transload.model", "transload.steps.base"} & set(loaded)


@pytest.mark.parametrize("more", [25, 257])
def test_a_member_that_ends_a_little_after_a_block_is_whole(bench, more):
    for begins in (bytes(BLOCK), Random(more).randbytes(BLOCK - 100) + bytes(100)):
        data = begins + bytes(more)
        assert {"a/x": data} == bench.does(Unpack(), zipped(("x", data)), "a.zip")
        assert {"a": data} == bench.does(Unpack(), gzip.compress(data), "a.gz")


@pytest.mark.parametrize("first", ["[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF", "_rels/.rels"])
def test_a_document_that_is_a_zip_inside_goes_on_as_it_is(bench, first):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(first, "x")
        archive.writestr("word/document.xml", "<x/>")
    assert {"a.docx": out.getvalue()} == bench.does(Unpack(), out.getvalue(), "a.docx")
