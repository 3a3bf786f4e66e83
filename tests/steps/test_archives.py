"""Archives that nobody made in good faith: every one is refused whole, with a reason."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import struct
import subprocess
import tarfile
import time
import zipfile
import zlib
from contextlib import nullcontext

import pytest

from tests.steps.mutated import FORMATS, mutations, read_here, survived
from transload.errors import Rejected
from transload.steps.archives.limits import FREE
from transload.steps.archives.names import Taken, fault, made_safe, without_suffixes
from transload.steps.archives.wire import BLOCK, DONE, LOCKED, REJECTED
from transload.steps.unpack import Unpack


def zipped(*members, method=zipfile.ZIP_DEFLATED, comment=b""):
    """A zip of (name or ZipInfo, bytes)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
        archive.comment = comment
    return out.getvalue()


def tarred(*members, form=tarfile.PAX_FORMAT):
    """A tar of (name or TarInfo, bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def of_kind(kind, name="odd", link="a", **more):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    for key, value in more.items():
        setattr(info, key, value)
    return info


def patched(data, at, new):
    return data[:at] + new + data[at + len(new) :]


ONE = zipped(("a.csv", b"1,2\n" * 50), ("b.csv", b"3,4\n" * 50))
CENTRAL = ONE.index(b"PK\1\2")
END = ONE.index(b"PK\5\6")


def with_size(data, at, told):
    """A tar with another size in the header at `at`."""
    made = bytearray(patched(data, at + 124, b"%011o\0" % told))
    made[at + 148 : at + 156] = b" " * 8
    made[at + 148 : at + 156] = b"%06o\0 " % sum(made[at : at + 512])
    return bytes(made)


def test_a_size_that_a_pax_header_tells_otherwise_is_refused(bench):
    data = tarred((of_kind(tarfile.REGTYPE, "a", pax_headers={"size": "5"}), b"12345"))
    at = data.rindex(b"ustar\x0000") - 257
    assert {"x/a": b"12345"} == bench.does(Unpack(), with_size(data, at, 5), "x.tar")
    for told in (0, 4, 512):
        with pytest.raises(Rejected, match="tells two different sizes of a file: a"):
            bench.does(Unpack(), with_size(data, at, told), "x.tar")


def other_name(raw, name):
    """The extra field by which a zip tells the name of a file once more, in UTF-8."""
    return struct.pack("<HHBI", 0x7075, 5 + len(name), 1, zlib.crc32(raw)) + name


def one_zipped(raw, data, local=b"", central=b""):
    """A zip of one stored file, with these extra fields."""
    told = struct.pack("<4H3I2H", 0, 0, 0, 0x21, zlib.crc32(data), len(data), len(data), len(raw), len(local))
    head = b"PK\3\4" + struct.pack("<H", 20) + told + raw + local + data
    told = told[:-2] + struct.pack("<4H2I", len(central), 0, 0, 0, 0, 0)
    line = b"PK\1\2" + struct.pack("<2H", 20, 20) + told + raw + central
    return head + line + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, len(line), len(head), 0)


def test_a_name_that_is_told_once_more_in_utf8_is_the_one_that_counts(bench):
    field = other_name(b"a", "ä".encode())
    for local, central in ((field, field), (b"", field)):
        assert {"x/ä": b"1"} == bench.does(Unpack(), one_zipped(b"a", b"1", local, central), "x.zip")


@pytest.mark.parametrize(
    ("raw", "data", "local", "central", "reason"),
    [
        (b"a", b"1", other_name(b"a", b"b"), b"", "two different things of the name"),
        (b"a", b"1", other_name(b"a", b"b"), other_name(b"a", b"c"), "two different things of the name"),
        (b"a/", b"1", b"", other_name(b"a/", b"b"), "that it is a folder"),
        (b"a", b"", b"", other_name(b"a", b"b/"), "that it is a folder"),
    ],
)
def test_names_that_contradict_each_other_are_refused(bench, raw, data, local, central, reason):
    with pytest.raises(Rejected, match=reason):
        bench.does(Unpack(), one_zipped(raw, data, local, central), "x.zip")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../out.csv", r'a path with "\.\."'),
        ("in/../../out.csv", r'a path with "\.\."'),
        ("/etc/passwd", "an absolute path"),
        ("//server/share/x", "an absolute path"),
        ("C:/x.csv", "a drive letter"),
        ("c:x.csv", "a drive letter"),
        ("\\\\server\\share\\x", "a backslash"),
        ("..\\x.csv", "a backslash"),
        ("a//b.csv", "an empty part"),
        ("a/./b.csv", "an empty part"),
        ("CON", "Windows keeps"),
        ("in/NUL.txt", "Windows keeps"),
        ("com1.csv", "Windows keeps"),
        ("x" * 300, "too long"),
    ],
)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_member_whose_name_leads_elsewhere_is_refused(bench, name, reason, make):
    with pytest.raises(Rejected, match=f"a.bin holds .*{reason}"):
        bench.does(Unpack(), make(("good.csv", b"1"), (name, b"2")), "a.bin")
    assert [] == bench.outputs


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("a.csv", "a.csv"), "the same name twice"),
        (("a.csv", "A.CSV"), "the same name twice, or twice but for its case"),
        (("caf\u00e9", "cafe\u0301"), "the same name twice"),
        (("ß", "SS"), "the same name twice"),
        (("a", "a/b"), "a file and a folder of one name"),
        (("a/b", "a"), "a file and a folder of one name"),
        (("In/b", "in/c"), "differ only in case"),
        (("./a", "a"), "the same name twice"),
        (("a.", "a"), "the same name twice"),
        (("a/", "a"), "a file and a folder of one name"),
    ],
)
def test_names_that_collide_are_refused(bench, names, reason):
    with pytest.warns(UserWarning, match="Duplicate") if names[0] == names[1] else nullcontext():
        data = zipped(*((name, b"" if name.endswith("/") else b"x") for name in names))
    with pytest.raises(Rejected, match=reason):
        bench.does(Unpack(), data)


def test_a_name_with_a_nul_or_without_a_letter_is_refused(bench):
    data = zipped(("a_b", b"1")).replace(b"a_b", b"a\0b")
    with pytest.raises(Rejected, match="a NUL in a name"):
        bench.does(Unpack(), data)
    with pytest.raises(Rejected, match="an empty name"):
        bench.does(Unpack(), _nameless())


def _nameless():
    block = bytearray(tarred(("a", b""), form=tarfile.USTAR_FORMAT))
    block[512:1024] = block[:512]
    block[512] = 0
    total = sum(block[512 : 512 + 148]) + 256 + sum(block[512 + 156 : 1024])
    block[512 + 148 : 512 + 156] = b"%06o\0 " % total
    return bytes(block)


def test_a_leading_dot_and_folders_are_normal(bench):
    folder = of_kind(tarfile.DIRTYPE, "./")
    inner = of_kind(tarfile.DIRTYPE, "./in")
    assert {"a/in/x": b"1"} == bench.does(Unpack(), tarred((folder, b""), (inner, b""), ("./in/x", b"1")), "a.tar")


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (of_kind(tarfile.SYMTYPE), "a symbolic link: odd"),
        (of_kind(tarfile.LNKTYPE), "a hard link: odd"),
        (of_kind(tarfile.CHRTYPE), "a device: odd"),
        (of_kind(tarfile.BLKTYPE), "a device: odd"),
        (of_kind(tarfile.FIFOTYPE), "a named pipe: odd"),
        (of_kind(tarfile.GNUTYPE_SPARSE), "a sparse file"),
        (of_kind(b"M"), "began in another archive"),
        (of_kind(b"Q"), "an unknown kind"),
        (of_kind(tarfile.REGTYPE, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), "a sparse file"),
        (of_kind(tarfile.REGTYPE, pax_headers={"path": "../x"}), "a path with"),
    ],
)
def test_what_is_no_regular_file_is_refused(bench, info, reason):
    with pytest.raises(Rejected, match=reason):
        bench.does(Unpack(), gzip.compress(tarred(("a", b"1"), (info, b""))))


@pytest.mark.parametrize(
    ("kind", "reason"), [(0o120777, "a symbolic link"), (0o010644, "a named pipe"), (0o020644, "a device"), (0o040755, "a folder")]
)
def test_a_zip_with_something_else_than_files_is_refused(bench, kind, reason):
    info = zipfile.ZipInfo("odd")
    info.create_system, info.external_attr = 3, kind << 16
    with pytest.raises(Rejected, match=reason):
        bench.does(Unpack(), zipped(("a", b"1"), (info, b"/etc/passwd")))


def _split():
    return patched(patched(ONE, END + 4, b"\1\0\1\0"), CENTRAL + 34, b"\1\0")


def _overlapping():
    """Both lines of the directory tell of the first file."""
    second = ONE.index(b"PK\1\2", CENTRAL + 1)
    line = ONE[CENTRAL:second]
    data = ONE[:CENTRAL] + line + line + ONE[END:]
    return patched(data, data.index(b"PK\5\6") + 12, struct.pack("<2I", 2 * len(line), CENTRAL))


CONTRADICTIONS = [
    pytest.param(b"MZ junk" + ONE, "belong to no file", id="junk before"),
    pytest.param(ONE + b"junk", "cut off, or has something else", id="junk after"),
    pytest.param(ONE + ONE, "belong to no file", id="two zips"),
    pytest.param(zipped(("a", b"1"), comment=ONE), "two end records", id="a comment that is a zip"),
    pytest.param(zipped(("a", b"1"), comment=ONE + b"x"), "two end records", id="a comment that holds a zip"),
    pytest.param(ONE[:-30], "cut off", id="truncated"),
    pytest.param(ONE[:CENTRAL], "no end record", id="no directory"),
    pytest.param(patched(ONE, 30, b"z"), "of the name", id="another name"),
    pytest.param(patched(ONE, 8, b"\0\0"), "of the method", id="another method"),
    pytest.param(patched(ONE, 6, b"\2\0"), "of the flags", id="other flags"),
    pytest.param(patched(ONE, 14, b"\1\2\3\4"), "of the checksum", id="another crc"),
    pytest.param(patched(ONE, 18, b"\1\0\0\0"), "of the packed size", id="another packed size"),
    pytest.param(patched(ONE, 22, b"\1\0\0\0"), "of the size", id="another size"),
    pytest.param(patched(patched(ONE, 14, b"\1\2\3\4"), CENTRAL + 16, b"\1\2\3\4"), "a wrong checksum", id="wrong crc"),
    pytest.param(patched(patched(ONE, 22, b"\1\0\0\0"), CENTRAL + 24, b"\1\0\0\0"), "longer than it says", id="longer"),
    pytest.param(patched(patched(ONE, 22, b"\1\1\0\0"), CENTRAL + 24, b"\1\1\0\0"), "shorter than it says", id="shorter"),
    pytest.param(patched(patched(ONE, 8, b"\x63\0"), CENTRAL + 10, b"\x63\0"), "in a way that is not opened", id="aes"),
    pytest.param(patched(patched(ONE, 8, b"\x09\0"), CENTRAL + 10, b"\x09\0"), "unknown method 9", id="unknown method"),
    pytest.param(patched(ONE, END + 10, b"\3\0"), "counts its files wrongly", id="wrong count"),
    pytest.param(patched(ONE, END + 8, b"\1\0\1\0"), "counts its files wrongly", id="fewer counted"),
    pytest.param(patched(ONE, END + 8, b"\3\0\3\0"), "fewer files than it counts", id="more counted"),
    pytest.param(patched(ONE, 40, b"\xff\xff\xff"), "cannot be read|than it says|is cut off", id="broken data"),
    pytest.param(_split(), "split", id="split"),
    pytest.param(b"PK\7\x08" + ONE, "belong to no file", id="first of a split one"),
    pytest.param(_overlapping(), "over each other", id="overlapping"),
    pytest.param(
        ONE[:CENTRAL] + b"hidden" + patched(ONE[CENTRAL:], END - CENTRAL + 16, struct.pack("<I", CENTRAL + 6)), "no file", id="a gap"
    ),
    pytest.param(tarred(("a", b"1")) + b"junk", "after its end", id="junk after a tar"),
    pytest.param(tarred(("a", b"1")) + ONE, "after its end", id="a tar and a zip"),
    pytest.param(tarred(("a", b"1" * 2000))[:1500], "cut off", id="truncated tar"),
    pytest.param(tarred(("a", b"1" * 2000))[: 512 + 2048], "cut off", id="a tar without its end"),
    pytest.param(patched(tarred(("a", b"1"), ("b", b"2")), 1024, b"c"), "wrong checksum", id="a header with a wrong checksum"),
    pytest.param(gzip.compress(b"1") + b"j\0\0\0", "after its end", id="junk after a gz"),
    pytest.param(gzip.compress(b"1")[:-2], "cut off", id="truncated gz"),
    pytest.param(gzip.compress(b"1")[:-8] + b"\1\2\3\4\1\0\0\0", "incorrect data check", id="gz with a wrong crc"),
    pytest.param(bz2.compress(b"1" * 99)[:-3], "cut off", id="truncated bz2"),
    pytest.param(lzma.compress(b"1" * 99)[:-3], "cut off", id="truncated xz"),
    pytest.param(lzma.compress(b"1" * 99) + b"junk", "after its end", id="junk after an xz"),
    pytest.param(zipped(), "holds no files", id="empty"),
]


@pytest.mark.parametrize(("data", "reason"), CONTRADICTIONS)
def test_an_archive_that_contradicts_itself_is_refused(bench, data, reason):
    with pytest.raises(Rejected, match=reason):
        bench.does(Unpack(), data, "a.bin")
    assert [] == list(bench.folder.iterdir())


@pytest.mark.parametrize("key", ["path", "comment"])
def test_a_huge_header_is_refused_before_it_is_read(bench, key):
    info = of_kind(tarfile.REGTYPE, pax_headers={key: "x" * 30_000_000})
    with pytest.raises(Rejected, match=r"has a header of 300000\d\d bytes"):
        bench.does(Unpack(), lzma.compress(tarred((info, b"")), preset=0))


def test_a_huge_gnu_name_is_refused(bench):
    with pytest.raises(Rejected, match=r"has a name of 500[01]"):
        bench.does(Unpack(), tarred(("x" * 5000, b""), form=tarfile.GNU_FORMAT))


def _gz_bomb(count, honest=True):
    """A gz of `count` MB of zeros, made without making them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block, out, block_size = bytes(1 << 20), [], 1 << 20
    out.append(packer.compress(block))
    out.append(packer.flush(zlib.Z_FULL_FLUSH))
    one = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    tail = struct.pack("<2I", 1, (count * block_size) % 2**32 if honest else 1)
    return b"".join(out) + one * (count - 1) + b"\3\0" + tail


