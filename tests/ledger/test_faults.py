"""What can be wrong below the ledger: damaged, locked, read-only and full files, a database server that goes away and comes back."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest

from tests import mounted
from tests.ledger.acts import Acts, entry, until
from tests.peers.postgres import Postgres
from transload.errors import Busy, Full, LedgerAway
from transload.ledger import Ledger, Looks, NoRoom, Worker, now
from transload.ledger.plain import each, rows
from transload.ledger.view import Query


def refused(url, **more) -> str:
    """The one line with which a ledger is refused."""
    with pytest.raises(LedgerAway) as told:
        Ledger(url, **more)
    assert 1 == len(str(told.value).splitlines())
    return str(told.value)


@pytest.fixture
def written(local):
    """A ledger file with two thousand files in it, closed."""
    ledger = Ledger(f"sqlite:///{local}")
    Acts(ledger).see(*(entry(f"{n}.csv") for n in range(2000)))
    ledger.close()
    return local


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda data: data[: len(data) // 2], "it has"),
        (lambda data: data[:50], "it is no SQLite database"),
        (lambda data: bytes(len(data)), "it is no SQLite database"),
        (lambda data: b"a,b,c\n" * 1000, "it is no SQLite database"),
    ],
)
def test_a_damaged_file_is_refused_untouched_with_the_remedy(written, harm, said):
    harmed = harm(written.read_bytes())
    written.write_bytes(harmed)
    told = refused(f"sqlite:///{written}")
    assert all(word in told for word in (str(written), said, "transload db restore"))
    assert harmed == written.read_bytes()


def test_an_empty_file_beside_a_log_is_refused(written):
    with closing(sqlite3.connect(written)) as other:
        other.execute("pragma wal_autocheckpoint = 0")
        other.execute("update passes set note = null")
        other.execute("insert into passes (route) values ('x')")
        other.commit()
        written.write_bytes(b"")
        assert "it is empty beside its write-ahead log" in refused(f"sqlite:///{written}")


def test_a_page_that_was_overwritten_is_told_and_nothing_is_made_up(written):
    data = bytearray(written.read_bytes())
    for page in range(3, len(data) // 4096, 2):
        data[page * 4096 : (page + 1) * 4096] = b"\xff" * 4096
    written.write_bytes(bytes(data))
    with pytest.raises(LedgerAway, match=r"damaged|malformed"):
        ledger = Ledger(f"sqlite:///{written}")
        try:
            ledger.view.list(Query(limit=5000))
        finally:
            ledger.close()


def test_a_ledger_that_another_has_locked_says_so_and_works_again_afterwards(written):
    ledger = Ledger(f"sqlite:///{written}", busy=0.1)
    with closing(sqlite3.connect(written, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(LedgerAway, match="cannot be used: database is locked"):
            ledger.looks.declare(["orders"])
        assert 10 == len(ledger.view.list(Query(limit=10)))
        other.execute("rollback")
    assert "orders" in ledger.looks.declare(["orders"])
    ledger.close()


def test_a_lock_of_a_moment_is_waited_for(written):
    ledger = Ledger(f"sqlite:///{written}", busy=20)
    with closing(sqlite3.connect(written, isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin immediate")
        timer = threading.Timer(0.2, other.execute, ["rollback"])
        timer.start()
        assert "orders" in ledger.looks.declare(["orders"])
        timer.join()
    ledger.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refused(f"sqlite:///{tmp_path}/file/ledger.db")


def test_a_disk_that_is_read_only_is_told_in_one_line(tmp_path):
    with mounted.memory(tmp_path / "disk", "size=8m") as disk:
        url = f"sqlite:///{disk}/ledger.db"
        Ledger(url).close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(LedgerAway) as told:
            Ledger(url).looks.declare(["orders"])
        assert 1 == len(str(told.value).splitlines())
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        ledger = Ledger(url)
        assert "orders" in ledger.looks.declare(["orders"])
        ledger.close()


def test_a_full_disk_loses_nothing_and_goes_on_by_itself_when_there_is_room(tmp_path):
    with mounted.memory(tmp_path / "disk", "size=2m") as disk:
        ledger = Ledger(f"sqlite:///{disk}/ledger.db")
        acts = Acts(ledger)
        seen = 0
        with pytest.raises(NoRoom, match="has no room") as told:
            for seen in range(1000):
                acts.see(*(entry(f"{seen}-{n}.csv") for n in range(50)))
        assert isinstance(told.value, LedgerAway | Full)
        assert 1 == len(str(told.value).splitlines())
        assert seen * 50 == ledger.view.remembered("orders", "carrier")
        with pytest.raises(NoRoom):
            acts.see(*(entry(f"{seen}-{n}.csv") for n in range(500)))
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert 50 == len(acts.see(*(entry(f"{seen}-{n}.csv") for n in range(50))))
        assert (seen + 1) * 50 == ledger.view.remembered("orders", "carrier")
        assert "" == ledger.database.check()
        ledger.close()


def test_two_that_write_the_same_thing_at_once_are_told_to_try_again(ledger):
    with pytest.raises(Busy, match="written by another at the same moment"), ledger.database.write() as connection:
        for _ in range(2):
            connection.exec_driver_sql("insert into passes (route) values ('same')")
    assert {} == Looks(ledger.database).rows()


def test_what_raises_half_way_has_written_nothing(ledger, acts):
    [number] = acts.see(entry())
    with pytest.raises(ZeroDivisionError), ledger.database.write() as connection:
        connection.exec_driver_sql("update arrivals set reason = 'half'")
        _ = 1 / 0
    assert ledger.view.arrival(number).reason is None
    acts.see(entry("b.csv"))


def test_many_threads_write_at_once(ledger, acts):
    acts.see(*(entry(f"{n}.csv") for n in range(64)))
    failed = []

    def work(name: str) -> None:
        mine = Acts(ledger, worker=name)
        while claim := mine.fetch(files=4):
            try:
                mine.receive(claim, *[f"{name}{claim.id}{n}".encode() for n in range(len(ledger.arrivals.wanted(claim.id)))])
            except Exception as error:  # noqa: BLE001
                failed.append(error)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ([], 64) == (failed, len(ledger.view.list(Query(state="ready"))))
    assert [] == ledger.claims.open()


# PostgreSQL


@pytest.fixture
def server(postgres):
    """A server of our own, to be stopped."""
    with Postgres() as server:
        yield server


def begin_again(server):
    try:
        server.start()
    except RuntimeError:
        # A recovery on a busy disk takes a while.
        assert until(lambda: answers(server), 40)


def answers(server):
    try:
        return "1" == server.run("select 1")
    except subprocess.CalledProcessError:
        return False


def test_while_the_server_is_away_nothing_is_promised_and_afterwards_all_goes_on(server):
    ledger = Ledger(server.url())
    acts = Acts(ledger)
    number = acts.bring()
    ledger.fleet.join(Worker("w1", "n1", 1, "here", "up", now(), now()))
    assert ledger.presence.hold("w1")
    claim = acts.take_out()
    dues = acts.stage(claim)
    server.stop()
    for act in (
        lambda: acts.publish(claim, dues),
        lambda: acts.see(entry("b.csv")),
        lambda: ledger.view.list(Query()),
        lambda: ledger.presence.hold("keeper"),
        lambda: ledger.presence.free("w9"),
    ):
        with pytest.raises(LedgerAway) as told:
            act()
        assert 1 == len(str(told.value).splitlines())
        assert "password" not in str(told.value)
    refused(ledger.database.url.render_as_string(hide_password=False))
    begin_again(server)
    assert until(lambda: ledger.presence.hold("keeper"))
    other = Ledger(ledger.database.url.render_as_string(hide_password=False))
    assert not other.presence.free("w1"), "what was held before is held again"
    other.close()
    acts.publish(claim, dues)
    assert "delivered" == acts.state(number)
    ledger.close()


def test_a_password_is_in_no_message():
    told = refused("postgresql://anna:geheim@127.0.0.1:1/none")
    assert ("geheim" in told, "***" in told) == (False, True)


def test_who_is_frozen_inside_a_transaction_does_not_keep_its_locks(ledger, other, acts):
    if ledger.database.sqlite:
        ledger.presence.evict("frozen")
        return
    one, two = acts.see(entry("a.csv"), entry("b.csv"))
    assert other.presence.hold("frozen")
    assert ledger.presence.hold("well")
    with pytest.raises(LedgerAway), other.database.write() as theirs:
        # Several statements in one go: the server's own limit for idle transactions does not see what follows.
        each(theirs, "update arrivals set updated = ? where id = ?", [(1, one), (1, two)])
        ledger.presence.evict("frozen")
        with ledger.database.write() as ours:
            each(ours, "update arrivals set updated = ? where id = ?", [(2, one), (2, two)])
        rows(theirs, "select 1")
    assert ledger.presence.free("frozen")
    assert ledger.presence.hold("well")
    assert other.presence.hold("frozen")
    ledger.presence.evict("nobody")
    assert 1 == len(other.view.events(one))
