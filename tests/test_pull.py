"""Pulling: what is new is fetched, once; what is not whole, not settled or not told is not."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import ClassVar, Literal

import pytest

from tests.crash.scene import at_fake_ftp, table
from tests.engine.byhand import Yard
from tests.peers.fake_ftp import LISTING, Cut
from tests.peers.relay import Relay
from tests.remotes.places import PATIENCE, at_sshd
from transload.config.kinds import REMOTES
from transload.errors import Rejected
from transload.ledger import Claim
from transload.model import Entry, Fetched
from transload.protocols import Spool
from transload.remotes.folder import FolderRemote, FolderSession


def _held(yard: Yard, path: str) -> str:
    row = yard.hand.row(path)
    assert "seen" == row.state
    assert row.next_try
    return row.reason or ""


def test_what_is_new_is_fetched_once(yard):
    it = yard()
    it.put("a.csv", b"1")
    it.put("below/b.csv", b"2")
    it.hand.go()
    assert {"a.csv": b"1", "below/b.csv": b"2"} == it.delivered
    it.put("c.csv", b"3")
    it.hand.told.clear()
    it.hand.go()
    assert {"a.csv": b"1", "below/b.csv": b"2", "c.csv": b"3"} == it.delivered
    assert [1] == [files for what, files, _ in it.hand.told if what == "fetched"]


class Odd(FolderSession):
    """Says of what has "bad" in its name that it is bad, and gives none of it."""

    def fetch(self, entries: Iterable[Entry], spool: Spool) -> Iterator[Fetched]:
        fine = []
        for entry in entries:
            if b"bad" in entry.name.raw:
                yield Fetched(entry, error=Rejected("its checksum is wrong"))
            else:
                fine.append(entry)
        yield from super().fetch(fine, spool)


class OddRemote(FolderRemote):
    """A remote of another package."""

    session: ClassVar[type] = Odd

    kind: Literal["odd"] = "odd"  # type: ignore[assignment]

    @contextmanager
    def connect(self) -> Iterator[Odd]:
        with closing(Odd(os.fsencode(self.path.absolute()))) as session:
            yield session


def test_what_a_remote_gives_no_byte_of_has_failed_and_is_not_said_to_be_kept_apart(yard, monkeypatch):
    monkeypatch.setitem(REMOTES.ours, "odd", f"{__name__}:OddRemote")
    it = yard(source='remote = "odd"', more='[remotes.odd]\nkind = "odd"\npath = "src"\n')
    it.put("a.csv", b"good")
    it.put("bad.csv", b"bad")
    it.hand.go()
    row = it.hand.row("bad.csv")
    assert ("failed", "its checksum is wrong; it did not come, so nothing of it is kept") == (row.state, row.reason)
    assert ({"a.csv": b"good"}, []) == (it.delivered, it.hand.ledger.quarantine.list(None))


def test_changed_bytes_are_the_next_version_and_keep_the_first(yard):
    it = yard()
    it.put("a.csv", b"first")
    it.hand.go()
    it.put("a.csv", b"second", modified=1700000100)
    it.hand.go()
    assert {"a.csv": b"first", "a.v2.csv": b"second"} == it.delivered
    assert {"a.csv": "delivered", "a.csv v2": "delivered"} == it.hand.states()


def test_a_backdated_file_is_a_new_version_too(yard):
    it = yard()
    it.put("a.csv", b"first")
    it.hand.go()
    it.put("a.csv", b"older", modified=1600000000)
    it.hand.go()
    assert {"a.csv": b"first", "a.v2.csv": b"older"} == it.delivered


def test_a_touched_file_with_the_same_bytes_is_not_delivered_again(yard):
    it = yard()
    it.put("a.csv")
    it.hand.go()
    it.put("a.csv", modified=1700000500)
    it.hand.go()
    assert {"a.csv": "delivered"} == it.hand.states()
    assert "touched" in it.hand.events("a.csv")
    it.hand.told.clear()
    it.hand.go()
    assert [] == [told for told in it.hand.told if told[0] == "fetched"]
    assert {"a.csv": b"data"} == it.delivered


def test_a_touched_file_is_looked_at_once_and_then_known(yard):
    it = yard()
    it.put("a.csv")
    it.hand.go()
    it.put("a.csv", modified=1700000500)
    it.hand.go()
    before = it.hand.ledger.view.last_event()
    it.hand.go()
    assert before == it.hand.ledger.view.last_event()


def test_bytes_that_come_back_are_a_version_of_their_own(yard):
    it = yard()
    for number, data in enumerate((b"one", b"two", b"one")):
        it.put("a.csv", data, modified=1700000000 + number * 60)
        it.hand.go()
    assert ["delivered"] * 3 == list(it.hand.states().values())
    assert {b"one", b"two"} == set(it.delivered.values())


@pytest.mark.parametrize(("changed", "state"), [("skip", "skipped"), ("fail", "failed")])
def test_a_route_may_refuse_what_has_changed(yard, changed, state):
    it = yard(source=f'remote = "src", changed = "{changed}"')
    it.put("a.csv", b"first")
    it.hand.go()
    it.put("a.csv", b"second!", modified=1700000100)
    it.hand.go()
    assert {"a.csv": b"first"} == it.delivered
    assert state == it.hand.states()["a.csv v2"]
    assert changed in it.hand.row("a.csv").reason
    before = it.hand.ledger.view.last_event()
    it.hand.go()
    assert before == it.hand.ledger.view.last_event()


def test_identity_by_path_never_takes_a_name_twice(yard):
    it = yard(source='remote = "src", identity = "path"')
    it.put("a.csv", b"first")
    it.hand.go()
    it.put("a.csv", b"second!", modified=1700000100)
    it.hand.go()
    assert {"a.csv": b"first"} == it.delivered


def test_identity_by_hash_finds_bytes_that_changed_in_secret(yard):
    it = yard(source='remote = "src", identity = "sha256"')
    it.put("a.csv", b"first")
    it.hand.go()
    it.put("a.csv", b"other")
    it.hand.go()
    assert {"a.csv": b"first", "a.v2.csv": b"other"} == it.delivered
    it.hand.go()
    assert 2 == len(it.hand.rows())


def test_same_bytes_under_a_new_name_are_linked_and_delivered(yard):
    it = yard()
    it.put("a.csv", b"same")
    it.hand.go()
    it.put("b.csv", b"same")
    it.hand.go()
    assert {"a.csv": b"same", "b.csv": b"same"} == it.delivered
    assert re.search(rf"same.* {it.hand.row('a.csv').id}\b", _details(it, "b.csv"))


def _details(it: Yard, path: str) -> str:
    return "\n".join(event.detail or "" for event in it.hand.ledger.view.events(it.hand.row(path).id))


def test_same_bytes_under_a_new_name_may_be_skipped(yard):
    it = yard(source='remote = "src", duplicate = "skip"')
    it.put("a.csv", b"same")
    it.put("b.csv", b"same", modified=1700000100)
    it.put("c.csv", b"other", modified=1700000200)
    it.hand.go()
    assert {"a.csv": b"same", "c.csv": b"other"} == it.delivered
    assert "skipped" == it.hand.states()["b.csv"]


@pytest.mark.parametrize(("order", "first"), [("oldest", ["c", "b"]), ("newest", ["a", "b"]), ("name", ["a", "b"])])
def test_a_limit_takes_the_first_of_the_order_and_the_rest_next_time(yard, order, first):
    it = yard(source=f'remote = "src", limit = 2, order = "{order}"')
    for age, name in enumerate(("a", "b", "c")):
        it.put(name, name.encode(), modified=1700000000 - age * 100)
    it.hand.go()
    assert first == [row.text for row in it.hand.rows()]
    assert set(first) == set(it.delivered)
    it.hand.go()
    assert {"a", "b", "c"} == set(it.delivered)


def test_a_file_that_was_touched_just_now_waits_for_a_second_look(yard):
    it = yard(source='remote = "src", settle = "2s"')
    it.put("old.csv")
    it.put("new.csv", modified=time.time())
    it.hand.go()
    assert {"old.csv"} == set(it.delivered)
    assert "may still be being written" in _held(it, "new.csv")


def test_a_growing_file_is_never_taken_half(yard):
    it = yard(source='remote = "src", settle = "0.3s"')
    seen = []
    for size in range(1, 5):
        it.put("a.csv", b"x" * size * 1000, modified=time.time())
        it.hand.go()
        seen.append(it.delivered)
    assert [{}] * 4 == seen
    time.sleep(0.35)
    it.hand.go()
    assert {"a.csv": b"x" * 4000} == it.delivered
    assert {"a.csv": "delivered"} == it.hand.states()


def test_temporary_names_are_never_taken(yard):
    it = yard()
    for name in ("a.part", "b.TMP", "c.filepart", ".hidden", "d.crdownload", "below/.e", "f.csv"):
        it.put(name)
    it.hand.go()
    assert {"f.csv"} == set(it.delivered)


def test_names_that_cannot_be_are_recorded_in_the_note_and_hold_up_nobody(yard, fake_ftp):
    names = {b"a.csv": 3, b"../x": 1, b"/abs": 1, b"b.csv": 2}
    listing = b"".join(b"-rw-r--r-- 1 u g %d Jan 01 2024 %s\r\n" % (size, name) for name, size in names.items())
    fake_ftp.files |= {b"a.csv": b"abc", b"b.csv": b"de"}
    fake_ftp.without |= {"MLSD", "MLST", "MDTM"}
    fake_ftp.listing = listing
    it = yard(source='remote = "ftp"', more=at_fake_ftp(fake_ftp.port))
    it.hand.go()
    assert {"a.csv": b"abc", "b.csv": b"de"} == _after_settling(it)
    note = it.hand.ledger.looks.rows()["r"].note
    assert note.startswith("2 names refused, the first: ")
    assert "../x" in note


def _after_settling(it: Yard) -> dict[str, bytes]:
    """What is delivered once the files that a LIST cannot show to be settled have been seen twice."""
    it.hand.again()
    it.hand.work_off()
    return it.delivered


def test_a_failed_listing_changes_nothing(yard):
    it = yard()
    it.put("a.csv", b"1")
    it.put("b.csv", b"2")
    it.hand.go()
    os.rename(it.folder / "src", it.folder / "away")
    it.hand.go()
    assert it.hand.ledger.looks.rows()["r"].error
    assert {"a.csv": "delivered", "b.csv": "delivered"} == it.hand.states()
    os.rename(it.folder / "away", it.folder / "src")
    it.hand.again()
    before = len(it.hand.rows())
    it.hand.go()
    assert it.hand.ledger.looks.rows()["r"].error is None
    assert before == len(it.hand.rows())
    assert {"a.csv": b"1", "b.csv": b"2"} == it.delivered


def test_a_cut_listing_is_no_listing(yard, fake_ftp):
    fake_ftp.files |= {b"f%d.csv" % number: b"x" for number in range(50)}
    fake_ftp.cuts[LISTING] = Cut(500, reply="426 cut")
    it = yard(source='remote = "ftp", settle = "0s"', more=at_fake_ftp(fake_ftp.port))
    it.hand.go()
    assert [] == it.hand.rows()
    assert it.hand.ledger.looks.rows()["r"].error
    fake_ftp.cuts.clear()
    it.hand.again()
    it.hand.go()
    assert 50 == len(it.delivered)


def test_a_file_that_changed_while_it_was_fetched_is_fetched_again_whole(yard, fake_ftp):
    fake_ftp.files |= {b"a.csv": b"old bytes" * 100}

    def grow(name: bytes) -> None:
        fake_ftp.files[name] = b"new bytes" * 200
        fake_ftp.modified[name] = 1700000500.0
        fake_ftp.changing = lambda _: None

    fake_ftp.changing = grow
    it = yard(source='remote = "ftp", settle = "0s"', more=at_fake_ftp(fake_ftp.port))
    it.hand.go()
    assert {} == it.delivered
    assert "changed while it was fetched" in _held(it, "a.csv")
    it.hand.again()
    it.hand.go()
    assert {"a.csv": b"new bytes" * 200} == it.delivered
    assert {"a.csv": "delivered"} == it.hand.states()


def test_a_file_that_is_gone_before_it_is_fetched_is_forgotten(yard):
    it = yard()
    it.put("a.csv")
    it.hand.ledger.looks.declare(["r"])
    it.hand.ledger.looks.ask(["r"])
    _look_only(it)
    os.unlink(it.folder / "src" / "a.csv")
    it.hand.work_off()
    assert {"a.csv": "skipped"} == it.hand.states()
    it.put("a.csv", b"again", modified=1700000900)
    it.hand.go()
    assert {"a.csv": b"again"} == it.delivered


def _look_only(it: Yard) -> None:
    from transload.pull import look

    claim = it.hand.ledger.looks.claim("hand", "r", "src", None)
    assert isinstance(claim, Claim)
    look(it.hand.work, claim)
    it.hand.ledger.claims.done(claim.id)


def test_a_cut_download_goes_on_where_it_was_cut_and_is_hashed_whole(yard, sshd, tmp_path):
    data = os.urandom(8 << 20)
    name = f"{tmp_path.parent.name}.bin"
    place = at_sshd(sshd, tmp_path)
    place.plant(name.encode(), data)
    with Relay(sshd.port) as relay:
        it = yard(source='remote = "sftp", settle = "0s"', more=table("sftp", place.make(port=relay.port, timeout=PATIENCE)))
        relay.down_left = len(data) // 2
        it.hand.go()
        assert {} == it.delivered
        assert _held(it, name)
        carried = relay.carried
        relay.mend()
        it.hand.again()
        it.hand.go()
        assert {name: data} == it.delivered
        assert relay.carried - carried < len(data) * 3 // 4


def test_a_file_of_no_bytes_arrives(yard):
    it = yard(to='{ remote = "dst", verify = "hash" }')
    it.put("empty", b"")
    it.hand.go()
    assert {"empty": b""} == it.delivered
    assert "hash" == it.hand.deliveries("empty")["dst"].verified


def test_names_that_differ_in_case_alone_stay_apart(yard):
    it = yard()
    it.put("A.csv", b"1")
    it.put("a.csv", b"2")
    it.put("a\u0301.csv", b"3")
    it.put("\u00e1.csv", b"4")
    it.hand.go()
    assert {"A.csv": b"1", "a.csv": b"2", "a\u0301.csv": b"3", "\u00e1.csv": b"4"} == it.delivered


HOSTILE = [
    b"#?%*:|\"<>'.csv",
    b"new\nline",
    b"bad \xff\xfe bytes",
    "\U0001f600".encode(),
    "\u202egnp.exe".encode(),
    b"x" * 255,
    b"%41",
    b" lead",
    b"-rf",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_arrives_byte_for_byte(yard, name):
    it = yard()
    it.put(name, b"1")
    it.hand.go()
    assert [name] == os.listdir(os.fsencode(it.folder / "dst"))