def _zst_bomb(count):
    zstd = pytest.importorskip("backports.zstd")
    packer = zstd.ZstdCompressor()
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(count)), packer.flush()])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: _gz_bomb(10_000), id="gz, 10 MB to 10 GB"),
        pytest.param(lambda: _zst_bomb(300), id="zst"),
        pytest.param(lambda: bz2.compress(bytes(45_000_000)) * 20, id="bz2"),
        pytest.param(lambda: lzma.compress(bytes(100_000_000), preset=0), id="xz"),
        pytest.param(lambda: zipped(("a", bytes(100_000_000))), id="zip"),
    ],
)
def test_a_bomb_stops_soon(bench, make):
    data = make()
    began = time.monotonic()
    with pytest.raises(Rejected, match="more than 100 times its size"):
        bench.does(Unpack(), data)
    assert time.monotonic() - began < 2


def _ten_gigabytes(kind):
    """10 MB of noise, which earns it 1 GB, and 10 GB of zeros."""
    begin = PACK[kind](NOISE * 5)
    if kind == "gz":
        return begin + _gz_bomb(10_000, honest=False)
    return begin + (_zst_bomb(500) * 20 if kind == "zst" else PACK[kind](bytes(50_000_000)) * 200)


def _seven(folder):
    with (folder / "zeros").open("wb") as file:
        file.truncate(60_000_000)
    subprocess.run(["7z", "a", "-mx=1", "bomb.7z", "zeros"], cwd=folder, check=True, capture_output=True)
    return (folder / "bomb.7z").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gz", *(pytest.param(kind, marks=pytest.mark.prove) for kind in ("bz2", "xz", "zst"))])
