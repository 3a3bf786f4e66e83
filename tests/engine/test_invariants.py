"""The invariants of ARCHITECTURE.md, as far as fetching and delivering can break them; each test has the name of one."""

from __future__ import annotations

import hashlib
import os

import pytest

from tests.crash.scene import Scene, held, some_files, table
from tests.peers.base import PASSWORD
from tests.remotes.places import VARIABLE
from transload.errors import LedgerAway
from transload.remotes.ftp import FtpRemote
from transload.secret import Secret

pytestmark = pytest.mark.xdist_group("tests/engine/test_invariants.py")


def _ftp(fake_ftp) -> str:
    settings = {"host": "127.0.0.1", "port": fake_ftp.port, "user": "partner", "password": Secret(env=VARIABLE), "tls": "off", "timeout": 5}
    return table("far", FtpRemote(**settings))


def test_invariant_1_a_sender_hears_yes_only_after_bytes_and_ledger_are_durable(yard):
    """For a source the yes is that it is settled: nothing is, while the ledger does not take the rows, and then the bytes are there."""
    it = yard('after = "delete"')
    it.put("a.csv", b"ours")
    received, there = it.hand.ledger.arrivals.received, []

    def away(*args, **kwargs):
        there.extend(it.hand.spool.has(one.spooled.sha256) for one in args[4])
        message = "the ledger cannot be used"
        raise LedgerAway(message)

    it.hand.ledger.arrivals.received = away
    with pytest.raises(LedgerAway):
        it.hand.go()
    assert there
    assert all(there)
    assert {"a.csv": b"ours"} == it.at("src")
    assert {} == it.delivered
    it.hand.ledger.arrivals.received = received
    it.hand.ledger.claims.died(["hand"])
    it.hand.again()
    it.hand.go()
    assert {"a.csv": b"ours"} == it.delivered
    assert {} == it.at("src")


def test_invariant_2_spooled_bytes_never_change(yard):
    it = yard()
    it.put("a.csv", b"ours" * 10000)
    it.put("big.bin", os.urandom(700_000))
    it.hand.go()
    for path in (it.folder / "dst").iterdir():
        assert 1 == path.stat().st_nlink
        with path.open("r+b") as file:
            file.write(b"spoilt by its reader")
    bytes_ = [path for path in (it.folder / "data" / "spool").glob("??/*") if path.is_file()]
    assert 2 == len(bytes_)
    assert {path.name for path in bytes_} == {hashlib.sha256(path.read_bytes()).hexdigest() for path in bytes_}


def test_invariant_3_no_destination_ever_shows_a_partial_file_and_a_put_done_twice_leaves_one(yard, monkeypatch):
    it = yard()
    for number in range(4):
        it.put(f"f{number}", os.urandom(600_000))
    partial = []

    def looking(_count: int) -> None:
        partial.extend(name for name, data in it.delivered.items() if not name.startswith(".") and data != it.at("src")[name])

    monkeypatch.setattr(it.hand, "moved", looking)
    it.hand.go()
    assert [] == partial
    assert it.at("src") == it.delivered
    # The answer of the whole batch is forgotten, and it is put once more.
    with it.hand.ledger.database.write() as connection:
        connection.exec_driver_sql("update deliveries set state = 'owed'")
        connection.exec_driver_sql("update arrivals set state = 'ready'")
    it.hand.work_off()
    assert it.at("src") == it.delivered
    assert {"delivered"} == set(it.hand.states().values())


def test_invariant_4_a_source_is_removed_only_after_every_required_destination_was_verified(yard, fake_ftp):
    it = yard('after = "delete"', to='{ remote = "dst" }, { remote = "far" }', more=_ftp(fake_ftp))
    fake_ftp.without |= {"MLST", "MLSD"}
    fake_ftp.replies["SIZE"] = "213 3"
    it.put("a.csv", b"ours")
    it.hand.go()
    assert {"a.csv": b"ours"} == it.delivered
    assert {"a.csv": b"ours"} == it.at("src")
    assert b"a.csv" not in fake_ftp.files
    fake_ftp.replies.clear()
    it.hand.again()
    it.hand.work_off()
    assert {b"a.csv": b"ours"} == fake_ftp.files
    assert {} == it.at("src")


