from __future__ import annotations

import pytest

from tests.servers.landings import Wharf


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