def test_ten_megabytes_that_would_be_ten_gigabytes_are_refused_and_little_is_written(bench, kind):
    with pytest.raises(Rejected, match="more than 100 times its size"):
        bench.does(Unpack(), _ten_gigabytes(kind))
    # The noise, which is worth its room, and what it takes to see that something else has begun.
    written = sum(one.stat().st_size for one in bench.folder.parent.iterdir() if one.name.startswith("output"))
    assert written <= len(NOISE) * 5 + 2 * FREE


def test_a_7z_that_swells_is_refused_by_what_it_promises(bench, tmp_path):
    if shutil.which("7z") is None:
        pytest.skip("7z is not installed")
    with pytest.raises(Rejected, match="more than 100 times its size"):
        bench.does(Unpack(), _seven(tmp_path))
    assert [] == [one for one in bench.folder.parent.iterdir() if one.name.startswith("output")]


NOISE = random.Random(1).randbytes(2_000_000)
PACK = {
    "gz": lambda data: gzip.compress(data, 6),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": lambda data: pytest.importorskip("backports.zstd").compress(data, 1),
}


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK.keys())
def test_what_begins_to_swell_is_measured_before_it_is_written(bench, pack):
    bomb = pack(NOISE) + pack(bytes(50_000_000)) * 5
    with pytest.raises(Rejected, match="more than 100 times its size"):
        bench.does(Unpack(), bomb)
    written = sum(one.stat().st_size for one in bench.folder.parent.iterdir() if one.name.startswith("output"))
    assert written <= 2 * FREE + BLOCK


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK.keys())
def test_what_swells_in_one_place_and_is_within_the_limits_comes_out_whole(bench, pack):
    zeros = bytes(50_000_000)
    assert {"a": NOISE + zeros + NOISE} == bench.does(Unpack(), pack(NOISE) + pack(zeros) + pack(NOISE), "a.gz")
    packed = pack(tarred(("a", NOISE), ("b", zeros), ("c", NOISE)))
    assert {"x/a": NOISE, "x/b": zeros, "x/c": NOISE} == bench.does(Unpack(), packed, "x.tar")


