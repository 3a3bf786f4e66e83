"""A user's home: what is seen of it, and that no link, name or race leads out of it."""

from __future__ import annotations

import errno
import os
import random
import socket
import stat
import threading
import time

import pytest

from tests import mounted
from transload import disk
from transload.accounts import Limits
from transload.disk import beneath
from transload.errors import Busy, Conflict, Denied, Full, Missing, Refused, Rejected, TransloadError
from transload.servers.base import KEPT, RESERVED
from transload.servers.home import Homes
from transload.servers.quota import Hold, counted
from transload.servers.visit import beneath as below


@pytest.fixture
def home(tmp_path):
    return Homes(tmp_path / "inbox").of("ann", "ann")


@pytest.fixture
def folder(home):
    return os.fsdecode(home.root)


def write(path, text="hello"):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


# What is seen


@pytest.mark.parametrize("at", [b"", b"deep", b"deep/er"])
def test_the_way_to_a_folder_leads_to_what_is_in_it_each_time(home, folder, at):
    os.makedirs(f"{folder}/deep/er")
    write(os.path.join(folder, os.fsdecode(at), "a"))
    for _ in range(2):
        with home.way(at) as way:
            assert 5 == os.stat(b"a", dir_fd=way).st_size
    with pytest.raises(Missing), home.way(b"nope"):
        pass
    with pytest.raises(Conflict), home.way(b"a" if not at else at + b"/a"):
        pass


def test_a_home_is_made_for_its_user_alone(home, tmp_path):
    assert 0o700 == stat.S_IMODE(os.stat(tmp_path / "inbox" / "ann").st_mode)


def test_a_home_may_lie_anywhere_and_its_folder_stays_as_it_is(tmp_path):
    (tmp_path / "shared").mkdir(mode=0o750)
    home = Homes(tmp_path / "inbox").of("bob", str(tmp_path / "shared"))
    home.make_folder(b"x")
    assert (tmp_path / "shared" / "x").is_dir()
    assert 0o750 == stat.S_IMODE(os.stat(tmp_path / "shared").st_mode)


def test_a_home_that_cannot_be_made_is_an_error_and_not_another_place(tmp_path):
    write(tmp_path / "file")
    with pytest.raises(TransloadError):
        Homes(tmp_path).of("bob", "file/bob")
    with pytest.raises(TransloadError):
        Homes(tmp_path).of("bob", "file")


def test_files_and_folders_are_listed_and_all_else_is_not_there(home, folder):
    write(f"{folder}/a.csv")
    os.mkdir(f"{folder}/in")
    os.mkfifo(f"{folder}/pipe")
    os.symlink("a.csv", f"{folder}/link")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{folder}/socket")
    assert {b"a.csv": False, b"in": True} == {one.name: one.folder for one in home.items(b"")}
    assert 5 == home.item(b"a.csv").size
    for name in (b"pipe", b"link", b"socket"):
        with pytest.raises(Missing):
            home.item(name)
        with pytest.raises(Missing):
            home.read(name)
        with pytest.raises(Conflict):
            home.check_new(name)


def test_names_are_bytes_and_those_that_are_no_text_stay_apart(home, folder):
    names = {b"\xff", b"\xc3\xbf", b"a\tb", b"\xe2\x80\xae.csv", b"x" * 255, b" -", b"%46", b"\\", b"\xf0\x9f\x92\xbe"}
    for name in names:
        os.close(os.open(os.fsencode(folder) + b"/" + name, os.O_CREAT))
    assert names == {one.name for one in home.items(b"")}
    assert all(name == home.item(name).name for name in names)


def test_a_cut_upload_shows_under_its_name_until_a_whole_file_has_it(home, folder):
    write(os.fsencode(folder) + b"/" + KEPT + b"big.bin", "12345678")
    write(os.fsencode(folder) + b"/" + RESERVED + b"new.1", "x")
    assert [(b"big.bin", 8)] == [(one.name, one.size) for one in home.items(b"")]
    assert 8 == home.item(b"big.bin").size
    with pytest.raises(Busy, match="not complete"):
        home.read(b"big.bin")
    write(f"{folder}/big.bin", "whole")
    assert [(b"big.bin", 5)] == [(one.name, one.size) for one in home.items(b"")]
    assert 5 == home.item(b"big.bin").size


