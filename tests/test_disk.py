from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import mounted
from transload import disk
from transload.disk import copying, renaming
from transload.errors import Busy, Conflict, Denied, Full, Missing, Refused, Unreachable

HERE = -100


@pytest.fixture
def two(tmp_path):
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"second")
    return os.fsencode(tmp_path / "a"), os.fsencode(tmp_path / "b")


RENAMES = [
    pytest.param(disk.rename_new, id="renameat2"),
    pytest.param(lambda a, b: renaming._link_and_unlink(a, b, HERE, HERE), id="link"),
    pytest.param(lambda a, b: renaming._look_and_rename(a, b, None, None), id="look"),
]


@pytest.mark.parametrize("rename", RENAMES)
def test_a_rename_never_replaces(rename, two):
    with pytest.raises(FileExistsError):
        rename(*two)
    assert [b"first", b"second"] == [Path(os.fsdecode(path)).read_bytes() for path in two]


@pytest.mark.parametrize("rename", RENAMES)
def test_a_rename_leaves_one_name(rename, two, tmp_path):
    rename(two[0], two[0] + b"\xff new")
    assert [b"a\xff new", b"b"] == sorted(os.listdir(os.fsencode(tmp_path)))
    assert 1 == os.stat(two[0] + b"\xff new").st_nlink


@pytest.mark.parametrize("rename", RENAMES)
def test_a_rename_of_nothing_says_so(rename, two):
    with pytest.raises(FileNotFoundError):
        rename(two[0] + b"x", two[0] + b"y")


def test_a_rename_by_link_that_died_half_way_is_finished_by_the_next_try(two):
    os.link(two[0], two[0] + b"2")
    renaming._link_and_unlink(two[0], two[0] + b"2", HERE, HERE)
    assert not os.path.exists(two[0])
    assert b"first" == Path(os.fsdecode(two[0] + b"2")).read_bytes()


def test_a_rename_by_link_onto_itself_keeps_the_file(two):
    with pytest.raises(FileExistsError):
        renaming._link_and_unlink(two[0], two[0], HERE, HERE)
    assert os.path.exists(two[0])


@pytest.mark.parametrize("way", [disk.copy, copying._copy_range, copying._send, copying._copy_blocks])
@pytest.mark.parametrize("size", [0, 1, disk.BLOCK, disk.BLOCK + 1, 3_000_001])
def test_a_copy_is_the_same_bytes(way, size, tmp_path):
    data = os.urandom(size)
    (tmp_path / "from").write_bytes(data)
    with (tmp_path / "from").open("rb") as source, (tmp_path / "to").open("w+b") as target:
        assert size == way(source.fileno(), target.fileno(), size)
    assert hashlib.sha256(data).digest() == hashlib.sha256((tmp_path / "to").read_bytes()).digest()


def test_a_copy_of_a_file_that_is_shorter_than_told_tells_how_many_there_were(tmp_path):
    (tmp_path / "from").write_bytes(b"x" * 300_000)
    with (tmp_path / "from").open("rb") as source, (tmp_path / "to").open("wb") as target:
        assert 300_000 == disk.copy(source.fileno(), target.fileno(), 400_000)


def test_a_copy_goes_from_one_disk_to_another(tmp_path):
    data = os.urandom(600_000)
    (tmp_path / "from").write_bytes(data)
    with mounted.memory(tmp_path / "other", "size=2m") as other:
        with (tmp_path / "from").open("rb") as source, (other / "to").open("wb") as target:
            disk.copy(source.fileno(), target.fileno(), len(data))
        assert data == (other / "to").read_bytes()


def test_a_copy_to_a_full_disk_says_so(tmp_path):
    (tmp_path / "from").write_bytes(bytes(2_000_000))
    with (
        mounted.memory(tmp_path / "small", "size=1m") as small,
        (tmp_path / "from").open("rb") as source,
        (small / "to").open("wb") as target,
        pytest.raises(OSError, match="No space left"),
    ):
        disk.copy(source.fileno(), target.fileno(), 2_000_000)