def test_a_total_is_a_limit_too(bench):
    with pytest.raises(Rejected, match="unpacks to more than 1000000 bytes"):
        bench.does(Unpack(total="1MB", ratio=1e9), gzip.compress(bytes(3_000_000))[:-4] + b"\1\0\0\0")


def test_an_overlapping_bomb_is_refused_before_anything_is_unpacked(bench):
    with pytest.raises(Rejected, match="lie over each other"):
        bench.does(Unpack(ratio=1e9), _overlapping())
    assert 0 == len([one for one in bench.folder.parent.iterdir() if one.name.startswith("output")])


def test_a_million_empty_members_are_refused_by_their_count(bench):
    one = ONE[CENTRAL : ONE.index(b"PK\1\2", CENTRAL + 1)]
    count, begin = 1_000_000, 100
    wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(one) * count, begin)
    where = struct.pack("<4sIQI", b"PK\6\7", 0, begin + len(one) * count, 1)
    data = (
        b"PK\3\4".ljust(begin, b"\0")
        + one * count
        + wide
        + where
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    )
    began = time.monotonic()
    with pytest.raises(Rejected, match="more than 10000 files and folders"):
        bench.does(Unpack(), data)
    header = tarred((of_kind(tarfile.DIRTYPE), b""), form=tarfile.USTAR_FORMAT)[:512]
    with pytest.raises(Rejected, match=r"more than 10000 files and folders|more than 100 times"):
        bench.does(Unpack(), gzip.compress(header * 12_000, 1))
    assert time.monotonic() - began < 3


