from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests import mounted
from transload import disk
from transload.errors import Changed, Conflict, Denied, Full, Missing, Refused, Unreachable
from transload.model import Entry, Name, Parcel, Staged, Verify
from transload.remotes.folder import FolderRemote
from transload.spool import Spool

BIG = 3 * disk.BLOCK


@pytest.fixture
def base(tmp_path):
    (tmp_path / "base").mkdir()
    return tmp_path / "base"


@pytest.fixture
def session(base):
    with FolderRemote(path=base).connect() as session:
        yield session


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool", min_free=0, keep=0) as spool:
        yield spool


@pytest.fixture
def parcel(tmp_path):
    """A parcel of some bytes."""

    def parcel(name="in/a.csv", data=b"body", key="7-1", **more) -> Parcel:
        file = tmp_path / f"spooled-{key}"
        file.write_bytes(data)
        return Parcel(7, key, Name(name), str(file), len(data), hashlib.sha256(data).hexdigest(), **more)

    return parcel


def names(session, folder=""):
    return sorted(entry.name.raw for entry in session.list(folder, recursive=True))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def delivered(session, *parcels):
    return list(session.publish(list(session.stage(parcels))))


def error_of(outcomes):
    (outcome,) = outcomes
    return outcome.error


# Links and things that are no files


@pytest.fixture
def links(base, tmp_path):
    """A folder with a link of every sort."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (base / "real").mkdir()
    (base / "real" / "file").write_bytes(b"ours")
    (base / "to-file").symlink_to("real/file")
    (base / "to-folder").symlink_to("real")
    (base / "to-itself").symlink_to("to-itself")
    (base / "to-nothing").symlink_to("nothing")
    (base / "to-secret").symlink_to("../outside/secret")
    (base / "to-outside").symlink_to("../outside")
    os.mkfifo(base / "pipe")
    return base


def test_links_to_files_are_listed_unless_they_lead_out(links, session):
    assert [b"real/file", b"to-file"] == names(session)
    assert [f"to-secret: a link that leads out of {links}"] == [line for line in session.refused if "secret" in line]


def test_a_link_to_a_file_is_fetched_and_one_that_leads_out_is_refused(links, session, spool):
    asked = [Entry("", Name(name), None) for name in ("to-file", "to-secret", "to-outside/secret", "pipe", "to-nothing", "real")]
    got = {one.entry.name.text: one for one in session.fetch(asked, spool)}
    assert b"ours" == Path(got["to-file"].spooled.part).read_bytes()
    assert [Refused, Refused, Refused, Missing, Refused] == [
        type(got[name].error) for name in ("to-secret", "to-outside/secret", "pipe", "to-nothing", "real")
    ]


def test_the_way_to_the_folder_itself_may_be_a_link(links, session, spool):
    assert [b"file"] == names(session, "to-folder")
    (got,) = session.fetch(session.list("to-folder", recursive=True), spool)
    assert b"ours" == Path(got.spooled.part).read_bytes()


def test_nothing_is_delivered_through_a_link_that_leads_out(links, session, parcel, tmp_path):
    assert isinstance(error_of(session.stage([parcel("to-outside/new/a.csv")])), Refused)
    assert {"secret": b"secret"} == files(tmp_path / "outside")
    assert ["secret"] == os.listdir(tmp_path / "outside")


def test_a_link_planted_under_the_temporary_name_is_not_written_through(base, session, parcel, tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (base / ".7-1.part").symlink_to(tmp_path / "victim")
    assert error_of(delivered(session, parcel("a.csv"))) is None
    assert b"precious" == (tmp_path / "victim").read_bytes()
    assert b"body" == (base / "a.csv").read_bytes()


def test_a_link_under_the_final_name_is_replaced_and_what_it_led_to_stays(base, session, parcel):
    (base / "old").write_bytes(b"old")
    (base / "a.csv").symlink_to("old")
    assert isinstance(error_of(delivered(session, parcel("a.csv"))), Conflict)
    assert error_of(delivered(session, parcel("a.csv", replace=True))) is None
    assert {"a.csv": b"body", "old": b"old"} == files(base)


@contextmanager
def as_nobody():
    if os.geteuid():
        pytest.skip("needs root, to become somebody with fewer rights")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_base():
    """A folder that nobody can reach (the tests' own folders are root's)."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_subfolder_that_may_not_be_read_is_told_and_stops_no_other(open_base):
    (open_base / "locked").mkdir(0o700)
    (open_base / "a").write_bytes(b"a")
    with FolderRemote(path=open_base).connect() as session, as_nobody():
        assert [b"a"] == names(session)
        assert ["locked: Permission denied, its files were not listed"] == session.refused
        with pytest.raises(Denied):
            names(session, "locked")