def test_an_open_file_is_the_same_whatever_becomes_of_its_name(home, folder):
    write(f"{folder}/a")
    with_it = home.read(b"a")
    os.unlink(f"{folder}/a")
    assert b"hello" == os.pread(with_it.fileno(), 9, 0)
    assert 5 == with_it.size
    with_it.close()
    with_it.close()


def test_folders_are_made_and_removed_when_they_are_empty(home, folder):
    home.make_folder(b"in")
    home.make_folder(b"in/deep")
    with pytest.raises(Conflict):
        home.make_folder(b"in")
    with pytest.raises(Missing):
        home.make_folder(b"no/where")
    with pytest.raises(Conflict):
        home.remove_folder(b"in")
    home.remove_folder(b"in/deep")
    write(f"{folder}/file")
    with pytest.raises(Conflict):
        home.remove_folder(b"file")
    with pytest.raises(Conflict), home.folder(b"file"):
        pass
    home.remove_folder(b"in")
    assert [b"file"] == [one.name for one in home.items(b"")]


def test_what_a_dead_server_left_does_not_keep_a_folder_from_being_removed(home, folder):
    home.make_folder(b"in")
    left = os.fsencode(folder) + b"/in/" + RESERVED + b"new.abc.1"
    write(left)
    with pytest.raises(Conflict):
        home.remove_folder(b"in")
    os.utime(left, (time.time() - 7200,) * 2)
    home.remove_folder(b"in")
    assert [] == list(home.items(b""))


def test_a_cut_upload_keeps_its_folder_from_being_removed(home, folder):
    home.make_folder(b"in")
    write(os.fsencode(folder) + b"/in/" + KEPT + b"a")
    os.utime(os.fsencode(folder) + b"/in/" + KEPT + b"a", (1, 1))
    with pytest.raises(Conflict):
        home.remove_folder(b"in")
    assert [b"a"] == [one.name for one in home.items(b"in")]


@pytest.mark.parametrize(("asked", "becomes"), [(0o640, 0o640), (0o6777, 0o777), (0o1755, 0o755), (0, 0), (0o7777, 0o777)])
def test_mode_bits_are_set_and_no_others(home, folder, asked, becomes):
    write(f"{folder}/a")
    home.set_mode(b"a", asked)
    assert becomes == stat.S_IMODE(os.stat(f"{folder}/a").st_mode)


def test_a_folder_stays_one_that_the_server_can_enter(home, folder):
    home.make_folder(b"in")
    home.set_mode(b"in", 0o2000)
    assert 0o700 == stat.S_IMODE(os.stat(f"{folder}/in").st_mode)


@pytest.mark.parametrize("modified", [0, 1, 1_234_567_890_123_456, -86_400_000_000])
def test_times_are_set_to_the_microsecond(home, folder, modified):
    write(f"{folder}/a")
    home.set_time(b"a", modified)
    assert modified == home.item(b"a").modified


@pytest.mark.parametrize("year", [-(10**6), 1601, 9999, 10**9, 10**30])
def test_a_time_that_the_disk_cannot_hold_is_refused_and_changes_nothing(home, folder, year):
    write(f"{folder}/a")
    home.set_time(b"a", 1000)
    with pytest.raises(Refused, match="cannot hold"):
        home.set_time(b"a", (year - 1970) * 31_556_952_000_000)
    assert 1000 == home.item(b"a").modified


def test_a_name_too_long_is_refused_before_a_byte_comes(home):
    home.check_new(b"x" * 255)
    with pytest.raises(Refused, match="256 bytes"):
        home.check_new(b"x" * 256)
    with pytest.raises(Refused):
        home.make_folder(b"x" * 256)
    with pytest.raises(TransloadError):
        home.item(b"x" * 256)


# No way out


OUTSIDE = (
    b"link",
    b"link/secret",
    b"link/../secret",
    b"deep/link",
    b"deep/link/secret",
    b"file/secret",
    b"here",
    b"here/a",
    b"loop",
    b"loop/a",
)


