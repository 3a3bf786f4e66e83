"""`transload db`, as it is typed."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.ledger.acts import Acts
from transload.cli.base import application
from transload.ledger import Ledger

CONFIG = """
[remotes.inbox]
kind = "folder"
path = "inbox"
[remotes.archive]
kind = "folder"
path = "archive"
[[routes]]
name = "orders"
from = { remote = "inbox" }
to = [{ remote = "archive" }]
"""


@pytest.fixture
def typed(folder, monkeypatch, capsys):
    """Types a command; gives its exit code and what it said."""
    (folder / "transload.toml").write_text(CONFIG)
    monkeypatch.chdir(folder)

    def type_(*words):
        code = application(["db", *words])
        told = capsys.readouterr()
        return code, (told.out + told.err).strip()

    return type_


@pytest.fixture
def made(folder):
    ledger = Ledger(f"sqlite:///{folder}/data/ledger.db")
    Acts(ledger).bring()
    ledger.close()
    return folder / "data" / "ledger.db"


def test_a_sound_ledger_is_sound(typed, made):
    assert (0, "the ledger is sound") == typed("check")


def test_what_is_found_makes_the_exit_code_1(typed, made):
    with closing(sqlite3.connect(made)) as file:
        file.execute("delete from deliveries")
        file.commit()
    assert (1, "1 files are ready and owe nothing") == typed("check")
    assert '"sound": false' in typed("check", "--json")[1]


def test_a_truncated_ledger_is_told_with_exit_code_3(typed, made):
    made.write_bytes(made.read_bytes()[:5000])
    code, told = typed("check")
    assert (3, True, 1) == (code, "transload db restore" in told, len(told.splitlines()))


def test_a_backup_comes_back(typed, made, folder):
    assert 0 == typed("backup", "backup")[0]
    assert (2, "backup is there already; a backup replaces nothing") == typed("backup", "backup")
    made.write_bytes(made.read_bytes()[:5000])
    code, told = typed("restore", "backup")
    assert (0, True) == (code, told.startswith("the ledger is as it was in backup; the old one is "))
    assert (0, "the ledger is sound") == typed("check")


def test_what_is_no_backup_is_refused_with_exit_code_2(typed, made, folder):
    (folder / "backup").write_text("no backup")
    code, told = typed("restore", "backup")
    assert (2, True) == (code, "is no backup of a ledger" in told)


def test_an_upgrade_says_what_it_did(typed, folder):
    assert (0, "the schema is 0004 now (made)") == typed("upgrade")
    assert (0, "the schema is 0004 already: nothing to do") == typed("upgrade")


@pytest.mark.parametrize("command", ["upgrade", "check", "backup", "restore"])
def test_every_command_explains_itself(typed, command):
    code, told = typed(command, "--help")
    assert (0, True) == (code, len(told.splitlines()) > 5)
