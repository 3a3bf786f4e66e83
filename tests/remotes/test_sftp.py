"""What SFTP servers do to files while we read and write them."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.peers.sshd import Sshd
from tests.remotes.fake_sftp import DENIED, FAILURE, FILE, FOLDER, NO_SUCH_FILE, FakeSftp
from tests.remotes.places import VARIABLE
from transload.errors import Busy, Changed, Conflict, Denied, Full, Missing, Refused, Transient, Unreachable
from transload.model import Entry, Name, Parcel, Verify
from transload.remotes.sftp import SftpRemote
from transload.secret import Secret
from transload.spool import Spool

MIB = 1024 * 1024
REMOVE = 13


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def remote(peer, **changed) -> SftpRemote:
    login = {"key": Secret(file=peer.key)} if isinstance(peer, Sshd) else {"password": Secret(env=VARIABLE)}
    settings = {"host": peer.host, "port": peer.port, "user": peer.user, "host_key": peer.host_key, "timeout": 10}
    return SftpRemote(**(settings | login | changed))


@pytest.fixture
def folder(sshd) -> Path:
    made = sshd.root / f"sftp-{os.urandom(4).hex()}"
    made.mkdir()
    return made


@pytest.fixture
def own_sshd() -> Iterator[Sshd]:
    """One that a test may stop, freeze and kill."""
    with Sshd() as made:
        yield made


@pytest.fixture
def fake() -> Iterator[FakeSftp]:
    with FakeSftp() as made:
        yield made


@pytest.fixture
def parcel(tmp_path):
    def make(name: str, data: bytes, **more) -> Parcel:
        file = tmp_path / sha256(name.encode() + data)
        file.write_bytes(data)
        return Parcel(1, "d1-1", Name(name), str(file), len(data), sha256(data), **more)

    return make


def children(pid: int) -> list[int]:
    """The processes below `pid`, itself included."""
    own = [int(child) for path in Path(f"/proc/{pid}/task").iterdir() for child in (path / "children").read_text().split()]
    return [pid, *(one for child in own for one in children(child))]


class Meddling:
    """A spool that does something once, when so many bytes were written."""

    def __init__(self, spool: Spool, act, after: int = 1) -> None:
        self.spool, self.act, self.left = spool, act, after

    def put(self, entry, data):
        return self.spool.put(entry, data)

    def part(self, entry):
        return _MeddlingPart(self, self.spool.part(entry))


class _MeddlingPart:
    def __init__(self, meddling: Meddling, part) -> None:
        self.meddling, self.part = meddling, part

    def __getattr__(self, name):
        return getattr(self.part, name)

    def write(self, data) -> None:
        self.part.write(data)
        before, self.meddling.left = self.meddling.left, self.meddling.left - len(data)
        if before > 0 >= self.meddling.left:
            self.meddling.act()


# Many, and large


def test_five_thousand_small_files_in_one_batch_come_whole(sshd, folder, spool):
    made = {b"%d" % number: os.urandom(number % 4096) for number in range(5000)}
    for name, data in made.items():
        (folder / name.decode()).write_bytes(data)
    with remote(sshd, path=str(folder)).connect() as session:
        outcomes = list(session.fetch(list(session.list("", recursive=False)), spool))
    assert {None} == {outcome.error for outcome in outcomes}
    assert {name: sha256(data) for name, data in made.items()} == {out.entry.name.raw: out.spooled.sha256 for out in outcomes}


def test_keys_are_changed_during_a_large_transfer_without_harm(tmp_path, spool, parcel):
    data = os.urandom(5 * MIB)
    with Sshd(more="RekeyLimit 1M") as rekeying, remote(rekeying).connect() as session:
        (rekeying.root / "big").write_bytes(data)
        (outcome,) = session.fetch(session.list("big", recursive=False), spool)
        assert sha256(data) == outcome.spooled.sha256
        (staged,) = session.stage([parcel("up", data, verify=Verify.READ_BACK)])
        assert (None, Verify.READ_BACK) == (staged.error, staged.verified)


def test_large_and_small_files_share_a_connection(sshd, folder, spool):
    sizes = [0, 1, 255 * 1024 - 1, 255 * 1024, 255 * 1024 + 1, 3 * MIB, 9 * MIB + 17, 5 * MIB, 2 * MIB, 2 * MIB, 100]
    made = {f"f{number}": os.urandom(size) for number, size in enumerate(sizes)}
    for name, data in made.items():
        (folder / name).write_bytes(data)
    with remote(sshd, path=str(folder)).connect() as session:
        outcomes = list(session.fetch(list(session.list("", recursive=False)), spool))
    assert {name: sha256(data) for name, data in made.items()} == {str(out.entry.name): out.spooled.sha256 for out in outcomes}


def test_a_fetch_that_nobody_reads_to_its_end_leaves_the_session_usable(sshd, folder, spool):
    for number in range(300):
        (folder / f"f{number}").write_bytes(os.urandom(3000))
    data = os.urandom(20 * MIB)
    (folder / "big").write_bytes(data)
    with remote(sshd, path=str(folder)).connect() as session:
        entries = list(session.list("", recursive=False))
        outcomes = session.fetch(entries, spool)
        next(outcomes)
        outcomes.close()
        listing = session.list("", recursive=False)
        next(listing)
        listing.close()
        (outcome,) = session.fetch([entry for entry in entries if entry.name == Name("big")], spool)
        assert sha256(data) == outcome.spooled.sha256


# Breaking


def test_a_server_killed_in_the_middle_is_unreachable_and_the_next_session_goes_on_where_it_was(own_sshd, spool):
    data = os.urandom(30 * MIB)
    (own_sshd.root / "big").write_bytes(data)

    def kill() -> None:
        for pid in children(own_sshd.process.pid)[1:]:
            os.kill(pid, signal.SIGKILL)

    with remote(own_sshd).connect() as session:
        entries = list(session.list("big", recursive=False))
        with pytest.raises(Unreachable):
            list(session.fetch(entries, Meddling(spool, kill, 10 * MIB)))
    part = spool.part(entries[0])
    assert part.offset >= 10 * MIB
    part.keep()
    with remote(own_sshd).connect() as session:
        (outcome,) = session.fetch(entries, spool)
    assert sha256(data) == outcome.spooled.sha256


def test_a_cut_part_that_is_not_the_servers_is_forgotten(sshd, folder, spool):
    data = os.urandom(3 * MIB)
    (folder / "big").write_bytes(data)
    with remote(sshd, path=str(folder)).connect() as session:
        entries = list(session.list("big", recursive=False))
        part = spool.part(entries[0])
        part.write(os.urandom(MIB))
        part.keep()
        (outcome,) = session.fetch(entries, spool)
    assert sha256(data) == outcome.spooled.sha256


@pytest.mark.parametrize("what", ["fetch", "list", "stage", "stat"])
def test_a_frozen_server_is_unreachable_after_the_timeout(own_sshd, spool, parcel, what):
    (own_sshd.root / "file").write_bytes(b"x" * MIB)
    with remote(own_sshd, timeout=1).connect() as session:
        entries = list(session.list("file", recursive=False))
        pids = children(own_sshd.process.pid)[1:]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(Unreachable):
                {
                    "fetch": lambda: list(session.fetch(entries, spool)),
                    "list": lambda: list(session.list("", recursive=True)),
                    "stage": lambda: list(session.stage([parcel("up", b"x")])),
                    "stat": lambda: session.stat(entries[0]),
                }[what]()
            assert 0.5 < time.monotonic() - began < 5
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


# Changing


def test_a_file_that_grows_while_it_is_read_has_changed(sshd, folder, spool):
    big = folder / "big"
    big.write_bytes(os.urandom(20 * MIB))

    def grow() -> None:
        with big.open("ab") as file:
            file.write(b"more")

    with remote(sshd, path=str(folder)).connect() as session:
        (outcome,) = session.fetch(list(session.list("", recursive=False)), Meddling(spool, grow))
    assert isinstance(outcome.error, Changed)


def test_a_file_that_is_replaced_while_it_is_read_has_changed(sshd, folder, spool):
    big, other = folder / "big", folder / "other"
    big.write_bytes(os.urandom(20 * MIB))
    with remote(sshd, path=str(folder)).connect() as session:
        entries = list(session.list("", recursive=False))
        other.write_bytes(b"another file")
        (outcome,) = session.fetch(entries, Meddling(spool, lambda: other.replace(big)))
    assert isinstance(outcome.error, Changed)


def test_a_file_that_is_removed_while_it_is_read_was_read_whole(sshd, folder, spool):
    big, data = folder / "big", os.urandom(20 * MIB)
    big.write_bytes(data)
    with remote(sshd, path=str(folder)).connect() as session:
        (outcome,) = session.fetch(list(session.list("", recursive=False)), Meddling(spool, big.unlink))
    assert sha256(data) == outcome.spooled.sha256


def test_files_that_changed_since_the_listing_have_changed_and_others_come(sshd, folder, spool):
    for name in ("longer", "later", "gone", "same", "large"):
        (folder / name).write_bytes(b"x" * (MIB if name == "large" else 5))
        os.utime(folder / name, (1e9, 1e9))
    with remote(sshd, path=str(folder)).connect() as session:
        entries = list(session.list("", recursive=False))
        (folder / "longer").write_bytes(b"123456")
        os.utime(folder / "later", (1e9 + 5, 1e9 + 5))
        os.utime(folder / "large", (1e9 + 5, 1e9 + 5))
        (folder / "gone").unlink()
        errors = {str(outcome.entry.name): type(outcome.error) for outcome in session.fetch(entries, spool)}
    assert {"longer": Changed, "later": Changed, "large": Changed, "gone": Missing, "same": type(None)} == errors


# Lying and hostile


def test_names_that_lead_elsewhere_are_refused_and_the_others_listed(fake):
    hostile = [b"../x", b"/abs", b"a/../../b", b"a/b", b"nul\0byte", b"", b"x" * 70_000]
    fake.listed = [(name, mode) for name in hostile for mode in (FILE, FOLDER)] + [(b"good", FILE), (b"..", FOLDER), (b".", FOLDER)]
    with remote(fake).connect() as session:
        entries = list(session.list("", recursive=True))
        refused = list(session.refused)
    assert [b"good"] == [entry.name.raw for entry in entries]
    assert 2 * len(hostile) == len(refused)
    assert all("\0" not in reason and len(reason) < 500 for reason in refused)


def test_folders_that_never_end_are_refused(fake):
    fake.listed = [(b"deeper", FOLDER)]
    with remote(fake).connect() as session, pytest.raises(Refused, match="64 deep"):
        list(session.list("", recursive=True))


@pytest.mark.parametrize(("code", "error"), [(FAILURE, Transient), (DENIED, Denied), (NO_SUCH_FILE, Missing)])
def test_a_listing_that_breaks_off_is_never_taken_for_whole(fake, code, error):
    fake.files = {b"a": b"1"}
    fake.listing_ends_with = code
    with remote(fake).connect() as session, pytest.raises(error):
        list(session.list("", recursive=True))


@pytest.mark.parametrize("size", [10, 600_000])
@pytest.mark.parametrize("lie", [-5, 5])
def test_a_size_that_is_a_lie_is_found_out(fake, spool, size, lie):
    fake.files = {b"a": b"x" * size}
    fake.tells = lambda _, real: real + lie
    with remote(fake).connect() as session:
        (outcome,) = session.fetch(list(session.list("", recursive=False)), spool)
    assert isinstance(outcome.error, Unreachable)


def test_a_size_that_is_not_told_is_found_out_by_reading(fake, spool):
    data = os.urandom(600_000)
    fake.files = {b"a": data, b"empty": b""}
    fake.tells = lambda *_: None
    with remote(fake).connect() as session:
        outcomes = list(session.fetch(list(session.list("", recursive=False)), spool))
    assert {"a": sha256(data), "empty": sha256(b"")} == {str(out.entry.name): out.spooled.sha256 for out in outcomes}


@pytest.mark.parametrize("size", [20_000, 600_000])
def test_answers_that_are_shorter_than_asked_for_are_made_up_for(fake, spool, size):
    data = os.urandom(size)
    fake.files, fake.read_at_most = {b"a": data}, 7_000
    with remote(fake).connect() as session:
        (outcome,) = session.fetch(list(session.list("", recursive=False)), spool)
    assert sha256(data) == outcome.spooled.sha256


def test_a_server_that_cannot_close_in_one_go_is_asked_step_by_step(fake, spool):
    fake.files, fake.handles_end_early = {b"a": b"abc"}, True
    with remote(fake).connect() as session:
        (outcome,) = session.fetch(list(session.list("", recursive=False)), spool)
    assert sha256(b"abc") == outcome.spooled.sha256


@pytest.mark.parametrize(
    ("code", "words", "error"),
    [
        (2, b"", Missing),
        (3, b"go away", Denied),
        (4, b"", Transient),
        (4, b"No space left on device", Full),
        (8, b"", Refused),
        (11, b"", Conflict),
        (14, b"", Full),
        (17, b"", Busy),
        (99, b"", Transient),
    ],
)
def test_what_a_server_says_tells_what_to_do(fake, spool, code, words, error):
    fake.files = {b"a": b"abc", b"b": b"good"}
    fake.refuses = {(3, b"a"): (code, words)}
    with remote(fake).connect() as session:
        outcomes = {str(outcome.entry.name): outcome for outcome in session.fetch(list(session.list("", recursive=False)), spool)}
    assert error is type(outcomes["a"].error)
    assert words.decode() in str(outcomes["a"].error)
    assert outcomes["b"].error is None


def test_a_servers_words_cannot_write_to_the_terminal(fake):
    fake.refuses = {(11, b"."): (3, b"\x1b[31mno\r\nline two\xff")}
    with remote(fake).connect() as session, pytest.raises(Denied) as caught:
        list(session.list("", recursive=False))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("greeting", [b"Welcome to our server!\r\n", b"\x00\x00\x00\x05\x02\x00\x00\x00\x09", b"\xff" * 100])
def test_a_server_that_does_not_speak_sftp_is_told(fake, greeting):
    fake.greeting = greeting
    with pytest.raises((Unreachable, Refused), match=rf"{fake.port}"), remote(fake, timeout=2).connect() as session:
        list(session.list("", recursive=False))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff" + b"x" * 100,  # longer than anything
        b"\0\0\0\x02xx" + b"x" * 10,  # shorter than anything
        b"\0\0\0\x09\x68\0\0\x12\x34\0\0\0\0",  # to no question
        b"\0\0\0\x09\x66\0\0\0\x01\xff\xff\xff\xff",  # longer inside than outside
        b"\0\0\0\x09\x69\0\0\0\x01\0\0\0\x0f",  # cut off
    ],
)
def test_answers_that_are_none_end_the_session(fake, garbage):
    with remote(fake).connect() as session:
        fake.garbage = garbage
        with pytest.raises(Unreachable):
            list(session.list("", recursive=False))


# Places that are taken, on servers with and without the means


@pytest.mark.parametrize("replaces", [True, False])
def test_a_server_without_extensions_replaces_when_it_may_and_only_then(fake, parcel, replaces):
    fake.files = {b"a": b"old"}
    with remote(fake).connect() as session:
        (receipt,) = session.publish(session.stage([parcel("a", b"new", replace=replaces)]))
    if replaces:
        assert (None, {b"a": b"new"}) == (receipt.error, fake.files)
    else:
        assert isinstance(receipt.error, Conflict)
        assert {b"a": b"old", b".d1-1.part": b"new"} == fake.files


def test_a_server_whose_rename_will_not_replace_gets_the_old_file_put_aside_and_removed(asyncssh_server, parcel, monkeypatch):
    place = asyncssh_server.root / "aside"
    place.mkdir(exist_ok=True)
    (place / "a").write_bytes(b"old")
    with remote(asyncssh_server, path="aside").connect() as session:
        del session._wire.extensions[b"posix-rename@openssh.com"]
        (receipt,) = session.publish(session.stage([parcel("a", b"new", replace=True)]))
        assert receipt.error is None
        assert {"a": b"new"} == {path.name: path.read_bytes() for path in place.iterdir()}


def test_an_old_file_that_was_put_aside_by_a_try_that_died_comes_back(fake):
    fake.files = {b".d1-1.old": b"old", b".d1-1.part": b"new"}
    with remote(fake).connect() as session:
        session.sweep("d1-1", Name("a"))
    assert {b"a": b"old"} == fake.files


def test_a_publishing_that_died_between_its_two_steps_is_ended(asyncssh_server, parcel):
    place = asyncssh_server.root / "linked"
    place.mkdir(exist_ok=True)
    with remote(asyncssh_server, path="linked").connect() as session:
        (staged,) = session.stage([parcel("a", b"data")])
        os.link(place / ".d1-1.part", place / "a")
        (receipt,) = session.publish([staged])
    assert receipt.error is None
    assert {"a": b"data"} == {path.name: path.read_bytes() for path in place.iterdir()}


def test_a_part_that_the_server_did_not_take_whole_is_not_published_and_removed(fake, parcel):
    fake.tells = lambda path, size: size - 1 if path.endswith(b".part") else size
    with remote(fake).connect() as session:
        (staged,) = session.stage([parcel("a", b"data")])
    assert isinstance(staged.error, Transient)
    assert {} == fake.files


def test_a_full_server_is_told_and_what_was_begun_is_removed(fake, parcel):
    fake.refuses = {(6, b".d1-1.part"): (4, b"write: No space left on device")}
    with remote(fake).connect() as session:
        (staged,) = session.stage([parcel("a", b"data")])
    assert isinstance(staged.error, Full)
    assert {} == fake.files


def test_a_file_longer_than_four_thousand_blocks_goes_out_whole(sshd, folder, parcel):
    data = os.urandom(MIB) * 40
    with remote(sshd, path=str(folder)).connect() as session:
        (receipt,) = session.publish(session.stage([parcel("sub/deep/big", data, modified=10**15)]))
    assert receipt.error is None
    assert data == (folder / "sub/deep/big").read_bytes()
    assert 10**9 == (folder / "sub/deep/big").stat().st_mtime


# Folders and links


def test_links_to_files_are_files_and_links_to_folders_are_left_alone(sshd, folder, tmp_path):
    (folder / "real").write_bytes(b"abc")
    (folder / "link").symlink_to("real")
    (folder / "nowhere").symlink_to("missing")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    with remote(sshd, path=str(folder)).connect() as session:
        found = {str(entry.name): entry.size for entry in session.list("", recursive=True)}
    assert {"real": 3, "link": 3} == found


def test_a_folder_that_may_not_be_read_is_not_an_empty_one(fake):
    fake.listed = [(b"a", FILE), (b"closed", FOLDER)]
    fake.refuses = {(11, b"closed"): (DENIED, b"no")}
    with remote(fake).connect() as session, pytest.raises(Denied, match="closed"):
        list(session.list("", recursive=True))


def test_names_in_the_encoding_of_the_server_are_found(sshd, folder):
    raw = os.fsencode(folder)
    os.mkdir(raw + b"/b\xfccher")
    with open(raw + b"/b\xfccher/\xe4.csv", "wb") as file:
        file.write(b"abc")
    with remote(sshd, path=str(folder), encoding="latin-1").connect() as session:
        (entry,) = session.list("bücher", recursive=False)
        assert ("bücher", b"\xe4.csv") == (entry.folder, entry.name.raw)
        assert session.stat(entry) == entry
        session.remove(entry)
        assert session.stat(entry) is None


def test_an_entry_without_time_or_size_gets_what_the_server_tells(sshd, folder, spool):
    (folder / "a").write_bytes(b"abc")
    os.utime(folder / "a", (1e9, 1e9))
    with remote(sshd, path=str(folder)).connect() as session:
        (outcome,) = session.fetch([Entry("", Name("a"))], spool)
        assert (3, 10**15) == (outcome.entry.size, outcome.entry.modified)
        (outcome,) = session.fetch([replace(outcome.entry, modified=None)], spool)
        assert (3, 10**15) == (outcome.entry.size, outcome.entry.modified)


def test_a_server_with_one_code_for_everything_is_understood(fake):
    fake.refuses = {(REMOVE, b"a"): (FAILURE, b"Failure")}
    with remote(fake).connect() as session, pytest.raises(Missing):
        session.remove(Entry("", Name("a")))
