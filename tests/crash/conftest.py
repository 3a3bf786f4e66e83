from __future__ import annotations

from tests.crash.fixtures import database, folder, place  # noqa: F401
