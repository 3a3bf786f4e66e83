"""Quotas and full disks: where an upload stops, and what is whole all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import mounted
from tests.servers.staying import LANDINGS, Inn, get, names, put, remove, rename
from transload.errors import Conflict, Denied, Full, Missing, TransloadError
from transload.servers.base import KEPT, RESERVED
from transload.servers.home import Homes

MIB = 1 << 20
BLOCK = b"x" * 65_536


@pytest.fixture(params=LANDINGS)
def inn(request, tmp_path):
    (tmp_path / "inbox").mkdir()
    with LANDINGS[request.param](tmp_path) as landing:
        yield Inn(tmp_path / "inbox", landing)


def on_disk(home):
    """The bytes and files in a home: all that its user can see or resume."""
    found = [one for one in Path(os.fsdecode(home.root)).rglob("*") if one.is_file()]
    sizes = [one.stat().st_size for one in found if not (name := os.fsencode(one.name)).startswith(RESERVED) or name.startswith(KEPT)]
    return sum(sizes), len(sizes)


def until_full(visit, path, block=BLOCK):
    """Upload for as long as it goes; how many bytes that were."""
    upload = visit.upload(path)
    try:
        while True:
            upload.write(block)
    except Full:
        size = upload.size
        upload.cut("it is full")
        return size


def test_a_transfer_stops_within_a_mebibyte_of_the_quota(inn):
    visit = inn.visit(quota=5_000_000)
    put(visit, b"a", b"x" * 1_000_000)
    assert 4_000_000 - MIB < until_full(visit, b"b") <= 4_000_000
    assert visit.home.stock.used() == on_disk(visit.home)
    assert on_disk(visit.home)[0] <= 5_000_000
    assert visit.room()[1] < MIB
    assert b"x" * 1_000_000 == get(visit, b"a")


def test_one_that_was_too_large_keeps_no_other_out(inn):
    visit = inn.visit(quota=1_000_000)
    put(visit, b"a", b"a" * 400_000)
    assert 500_000 < until_full(visit, b"too large")
    put(visit, b"b", b"b" * 400_000)
    assert {b"a", b"b"} == set(names(visit))
    assert (800_000, 2) == visit.home.stock.used() == on_disk(visit.home)
    with pytest.raises(Full):
        put(visit, b"c", b"c" * 400_000)


def test_cut_uploads_give_way_the_oldest_first_and_only_where_that_is_enough(inn):
    visit = inn.visit(quota=1000, quota_files=4)
    put(visit, b"a", b"a" * 300)
    for age, name in enumerate((b"young", b"old")):
        upload = visit.upload(name)
        upload.write(b"x" * 300)
        upload.cut("the line broke")
        kept = os.path.join(visit.home.root, KEPT + name)
        os.utime(kept, (1_000_000 - age, 1_000_000 - age))
    with pytest.raises(Full):
        visit.upload(b"b", size=701)
    assert {b"a", b"young", b"old"} == set(names(visit))
    put(visit, b"b", b"b" * 350, size=350)
    assert {b"a", b"young", b"b"} == set(names(visit))
    put(visit, b"young", b"x" * 20, offset=300)
    assert 320 == len(get(visit, b"young"))
    assert visit.home.stock.used() == on_disk(visit.home)


def test_what_was_announced_and_does_not_fit_is_refused_before_a_byte_comes(inn):
    visit = inn.visit(quota=1000)
    with pytest.raises(Full, match=r"1\.0 kB"):
        visit.upload(b"a", size=1001)
    put(visit, b"a", b"x" * 1000, size=1000)
    assert (1000, 0) == visit.room()


def test_files_are_counted_too_and_what_is_removed_makes_room(inn):
    visit = inn.visit(quota_files=3)
    for name in (b"a", b"b", b"c"):
        put(visit, name)
    with pytest.raises(Full, match="3 files"):
        visit.upload(b"d")
    with pytest.raises(Full, match="3 files"):
        visit.upload(b"a")  # the older one would stay as a version
    remove(visit, b"a")
    put(visit, b"d")
    rename(visit, b"d", b"e")
    assert 3 == visit.home.stock.used()[1] == on_disk(visit.home)[1]


def test_the_old_file_stays_whole_when_the_new_one_does_not_fit(inn):
    visit = inn.visit(quota=100_000, arrival='{"exists": "replace"}')
    put(visit, b"a", b"old" * 10_000)
    assert until_full(visit, b"a", b"new" * 10_000) >= 60_000
    assert b"old" * 10_000 == get(visit, b"a")
    remove(visit, b"a")
    assert (0, 0) == visit.home.stock.used() == on_disk(visit.home) or b"a" in names(visit)
    put(inn.visit("bob", quota=100, arrival='{"exists": "replace"}'), b"a", b"1" * 90)
    put(inn.visit("bob", quota=100, arrival='{"exists": "replace"}'), b"a", b"2" * 95)


def test_whatever_ends_an_upload_the_stock_is_what_lies_on_the_disk(inn):
    visit = inn.visit(quota=10_000_000, min_size=2)
    put(visit, b"a", b"12345")
    put(visit, b"a", b"123456")
    visit.upload(b"gone").discard()
    for how in ("cut", "discard"):
        upload = visit.upload(b"b")
        upload.write(b"123")
        assert visit.home.stock.used()[0] >= 14
        getattr(upload, how)(*(["the line broke"] if how == "cut" else []))
        assert visit.home.stock.used() == on_disk(visit.home)
    with pytest.raises(TransloadError):
        put(visit, b"c", b"1")
    assert visit.home.stock.used() == on_disk(visit.home)
    put(visit, b"b", b"4567", offset=3)
    assert visit.home.stock.used() == on_disk(visit.home)
    put(visit, b"b", b"89", append=True)
    rename(visit, b"b", b"c2")
    upload = visit.upload(b"d")
    upload.write_at(1000, b"1234")
    upload.cut_to(10)
    upload.cut("gone")
    remove(visit, b"d")
    with pytest.raises(Missing):
        visit.upload(b"no/where")
    assert visit.home.stock.used() == on_disk(visit.home)


def test_eight_sessions_at_once_never_pass_the_quota_and_use_it_up(inn):
    quota, faults = 8_000_000, []
    home = inn.visit(quota=quota).home

    def play(number):
        visit = inn.visit(quota=quota)
        try:
            for turn in range(200):
                put(visit, b"%d-%d" % (number, turn), BLOCK[: 30_000 + 100 * number])
        except Full:
            pass
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=play, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [] == faults
    assert home.stock.used() == on_disk(home)
    assert quota - MIB < on_disk(home)[0] <= quota


def test_sessions_that_do_all_sorts_of_things_at_once_are_counted_exactly(inn, monkeypatch):
    monkeypatch.setattr("transload.servers.quota._COUNT_AGAIN", 0.0)
    monkeypatch.setattr("transload.servers.quota._SHARE", 0)
    home, faults = inn.visit(quota=50_000_000).home, []

    def play(number):
        visit = inn.visit(quota=50_000_000, quota_files=10_000)
        own, shared = b"own-%d" % number, b"shared"
        acts = (
            lambda turn: put(visit, own, b"x" * (1000 + turn)),
            lambda turn: put(visit, shared, b"y" * (100 * number + turn)),
            lambda turn: remove(visit, own if turn % 3 else shared),
            lambda turn: rename(visit, shared, b"moved-%d-%d" % (number, turn)),
            lambda _: visit.upload(b"cut").cut("gone"),
            lambda _: _half(visit, b"half"),
            lambda _: put(visit, b"half", b"rest", offset=visit.item(b"half").size),
            lambda turn: visit.make_folder(b"f%d" % turn),
            lambda turn: put(visit, b"f%d/x" % turn, b"x" * 100),
            lambda turn: rename(visit, b"f%d" % turn, b"g%d-%d" % (turn, number)),
            lambda _: visit.home.stock.look(again=True),
        )
        for turn in range(25):
            for act in acts:
                try:
                    act(turn)
                except (Missing, Conflict, TransloadError) as error:
                    if type(error) is TransloadError:
                        faults.append(error)
                except BaseException as error:  # noqa: BLE001
                    faults.append(error)

    threads = [threading.Thread(target=play, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [] == faults
    assert home.stock.used() == on_disk(home)


def _half(visit, path):
    upload = visit.upload(path)
    upload.write(b"z" * 500)
    upload.cut("gone")


DYING = """
import sys
from pathlib import Path
from tests.servers.staying import LANDINGS, Inn, put
folder = Path(sys.argv[1])
with LANDINGS[sys.argv[2]](folder) as landing:
    inn = Inn(folder / "inbox", landing)
    visit = inn.visit(quota=3_000_000)
    for number in range(10):
        put(visit, b"%d" % number, b"x" * 100_000)
    cut = visit.upload(b"cut")
    cut.write(b"y" * 500_000)
    cut.cut("gone")
    open_ones = [visit.upload(b"open-%d" % number) for number in range(4)]
    for one in open_ones:
        one.write(b"z" * 200_000)
    print(*visit.home.stock.used(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", LANDINGS)
def test_the_quota_is_right_after_the_server_was_killed(tmp_path, kind):
    (tmp_path / "inbox").mkdir()
    command = [sys.executable, "-c", DYING, str(tmp_path), kind]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as dying:
        used = dying.stdout.readline().split()
        dying.kill()
    assert ["2300000", "15"] == used
    # What was under way is kept where the landing knows whose it is, less a byte each, as all may have come of it; of this ledger "ann"
    # is no user.
    kept = (2_299_996, 15) if kind == "folder" else (1_500_000, 11)
    with LANDINGS[kind](tmp_path) as landing:
        inn = Inn(tmp_path / "inbox", landing)
        visit = inn.visit(quota=3_000_000)
        assert kept == visit.home.stock.used() == on_disk(visit.home)
        assert 3_000_000 - kept[0] - MIB < until_full(visit, b"more")
        assert visit.home.stock.used() == on_disk(visit.home)
        assert 3_000_000 - MIB < on_disk(visit.home)[0] <= 3_000_000


def test_a_disk_that_is_full_while_a_file_is_uploaded_again_leaves_the_old_one(tmp_path):
    with mounted.memory(tmp_path / "small", "size=2m") as small:
        (small / "inbox").mkdir()
        with LANDINGS["folder"](small) as landing:
            visit = Inn(small / "inbox", landing).visit(arrival='{"exists": "replace"}')
            put(visit, b"a", b"old" * 200_000)
            assert until_full(visit, b"a") < 2 * MIB
            assert b"old" * 200_000 == get(visit, b"a")
            with pytest.raises(Full):
                put(visit, b"b", b"x" * (2 * MIB))
            for name in (b"a", b"b"):
                try:
                    remove(visit, name)
                except Missing:
                    continue
            # What was cut of `a` shows now that the whole file is gone; without it, all room is there again.
            if names(visit):
                remove(visit, b"a")
            put(visit, b"c", b"x" * 1_500_000)
            assert [b"c"] == names(visit)
        visit.home.close()


@pytest.mark.parametrize("kind", LANDINGS)
def test_a_folder_swapped_for_a_link_lets_no_upload_rename_or_removal_out(tmp_path, kind):
    (tmp_path / "inbox").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"SECRET")
    stop, faults, done = threading.Event(), [], [0] * 5
    with LANDINGS[kind](tmp_path) as landing:
        inn = Inn(tmp_path / "inbox", landing)
        visit = inn.visit()
        visit.make_folder(b"way")
        put(visit, b"way/a")
        home = inn.folder / "ann"
        os.symlink(outside, home / "trap")

        def play(number, act):
            turn = 0
            while not stop.is_set():
                turn += 1
                try:
                    act(turn)
                    done[number] += 1
                except (Missing, Conflict, Denied, Full):
                    continue
                except BaseException as error:  # noqa: BLE001
                    faults.append(error)
                    return

        def read(_):
            assert b"hello" == get(visit, b"way/a")

        acts = (
            read,
            lambda turn: put(visit, b"way/new-%d" % (turn % 5)),
            lambda turn: rename(visit, b"way/new-%d" % (turn % 5), b"way/moved-%d" % turn),
            lambda turn: remove(visit, b"way/moved-%d" % turn),
            lambda turn: _half(visit, b"way/cut-%d" % (turn % 3)),
        )
        threads = [threading.Thread(target=play, args=one) for one in enumerate(acts)]
        for one in threads:
            one.start()
        way, trap, aside = home / "way", home / "trap", home / "aside"
        for _ in range(10_000):
            os.rename(way, aside)
            os.rename(trap, way)
            os.rename(way, trap)
            os.rename(aside, way)
        stop.set()
        for one in threads:
            one.join()
    assert [] == faults
    assert ["a"] == os.listdir(outside)
    assert b"SECRET" == (outside / "a").read_bytes()
    assert all(done[:2])
    assert os.path.islink(trap)


def test_cut_uploads_count_so_that_they_cannot_be_heaped_up(inn):
    visit = inn.visit(quota=10_000)
    for number in range(20):
        upload = visit.upload(b"%d" % number)
        try:
            upload.write(b"x" * 900)
        except Full:
            upload.discard()
        else:
            upload.cut("again")
    assert 11 == sum(1 for one in os.listdir(inn.folder / "ann") if os.fsencode(one).startswith(KEPT))
    assert (9900, 11) == visit.home.stock.used()


def test_a_user_without_a_quota_costs_no_count(inn, monkeypatch):
    def never(_):
        raise AssertionError

    monkeypatch.setattr("transload.servers.quota.counted", never)
    visit = inn.visit(max_size=10)
    put(visit, b"a")
    assert visit.room() > (0, 0)
    with pytest.raises(AssertionError):
        inn.visit(quota=10)


def test_homes_of_two_accounts_in_one_folder_have_one_stock(tmp_path):
    (tmp_path / "inbox").mkdir()
    with LANDINGS["folder"](tmp_path) as landing:
        inn = Inn(tmp_path / "inbox", landing)
        ann, bob = inn.visit("ann", home="both", quota=100), inn.visit("bob", home="both", quota=100)
        put(ann, b"a", b"x" * 60)
        with pytest.raises(Full):
            put(bob, b"b", b"x" * 60)
        put(bob, b"b", b"x" * 40) if b"b" not in names(bob) else None
        assert isinstance(inn.homes, Homes)
