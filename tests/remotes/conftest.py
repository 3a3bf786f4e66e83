"""Each test of the contract runs at every place that is able to do what the test needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.fixtures import running
from tests.remotes.places import CASES, Place, own_web
from transload.spool import Spool

pytest.register_assert_rewrite("tests.remotes.contract")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" not in metafunc.fixturenames:
        return
    needs = getattr(metafunc.cls, "needs", frozenset({"reads"}))
    cases = [case for case in CASES if needs <= case.abilities]
    # Tests of one peer run in one process, so that it is started once.
    params = [pytest.param(case, id=case.name, marks=pytest.mark.xdist_group(case.fixture)) for case in cases]
    metafunc.parametrize("place", params, indirect=True)


@pytest.fixture
def place(request, tmp_path) -> Place:
    case = request.param
    peer = running("own_web", own_web) if case.fixture == "own_web" else request.getfixturevalue(case.fixture)
    return case.at(peer, tmp_path)


@pytest.fixture
def spool(tmp_path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", min_free=0, keep=0) as made:
        yield made
