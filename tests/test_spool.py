from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests import mounted
from transload.errors import Busy, Changed, Full, Missing
from transload.model import Entry, Name
from transload.spool import Spool

BIG = 300_000


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool:
        yield spool


def entry(name="a.csv", size=BIG, modified=1_700_000_000_000_000, etag=None):
    return Entry("", Name(name), size, modified, etag=etag)


def stored(folder: Path) -> dict[str, bytes]:
    """Every file under a final name."""
    return {file.name: file.read_bytes() for folder in folder.glob("??") for file in folder.iterdir()}


def parts(folder: Path) -> list[Path]:
    return [file for file in (folder / "parts").rglob("*") if file.is_file() and file.suffix != ".alive"]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def python(program: str, *words: object, **settings: object) -> subprocess.Popen[str]:
    """A process of its own that runs `program`, with pipes to talk by."""
    command = [sys.executable, "-c", BEGIN + program, *map(str, words)]
    env = {**os.environ, **{key: str(value) for key, value in settings.items()}}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


BEGIN = """
import os, sys
from pathlib import Path
from transload.errors import TransloadError
from transload.model import Entry, Name
from transload.spool import Spool
spool = Spool(Path(sys.argv[1]), min_free=0, keep=0)
entry = Entry("", Name("a.csv"), 300_000, 1_700_000_000_000_000)
"""


# Coming in


def test_small_bytes_lie_under_their_hash_after_the_commit_and_not_before(spool):
    got = spool.put(entry(), b"hello")
    assert (5, sha(b"hello")) == (got.size, got.sha256)
    assert not spool.has(got.sha256)
    spool.commit([got])
    assert spool.has(got.sha256)
    with spool.open(got.sha256) as file:
        assert b"hello" == file.read()
    assert b"hello" == Path(spool.path(got.sha256)).read_bytes()


@pytest.mark.parametrize("size", [0, 1, 2047, 65_535, 65_536, 65_537, BIG])
def test_streamed_bytes_are_hashed_on_their_way(size, spool):
    data = os.urandom(size)
    part = spool.part(entry(size=size))
    for at in range(0, size, 10_000):
        part.write(memoryview(data)[at : at + 10_000])
    got = part.done()
    spool.commit([got])
    assert (size, sha(data)) == (got.size, got.sha256)
    assert {sha(data): data} == stored(spool.folder)


def test_the_same_bytes_are_stored_once(spool):
    spool.commit([spool.put(entry(name), b"same") for name in "abc"])
    spool.commit([spool.put(entry("d"), b"same")])
    assert {sha(b"same"): b"same"} == stored(spool.folder)
    assert [] == parts(spool.folder)


@pytest.mark.parametrize("count", [1, 7, 8, 256])
def test_a_group_of_any_size_is_committed_on_a_real_disk(count, tmp_path):
    with mounted.image(tmp_path / "disk", 16) as at, Spool(at / "spool", min_free=0, keep=0) as spool:
        bodies = [b"%d" % number for number in range(count)]
        spool.commit([spool.put(entry(), body) for body in bodies])
        assert sorted(bodies) == sorted(stored(spool.folder).values())


def test_nobody_else_may_look(spool):
    spool.commit([spool.put(entry(), b"x")])
    assert {0o700} == {stat.S_IMODE(path.stat().st_mode) for path in [spool.folder, *spool.folder.iterdir()] if path.is_dir()}
    assert 0o600 == stat.S_IMODE(os.stat(spool.path(sha(b"x"))).st_mode)


def test_a_commit_may_be_repeated(spool):
    got = [spool.put(entry(), b"x"), spool.put(entry(), b"y")]
    spool.commit(got)
    spool.commit(got)
    assert {b"x", b"y"} == set(stored(spool.folder).values())


def test_bytes_that_are_gone_are_not_committed(spool):
    got = spool.put(entry(), b"x")
    spool.forget([got])
    with pytest.raises(Changed, match="removed before they were committed"):
        spool.commit([got])