def test_a_disk_in_memory_is_known(tmp_path):
    with mounted.memory(tmp_path / "memory", "size=1m") as memory:
        volume = disk.Volume(str(memory))
        assert volume.in_memory
        volume.sync(1, (pytest.fail("nothing is to be synced here") for _ in range(1)))
        volume.close()


SYNCS = """
import os, sys
from transload import disk
volume = disk.Volume(sys.argv[1])
names = [f"{sys.argv[1]}/{number}" for number in range(int(sys.argv[2]))]
for name in names:
    open(name, "w").write("x")
volume.sync(len(names), disk.opened(names))
"""


@pytest.mark.parametrize(("count", "fsyncs", "syncfss"), [(1, 1, 0), (7, 7, 0), (8, 0, 1), (256, 0, 1)])
def test_few_files_are_synced_each_and_many_at_once(count, fsyncs, syncfss, tmp_path):
    _needs_strace()
    with mounted.image(tmp_path / "disk", 16) as at:
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-o", str(trace), "-e", "trace=fsync,syncfs", sys.executable, "-c", SYNCS, str(at), str(count)]
        subprocess.run(command, check=True)
        calls = trace.read_text()
    assert (fsyncs, syncfss) == (calls.count("fsync("), calls.count("syncfs("))


def _needs_strace() -> None:
    try:
        subprocess.run(["strace", "-o", os.devnull, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs strace, and the right to use it")


def test_after_a_failed_syncfs_every_file_is_asked_for_itself(tmp_path):
    _needs_strace()
    twice = SYNCS + "volume.sync(len(names), disk.opened(names))\n"
    once = twice.replace("volume.sync(", "try: volume.sync(", 1).replace("names))\n", "names))\nexcept OSError as error: print(error)\n", 1)
    with mounted.image(tmp_path / "disk", 16) as at:
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-o", str(trace), "-e", "trace=fsync,syncfs", "-e", "inject=syncfs:error=EIO", sys.executable, "-c"]
        done = subprocess.run([*command, once, str(at), "8"], check=True, capture_output=True, text=True)
        calls = trace.read_text()
    assert "Input/output error" in done.stdout
    assert (8, 1) == (calls.count("fsync("), calls.count("syncfs("))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, Full),
        (errno.EDQUOT, Full),
        (errno.EACCES, Denied),
        (errno.EROFS, Denied),
        (errno.EISDIR, Conflict),
        (errno.ENOTDIR, Conflict),
        (errno.ENAMETOOLONG, Refused),
        (errno.ENOENT, Missing),
        (errno.EMFILE, Busy),
        (errno.EIO, Unreachable),
        (errno.ESTALE, Unreachable),
    ],
)
def test_what_a_disk_answers_is_told_by_what_to_do_about_it(code, kind):
    error = disk.told(OSError(code, os.strerror(code)), b"in/a\nb\xff")
    assert kind is type(error)
    assert f"in/a%0Ab%FF: {os.strerror(code)}" == str(error)


# Trees


@pytest.fixture
def root(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "root" / "real").mkdir(parents=True)
    (tmp_path / "root" / "real" / "file").write_bytes(b"ours")
    return tmp_path / "root"


@pytest.fixture
def tree(root):
    tree = disk.Tree(os.fsencode(root))
    yield tree
    tree.close()


def _read(tree, path):
    descriptor = tree.open(path)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_a_link_within_the_tree_is_followed(tree, root):
    (root / "link").symlink_to("real")
    (root / "file").symlink_to("link/file")
    assert b"ours" == _read(tree, b"link/file")
    assert b"ours" == _read(tree, b"file")
    assert 4 == tree.stat(b"file").st_size


@pytest.mark.parametrize("target", ["../outside", "{root}/../outside", "real/../../outside"])
def test_a_link_out_of_the_tree_is_refused(target, tree, root):
    (root / "link").symlink_to(target.format(root=root))
    (root / "file").symlink_to(f"{target}/secret".format(root=root))
    for ask in (tree.open, tree.stat):
        for path in (b"link/secret", b"file"):
            with pytest.raises(Refused, match="leads out"):
                ask(path)
    with pytest.raises(Refused, match="leads out"):
        tree.folder(b"link/new", make=True)
    assert ["secret"] == os.listdir(root.parent / "outside")