@pytest.fixture
def linked(home, folder, tmp_path):
    """Links that the operator made, out of the home and within it."""
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "secret", "secret")
    os.mkdir(f"{folder}/deep")
    os.symlink(tmp_path / "out", f"{folder}/link")
    os.symlink("../../out", f"{folder}/deep/link")
    os.symlink(tmp_path / "out" / "secret", f"{folder}/file")
    os.symlink("deep", f"{folder}/here")
    os.symlink("loop", f"{folder}/loop")
    write(f"{folder}/deep/a")
    return home


@pytest.mark.parametrize("by", ["kernel", "steps"])
@pytest.mark.parametrize("path", OUTSIDE)
def test_no_link_is_followed_out_of_a_home_or_within_it(linked, tmp_path, monkeypatch, path, by):
    if by == "steps":
        monkeypatch.setattr(disk, "open_beneath", beneath.step_by_step)
    before = sorted(os.listdir(tmp_path / "out"))
    tries = (
        linked.item,
        linked.read,
        lambda at: list(linked.items(at)),
        linked.remove_folder,
        lambda at: linked.make_folder(at + b"/new"),
        lambda at: linked.check_new(at + b"/new"),
        lambda at: linked.set_mode(at, 0o777),
        lambda at: linked.set_time(at, 0),
        lambda at: linked.folder(at).__enter__(),
        lambda at: linked.beside(at + b"/x").__enter__(),
    )
    for one in tries:
        with pytest.raises((Missing, Conflict, Refused)):
            one(path)
    assert before == sorted(os.listdir(tmp_path / "out"))
    assert linked.kept(path) is None


def test_both_ways_of_opening_agree(linked, folder):
    top = os.open(folder, os.O_PATH)
    paths = [b"deep", b"deep/a", b"nope", b"deep/nope", *OUTSIDE]
    for path in paths:
        for flags in (os.O_RDONLY, os.O_RDONLY | os.O_DIRECTORY, os.O_PATH | os.O_DIRECTORY):
            found = []
            for way in (disk.open_beneath, beneath.step_by_step):
                try:
                    descriptor = way(top, path, flags)
                except OSError as error:
                    found.append({errno.ELOOP: errno.ENOTDIR, errno.EXDEV: errno.ENOTDIR}.get(error.errno, error.errno))
                else:
                    found.append(os.fstat(descriptor).st_ino)
                    os.close(descriptor)
            assert found[0] == found[1], (path, flags)
    os.close(top)


def test_a_home_is_the_folder_that_it_was_though_its_name_leads_elsewhere(home, folder, tmp_path):
    """Whoever swaps the home itself while sessions are in it gains nothing."""
    (tmp_path / "out").mkdir()
    write(tmp_path / "out" / "secret")
    os.rename(folder, tmp_path / "moved")
    os.symlink(tmp_path / "out", folder)
    assert [] == list(home.items(b""))
    home.make_folder(b"in")
    assert ["in"] == os.listdir(tmp_path / "moved")


