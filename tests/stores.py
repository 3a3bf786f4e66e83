"""What many suites begin with: a folder in memory, a ledger of either kind, a yard with a route in it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.engine.byhand import Yard
from transload.ledger import Ledger
from transload.ledger.schema import tables

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def folder():
    """A folder in memory, where there is one: a sync on a busy disk is no part of these tests."""
    with tempfile.TemporaryDirectory(prefix="transload-", dir=MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def emptied(postgres):
    """Gives the URL of one database, emptied each time: to make a new one takes longer than most tests."""
    url = postgres.url()
    Ledger(url).close()
    postgres.run(f"alter database {url.rpartition('/')[2]} set synchronous_commit = off")
    # Some tests stop the server.
    engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    with engine.connect() as connection:
        counters = list(
            connection.execute(text("select sequence_name from information_schema.sequences where sequence_schema = 'public'")).scalars()
        )
    anew = [f"delete from {table.name}" for table in tables.sorted_tables] + [f"alter sequence {name} restart" for name in counters]

    def empty() -> str:
        with engine.connect() as connection:
            connection.exec_driver_sql("; ".join(anew))
        return url

    yield empty
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, folder):
    """The URL of a new ledger of either kind."""
    return f"sqlite:///{folder}/ledger.db" if request.param == "sqlite" else request.getfixturevalue("emptied")()


@pytest.fixture
def yard(tmp_path):
    """Makes routes from one folder to another, worked by hand."""
    yards = []

    def make(route: str = "", **more: str) -> Yard:
        yards.append(Yard(tmp_path, route, **more))
        return yards[-1]

    yield make
    for one in yards:
        one.hand.close()
