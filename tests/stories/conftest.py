from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remotes.places import Disk
from tests.stories.stage import Stage

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, where there is one: a sync on a busy disk is no part of these tests."""
    with tempfile.TemporaryDirectory(prefix="story-", dir=MEMORY) as made:
        yield Path(made)


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    """Where a story is played; at its end no secret may show, and nothing half done may lie about."""
    with Stage(folder) as made:
        yield made
    assert [] == made.leaks()
    assert [] == made.leftovers()


@pytest.fixture
def disk():
    """Makes a new folder below a peer's root, seen from this side."""
    return lambda peer: Disk(peer.root)