def test_what_lies_too_deep_is_refused(bench):
    data = b"1"
    for level in range(4):
        data = zipped((f"{level}.zip", data), method=zipfile.ZIP_STORED)
    with pytest.raises(Rejected, match="lies in 3 archives, the limit is 3"):
        bench.does(Unpack(), zipped(("x.zip", data)))
    with pytest.raises(Rejected, match="lies in 3 archives, the limit is 3"):
        bench.does(Unpack(), ONE, "a.zip", depth=3)


def test_a_bomb_in_archives_within_archives_stops(bench):
    data = zipped(("0", bytes(5_000_000)))
    for level in range(2):
        data = zipped(*((f"{level}{one}.zip", data) for one in range(16)))
    began = time.monotonic()
    with pytest.raises(Rejected, match="more than 100 times its size"):
        bench.does(Unpack(), data, "42.zip")
    assert time.monotonic() - began < 2


def test_more_memory_than_allowed_is_refused_with_its_reason(bench):
    packed = lzma.compress(bytes(range(256)) * 4000, filters=[{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 1 << 30}])
    with pytest.raises(Rejected, match="needs more than 512 MB of memory to open"):
        bench.does(Unpack(), packed)


def test_more_time_than_allowed_is_refused_and_work_goes_on_until_then(bench):
    with pytest.raises(Rejected, match=r"takes longer than 0\.3 s"):
        bench.does(Unpack(timeout=0.3, ratio=1e9, total="100GB"), _gz_bomb(20_000, honest=False))
    assert bench.went_on >= 1