def test_what_may_not_be_read_or_written_is_denied(open_base, parcel, spool):
    (open_base / "a").write_bytes(b"a")
    (open_base / "a").chmod(0o600)
    marker = replace(parcel("b", b""), file="")
    with FolderRemote(path=open_base).connect() as session, as_nobody():
        (got,) = session.fetch([Entry("", Name("a"))], spool)
        assert isinstance(got.error, Denied)
        assert isinstance(error_of(session.stage([marker])), Denied)
        with pytest.raises(Denied):
            session.remove(Entry("", Name("a")))


def test_folders_too_deep_are_told_and_not_followed(base, session):
    os.makedirs(base / "/".join("d" * 66))
    (base / "/".join("d" * 66) / "file").touch()
    (base / "/".join("d" * 64) / "file").touch()
    assert [b"/".join([b"d"] * 64) + b"/file"] == names(session)
    assert ["more than 64 folders deep" in line for line in session.refused] == [True]


# Files that change


class Meddling:
    """A spool during whose writing something happens."""

    def __init__(self, spool, happens):
        self.spool, self.happens = spool, happens

    def part(self, entry):
        part = self.spool.part(entry)
        write = part.write

        class Part:
            offset = part.offset
            done, drop, keep, head, restart = part.done, part.drop, part.keep, part.head, part.restart

            @staticmethod
            def write(data):
                write(data)
                self.happens()

        return Part()


def grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def rewind(path):
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("happens", [grow, rewind, lambda path: os.truncate(path, 10)], ids=["grows", "time set back", "is cut"])
def test_a_file_that_changes_while_it_is_read_is_changed_and_not_kept(happens, base, session, spool):
    (base / "a").write_bytes(b"x" * BIG)
    (entry,) = session.list("", recursive=True)
    (got,) = session.fetch([entry], Meddling(spool, lambda: happens(base / "a")))
    assert isinstance(got.error, Changed)
    assert 0 == spool.part(entry).offset


def test_a_file_replaced_after_it_was_listed_is_changed(base, session, spool):
    (base / "a").write_bytes(b"x" * 100)
    entries = list(session.list("", recursive=True))
    (base / "b").write_bytes(b"y" * 100)
    (base / "b").rename(base / "a")
    (got,) = session.fetch(entries, spool)
    assert isinstance(got.error, Changed)


def test_a_file_that_goes_while_it_is_read_is_whole(base, session, spool):
    (base / "a").write_bytes(b"x" * BIG)
    (entry,) = session.list("", recursive=True)
    (got,) = session.fetch([entry], Meddling(spool, lambda: (base / "a").unlink(missing_ok=True)))
    # Removing a name changes the file's change time: told as changed now, as missing by the next listing.
    assert isinstance(got.error, Changed)
    assert session.stat(entry) is None


def test_a_cut_part_is_continued_only_if_it_begins_like_the_file(base, session, spool):
    (base / "a").write_bytes(os.urandom(BIG))
    (entry,) = session.list("", recursive=True)
    for begun in ((base / "a").read_bytes()[:200_000], os.urandom(200_000)):
        part = spool.part(entry)
        part.write(begun)
        part.keep()
        (got,) = session.fetch([entry], spool)
        assert hashlib.sha256((base / "a").read_bytes()).hexdigest() == got.spooled.sha256


