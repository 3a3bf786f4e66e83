from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.servers.landings import Wharf
from transload.ledger import Ledger
from transload.ledger.schema import tables

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def folder():
    """A folder in memory, where there is one: a sync on a busy disk is no part of these tests."""
    with tempfile.TemporaryDirectory(prefix="servers-", dir=MEMORY) as folder:
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
            names = ", ".join(table.name for table in tables.sorted_tables)
            connection.execute(text(f"truncate {names} restart identity"))
        return url

    yield empty
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, folder):
    """The URL of a new ledger of either kind."""
    return f"sqlite:///{folder}/ledger.db" if request.param == "sqlite" else request.getfixturevalue("emptied")()


@pytest.fixture
def wharves(folder, url):
    """Makes landings on a ledger, for these routes."""
    made = []

    def make(*routes, **more):
        made.append(Wharf(folder, url, *routes, **more))
        return made[-1]

    yield make
    for wharf in made:
        wharf.close()


@pytest.fixture
def wharf(wharves):
    """A landing with one route that takes everything."""
    return wharves()
