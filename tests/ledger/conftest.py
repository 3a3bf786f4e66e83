from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.ledger.acts import Acts
from transload.ledger import Ledger
from transload.ledger.schema import tables

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def folder():
    """A folder in memory, where there is one: a sync on a busy disk is no part of these tests."""
    with tempfile.TemporaryDirectory(prefix="ledger-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def emptied(postgres):
    """Gives the URL of one database, emptied each time: to make a new one takes longer than most tests."""
    url = postgres.url()
    Ledger(url).close()
    postgres.run(f"alter database {url.rpartition('/')[2]} set synchronous_commit = off")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def empty() -> str:
        with engine.connect() as connection:
            for table in tables.sorted_tables:
                connection.execute(text(f"delete from {table.name}"))
        return url

    yield empty
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, folder):
    """The URL of a new ledger of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{folder}/ledger.db"
    return request.getfixturevalue("emptied")()


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request, folder):
    """The URL of a database of either kind in which there is nothing yet."""
    if request.param == "sqlite":
        return f"sqlite:///{folder}/bare.db"
    return request.getfixturevalue("postgres").url()


@pytest.fixture
def ledger(url):
    ledger = Ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def other(url, ledger):
    """The same ledger, as another process has it open."""
    other = Ledger(url)
    yield other
    other.close()


@pytest.fixture
def acts(ledger):
    return Acts(ledger)


@pytest.fixture
def local(folder):
    """Where a SQLite ledger goes, for what only files can suffer."""
    return folder / "ledger.db"
