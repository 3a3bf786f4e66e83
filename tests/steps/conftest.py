from __future__ import annotations

from contextlib import closing

import pytest

from tests.steps.bench import Bench


@pytest.fixture
def bench(tmp_path):
    with closing(Bench(tmp_path)) as bench:
        yield bench
