from __future__ import annotations

import pytest

from tests.ledger.acts import Acts
from transload.ledger import Ledger


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
