"""The ledger's own health: its schema over the versions, what is wrong with it, backups and their return."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from tests.ledger.acts import GO, Acts, entry, python, together
from transload.errors import ConfigError, LedgerAway
from transload.ledger import Ledger, Worker, care, now
from transload.ledger.database import VERSION, Database
from transload.ledger.schema import tables

STEP = """
from __future__ import annotations
import os, signal
from alembic import op
revision = "0005"
down_revision = "0004"
def upgrade():
    op.execute("create table more (id integer primary key)")
    op.execute("alter table audit add column more text")
    if os.environ.get("DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def newer(tmp_path):
    """The migrations of a later program."""
    scripts = tmp_path / "migrations"
    shutil.copytree(care.MIGRATIONS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "v0005_more.py").write_text(STEP)
    return scripts


def schema_of(url):
    database = Database(url, prepare=False)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": not database.sqlite})
        made = "select name, sql from sqlite_master where name not like 'alembic%' and name not like 'sqlite%' order by name"
        exact = [tuple(row) for row in connection.execute(text(made))] if database.sqlite else []
        differences = [one for one in compare_metadata(context, tables) if "alembic_version" not in str(one)]
    database.close()
    return differences, exact


def stamp(url, version):
    database = Database(url, prepare=False)
    with database.write() as connection:
        connection.execute(text("update alembic_version set version_num = :version"), {"version": version})
    database.close()


# Versions


def test_the_migrated_schema_is_the_one_that_a_new_ledger_gets(bare, tmp_path):
    assert (None, VERSION) == care.upgrade(bare)
    differences, migrated = schema_of(bare)
    assert [] == differences
    if bare.startswith("sqlite"):
        made = f"sqlite:///{tmp_path}/made.db"
        Ledger(made).close()
        squeezed = [[(name, " ".join(str(sql).split())) for name, sql in one] for one in (schema_of(made)[1], migrated)]
        assert squeezed[0] == squeezed[1]


def test_a_migrated_ledger_works(bare):
    care.upgrade(bare)
    ledger = Ledger(bare)
    acts = Acts(ledger)
    number = acts.bring()
    acts.deliver()
    assert "delivered" == acts.state(number)
    ledger.close()


def test_a_ledger_that_is_up_to_date_stays_as_it_is(url, ledger, acts):
    number = acts.bring()
    assert (VERSION, VERSION) == care.upgrade(url)
    assert "ready" == acts.state(number)


def test_an_older_ledger_is_refused_with_the_command_that_helps(url, ledger):
    stamp(url, "0000")
    with pytest.raises(ConfigError, match="schema 0000, this program wants 0004: run `transload db upgrade`"):
        Ledger(url)
    stamp(url, VERSION)


def test_a_newer_ledger_is_refused_and_never_brought_down(url, ledger):
    stamp(url, "9999")
    with pytest.raises(ConfigError, match="install the newer Transload"):
        Ledger(url)
    with pytest.raises(ConfigError, match="no way down but a backup"):
        care.upgrade(url)
    assert ["the schema is 9999, this program wants 0004"] == care.check(url)
    stamp(url, VERSION)


def test_an_upgrade_keeps_what_was_in_flight(bare, newer):
    ledger = Ledger(bare)
    number = Acts(ledger).bring()
    ledger.close()
    assert ("0004", "0005") == care.upgrade(bare, scripts=newer)
    with pytest.raises(ConfigError, match="0005"):
        Ledger(bare)
    stamp(bare, VERSION)
    ledger = Ledger(bare)
    assert [number] == [due.arrival for due in Acts(ledger).deliver()]
    ledger.close()


def test_an_upgrade_that_is_killed_leaves_the_old_schema_whole(bare, newer, monkeypatch):
    ledger = Ledger(bare)
    number = Acts(ledger).bring()
    ledger.close()
    monkeypatch.setenv("DIE", "1")
    with python(f"from pathlib import Path\ncare.upgrade(sys.argv[1], scripts=Path({str(newer)!r}))", bare, "me") as process:
        process.communicate(timeout=30)
    assert -9 == process.returncode
    ledger = Ledger(bare)
    assert [number] == [due.arrival for due in Acts(ledger).deliver()]
    ledger.close()
    assert [] == care.check(bare)
    monkeypatch.delenv("DIE")
    assert ("0004", "0005") == care.upgrade(bare, scripts=newer)


def test_a_ledger_in_use_is_not_upgraded(url, ledger):
    ledger.fleet.join(Worker("w1", "n1", 1, "here", "up", now(), now()))
    ledger.presence.hold("w1")
    with pytest.raises(ConfigError, match="in use by w1"):
        care.upgrade(url)


@pytest.mark.timeout(120)
def test_processes_that_open_a_new_ledger_at_once_make_it_once(bare):
    program = "from pathlib import Path\nprint(ledger.looks.declare([me])[me].route)"
    assert [["a"], ["b"], ["c"]] == together(bare, program, "a", "b", "c", before=GO)


# Soundness


def test_a_sound_ledger_has_no_faults(url, ledger, acts):
    acts.bring("a.csv")
    acts.deliver()
    acts.bring("b.csv")
    acts.see(entry("c.csv"))
    acts.fetch()
    assert [] == care.check(url)


def test_what_does_not_belong_together_is_found(url, ledger, acts):
    number = acts.bring()
    with ledger.database.write() as connection:
        connection.execute(text("update arrivals set claim = 4711"))
        connection.execute(text("delete from deliveries"))
    assert ["1 files are ready and owe nothing", "1 files are in the hands of nobody"] == care.check(url)
    assert number


def test_a_damaged_page_is_found(local):
    ledger = Ledger(f"sqlite:///{local}")
    acts = Acts(ledger)
    acts.see(*(entry(f"{n}.csv") for n in range(2000)))
    ledger.close()
    with local.open("r+b") as file:
        file.seek(20 * 4096)
        file.write(bytes(4096 * 3))
    try:
        found = "\n".join(care.check(f"sqlite:///{local}"))
    except LedgerAway as error:
        found = str(error)
    assert "damaged" in found


# Backups


def test_a_backup_taken_at_work_brings_everything_back(bare, tmp_path):
    ledger = Ledger(bare)
    acts = Acts(ledger)
    number = acts.bring("a.csv")
    acts.take_out()
    assert 0 < care.backup(bare, tmp_path / "backup")
    ledger.close()
    if not bare.startswith("sqlite"):
        with closing(Database(bare)) as database, database.write() as connection:
            connection.execute(text("truncate arrivals, known, deliveries, names, events, claims"))
    else:
        shutil.rmtree(bare[10:] + "-locks", ignore_errors=True)
        for end in ("", "-wal", "-shm"):
            (tmp_path / f"{bare[10:]}{end}").unlink(missing_ok=True)
    care.restore(bare, tmp_path / "backup")
    ledger = Ledger(bare)
    ledger.claims.died(["w1"])
    assert [number] == [due.arrival for due in Acts(ledger).deliver()]
    ledger.close()
    assert [] == care.check(bare)


def test_a_backup_replaces_nothing(url, ledger, tmp_path):
    (tmp_path / "backup").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        care.backup(url, tmp_path / "backup")
    assert "mine" == (tmp_path / "backup").read_text()


def test_a_backup_that_cannot_be_written_leaves_nothing(url, ledger, tmp_path):
    with pytest.raises((ConfigError, LedgerAway)):
        care.backup(url, tmp_path / "no" / "such" / "backup")
    assert [] == list(tmp_path.iterdir())


def test_without_pg_dump_the_refusal_says_what_is_missing(emptied, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr("transload.ledger.care.Path.glob", lambda _self, _pattern: iter(()))
    with pytest.raises(ConfigError, match="pg_dump is not installed here"):
        care.backup(emptied(), tmp_path / "backup")


def test_a_restore_over_a_ledger_that_knows_more_is_refused(local, tmp_path):
    url = f"sqlite:///{local}"
    ledger = Ledger(url)
    Acts(ledger).bring("a.csv")
    care.backup(url, tmp_path / "backup")
    Acts(ledger).bring("b.csv")
    ledger.close()
    with pytest.raises(ConfigError, match="sound and knows more"):
        care.restore(url, tmp_path / "backup")


def test_a_restore_over_a_postgres_ledger_that_is_not_empty_is_refused(postgres, tmp_path):
    url = postgres.url()
    ledger = Ledger(url)
    Acts(ledger).bring()
    ledger.close()
    care.backup(url, tmp_path / "backup")
    with pytest.raises(ConfigError, match="not empty"):
        care.restore(url, tmp_path / "backup")


def test_a_restore_over_a_ledger_in_use_is_refused(local, tmp_path):
    url = f"sqlite:///{local}"
    ledger = Ledger(url)
    care.backup(url, tmp_path / "backup")
    ledger.presence.hold("w1")
    with pytest.raises(ConfigError, match="in use by w1"):
        care.restore(url, tmp_path / "backup")
    ledger.presence.release("w1")
    ledger.close()
    care.restore(url, tmp_path / "backup")


def test_a_damaged_ledger_is_replaced_and_kept_beside(local, tmp_path):
    url = f"sqlite:///{local}"
    ledger = Ledger(url)
    number = Acts(ledger).bring()
    care.backup(url, tmp_path / "backup")
    ledger.close()
    local.write_bytes(local.read_bytes()[:5000])
    with pytest.raises(LedgerAway, match="transload db restore"):
        Ledger(url)
    aside = care.restore(url, tmp_path / "backup")
    assert 5000 == (local.parent / aside).stat().st_size
    ledger = Ledger(url)
    assert "ready" == Acts(ledger).state(number)
    ledger.close()


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(4080)])
def test_what_is_no_backup_is_refused_before_anything_is_touched(local, tmp_path, content):
    url = f"sqlite:///{local}"
    Ledger(url).close()
    before = local.read_bytes()
    (tmp_path / "backup").write_bytes(content)
    with pytest.raises(ConfigError, match=r"is no backup|is damaged"):
        care.restore(url, tmp_path / "backup")
    assert before == local.read_bytes()
    with pytest.raises(ConfigError, match="no such file"):
        care.restore(url, tmp_path / "none")


def test_a_backup_of_a_newer_program_is_refused(local, tmp_path):
    url = f"sqlite:///{local}"
    Ledger(url).close()
    care.backup(url, tmp_path / "backup")
    with closing(sqlite3.connect(tmp_path / "backup")) as file:
        file.execute("update alembic_version set version_num = '9999'")
        file.commit()
    with pytest.raises(ConfigError, match="newer than this program"):
        care.restore(url, tmp_path / "backup")