class Swapping:
    """A folder of the home that is swapped for a link to `outside` and back, while others do all they can in it."""

    def __init__(self, home, outside):
        self.home, self.outside, self.done, self.escapes = home, outside, 0, []
        self.stop = threading.Event()
        os.mkdir(home.root + b"/way")
        for name in (b"a", b"b"):
            write(home.root + b"/way/" + name, "inside")
        write(f"{outside}/a", "SECRET OUTSIDE")
        os.mkdir(f"{outside}/sub")
        os.symlink(outside, home.root + b"/trap")
        self.before = self.seen()

    def seen(self):
        return {one.name: (one.stat().st_mtime_ns, one.stat().st_mode) for one in os.scandir(self.outside)}

    def look(self, _):
        assert 6 == self.home.item(b"way/a").size

    def read(self, _):
        found = self.home.read(b"way/a")
        text = os.pread(found.fileno(), 99, 0)
        found.close()
        assert b"inside" == text

    def items(self, _):
        assert b"sub" not in {one.name for one in self.home.items(b"way")}

    def rename(self, _):
        for old, new in ((b"b", b"c"), (b"c", b"b")):
            with self.home.beside(b"way/" + old) as (at, base):
                disk.rename_new(base, new, at, at)

    def change(self, dice):
        self.home.set_time(b"way/a", dice.randrange(10**15))
        self.home.set_mode(b"way/a", 0o644)
        self.home.make_folder(b"way/new")
        self.home.remove_folder(b"way/new")

    def play(self, what, seed):
        dice = random.Random(seed)
        while not self.stop.is_set():
            try:
                what(dice)
                self.done += 1
            except (Missing, Conflict, Denied):
                pass
            except BaseException as error:  # noqa: BLE001
                self.escapes.append(error)
                return

    def swap(self, times):
        acts = (self.look, self.read, self.items, self.rename, self.change)
        threads = [threading.Thread(target=self.play, args=(what, seed)) for seed, what in enumerate(acts)]
        for one in threads:
            one.start()
        way, trap, aside = (self.home.root + b"/" + name for name in (b"way", b"trap", b"aside"))
        for _ in range(times // 2):
            disk.rename_new(way, aside)
            disk.rename_new(trap, way)
            disk.rename_new(way, trap)
            disk.rename_new(aside, way)
        self.stop.set()
        for one in threads:
            one.join()


def swapped(home, outside, times):
    outside.mkdir()
    game = Swapping(home, outside)
    game.swap(times)
    assert [] == game.escapes
    assert game.before == game.seen()
    assert game.done > 10


@pytest.mark.parametrize("by", ["kernel", "steps"])
def test_a_folder_swapped_for_a_link_20000_times_lets_nobody_out(home, tmp_path, monkeypatch, by):
    if by == "steps":
        monkeypatch.setattr(disk, "open_beneath", beneath.step_by_step)
    swapped(home, tmp_path / "out", 20_000)


@pytest.mark.prove
@pytest.mark.parametrize("by", ["kernel", "steps"])
def test_a_folder_swapped_for_a_link_100000_times_lets_nobody_out(home, tmp_path, monkeypatch, by):
    if by == "steps":
        monkeypatch.setattr(disk, "open_beneath", beneath.step_by_step)
    swapped(home, tmp_path / "out", 100_000)


# Names


@pytest.mark.parametrize(
    ("path", "is_"),
    [
        (b"", b""),
        (b"/", b""),
        (b"//", b""),
        (b"/.", b""),
        (b"/..", b""),
        (b"/../../..", b""),
        (b"a", b"a"),
        (b"/a/../b", b"b"),
        (b"/a/./b//c/", b"a/b/c"),
        (b"../../etc/passwd", b"etc/passwd"),
        (b"/a/../../../etc", b"etc"),
        (b"/...", b"..."),
        (b"/..a/b..", b"..a/b.."),
        (b"/\\..\\..\\x", b"\\..\\..\\x"),
        (b"/a\0/..", b""),
    ],
)
def test_a_path_is_what_its_text_says_and_never_above_the_home(path, is_):
    assert is_ == below(path)


PIECES = (
    b"..",
    b".",
    b"",
    b"a",
    b"deep",
    b"link",
    b"here",
    b"file",
    b"\xff",
    b"\xe2\x80\xae",
    b"..\xc0\xaf",
    b"%2e%2e",
    b"\\",
    b"\n",
    b"\0",
    b" ",
    b"~",
    b"x" * 300,
)


def test_100000_names_of_any_kind_never_leave_the_home(linked, tmp_path):
    from transload.model import Name

    dice = random.Random(7)
    outside = os.stat(tmp_path / "out" / "secret").st_ino, os.stat(tmp_path / "out").st_ino, os.stat(tmp_path).st_ino
    inside = {os.fstat(os.open(linked.root, os.O_PATH)).st_ino}
    for above, folders, files in os.walk(linked.root):
        inside |= {os.lstat(os.path.join(above, name)).st_ino for name in (*folders, *files)}
    for _ in range(100_000):
        parts = [dice.choice(PIECES) if dice.random() < 0.9 else dice.randbytes(dice.randrange(9)) for _ in range(dice.randrange(1, 8))]
        path = dice.choice((b"", b"/", b"//")) + b"/".join(parts)
        at = below(path)
        try:
            if at:
                Name(at)
            found = linked.look(at)
        except (Missing, Conflict, Refused, Rejected):
            continue
        assert found.st_ino in inside
        assert found.st_ino not in outside


# Room


def test_bytes_and_files_are_counted_from_the_disk_cut_ones_too(home, folder):
    os.makedirs(f"{folder}/a/b")
    write(f"{folder}/a/b/x", "12345")
    write(f"{folder}/y", "12")
    write(os.fsencode(folder) + b"/" + KEPT + b"z", "1234")
    write(os.fsencode(folder) + b"/" + RESERVED + b"new.1", "1234567")
    os.symlink("/", f"{folder}/root")
    home.stock.look()
    assert (11, 3) == home.stock.used()


def test_a_home_deeper_than_any_path_is_counted(home, folder):
    here = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(60):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        write("file")
    finally:
        os.chdir(here)
    descriptor = os.open(folder, os.O_PATH)
    assert (5, 1) == counted(descriptor)
    os.close(descriptor)


def test_room_is_that_of_the_disk(home, folder):
    total, left = home.room()
    assert 0 < left <= total


def test_a_hold_stops_at_the_quota_and_gives_back_what_was_not_used(home):
    limits = Limits(quota=100, quota_files=2)
    one, two = (Hold(home.stock, limits, file=True) for _ in range(2))
    with pytest.raises(Full, match="2 files"):
        Hold(home.stock, limits, file=True)
    one(60)
    two(40)
    with pytest.raises(Full, match="100 B"):
        two(41)
    assert (100, 2) == home.stock.used()
    one.settle(0, 0)
    one.settle(0, 0)
    two(100)
    two.settle(100, 1)
    assert (100, 1) == home.stock.used()
    Hold(home.stock, limits, file=True).settle(0, 0)


def test_what_an_upload_replaces_is_room_for_it(home, folder):
    write(f"{folder}/a", "x" * 90)
    hold = Hold(home.stock, Limits(quota=100), file=True)
    hold.instead(90)
    hold(95)
    with pytest.raises(Full):
        hold(101)
    hold.settle(5, 0)
    assert (95, 1) == home.stock.used()


def test_what_was_only_announced_takes_no_room_from_others(home):
    hold = Hold(home.stock, Limits(quota=100, max_size=1000), file=False)
    hold.fits(100)
    with pytest.raises(Full):
        hold.fits(101)
    with pytest.raises(Refused, match="larger"):
        hold.fits(1001)
    assert (0, 0) == home.stock.used()
    hold.fits(50)
    hold(100)
    assert (100, 0) == home.stock.used()


def test_what_the_operator_removes_makes_room_without_a_restart(home, folder, monkeypatch):
    monkeypatch.setattr("transload.servers.quota._COUNT_AGAIN", 0.0)
    monkeypatch.setattr("transload.servers.quota._SHARE", 0)
    write(f"{folder}/a", "x" * 100)
    hold = Hold(home.stock, Limits(quota=100), file=True)
    with pytest.raises(Full):
        hold(1)
    os.unlink(f"{folder}/a")
    hold(100)
    hold.settle(0, 0)


def test_users_who_share_a_folder_share_what_may_lie_in_it(tmp_path):
    homes = Homes(tmp_path)
    ann, bob = homes.of("ann", "both"), homes.of("bob", str(tmp_path / "x" / ".." / "both"))
    assert ann.stock is bob.stock
    assert ann.stock is not homes.of("ann", "other").stock


def test_eight_threads_together_get_just_what_the_quota_lets(home):
    limits = Limits(quota=1_000_000)
    got = []

    def take():
        hold, size = Hold(home.stock, limits, file=True), 0
        try:
            while True:
                hold(size + 7)
                size += 7
        except Full:
            got.append(size)
            hold.settle(size, 1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert 1_000_000 - 7 < sum(got) <= 1_000_000
    assert (sum(got), 8) == home.stock.used()


def test_a_full_disk_is_told_as_such_and_the_home_goes_on(tmp_path):
    with mounted.memory(tmp_path / "small", "size=1m,nr_inodes=8") as at:
        home = Homes(at).of("ann", "ann")
        with pytest.raises(Full):
            for number in range(20):
                home.make_folder(b"%d" % number)
        assert len(list(home.items(b""))) > 1
        home.remove_folder(b"0")
        home.make_folder(b"again")
        total, left = home.room()
        assert total == 1 << 20
        assert left <= total
        home.close()