def test_a_full_spool_is_raised_and_gives_its_room_back(base, session, tmp_path):
    (base / "a").write_bytes(os.urandom(700_000))
    (base / "b").write_bytes(os.urandom(700_000))
    entries = [Entry("", Name(name)) for name in "ab"]
    with mounted.memory(tmp_path / "small", "size=1m") as small, Spool(small / "spool", min_free=0, keep=0) as spool:
        got = []
        with pytest.raises(Full):
            got.extend(session.fetch(entries, spool))
        assert spool.room.free() > 200_000


def test_only_the_version_that_was_listed_is_removed_or_moved(base, session):
    (base / "a").write_bytes(b"first")
    (entry,) = session.list("", recursive=True)
    (base / "a").write_bytes(b"second")
    for change in (lambda: session.remove(entry), lambda: session.move(entry, Name("done/a"))):
        with pytest.raises(Changed):
            change()
    assert b"second" == (base / "a").read_bytes()


# Delivering


def test_the_folder_is_made_for_a_delivery_and_missing_for_a_source(base, parcel):
    with FolderRemote(path=base / "x" / "y").connect() as session:
        with pytest.raises(Missing, match="does not exist"):
            names(session)
        assert session.look(Name("in/a.csv")) is None
        assert error_of(delivered(session, parcel())) is None
    assert b"body" == (base / "x" / "y" / "in" / "a.csv").read_bytes()


def test_what_is_delivered_is_a_file_of_its_own_with_the_usual_rights(base, session, parcel):
    sent = parcel(modified=1_600_000_000_123_456)
    before = os.umask(0o027)
    try:
        assert error_of(delivered(session, sent)) is None
    finally:
        os.umask(before)
    found = (base / "in" / "a.csv").stat()
    assert (0o640, 1, 1_600_000_000_123_456_000) == (stat.S_IMODE(found.st_mode), found.st_nlink, found.st_mtime_ns)
    assert found.st_ino != os.stat(sent.file).st_ino
    assert 1 == os.stat(sent.file).st_nlink


@pytest.mark.parametrize("moment", [-(2**62), -1, 2**62])
def test_a_time_that_no_disk_holds_stops_no_delivery(moment, session, parcel):
    assert error_of(delivered(session, parcel(modified=moment))) is None


@pytest.mark.parametrize("level", [Verify.HASH, Verify.READ_BACK])
def test_bytes_that_were_damaged_on_their_way_are_found_and_removed(level, base, session, parcel):
    sent = parcel(verify=level)
    Path(sent.file).write_bytes(b"bodx")
    assert isinstance(error_of(session.stage([sent])), Unreachable)
    assert {} == files(base)


def test_a_full_disk_leaves_the_old_file_and_goes_on_when_there_is_room(parcel, tmp_path):
    with mounted.memory(tmp_path / "small", "size=1m") as small, FolderRemote(path=small).connect() as session:
        (small / "a.csv").write_bytes(b"old")
        (small / "hog").write_bytes(bytes(800_000))
        big, little = parcel("a.csv", b"n" * 500_000, "1-1", replace=True), parcel("b.csv", b"little", "2-1")
        first = {outcome.parcel.key: outcome.error for outcome in delivered(session, big, little)}
        assert (Full, type(None)) == (type(first["1-1"]), type(first["2-1"]))
        assert {"a.csv", "b.csv", "hog"} == set(files(small))
        assert b"old" == (small / "a.csv").read_bytes()
        (small / "hog").unlink()
        assert error_of(delivered(session, big)) is None
        assert b"n" * 500_000 == (small / "a.csv").read_bytes()


def test_a_disk_without_inodes_is_full(parcel, tmp_path):
    with mounted.memory(tmp_path / "small", "nr_inodes=8") as small, FolderRemote(path=small).connect() as session:
        errors = [outcome.error for outcome in delivered(session, *(parcel(f"{n}", b"x", f"{n}-1") for n in range(10)))]
        assert {Full, type(None)} == {type(error) for error in errors}
        assert [b"x"] * errors.count(None) == list(files(small).values())
        assert [] == [name for name in os.listdir(small) if name.endswith(".part")]


