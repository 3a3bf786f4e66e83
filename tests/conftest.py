"""What holds for all tests: how they are spread, how long they may take, and that nothing is skipped when nothing may be."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests import forge

pytest_plugins = ["tests.peers.fixtures", "tests.stores"]

NOTHING_SKIPPED = os.environ.get("TRANSLOAD_TEST_ALL") == "1"
AN_HOUR = 3600

# The same examples on every run; `make prove` looks for new ones.
settings.register_profile("test", deadline=None, derandomize=True, database=None)
settings.register_profile("prove", deadline=None, max_examples=5000, print_blob=True)
settings.load_profile("test")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "prove":
        settings.load_profile("prove")


def pytest_unconfigure() -> None:
    forge.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
        if item.get_closest_marker("prove") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(AN_HOUR))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _counted((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _counted((yield))


def _counted(report):
    """A skip as it is, or as a failure where nothing may be skipped."""
    if NOTHING_SKIPPED and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}"
    return report
