"""Uploads to FTP servers that refuse, fill up, break off and have ways of their own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

import pytest

from tests.peers.base import PASSWORD, USER
from tests.peers.fake_ftp import Cut, FakeFtp
from transload.errors import Busy, Conflict, Denied, Full, Missing, Refused, Unreachable
from transload.model import Entry, Name, Parcel, Staged, Verify
from transload.remotes.ftp import FtpRemote
from transload.secret import Secret

os.environ["TRANSLOAD_TEST_PASSWORD"] = PASSWORD
LOGIN = {"user": USER, "password": Secret(env="TRANSLOAD_TEST_PASSWORD"), "timeout": 20.0, "tls": "off"}
BIG = os.urandom(3_000_000)
DATA = b"the bytes"


def remote(peer: FakeFtp, **changed) -> FtpRemote:
    return FtpRemote(**({"host": peer.host, "port": peer.port} | LOGIN | changed))


@pytest.fixture
def ftp() -> Iterator[FakeFtp]:
    with FakeFtp() as server:
        yield server


@pytest.fixture
def parcel(tmp_path) -> Callable[..., Parcel]:
    count = iter(range(1, 1000))

    def make(name: str, data: bytes = DATA, **more) -> Parcel:
        number = next(count)
        path = tmp_path / f"bytes-{number}"
        path.write_bytes(data)
        return Parcel(number, f"d{number}-1", Name(name), str(path), len(data), hashlib.sha256(data).hexdigest(), **more)

    return make


def one(session, parcel: Parcel) -> Staged:
    (staged,) = session.stage([parcel])
    return staged


def published(session, staged: Staged):
    (receipt,) = session.publish([staged])
    return receipt


def test_what_is_sent_is_under_a_temporary_name_until_it_is_published(ftp, parcel):
    with remote(ftp, path="in").connect() as session:
        staged = one(session, parcel("a/b/c.csv"))
        assert {b"in/a/b/.d1-1.part": DATA} == ftp.files
        receipt = published(session, staged)
        assert (None, Verify.SIZE) == (receipt.error, receipt.verified)
    assert {b"in/a/b/c.csv": DATA} == ftp.files


def test_folders_are_made_only_where_they_are_missing(ftp, parcel):
    with remote(ftp).connect() as session:
        assert all(staged.error is None for staged in session.stage([parcel(f"x/y/{number}") for number in range(5)]))
    assert [b"MKD /x/y", b"MKD /x"][:1] == [line for line in ftp.heard if line.startswith(b"MKD")][:1]
    assert ftp.verbs().count("MKD") <= 3
    assert ftp.verbs().count("STOR") == 6


@pytest.mark.parametrize("first", [b"x", b"x/y"])
def test_a_folder_that_another_connection_makes_at_the_same_moment_is_as_good(ftp, parcel, first):
    def made_by_another(path: str) -> str | None:
        if path.strip("/").encode() == first and first not in ftp.folders:
            ftp.folders |= {b"x", first}
            return "550 There is such a folder."
        return None

    ftp.replies["MKD"] = made_by_another
    with remote(ftp).connect() as session:
        assert one(session, parcel("x/y/a.csv")).error is None


def test_a_taken_name_is_a_conflict_and_both_files_stay(ftp, parcel):
    ftp.files[b"a"] = b"old"
    with remote(ftp).connect() as session:
        receipt = published(session, one(session, parcel("a")))
    assert isinstance(receipt.error, Conflict)
    assert {b"a": b"old", b".d1-1.part": DATA} == ftp.files


def test_a_replacement_replaces(ftp, parcel):
    ftp.files[b"a"] = b"old"
    with remote(ftp).connect() as session:
        assert published(session, one(session, parcel("a", replace=True))).error is None
    assert {b"a": DATA} == ftp.files
    assert "DELE" not in ftp.verbs()


def test_where_a_rename_goes_over_nothing_the_old_file_is_removed_first(ftp, parcel):
    ftp.files[b"a"] = b"old"
    ftp.replies["RNTO"] = lambda name: "553 it exists" if name.strip("/").encode() in ftp.files else None
    with remote(ftp).connect() as session:
        assert published(session, one(session, parcel("a", replace=True))).error is None
    assert {b"a": DATA} == ftp.files


def test_a_rename_that_is_refused_leaves_the_old_file(ftp, parcel):
    ftp.files[b"a"] = b"old"
    ftp.replies |= {"RNTO": "550 Permission denied", "DELE": "550 Permission denied"}
    with remote(ftp).connect() as session:
        assert isinstance(published(session, one(session, parcel("a", replace=True))).error, Denied)
        assert isinstance(published(session, one(session, parcel("b"))).error, Denied)
    assert b"old" == ftp.files[b"a"]
    assert b"b" not in ftp.files


def test_a_temporary_that_is_gone_is_missing(ftp, parcel):
    with remote(ftp).connect() as session:
        staged = one(session, parcel("a"))
        ftp.files.clear()
        assert isinstance(published(session, staged).error, Missing)


def test_a_reply_that_is_lost_after_the_rename_is_unreachable_and_a_look_settles_it(ftp, parcel):
    def renamed_and_gone(name: str) -> str:
        ftp.files[name.strip("/").encode()] = ftp.files.pop(b".d1-1.part")
        ftp.hangup |= {"NOOP", "RNTO"}
        return "421 going down"

    with remote(ftp).connect() as session:
        staged = one(session, parcel("a"))
    ftp.replies["RNTO"] = renamed_and_gone
    with pytest.raises((Unreachable, Busy)), remote(ftp).connect() as session:
        published(session, staged)
    with remote(ftp).connect() as session:
        assert len(DATA) == session.look(Name(b"a")).size
        assert isinstance(published(session, staged).error, Conflict)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("452 disk full", Full),
        ("552 over quota", Full),
        ("550 No space left on device", Full),
        ("451 trouble", Busy),
        ("426 cut", Unreachable),
    ],
)
def test_an_upload_that_breaks_off_tells_why_and_stops_no_other(ftp, parcel, reply, kind):
    ftp.cuts[".d1-1.part"] = Cut(100_000, reply=reply)
    with remote(ftp).connect() as session:
        first, second = session.stage([parcel("a", BIG), parcel("b")])
    assert isinstance(first.error, kind)
    assert second.error is None
    assert b"a" not in ftp.files


def test_an_upload_that_breaks_off_and_is_called_done_is_found_out_by_its_size(ftp, parcel):
    ftp.cuts[".d1-1.part"] = Cut(100_000)
    with remote(ftp).connect() as session:
        assert isinstance(one(session, parcel("a", BIG)).error, Unreachable)


@pytest.mark.parametrize("without", [set(), {"MLST", "MLSD"}, {"MLST", "MLSD", "SIZE", "MDTM"}])
def test_the_size_is_checked_by_whatever_the_server_knows(ftp, parcel, without):
    ftp.without |= without
    short: list[bytes] = []

    def cut(name: str) -> None:
        short.append(name.encode())

    with remote(ftp).connect() as session:
        assert Verify.SIZE is one(session, parcel("a", BIG)).verified
        ftp.cuts[".d2-1.part"] = Cut(2_999_999)
        assert isinstance(one(session, parcel("b", BIG)).error, Unreachable)


def test_an_upload_that_dies_is_unreachable_and_is_swept(ftp, parcel):
    ftp.cuts["in/.d1-1.part"] = Cut(100_000, reply="close", end="reset")
    with pytest.raises(Unreachable), remote(ftp).connect() as session:
        one(session, parcel("in/a", BIG))
    assert b"in/.d1-1.part" in ftp.files
    with remote(ftp).connect() as session:
        session.sweep("d1-1", Name(b"in/a"))
        session.sweep("d1-1", Name(b"in/a"))
    assert {} == ftp.files


def test_a_server_that_tells_hashes_is_asked_instead_of_read_back(ftp, parcel):
    digest = hashlib.sha256(DATA).hexdigest()
    ftp.replies |= {
        "FEAT": "211-Features\r\n MLST type*;size*;modify*;\r\n HASH SHA-1*;SHA-256;MD5\r\n211 End",
        "OPTS": lambda text: "200 SHA-256" if text == "HASH SHA-256" else None,
        "HASH": lambda name: f"213 SHA-256 0-8 {digest.upper()} {name}",
    }
    with remote(ftp).connect() as session:
        assert Verify.HASH is one(session, parcel("a", verify=Verify.HASH)).verified
        assert digest == session.hash(Name(b"anything"))
        assert "RETR" not in ftp.verbs()
        assert Verify.READ_BACK is one(session, parcel("a", verify=Verify.READ_BACK)).verified


def test_other_bytes_than_were_sent_are_found_out(ftp, parcel):
    ftp.replies["RETR"] = lambda name: ftp.files.__setitem__(name.strip("/").encode(), b"not bytes")
    with remote(ftp).connect() as session:
        assert isinstance(one(session, parcel("a", verify=Verify.READ_BACK)).error, Unreachable)


def test_without_a_command_for_hashes_the_file_is_read_back(ftp, parcel):
    with remote(ftp).connect() as session:
        first, second = session.stage([parcel("a", BIG, verify=Verify.HASH), parcel("b", verify=Verify.HASH)])
        assert (Verify.READ_BACK, Verify.READ_BACK) == (first.verified, second.verified)
        assert hashlib.sha256(BIG).hexdigest() == session.hash(Name(b".d1-1.part"))
        assert session.hash(Name(b"nothing")) is None


def test_the_time_is_set_where_the_server_can(ftp, parcel):
    with remote(ftp).connect() as session:
        assert one(session, parcel("a", modified=1_700_000_000_000_000)).error is None
    assert 1_700_000_000.0 == ftp.modified[b".d1-1.part"]


def test_a_server_that_refuses_times_is_not_asked_again(ftp, parcel):
    ftp.replies["MFMT"] = "550 no"
    with remote(ftp).connect() as session:
        assert all(staged.error is None for staged in session.stage([parcel(f"f{n}", modified=1) for n in range(5)]))
    assert ftp.verbs().count("MFMT") <= 2


def test_a_marker_is_an_empty_file(ftp):
    with remote(ftp).connect() as session:
        (staged,) = session.stage([Parcel(1, "k", Name("a.ok"), "", 0, "", verify=Verify.READ_BACK)])
        assert published(session, staged).error is None
    assert {b"a.ok": b""} == ftp.files


def test_bytes_that_are_gone_from_the_spool_are_an_outcome(ftp, parcel, tmp_path):
    with remote(ftp).connect() as session:
        first, second = session.stage([Parcel(1, "k", Name("a"), str(tmp_path / "gone"), 3, ""), parcel("b")])
    assert isinstance(first.error, Missing)
    assert second.error is None


def test_a_server_that_takes_no_uploads_says_so(ftp, parcel):
    ftp.replies |= {"STOR": "550 Permission denied.", "MKD": "550 Permission denied."}
    with remote(ftp).connect() as session:
        assert all(isinstance(staged.error, Denied) for staged in session.stage([parcel("a"), parcel("x/y")]))


def test_a_source_is_moved_into_a_folder_that_is_made_and_never_over_another_file(ftp):
    ftp.files |= {b"in/a": b"1", b"in/b": b"2", b"in/done/b": b"old"}
    with remote(ftp).connect() as session:
        entries = {entry.name.text: entry for entry in session.list("in", recursive=False)}
        session.move(entries["a"], Name("away/2026/a"))
        with pytest.raises(Conflict):
            session.move(entries["b"], Name("done/b"))
        with pytest.raises(Missing):
            session.move(entries["a"], Name("done/a"))
    assert {b"in/away/2026/a": b"1", b"in/b": b"2", b"in/done/b": b"old"} == ftp.files


def test_a_source_is_removed_once(ftp):
    ftp.files |= {b"in/a": b"1", b"in/b": b"2"}
    with remote(ftp).connect() as session:
        session.remove(Entry("in", Name("a"), 1))
        with pytest.raises(Missing):
            session.remove(Entry("in", Name("a"), 1))
        ftp.replies["DELE"] = "550 Permission denied"
        with pytest.raises(Denied):
            session.remove(Entry("in", Name("b"), 1))
    assert {b"in/b": b"2"} == ftp.files


@pytest.mark.parametrize("listing", ["mlsd", "list"])
@pytest.mark.parametrize("without", [set(), {"MLST", "MLSD"}, {"MLST", "MLSD", "SIZE", "MDTM"}])
def test_stat_tells_the_same_as_the_listing_until_the_file_changes(ftp, listing, without):
    ftp.files |= {b"in/a [1].csv": b"1", b"in/b": b"22"}
    ftp.without |= without
    if without and listing == "mlsd":
        listing = "auto"
    with remote(ftp, listing=listing).connect() as session:
        for entry in session.list("in", recursive=False):
            assert entry == session.stat(entry)
            ftp.files[entry.path] += b"more"
            ftp.modified[entry.path] = 1_600_000_000.0
            now = session.stat(entry)
            assert (entry.size + 4, True) == (now.size, now.modified != entry.modified)
            del ftp.files[entry.path]
            assert session.stat(entry) is None


def test_a_name_that_the_encoding_lacks_is_spelled_for_a_destination_and_told_again(parcel):
    with FakeFtp() as ftp:
        ftp.encoding = "latin-1"
        with remote(ftp, encoding="latin-1").connect() as session:
            assert published(session, one(session, parcel("→ü.csv"))).error is None
            assert len(DATA) == session.look(Name("→ü.csv")).size
        assert {"%E2%86%92ü.csv".encode(): DATA} == ftp.files


def test_a_name_with_a_line_end_is_refused_and_nothing_is_said(ftp, parcel):
    with remote(ftp).connect() as session:
        assert isinstance(one(session, parcel("a\r\nDELE b")).error, Refused)
    assert "STOR" not in ftp.verbs()