def test_a_read_only_disk_denies(parcel, tmp_path):
    with mounted.memory(tmp_path / "small", "size=1m") as small, FolderRemote(path=small).connect() as session:
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        assert isinstance(error_of(session.stage([parcel()])), Denied)


def test_a_disk_mounted_below_is_delivered_to_and_not_moved_to(base, session, parcel):
    (base / "a").write_bytes(b"x")
    (entry,) = session.list("", recursive=True)
    with mounted.memory(base / "other", "size=1m"):
        receipts = delivered(session, parcel("b", b"1", "1-1"), parcel("other/in/b", b"2", "2-1"))
        assert [None, None] == [receipt.error for receipt in receipts]
        with pytest.raises(Refused, match="cross-device"):
            session.move(entry, Name("other/a"))
        assert {"a": b"x", "b": b"1", "other/in/b": b"2"} == files(base)
        session.close()


def test_a_folder_renamed_or_removed_between_batches_is_made_again(base, session, parcel):
    assert error_of(delivered(session, parcel("in/a.csv"))) is None
    (base / "in").rename(base / "taken")
    assert error_of(delivered(session, parcel("in/b.csv"))) is None
    shutil.rmtree(base / "in")
    assert error_of(delivered(session, parcel("in/c.csv"))) is None
    assert {"taken/a.csv", "in/c.csv"} == set(files(base))


def test_a_folder_removed_in_the_middle_of_a_batch_costs_only_what_was_in_it(base, session, parcel, monkeypatch):
    monkeypatch.setattr("transload.remotes.folder.target._GROUP", 1)

    def parcels():
        for number in range(10):
            if number == 1:
                shutil.rmtree(base / "in")
            yield parcel(f"in/{number}", b"x", f"{number}-1")

    staged = list(session.stage(parcels()))
    assert [None] * 10 == [one.error for one in staged]
    errors = [type(receipt.error) for receipt in session.publish(staged)]
    assert [Missing, *[type(None)] * 9] == errors


def test_a_file_published_already_is_missing_its_temporary_and_not_in_conflict(base, session, parcel):
    (staged,) = session.stage([parcel()])
    assert error_of(session.publish([staged])) is None
    assert isinstance(error_of(session.publish([staged])), Missing)


def test_what_could_not_be_staged_is_not_published(session, parcel):
    assert "no" == str(error_of(session.publish([Staged(parcel(), error=Full("no"))])))


def test_a_last_part_that_is_too_long_is_refused_before_it_is_written(base, session, parcel):
    for name in ("x" * 256, "x" * 256 + "/a"):
        assert isinstance(error_of(session.stage([parcel(name)])), Refused)
    assert [] == os.listdir(base)


# In which order, and what if one of the calls fails

DELIVERS = """
import hashlib, os, sys
from pathlib import Path
from transload.model import Name, Parcel
from transload.remotes.folder import FolderRemote
base, count = Path(sys.argv[1]), int(sys.argv[2])
def parcels(number):
    for which in range(count):
        data = b"%d %d" % (number, which) * 1000
        file = base.parent / f"spooled-{number}-{which}"
        file.write_bytes(data)
        yield Parcel(which, f"{number}-{which}", Name(f"{number}/{which}"), str(file), len(data), hashlib.sha256(data).hexdigest(), 10**15)
def deliver(session, parcels):
    return [receipt.error for receipt in session.publish(list(session.stage(parcels)))]
remote = FolderRemote(path=base)
"""
ONCE = "with remote.connect() as session: print(deliver(session, parcels(1)))\n"
ROUNDS = """
from transload.errors import TransloadError
prepared = [list(parcels(number)) for number in range(60)]
print("ready", flush=True)
for line in sys.stdin:
    try:
        with remote.connect() as session:
            answer = repr(deliver(session, prepared[int(line)]))
    except TransloadError as error:
        answer = f"raised {error!r}"
    os.writev(1, [answer.encode() + b"\\n"])
"""


def traced(*words: str) -> list[str]:
    return ["strace", "-f", "-o", *words]