def test_a_damaged_file_is_mended_by_the_next_one_with_its_bytes(spool):
    spool.commit([spool.put(entry(), b"whole")])
    Path(spool.path(sha(b"whole"))).write_bytes(b"wh")
    spool.commit([spool.put(entry(), b"whole")])
    assert {sha(b"whole"): b"whole"} == stored(spool.folder)


def test_missing_bytes_are_told_as_missing(spool):
    with pytest.raises(Missing, match="no longer has"):
        spool.open("0" * 64)


def test_bytes_are_taken_out_for_good(spool, tmp_path):
    spool.commit([spool.put(entry(), b"x")])
    spool.take(sha(b"x"), str(tmp_path / "out"))
    assert b"x" == (tmp_path / "out").read_bytes()
    assert {} == stored(spool.folder)
    with pytest.raises(Missing):
        spool.take(sha(b"x"), str(tmp_path / "out"))


# Cut and resumed

CUT = """
data = sys.stdin.buffer.read()
part = spool.of("feed").part(entry)
part.write(data)
os.kill(os.getpid(), 9)
"""


def test_a_fetch_cut_by_kill_9_is_resumed_by_a_later_process(spool):
    data = os.urandom(BIG)
    child = subprocess.Popen([sys.executable, "-c", BEGIN + CUT, str(spool.folder)], stdin=subprocess.PIPE)
    child.communicate(data[:200_000])
    assert -signal.SIGKILL == child.returncode
    part = spool.of("feed").part(entry())
    assert 200_000 == part.offset
    assert data[:1000] == part.head(1000)
    part.write(data[part.offset :])
    assert (BIG, sha(data)) == part.done()[1:]


def cut(spool, data, of=None):
    part = spool.part(of or entry())
    part.write(data)
    part.keep()


@pytest.mark.parametrize(
    "other",
    [
        entry(size=BIG + 1),
        entry(modified=1_700_000_000_000_001),
        entry(name="b.csv"),
        entry(etag="x"),
        entry(modified=None),
        entry(size=None),
    ],
    ids=["size", "modified", "name", "etag", "no time", "no size"],
)
def test_what_was_cut_is_never_taken_for_another_version(other, spool):
    cut(spool, b"x" * 100_000)
    part = spool.part(other)
    assert 0 == part.offset
    part.drop()


def test_the_same_path_on_two_feeds_is_two_files(spool):
    for feed, offset in (("one", 0), ("two", 0), ("one", 100_000)):
        part = spool.of(feed).part(entry())
        assert offset == part.offset
        if not offset:
            part.write(b"x" * 100_000)
        part.keep()


def test_two_workers_on_one_file_do_not_meet(spool):
    first, second = spool.part(entry()), spool.part(entry())
    first.write(b"1" * BIG)
    second.write(b"2" * BIG)
    got = [first.done(), second.done()]
    third = spool.part(entry())
    assert 0 == third.offset
    third.drop()
    spool.commit(got)
    assert {b"1" * BIG, b"2" * BIG} == set(stored(spool.folder).values())


def test_many_workers_on_one_file_each_get_what_they_wrote(spool):
    def fetch(number: int) -> tuple[int, str]:
        part = spool.part(entry())
        part.restart()
        body = b"%03d" % number * 100_000
        part.write(body)
        got = part.done()
        assert sha(body) == got.sha256
        return got

    with ThreadPoolExecutor(8) as pool:
        spool.commit(list(pool.map(fetch, range(100))))
    assert all(sha(body) == name for name, body in stored(spool.folder).items())
    assert 100 == len(stored(spool.folder))


def test_a_restarted_part_forgets(spool):
    cut(spool, b"x" * 100_000)
    part = spool.part(entry())
    part.restart()
    assert 0 == part.offset
    part.write(b"y" * BIG)
    assert sha(b"y" * BIG) == part.done().sha256


def test_of_a_part_that_is_there_whole_one_byte_is_still_asked_for(spool):
    data = os.urandom(BIG)
    cut(spool, data)
    part = spool.part(entry())
    assert BIG - 1 == part.offset
    part.write(data[-1:])
    assert sha(data) == part.done().sha256


def test_what_is_small_or_dropped_is_not_kept(spool):
    cut(spool, b"x", entry(size=1000))
    part = spool.part(entry())
    part.write(b"x")
    part.drop()
    part.drop()
    assert [] == parts(spool.folder)