def test_a_sibling_whose_name_begins_alike_is_outside(tree, root):
    (root.parent / "root-2").mkdir()
    (root / "link").symlink_to("../root-2")
    with pytest.raises(Refused, match="leads out"):
        tree.folder(b"link")


def test_a_link_to_nothing_is_made_a_folder_only_within_the_tree(tree, root):
    (root / "in").symlink_to("later")
    (root / "out").symlink_to("../later")
    tree.folder(b"in/deep", make=True)
    with pytest.raises(Refused, match="leads out"):
        tree.folder(b"out/deep", make=True)
    assert (root / "later" / "deep").is_dir()
    assert not (root.parent / "later").exists()


def test_links_in_a_circle_end(tree, root):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    for path in (b"a", b"a/x"):
        with pytest.raises((OSError, Refused)):
            tree.open(path)


def test_a_thousand_folders_and_two_thousand_levels_need_few_descriptors(tree):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1000):
        tree.folder(b"%d/x" % number, make=True)
    deep = tree.folder(b"/".join([b"d"] * 2000), make=True)
    assert os.path.isdir(f"/proc/self/fd/{deep.descriptor}")
    assert len(os.listdir("/proc/self/fd")) < before + 150


def test_a_folder_that_becomes_a_link_while_it_is_used_never_leads_out(root):
    """Somebody swaps a folder for a link as fast as possible."""
    stop = threading.Event()
    good, evil, at = root / "good", root / "evil", root / "spot"
    good.mkdir()
    (good / "secret").write_bytes(b"ours")
    evil.symlink_to("../outside")

    def swap() -> None:
        while not stop.is_set():
            good.rename(at)
            at.rename(good)
            evil.rename(at)
            at.rename(evil)

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen, until = set(), time.monotonic() + 1
    try:
        while time.monotonic() < until:
            tree = disk.Tree(os.fsencode(root))
            try:
                seen.add(_read(tree, b"spot/secret"))
            except (OSError, Refused) as error:
                seen.add(type(error))
            finally:
                tree.close()
    finally:
        stop.set()
        swapping.join()
    assert b"secret" not in seen
    assert {b"ours", Refused} <= seen


def _holed(path: Path, size: int, *written: tuple[int, bytes]) -> bytes:
    with path.open("wb") as file:
        file.truncate(size)
        for at, data in written:
            file.seek(at)
            file.write(data)
    return path.read_bytes()


@pytest.mark.parametrize("way", [disk.copy, copying._copy_range])
@pytest.mark.parametrize(
    "written",
    [[], [(0, b"begin")], [(5_000_000, b"middle" * 5000)], [(9_999_990, b"at the end")], [(0, b"a"), (4 << 20, b"b"), (9_999_999, b"c")]],
    ids=["nothing", "begin", "middle", "end", "all three"],
)
def test_a_copy_of_a_file_with_holes_is_the_same_bytes_and_has_holes(way, written, tmp_path):
    data = _holed(tmp_path / "a", 10_000_000, *written)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("w+b") as target:
        assert len(data) == way(source.fileno(), target.fileno(), len(data))
    assert data == (tmp_path / "b").read_bytes()
    assert (tmp_path / "b").stat().st_blocks <= (tmp_path / "a").stat().st_blocks + 16


def test_blocks_of_zeros_are_appended_as_holes(tmp_path):
    blocks = [b"\0" * 100_000, b"x" * 100, b"\0" * 100_000, b"\0" * 70_000 + b"y" + b"\0" * 70_000, b"\0" * 50, b"\0" * 1_000_000]
    size = 0
    with (tmp_path / "a").open("w+b") as file:
        for block in blocks:
            disk.append(file.fileno(), memoryview(block), size)
            size += len(block)
            assert size == os.fstat(file.fileno()).st_size
    assert b"".join(blocks) == (tmp_path / "a").read_bytes()
    assert (tmp_path / "a").stat().st_blocks * 512 < 400_000