def test_nested_archives_count_together(bench):
    inner = zipped(*((str(one), b"x") for one in range(8)))
    with pytest.raises(Rejected, match="more than 20 files and folders"):
        bench.does(Unpack(members=20), zipped(("a.zip", inner), ("b.zip", inner), ("c.zip", inner)))


@pytest.mark.parametrize(
    "raw", [b"../x", b"/x", b"C:\\x", b"CON", b"a//b", b"..", b"\0", b"", b"x" * 5000, b"y" * 400 + b"/z", b"\\\\a\\b"]
)
def test_a_safe_name_is_one_that_no_rule_refuses(raw):
    assert "" == fault(made_safe(raw))


def test_names_are_made_unique():
    taken = Taken(rename=True)
    names = [b"a.csv", b"A.csv", b"a.csv", b"a.csv/b", b"../a.csv", b"in/x", b"IN/x", b"in", b"CON"]
    given = [taken.file(name) for name in names]
    assert [b"a.csv", b"A~1.csv", b"a~2.csv", b"a.csv~1/b", b"_/a.csv", b"in/x", b"IN~1/x", b"in~2", b"_CON"] == given


@pytest.mark.parametrize(
    ("name", "single", "stem"),
    [
        (b"a.zip", False, b"a"),
        (b"a.TAR.GZ", False, b"a"),
        (b"a.tgz", False, b"a"),
        (b"a.csv.gz", True, b"a.csv"),
        (b"a.tgz", True, b"a.tar"),
        (b"a.csv", False, b"a.csv"),
        (b".zip", False, b".zip"),
    ],
)
def test_an_archive_without_its_suffixes(name, single, stem):
    assert stem == without_suffixes(name, single=single)


@pytest.mark.parametrize("kind", FORMATS)
def test_sixty_mutations_of_a_format_are_read_or_refused(tmp_path, kind):
    assert {DONE, REJECTED, LOCKED} >= {read_here(tmp_path, kind, data) for data in mutations(kind, 60, seed=1)}
    assert 3 == sum(survived(tmp_path, kind, data) for data in mutations(kind, 3, seed=1))


@pytest.mark.prove
@pytest.mark.parametrize("kind", FORMATS)
def test_thousands_of_mutations_of_a_format_are_opened_or_refused(tmp_path, kind):
    assert 4000 == sum(survived(tmp_path, kind, data) for data in mutations(kind, 4000, seed=2))