def test_a_drop_after_it_was_done_keeps_the_bytes(spool):
    part = spool.part(entry())
    part.write(b"x")
    got = part.done()
    part.drop()
    spool.commit([got])
    assert {sha(b"x"): b"x"} == stored(spool.folder)


# Room


def test_the_room_that_is_to_stay_free_is_left(tmp_path):
    with Spool(tmp_path / "spool", min_free=1 << 60, keep=0) as spool:
        for take in (lambda: spool.put(entry(), b"x"), lambda: spool.part(entry()), spool.fresh):
            with pytest.raises(Full, match="are to stay free"):
                take()
        assert [] == parts(spool.folder)


def test_a_file_that_will_not_fit_is_not_begun(tmp_path):
    with (
        mounted.memory(tmp_path / "small", "size=1m") as small,
        Spool(small / "spool", min_free=0, keep=0) as spool,
        pytest.raises(Full, match="0 B are to stay free"),
    ):
        spool.part(entry(size=2_000_000))


def test_a_full_disk_says_so_and_goes_on_when_there_is_room(tmp_path):
    with mounted.memory(tmp_path / "small", "size=1m") as small, Spool(small / "spool", min_free=0, keep=0) as spool:
        good = spool.put(entry(), b"good")
        hog = small / "hog"
        with hog.open("wb") as file, pytest.raises(OSError, match="No space"):
            while True:
                os.write(file.fileno(), bytes(4096))
        with pytest.raises(Full):
            spool.put(entry(), b"x" * 50_000)
        part = spool.fresh()
        with pytest.raises(Full):
            part.write(b"x" * 50_000)
        part.drop()
        spool.commit([good])
        hog.unlink()
        time.sleep(0.11)  # the room is looked at ten times a second
        spool.commit([spool.put(entry(), b"x" * 50_000)])
        assert {b"good", b"x" * 50_000} == set(stored(spool.folder).values())
        assert [] == parts(spool.folder)


def test_a_disk_without_inodes_says_so_and_goes_on_when_there_are_some(tmp_path):
    with mounted.memory(tmp_path / "small", "size=4m,nr_inodes=330") as small, Spool(small / "spool", min_free=0, keep=0) as spool:
        got = []
        with pytest.raises(Full, match="No space"):
            got.extend(spool.put(entry(), b"%d" % number) for number in range(330))
        with pytest.raises(Full):
            spool.part(entry())
        spool.commit(got)
        Path(spool.path(got.pop().sha256)).unlink()
        spool.commit([spool.put(entry(), b"again")])
        assert len(got) + 1 == len(stored(spool.folder))


def test_a_spool_that_cannot_be_written_is_tried_again_later_and_fails_no_file(tmp_path):
    with mounted.memory(tmp_path / "small", "size=1m") as small:
        Spool(small / "spool", min_free=0, keep=0).close()
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        with Spool(small / "spool", min_free=0, keep=0) as spool:
            with pytest.raises(Busy, match="Read-only"):
                spool.put(entry(), b"x")
            subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
            spool.commit([spool.put(entry(), b"x")])


# Going


def test_only_old_files_that_nobody_needs_are_collected(spool):
    spool.commit([spool.put(entry(), body) for body in (b"needed", b"rubbish", b"young")])
    for body in (b"needed", b"rubbish"):
        os.utime(spool.path(sha(body)), (0, 0))
    asked: list[str] = []

    def unwanted(names):
        asked.extend(names)
        return {sha(b"rubbish"), sha(b"young"), "e" * 64}

    assert (1, 7) == spool.collect(unwanted, older_than=3600)
    assert {b"needed", b"young"} == set(stored(spool.folder).values())
    assert sha(b"young") not in asked


def test_bytes_that_come_to_be_needed_while_the_collector_thinks_stay(spool):
    got = spool.put(entry(), b"x")
    spool.commit([got])
    answers = iter([{got.sha256}, set()])
    assert (0, 0) == spool.collect(lambda _: next(answers), older_than=0)
    assert spool.has(got.sha256)


