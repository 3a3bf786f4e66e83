"""What S3 and Azure Blob keep alike, on moto and Azurite."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.peers import azurite as az
from tests.peers import moto as s3
from transload.errors import Changed, Conflict, Missing, Refused
from transload.model import Entry, Name, Parcel, Verify
from transload.remotes.objects import AzureRemote, S3Remote

MIB = 2**20
AWKWARD = [
    "plain.csv", "a b.csv", "file#1", "file@1", "file?1", "file%1", "file%46", "100%", "x*y", "x:y", "x|y", 'x"y', "x<y>", "x\\y", "\\",
    "ü.txt", "u\u0308.txt", "日本", "😀.txt", "\u202eabc", " lead", "trail ", "trail.", "dir./x..", "dir /y", ".hid", "-dash", "~t", "a+b",
    "a&b=c;d", "a'b`", "{}^[c]", "a,b$c@d!e(f)", "tab\tx", "nl\nx", "cr\rx", "del\x7fx", "\x01y", "\x85y", "\ufeffb", "\uffffz", "\u2028s",
    "...", ".. ", "con", "$$$", "a/b/c/d", "L" * 255, "é" * 127,
]  # fmt: skip
AWKWARD_BYTES = [name.encode() for name in AWKWARD] + [b"caf\xe9.csv", b"\xff\xfe", b"ok/\xc3\x28"]


class Shelf:
    """A remote on a fresh bucket or container, and a way to look behind its back."""

    def __init__(self, kind: str, peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind, self.peer = kind, peer
        monkeypatch.setenv("THE_SECRET", s3.SECRET_KEY if kind == "s3" else az.KEY)
        monkeypatch.setenv("THE_KEY", s3.ACCESS_KEY)
        self.bucket = peer.bucket() if kind == "s3" else peer.container()

    def remote(self, **more: object) -> Any:
        secret = {"env": "THE_SECRET"}
        if self.kind == "s3":
            keys = {"access_key": {"env": "THE_KEY"}, "secret_key": secret}
            return S3Remote.model_validate({"bucket": self.bucket, "endpoint": self.peer.url, "region": s3.REGION, **keys, **more})
        return AzureRemote.model_validate(
            {"container": self.bucket, "account": az.ACCOUNT, "endpoint": self.peer.url, "account_key": secret, **more}
        )

    def put(self, key: str, data: bytes) -> None:
        if self.kind == "s3":
            self.peer.client().put_object(Bucket=self.bucket, Key=key, Body=data)
        else:
            self.peer.put(self.bucket, key, data)

    def get(self, key: str) -> bytes:
        if self.kind == "s3":
            return self.peer.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return self.peer.get(self.bucket, key)

    def keys(self) -> list[str]:
        if self.kind == "s3":
            return sorted(found["Key"] for found in self.peer.client().list_objects_v2(Bucket=self.bucket).get("Contents", []))
        return sorted(self.peer.names(self.bucket))


@pytest.fixture(params=["s3", "azure"])
def shelf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    peer = request.getfixturevalue("moto" if request.param == "s3" else "azurite")
    return Shelf(request.param, peer, monkeypatch)


@pytest.fixture
def session(shelf):
    with shelf.remote().connect() as live:
        yield live


@pytest.fixture
def parcel(tmp_path):
    numbers = iter(range(1, 10_000))

    def make(name: bytes | str, data: bytes = b"some bytes", **more: Any) -> Parcel:
        number = next(numbers)
        file = tmp_path / f"parcel-{number}"
        file.write_bytes(data)
        return Parcel(number, f"d{number}-c1", Name(name), str(file), len(data), hashlib.sha256(data).hexdigest(), **more)

    return make


def put(session, *parcels: Parcel):
    """The receipts, in the order of the parcels."""
    staged = list(session.stage(parcels))
    assert [None] * len(parcels) == [item.error for item in staged]
    receipts = {receipt.parcel.delivery: receipt for receipt in session.publish(staged)}
    return [receipts[parcel.delivery] for parcel in parcels]


def listed(session, folder: str = "", *, recursive: bool = True) -> dict[bytes, Entry]:
    return {entry.name.raw: entry for entry in session.list(folder, recursive=recursive)}


def fetched(session, spool, entries):
    """The bytes, or the error, by name."""
    found = {}
    for outcome in session.fetch(list(entries), spool):
        found[outcome.entry.name.raw] = outcome.error or Path(outcome.spooled.part).read_bytes()
    return found


def test_every_awkward_name_gets_an_object_of_its_own_and_is_found_again(session, parcel):
    parcels = [parcel(raw, b"bytes of " + raw) for raw in AWKWARD_BYTES]
    assert [None] * len(parcels) == [receipt.error for receipt in put(session, *parcels)]
    assert len(parcels) == len(listed(session))
    for sent in parcels:
        seen = session.look(sent.name)
        assert (sent.name, sent.size) == (seen.name, seen.size)
        assert sent.sha256 == session.hash(sent.name)


def test_a_listing_names_the_keys_as_they_are_and_fetches_them(session, spool, parcel):
    parcels = [parcel(raw, b"bytes of " + raw) for raw in AWKWARD_BYTES]
    put(session, *parcels)
    entries = listed(session)
    bodies = fetched(session, spool, entries.values())
    forbidden = session._bucket.remote.forbidden
    for sent in parcels:
        spelled = session._bucket.spelled(sent.name).encode()
        assert Path(sent.file).read_bytes() == bodies[spelled]
        if sent.name.is_text and sent.name.spelled(forbidden).encode() == sent.name.raw and not spelled.endswith(b"%2E"):
            assert sent.name.raw == spelled or b"%2E" in spelled


def test_keys_made_by_others_are_taken_literally(shelf, session, spool):
    for key in ("a%46b", "100%", "x y/ü", "%", "q?x#y"):
        shelf.put(key, key.encode())
    assert {key.encode(): key.encode() for key in ("a%46b", "100%", "x y/ü", "%", "q?x#y")} == fetched(
        session, spool, listed(session).values()
    )


def test_the_whole_length_of_a_key_is_used_and_no_more(session, parcel):
    limit, unit = session._bucket.remote.longest
    assert (
        "é" * (limit // (2 if unit == "bytes" else 1))
        == put(session, parcel("é" * (limit // (2 if unit == "bytes" else 1))))[0].parcel.name.text
    )
    (refused,) = session.stage([parcel("x" * (limit + 1))])
    assert isinstance(refused.error, Refused)
    assert str(limit) in str(refused.error)


@pytest.mark.parametrize("size", [0, 1, 4096, MIB - 1, MIB, MIB + 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB])
@pytest.mark.parametrize("verify", list(Verify))
def test_every_size_arrives_whole_and_comes_back_whole(shelf, session, spool, parcel, size, verify):
    data = bytes(range(251)) * (size // 251 + 1)
    sent = parcel("sized", data[:size], verify=verify)
    (receipt,) = put(session, sent)
    assert receipt.error is None
    assert receipt.verified.rank >= verify.rank
    assert data[:size] == shelf.get("sized")
    (outcome,) = session.fetch(listed(session).values(), spool)
    assert (size, sent.sha256) == outcome.spooled[1:]


def test_a_name_that_is_taken_stays_as_it_is_unless_it_may_be_replaced(shelf, session, parcel):
    shelf.put("small", b"old")
    shelf.put("large", b"old")
    receipts = put(session, parcel("small", b"new"), parcel("large", b"new" * 4 * MIB))
    assert [Conflict, Conflict] == [type(receipt.error) for receipt in receipts]
    assert [b"old", b"old"] == [shelf.get("small"), shelf.get("large")]
    receipts = put(session, parcel("small", b"new", replace=True), parcel("large", b"new" * 4 * MIB, replace=True))
    assert [None, None] == [receipt.error for receipt in receipts]
    assert [b"new", b"new" * 4 * MIB] == [shelf.get("small"), shelf.get("large")]


def test_publishing_twice_leaves_one_object_and_says_yes_twice(shelf, session, parcel):
    parcels = [parcel("small", b"new"), parcel("large", b"new" * 4 * MIB)]
    first, second = put(session, *parcels), put(session, *parcels)
    assert [None] * 4 == [receipt.error for receipt in first + second]
    assert [receipt.etag for receipt in first] == [receipt.etag for receipt in second]
    assert ["large", "small"] == shelf.keys()


def test_another_session_can_publish_what_one_has_staged(shelf, parcel):
    with shelf.remote().connect() as one:
        staged = list(one.stage([parcel("a/b", b"bytes")]))
    with shelf.remote().connect() as other:
        assert [None] == [receipt.error for receipt in other.publish(staged)]
    assert b"bytes" == shelf.get("a/b")


def test_a_marker_is_an_empty_object(shelf, session):
    marker = Parcel(1, "d1-c1", Name("x.done"), "", 0, hashlib.sha256(b"").hexdigest())
    assert [None] == [receipt.error for receipt in put(session, marker)]
    assert b"" == shelf.get("x.done")


def test_a_file_that_is_not_what_was_hashed_is_not_sent(shelf, session, parcel):
    shorter, other = parcel("shorter", b"0123456789"), parcel("other", b"0123456789")
    Path(shorter.file).write_bytes(b"0123")
    Path(other.file).write_bytes(b"9876543210")
    assert [Changed] == [type(item.error) for item in session.stage([shorter])]
    assert [Changed] == [type(receipt.error) for receipt in put(session, other)]
    assert [] == shelf.keys()


def test_below_a_prefix_only_what_is_there_is_seen(shelf, parcel):
    shelf.put("outside", b"no")
    shelf.put("in/here.txt", b"no")
    with shelf.remote(prefix="/in/here/").connect() as session:
        put(session, parcel("x/y", b"yes"))
        assert [b"x/y"] == list(listed(session))
        assert [b"here.txt", b"here/x/y"] == list(listed(session, "/in"))
    assert b"yes" == shelf.get("in/here/x/y")


def test_a_listing_of_one_folder_leaves_the_folders_below_alone(shelf, session):
    for key in ("a/1", "a/2", "a/b/3", "ab/4", "5"):
        shelf.put(key, b"x")
    assert {b"1", b"2"} == set(listed(session, "a", recursive=False))
    assert {b"1", b"2", b"b/3"} == set(listed(session, "a/"))
    assert {b"5"} == set(listed(session, recursive=False))


def test_a_folder_that_is_a_file_is_that_file(shelf, session):
    shelf.put("a/1.txt", b"x")
    (entry,) = session.list("a/1.txt", recursive=True)
    assert ("a", Name("1.txt"), b"a/1.txt") == (entry.folder, entry.name, entry.path)


def test_a_folder_without_objects_is_empty_and_a_missing_bucket_is_an_error(shelf, session):
    assert {} == listed(session, "nothing/here")
    with shelf.remote(**{"bucket" if shelf.kind == "s3" else "container": "not-there"}).connect() as lost:
        with pytest.raises(Missing, match=r"not-there.*does not exist"):
            listed(lost)
        with pytest.raises(Missing, match=r"not-there.*does not exist"):
            list(lost.fetch([Entry("", Name("x"), 1)], spool=None))


def test_a_missing_bucket_is_made_only_when_asked(shelf, parcel):
    fresh = shelf.bucket + "-new"
    names = {"bucket" if shelf.kind == "s3" else "container": fresh}
    with shelf.remote(**names).connect() as session, pytest.raises(Missing, match="does not exist"):
        put(session, parcel("x", b"1"))
    with shelf.remote(**names, create=True).connect() as session:
        parcels = [parcel(f"{number}", b"1") for number in range(40)]
        assert [None] * 40 == [receipt.error for receipt in put(session, *parcels, parcel("large", b"1" * 9 * MIB))][:40]
        assert 41 == len(listed(session))


def test_what_is_told_of_an_object_goes_with_it(shelf, session, parcel):
    sent = parcel("ü/ö\n.csv", modified=1_700_000_000_000_000, metadata={"source": "carrier:/out/ä", "content-Encoding": "no"})
    put(session, sent)
    told = session._bucket.attributes(session._bucket.spelled(sent.name))[1]
    assert sent.sha256 == told["sha256"]
    assert "2023-11-14T22:13:20+00:00" == told["modified"]
    assert "%C3%BC/%C3%B6%0A.csv" == told["name"]
    assert "carrier:/out/%C3%A4" == told["source"]
    assert "no" == told["xcontentencoding"]
    assert "text/csv" == told["Content-Type"]


def test_an_object_that_others_wrote_is_hashed_by_reading_it(shelf, session):
    shelf.put("theirs", b"some bytes")
    assert hashlib.sha256(b"some bytes").hexdigest() == session.hash(Name("theirs"))
    assert session.hash(Name("nothing")) is None
    assert session.look(Name("nothing")) is None


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_an_object_replaced_after_the_listing_is_changed(shelf, session, spool, size):
    shelf.put("x", b"a" * size)
    entries = listed(session)
    shelf.put("x", b"b" * size)
    assert [Changed] == [type(error) for error in fetched(session, spool, entries.values()).values()]


def test_one_object_that_is_gone_stops_no_other(shelf, session, spool):
    for number in range(50):
        shelf.put(f"{number:02}", b"%d" % number)
    entries = listed(session)
    session.remove(entries[b"07"])
    found = fetched(session, spool, entries.values())
    assert isinstance(found.pop(b"07"), Missing)
    assert {b"%02d" % number: b"%d" % number for number in range(50) if number != 7} == found


def test_removing_and_moving_tell_what_is_missing_and_never_cover_another(shelf, session):
    shelf.put("a", b"1")
    shelf.put("taken", b"2")
    (entry,) = (entry for entry in session.list("", recursive=True) if entry.name == Name("a"))
    with pytest.raises(Conflict):
        session.move(entry, Name("taken"))
    session.move(entry, Name("done/a"))
    assert ["done/a", "taken"] == shelf.keys()
    assert session.stat(entry) is None
    for act in (lambda: session.remove(entry), lambda: session.move(entry, Name("again"))):
        with pytest.raises(Missing):
            act()


def test_a_move_that_died_between_copy_and_removal_is_finished(shelf, session):
    shelf.put("a", b"1")
    shelf.put("done/a", b"1")
    session.move(listed(session)[b"a"], Name("done/a"))
    assert ["done/a"] == shelf.keys()


def test_an_entry_tells_size_time_and_etag_alike_in_listing_and_stat(shelf, session):
    shelf.put("x", b"12345")
    entry = listed(session)[b"x"]
    again = session.stat(replace(entry, etag=None))
    assert (5, True, entry.etag) == (again.size, again.settles, again.etag)
    assert abs(entry.modified - again.modified) <= entry.precision * 1_000_000


@pytest.mark.slow
def test_many_pages_are_listed(session, parcel):
    one = parcel("0", b"")
    staged = list(
        session.stage(replace(one, delivery=number, key=f"d{number}", name=Name(f"{number % 7}/{number}")) for number in range(2500))
    )
    assert 2500 == sum(receipt.error is None for receipt in session.publish(staged))
    assert 2500 == len(listed(session))
    assert [] == session.refused