def test_invariant_5_a_file_that_fails_never_stops_another_and_ends_with_a_time_or_a_reason(yard, fake_ftp):
    fake_ftp.files |= {b"f%d" % number: b"x" * number for number in range(6)}
    fake_ftp.replies["RETR"] = lambda name: {"f2": "550 Permission denied.", "f4": "450 busy"}.get(name.rpartition("/")[2])
    it = yard(source='remote = "far", settle = "0s"', more=_ftp(fake_ftp))
    it.hand.go()
    assert {"f0", "f1", "f3", "f5"} == set(it.delivered)
    refused, busy = it.hand.row("f2"), it.hand.row("f4")
    assert ("failed", True) == (refused.state, bool(refused.reason))
    assert ("seen", True, True) == (busy.state, bool(busy.next_try), bool(busy.reason))


def test_invariant_6_no_error_is_only_logged_it_is_in_the_ledger(yard, fake_ftp):
    it = yard(to='{ remote = "dst" }, { remote = "far" }', more=_ftp(fake_ftp))
    it.put("a.csv")
    fake_ftp.replies["STOR"] = "552 Quota exceeded."
    it.hand.go()
    assert "uota" in (it.hand.deliveries("a.csv")["far"].reason or "")
    assert {"held", "failed"} & set(it.hand.events("a.csv"))
    fake_ftp.__exit__()
    it.put("b.csv", b"2")
    it.hand.sessions.close_all()
    it.hand.go()
    assert it.hand.ledger.fleet.trips()["far"].reason


def test_invariant_7_no_answer_is_not_an_answer(yard, fake_ftp):
    it = yard(to='{ remote = "far" }', more=_ftp(fake_ftp))
    it.put("a.csv", b"ours")
    fake_ftp.hangup.add("RNTO")
    it.hand.go()
    assert "ready" == it.hand.states()["a.csv"]
    fake_ftp.hangup.clear()
    it.hand.again()
    it.hand.work_off()
    assert {b"a.csv": b"ours"} == fake_ftp.files
    assert "delivered" == it.hand.states()["a.csv"]


def test_invariant_8_no_name_reaches_a_disk_that_did_not_go_through_name(yard, fake_ftp):
    bad = (b"../x", b"/etc/x", b"a/../../x", b"..", b"a\0b", b"..\\x")
    lines = b"".join(b"type=file;size=1;modify=20240101000000; %s\r\n" % name for name in (*bad, b"good"))
    fake_ftp.mlsd = lines
    fake_ftp.files |= {b"good": b"1", b"..\\x": b"2"}
    before = set(os.listdir(it_folder := yard().folder))
    it = yard(source='remote = "far", settle = "0s", recursive = false', more=_ftp(fake_ftp))
    it.hand.go()
    assert set(it.delivered) <= {"good", "..\\x"}
    assert "good" in it.delivered
    assert before == set(os.listdir(it_folder))
    assert "refused" in (it.hand.ledger.looks.rows()["r"].note or "")


def test_invariant_9_no_secret_is_in_a_log_the_ledger_or_an_error(folder, place):
    scene = Scene(
        folder, place("sftp"), {"target": place("ftp")}, source_settings={"password": Secret(env="TRANSLOAD_TEST_WRONG_PASSWORD")}
    )
    scene.plant(some_files(2))
    code, _ = scene.run()
    assert 1 == code
    scene.source_settings = {}
    scene.write()
    scene.run_well()
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and "place-" not in str(path))
    assert len(kept) > 10000
    for secret in (PASSWORD, "not-the-password"):
        assert secret.encode() not in kept


def test_invariant_10_kill_9_at_any_point_needs_no_repair(folder, place):
    """One ledger through a whole series of deaths; every point by itself is in tests/crash."""
    scene = Scene(folder, place("folder"), {"target": place("ftp")}, after="delete", marker=True)
    for number, point in enumerate(("seen", "spooled", "staged", "renamed:2", "settling:2")):
        scene.plant(some_files(4, number))
        scene.run_dies(point)
    scene.run_well()
    assert [] == scene.faults()
    assert {} == held(scene.source)