def test_the_collector_is_not_kept_waiting_by_those_who_keep_coming(spool):
    stop = threading.Event()

    def accept() -> None:
        while not stop.is_set():
            with spool.accepting():
                time.sleep(0.005)

    coming = [threading.Thread(target=accept) for _ in range(6)]
    for one in coming:
        one.start()
    try:
        begun = time.monotonic()
        for _ in range(10):
            with spool.alone():
                pass
        assert time.monotonic() - begun < 10
    finally:
        stop.set()
        for one in coming:
            one.join()


def test_commits_inside_one_acceptance_need_no_further_lock(spool):
    # The pool outside: who leaves it waits for the collector, which waits until this is accepted.
    with ThreadPoolExecutor(1) as pool, spool.accepting():
        waiting = pool.submit(lambda: spool.collect(set, older_than=0))
        spool.commit([spool.put(entry(), b"x")])
    assert waiting.result().files <= 1


def test_one_who_is_inside_with_others_cannot_be_alone(spool, tmp_path):
    with spool.accepting(), pytest.raises(RuntimeError, match="leave first"):
        spool.take("0" * 64, str(tmp_path / "x"))


HOLDS = """
spool.put(entry, b"left behind")
part = spool.part(entry)
part.write(b"x" * 100_000)
print("there", flush=True)
sys.stdin.read()
"""


def test_parts_of_the_living_stay_and_parts_of_the_dead_go(spool):
    child = python(HOLDS, spool.folder)
    assert "there\n" == child.stdout.readline()
    mine = spool.put(entry(), b"mine")
    assert (0, 0) == spool.collect_parts(0)
    child.kill()
    child.communicate()
    assert (1, 11) == spool.collect_parts(3600)
    assert 2 == len(parts(spool.folder))
    assert (1, 100_000) == spool.collect_parts(0)
    assert [Path(mine.part)] == parts(spool.folder)


def test_a_closed_spool_leaves_no_part(tmp_path):
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool:
        spool.put(entry(), b"x")
    assert [] == list((tmp_path / "spool" / "parts").iterdir())


ACCEPTS = """
import hashlib, random, sqlite3, time
mine, until = sys.argv[2], time.monotonic() + float(sys.argv[3])
ledger = sqlite3.connect(Path(sys.argv[1]) / "ledger.db", isolation_level=None, timeout=30)
rounds = 0
while time.monotonic() < until:
    bodies = [b"body %d" % random.randrange(6) for _ in range(3)]
    with spool.accepting():
        got = [spool.put(entry, body) for body in bodies]
        spool.commit(got)
        ledger.execute("begin immediate")
        ledger.executemany("insert into needed values(?, ?)", [(one.sha256, mine) for one in got])
        ledger.execute("commit")
    for one, body in zip(got, bodies):
        with spool.open(one.sha256) as file:
            assert file.read() == body
    ledger.execute("delete from needed where who = ?", [mine])
    rounds += 1
print(rounds)
"""


def test_no_bytes_that_two_processes_share_are_lost_to_a_collector(spool):
    """Two processes take the same few files and forget them again, while a third collects all it can."""
    with closing(sqlite3.connect(spool.folder / "ledger.db", isolation_level=None, timeout=30)) as ledger:
        ledger.execute("pragma journal_mode=wal")
        ledger.execute("create table needed(sha256, who)")

        def unwanted(names):
            return {name for name in names if not ledger.execute("select 1 from needed where sha256 = ?", [name]).fetchone()}

        children = [python(ACCEPTS, spool.folder, number, 1.5) for number in range(2)]
        removed = 0
        while any(child.poll() is None for child in children):
            removed += spool.collect(unwanted, older_than=-1).files
        rounds = [int(child.communicate()[0]) for child in children]
    assert [0, 0] == [child.returncode for child in children]
    assert min(rounds) > 10
    assert removed > 10


# Faults

COMMITS = """
got = [spool.put(entry, b"body %d" % number) for number in range(10)]
spool.commit(got)
print("yes")
"""


