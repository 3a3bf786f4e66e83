"""Delivering: one whole copy at each destination, under a name that nobody else has, checked as far as the route asks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.crash.scene import held, table
from tests.engine.byhand import Yard
from tests.mounted import memory
from tests.peers.relay import Relay
from tests.remotes.places import FAR, PATIENCE, Place, at_sshd
from transload.deliver import Delivering
from transload.errors import Unreachable
from transload.parcels import key_of


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.xdist_group("tests/test_deliver.py")) for kind in FAR])
def far(request, tmp_path) -> Place:
    """An empty place of each kind."""
    fixture, at = FAR[request.param]
    return at(request.getfixturevalue(fixture), tmp_path)


def _to(place: Place) -> str:
    return table("far", place.make(timeout=PATIENCE))


def _reasons(it: Yard, path: str) -> str:
    return it.hand.row(path).reason or next((one.reason for one in it.hand.deliveries(path).values() if one.reason), "")


# Names


def test_a_name_is_made_of_what_is_known_of_the_file(yard):
    name = "{site}/{source.modified:%Y/%m/%d}/{folder}/{stem}-{version}-{sha256}{suffix}"
    it = yard(
        source=r"remote = 'src', match = '(?i)(?P<site>[a-z]+)_\\d+\\.csv'".replace("\\\\", "\\"),
        to=f'{{ remote = "dst", name = "{name}" }}',
    )
    it.put("in/kew_20240101.csv", b"1")
    it.hand.go()
    [found] = it.delivered
    assert re.fullmatch(r"kew/2023/11/14/in/kew_20240101-1-[0-9a-f]{64}\.csv", found)


def test_the_time_in_a_name_is_that_of_the_fetch_and_stays(yard):
    it = yard(to='{ remote = "dst", name = "{now:%Y-%m-%d}/{name}" }')
    it.put("a.csv")
    it.hand.go()
    assert {f"{datetime.now(UTC):%Y-%m-%d}/a.csv"} == set(it.delivered)


def test_two_files_that_want_one_name_both_arrive(yard):
    it = yard(to='{ remote = "dst", name = "{name}" }')
    it.put("one/a.csv", b"1")
    it.put("two/a.csv", b"2", modified=1700000100)
    it.hand.go()
    assert {"a.csv": b"1", "a.v2.csv": b"2"} == it.delivered


# Other files of the name


@pytest.mark.parametrize(
    ("policy", "there"), [("version", {b"a": b"foreign", b"a.v2": b"ours"}), ("replace", {b"a": b"ours"}), ("fail", {b"a": b"foreign"})]
)
def test_a_foreign_file_of_the_name_is_met_as_the_route_says(yard, far, policy, there):
    far.plant(b"a", b"foreign")
    it = yard(to=f'{{ remote = "far", conflict = "{policy}" }}', more=_to(far))
    it.put("a", b"ours")
    it.hand.go()
    assert there == far.files()
    if policy == "fail":
        assert "failed" == it.hand.states()["a"]
        assert "another" in _reasons(it, "a")
    else:
        assert {"a": "delivered"} == it.hand.states()


def test_the_same_bytes_that_are_there_already_are_fine(yard, far):
    far.plant(b"a.csv", b"ours")
    it = yard(to='{ remote = "far", conflict = "fail" }', more=_to(far))
    it.put("a.csv", b"ours")
    it.hand.go()
    assert {b"a.csv": b"ours"} == far.files()
    assert {"a.csv": "delivered"} == it.hand.states()


def test_foreign_names_among_many_hold_up_nobody(yard, far):
    for number in (3, 4, 9):
        far.plant(b"f%d" % number, b"foreign")
    far.plant(b"f5", b"5")
    it = yard(to='{ remote = "far" }', more=_to(far))
    for number in range(12):
        it.put(f"f{number}", str(number).encode())
    it.hand.go()
    wanted = {b"f%d" % number: b"%d" % number for number in range(12)} | {b"f%d" % number: b"foreign" for number in (3, 4, 9)}
    assert wanted | {b"f%d.v2" % number: b"%d" % number for number in (3, 4, 9)} == far.files()
    assert {"delivered"} == set(it.hand.states().values())


@pytest.mark.parametrize(
    ("policy", "there"), [("version", {"a": b"one", "a.v2": b"two"}), ("replace", {"a": b"two"}), ("fail", {"a": b"one"})]
)
def test_a_new_version_meets_its_own_first_as_the_route_says(yard, policy, there):
    it = yard(to=f'{{ remote = "dst", conflict = "{policy}" }}')
    it.put("a", b"one")
    it.hand.go()
    it.put("a", b"two", modified=1700000100)
    it.hand.go()
    assert there == it.delivered
    assert ("failed" if policy == "fail" else "delivered") == it.hand.states()["a v2"]


def test_of_two_versions_that_wait_the_older_never_replaces_the_newer(yard):
    it = yard(to='{ remote = "other", conflict = "replace" }')
    it.put("a", b"one")
    with _away(it, "other"):
        it.hand.go()
        it.put("a", b"two", modified=1700000100)
        it.hand.again()
        it.hand.go()
    it.hand.again()
    it.hand.work_off()
    assert {"a": b"two"} == it.at("other")


@contextmanager
def _away(it: Yard, name: str) -> Iterator[None]:
    it.hand.away.add(name)
    yield
    it.hand.away.clear()


# Markers


def test_a_marker_comes_last_and_only_with_its_file(yard, far):
    it = yard(to='{ remote = "far", marker = "{name}.done" }', more=_to(far))
    for number in range(3):
        it.put(f"f{number}", b"%d" % number)
    it.hand.go()
    files = far.files()
    assert {b"f0": b"0", b"f0.done": b"", b"f1": b"1", b"f1.done": b"", b"f2": b"2", b"f2.done": b""} == files


def test_no_marker_is_there_before_its_file(yard, monkeypatch):
    it = yard(to='{ remote = "dst", marker = "ready/{name}.done" }')
    it.put("a", b"1")
    marked = Delivering._marked
    monkeypatch.setattr(Delivering, "_marked", _broken)
    with suppress(Unreachable):
        it.hand.go()
    assert {"a": b"1"} == it.delivered
    assert "ready" == it.hand.states()["a"]
    monkeypatch.setattr(Delivering, "_marked", marked)
    it.hand.again()
    it.hand.work_off()
    assert {"a": b"1", "ready/a.done": b""} == it.delivered
    assert "delivered" == it.hand.states()["a"]


def _broken(*_: object) -> None:
    message = "the line broke"
    raise Unreachable(message)


# How far it was checked


LEVELS = {
    "size": {"folder": "size", "ftp": "size", "sftp": "size", "s3": "hash", "azure": "size"},
    "hash": {"folder": "hash"},
    "read-back": dict.fromkeys(FAR, "read-back"),
}


@pytest.mark.parametrize("asked", ["size", "hash", "read-back"])
def test_the_level_of_the_check_is_recorded_and_never_less_than_asked_for(yard, far, asked, request):
    it = yard(to=f'{{ remote = "far", verify = "{asked}" }}', more=_to(far))
    it.put("a", b"ours" * 1000)
    it.hand.go()
    assert {b"a": b"ours" * 1000} == held(far)
    kind = request.node.callspec.params["far"]
    levels = ["size", "hash", "read-back"]
    reached = it.hand.deliveries("a")["far"].verified
    assert levels.index(reached) >= levels.index(asked)
    assert LEVELS[asked].get(kind, reached) in levels


# Several destinations


def test_each_destination_has_a_state_of_its_own(yard):
    it = yard('after = "delete"', to='{ remote = "dst" }, { remote = "other", match = "*.csv" }')
    it.put("a.csv", b"1")
    it.put("b.txt", b"2")
    with _away(it, "other"):
        it.hand.go()
        assert {"a.csv": b"1", "b.txt": b"2"} == it.delivered
        assert {"a.csv": "ready", "b.txt": "delivered"} == it.hand.states()
        assert {"a.csv"} == set(it.at("src"))
        assert "delivered" == it.hand.deliveries("a.csv")["dst"].state
    it.hand.again()
    it.hand.work_off()
    assert {"a.csv": b"1"} == it.at("other")
    assert {} == it.at("src")
    assert {"a.csv": "delivered", "b.txt": "delivered"} == it.hand.states()


def test_an_optional_destination_that_fails_holds_nobody_up(yard):
    it = yard('after = "delete"', to='{ remote = "dst" }, { remote = "other", required = false, conflict = "fail" }')
    (it.folder / "other" / "a").write_bytes(b"foreign")
    it.put("a", b"1")
    it.hand.go()
    assert {"a": "delivered"} == it.hand.states()
    assert "failed" == it.hand.deliveries("a")["other"].state
    assert {} == it.at("src")


def test_an_optional_destination_that_is_away_gets_its_copy_later(yard):
    it = yard('after = "delete"', to='{ remote = "dst" }, { remote = "other", required = false }')
    it.put("a", b"1")
    with _away(it, "other"):
        it.hand.go()
        assert {"a": "delivered"} == it.hand.states()
        assert {} == it.at("src")
    it.hand.again()
    it.hand.work_off()
    assert {"a": b"1"} == it.at("other")


def test_one_remote_under_two_names_gets_two_copies(yard):
    it = yard(to='{ remote = "dst" }, { remote = "dst", name = "copy/{name}" }')
    it.put("a", b"1")
    it.hand.go()
    assert {"a": b"1", "copy/a": b"1"} == it.delivered
    assert ["dst", "dst-2"] == list(it.hand.deliveries("a"))


# Doubts


def test_a_rename_whose_answer_is_lost_is_found_out_and_not_repeated(yard, sshd, tmp_path):
    place = at_sshd(sshd, tmp_path)
    with Relay(sshd.port) as relay:
        it = yard(to='{ remote = "far" }', more=table("far", place.make(port=relay.port, timeout=PATIENCE)))
        it.put("a", b"ours" * 1000)
        it.put("b", b"ours" * 2000)
        # Whatever the server answers from the moment of the renames on never comes.
        it.hand.ledger.deliveries.staged = _then(it.hand.ledger.deliveries.staged, lambda: setattr(relay, "down_left", 0))
        it.hand.go()
        assert {b"a": b"ours" * 1000, b"b": b"ours" * 2000}.items() >= place.files().items()
        assert {"ready"} == set(it.hand.states().values())
        relay.mend()
        del it.hand.ledger.deliveries.staged
        it.hand.again()
        it.hand.work_off()
    assert {b"a": b"ours" * 1000, b"b": b"ours" * 2000} == place.files()
    assert {"delivered"} == set(it.hand.states().values())


def _then(first, second):
    def both(*args, **kwargs):
        done = first(*args, **kwargs)
        second()
        return done

    return both


def test_what_a_dead_try_left_is_swept_away(yard, far):
    it = yard(to='{ remote = "far" }', more=_to(far))
    it.put("a", b"ours")
    it.hand.ledger.deliveries.staged = _broken
    it.hand.go()
    del it.hand.ledger.deliveries.staged
    it.hand.again()
    it.hand.work_off()
    assert {b"a": b"ours"} == far.files()
    assert "delivered" == it.hand.states()["a"]


def test_a_temporary_file_that_somebody_takes_away_is_written_again_a_few_times(yard):
    it = yard("attempts = 2")
    it.put("a", b"ours")
    staged = it.hand.ledger.deliveries.staged
    it.hand.ledger.deliveries.staged = _then(staged, lambda: [path.unlink() for path in (it.folder / "dst").iterdir()])
    it.hand.go()
    assert "ready" == it.hand.states()["a"]
    assert "does somebody take such files away?" in _reasons(it, "a")
    it.hand.again()
    it.hand.work_off()
    assert "failed" == it.hand.states()["a"]
    it.hand.ledger.deliveries.staged = staged
    it.hand.ledger.hand.retry([it.hand.row("a").id], "me")
    it.hand.work_off()
    assert {"a": b"ours"} == it.delivered
    assert "delivered" == it.hand.states()["a"]


def test_a_zombie_finds_its_claim_gone_and_its_temporary_names_its_own(yard):
    assert key_of(7, 1) != key_of(7, 2)
    assert len(key_of(10**12, 10**12)) <= 40
    assert yard().hand.work_off() == 0


# No room


@pytest.fixture
def tiny(tmp_path) -> Iterator[Path]:
    with memory(tmp_path / "tiny", "size=1m") as disk:
        yield disk


def test_a_full_destination_is_waited_for_and_shows_nothing_half(tiny, yard):
    it = yard(to='{ remote = "tiny" }', more=f'[remotes.tiny]\nkind = "folder"\npath = "{tiny}"\n')
    (tiny / "ballast").write_bytes(b"x" * 700_000)
    it.put("big", os.urandom(600_000))
    it.put("small", b"1")
    it.hand.go()
    assert {"ballast"} | ({"small"} & set(os.listdir(tiny))) == set(os.listdir(tiny))
    assert "ready" == it.hand.states()["big"]
    assert "room" in _reasons(it, "big") or "space" in _reasons(it, "big")
    (tiny / "ballast").unlink()
    it.hand.again()
    it.hand.work_off()
    assert it.at("src") == it.at("tiny")
    assert {"delivered"} == set(it.hand.states().values())


def test_a_full_spool_is_waited_for(tiny, yard):
    it = yard()
    it.file.write_text(it.file.read_text().replace("1MB", "100KB"))
    it.hand.close()
    (it.folder / "data" / "spool").rename(it.folder / "away")
    (it.folder / "data" / "spool").symlink_to(tiny)
    it.hand = type(it.hand)(it.file)
    (tiny / "ballast").write_bytes(b"x" * 800_000)
    it.put("big", os.urandom(500_000))
    it.hand.go()
    assert {} == it.delivered
    assert "seen" == it.hand.states()["big"]
    assert [] == [name for name in os.listdir(tiny / "parts") if not name.endswith(".alive") and os.path.isfile(tiny / "parts" / name)]
    (tiny / "ballast").unlink()
    it.hand.spool.room._looked = -1.0
    it.hand.again()
    it.hand.work_off()
    assert it.at("src") == it.delivered