@pytest.fixture
def _strace():
    try:
        subprocess.run(traced(os.devnull, "true"), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs strace, and the right to use it")


@pytest.mark.parametrize(
    ("count", "order"),
    [(20, "write syncfs fsync renameat2 fsync"), (3, "write fsync renameat2 fsync"), (1, "write fsync renameat2 fsync")],
)
@pytest.mark.usefixtures("_strace")
def test_bytes_are_synced_before_the_name_and_the_name_before_the_answer(count, order, tmp_path):
    with mounted.image(tmp_path / "disk", 16) as at:
        trace = tmp_path / "trace"
        command = traced(str(trace), "-y", "-e", "trace=write,syncfs,fsync,renameat2", sys.executable, "-c", DELIVERS + ONCE)
        done = subprocess.run([*command, str(at / "base"), str(count)], check=True, capture_output=True, text=True)
        assert str([None] * count) + "\n" == done.stdout
        calls = re.findall(r"^\d+ +(\w+)\(\d*<?(?:AT_FDCWD<)?(\S*)>", trace.read_text(), re.MULTILINE)
    seen = [call for call, path in calls if f"{at}/base" in path]
    kinds = [call for place, call in enumerate(seen) if place == 0 or seen[place - 1] != call]
    assert order.split() == kinds


@pytest.mark.parametrize("fault", ["write:error=ENOSPC", "openat:error=EMFILE", "mkdirat:error=EACCES", "renameat2:error=EIO",
                                   "syncfs:error=EIO", "fsync:error=EIO"])  # fmt: skip
@pytest.mark.usefixtures("_strace")
def test_whichever_call_fails_what_was_told_is_true(fault, tmp_path):
    """Let the first call of a kind fail, then the second, and so on, until a round needs no more of them."""
    call = fault.partition(":")[0]
    with mounted.image(tmp_path / "disk", 32) as at:
        (at / "base").mkdir()
        command = [sys.executable, "-c", DELIVERS + ROUNDS, str(at / "base"), "9"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert "ready\n" == child.stdout.readline()
            answers = []
            while answers[-1:] != [str([None] * 9) + "\n"]:
                answers.append(_faulty_round(child, call, f"{fault}:when={len(answers) + 1}", len(answers) + 1))
        assert 1 < len(answers) < 100
        there = {name: data for name, data in files(at / "base").items() if not name.endswith(".part")}
        assert all(data == name.replace("/", " ").encode() * 1000 for name, data in there.items())
        for number, answer in enumerate(answers, 1):
            told = re.findall(r"None|\w+\(", answer) if answer.startswith("[") else []
            assert {f"{number}/{which}" for which, one in enumerate(told) if one == "None"} <= there.keys()


def _faulty_round(child, call, fault, number):
    command = traced(os.devnull, "-p", str(child.pid), "-e", f"trace={call}", "-e", f"inject={fault}")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert "attached" in strace.stderr.readline()
        child.stdin.write(f"{number}\n")
        child.stdin.flush()
        answer = child.stdout.readline()
        strace.send_signal(signal.SIGINT)
    return answer


@pytest.mark.parametrize(
    ("call", "when"), [("mkdirat", 1), ("write", 4), ("write", 6), ("utimensat", 2), ("renameat2", 1), ("renameat2", 3)]
)
@pytest.mark.usefixtures("_strace")
def test_a_kill_at_any_call_shows_no_partial_file_and_the_next_try_goes_through(call, when, base):
    deliver = [sys.executable, "-c", DELIVERS + ONCE, str(base), "3"]
    killed = subprocess.run(
        traced(os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}", *deliver),
        check=False,
        capture_output=True,
    )
    assert -signal.SIGKILL == killed.returncode
    assert b"" == killed.stdout
    shown = {name: data for name, data in files(base).items() if not name.endswith(".part")}
    assert all(data == name.replace("/", " ").encode() * 1000 for name, data in shown.items())
    with FolderRemote(path=base).connect() as session:
        for name in shown:
            session.remove(Entry("", Name(name)))
    done = subprocess.run(deliver, check=True, capture_output=True, text=True)
    assert "[None, None, None]\n" == done.stdout
    assert {f"1/{which}": b"1 %d" % which * 1000 for which in range(3)} == files(base)