@pytest.mark.parametrize("point", ["spool-synced", "spool-placed", "spool-placed:5", "spool-placed:10"])
def test_a_kill_in_the_middle_of_a_commit_leaves_no_damage(point, spool):
    child = python(COMMITS, spool.folder, TRANSLOAD_CRASH_AT=point)
    assert "" == child.communicate()[0]
    assert -signal.SIGKILL == child.returncode
    assert all(name == sha(body) for name, body in stored(spool.folder).items())
    again = python(COMMITS, spool.folder)
    assert "yes\n" == again.communicate()[0]
    assert {b"body %d" % number for number in range(10)} == set(stored(spool.folder).values())
    spool.collect_parts(0)
    assert [] == parts(spool.folder)


ROUNDS = """
spool.fresh().drop()
def attempt(number):
    got = [spool.put(entry, b"small %d %d" % (number, which)) for which in range(9)]
    part = spool.part(entry)
    part.restart()
    try:
        for _ in range(3):
            part.write(b"%d" % number * 10_000)
        got.append(part.done())
    finally:
        part.drop()
    spool.commit(got)
    spool.commit([spool.put(entry, b"single %d" % number)])
print("ready", flush=True)
for line in sys.stdin:
    try:
        attempt(int(line))
        os.writev(1, [b"yes\\n"])
    except TransloadError as error:
        os.writev(1, [b"no: %s\\n" % str(error).encode()])
"""
FAULTS = [
    ("write", "ENOSPC"),
    ("write", "EIO"),
    ("rename", "ENOSPC"),
    ("openat", "EMFILE"),
    ("syncfs", "EIO"),
    ("fsync", "EIO"),
    ("fsync", "ENOSPC"),
]


@pytest.mark.parametrize(("call", "error"), FAULTS)
def test_whichever_call_fails_what_was_promised_is_there_and_nothing_else(call, error, tmp_path):
    """Let the first call of a kind fail, then the second, and so on, until a round needs no more of them."""
    with mounted.image(tmp_path / "disk", 16) as at:
        with python(ROUNDS, at / "spool") as child:
            answers = []
            assert "ready\n" == child.stdout.readline()
            while answers[-1:] != ["yes\n"]:
                answers.append(_faulty_round(child, call, error, len(answers) + 1))
            promised = _round(child, 100)
        assert "yes\n" == promised
        assert 1 < len(answers) < 100
        assert all(answer.startswith("no: the spool cannot be written") for answer in answers[:-1])
        with Spool(at / "spool", min_free=0, keep=0) as spool:
            spool.collect_parts(0)
            assert [] == parts(spool.folder)
            there = stored(spool.folder)
    assert all(name == sha(body) for name, body in there.items())
    for number in (len(answers), 100):
        wanted = {b"small %d %d" % (number, which) for which in range(9)} | {b"%d" % number * 30_000, b"single %d" % number}
        assert wanted <= set(there.values())


def _round(child: subprocess.Popen[str], number: int) -> str:
    child.stdin.write(f"{number}\n")
    child.stdin.flush()
    return child.stdout.readline()


def _faulty_round(child: subprocess.Popen[str], call: str, error: str, number: int) -> str:
    words = ["strace", "-f", "-p", str(child.pid), "-o", os.devnull, "-e", f"trace={call}"]
    try:
        strace = subprocess.Popen([*words, "-e", f"inject={call}:error={error}:when={number}"], stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip("needs strace")
    with strace:
        first = strace.stderr.readline()
        assert child.poll() is None
        if "attached" not in first:
            pytest.skip(f"needs the right to use strace: {first.strip()}")
        answer = _round(child, number)
        strace.send_signal(signal.SIGINT)
    return answer


@pytest.mark.parametrize("size", [0, 4096, BIG, 5_000_000])
def test_a_draft_is_copied_whole_while_it_is_open_and_once_it_is_closed(spool, tmp_path, size):
    data = os.urandom(size)
    draft = spool.draft()
    draft.write_at(0, data)
    draft.cut_to(size + 1)
    draft.cut_to(size)
    for number, end in enumerate((draft.whole, draft.done)):
        spooled = end()
        with (tmp_path / f"{number}").open("wb") as copy:
            draft.copy_to(copy.fileno())
        assert (size, sha(data), data) == (spooled.size, spooled.sha256, (tmp_path / f"{number}").read_bytes())
    draft.close()
