"""The program with its long waits made short, so that tests of silence, grace and poison need no minutes."""

from __future__ import annotations

import os
import signal
from typing import Any

from transload import cli
from transload.app import Transload
from transload.engine import engine, slots
from transload.ledger import arrivals, database, presence
from transload.remotes.folder import source

POISON, HOW = os.fsencode(os.environ.get("TRANSLOAD_TEST_POISON", "")), os.environ.get("TRANSLOAD_TEST_POISON_HOW", "kill")


def _poisoned(fetched: Any) -> Any:
    def outcome(entry: Any, *rest: Any) -> Any:
        if entry.name.base == POISON:
            if HOW == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("a fault that only this file brings about")
        return fetched(entry, *rest)

    return outcome


def main() -> None:
    """As `transload`."""
    engine._BEAT = 0.2
    engine._SHARE = float(os.environ.get("TRANSLOAD_TEST_SHARE", "10"))
    silence = float(os.environ.get("TRANSLOAD_TEST_SILENCE", "60"))
    presence.Presence.__init__.__kwdefaults__["silence"] = silence
    slots.FROZEN = silence
    database._POSTGRES["options"] = database._POSTGRES["options"].replace("=20000", f"={silence * 1000:.0f}")
    arrivals._GRACE = 500_000
    arrivals._AGAIN = 100_000
    Transload.stop.__defaults__ = (float(os.environ.get("TRANSLOAD_TEST_GRACE", "30")),)
    if POISON:
        source._fetched = _poisoned(source._fetched)
    cli.main()
