"""Files that saw processes die: each goes alone, so that no other file is blamed for a death that it brings about.

Alone means: while one is in a worker's hands, that worker takes nothing else, and takes none before its hands are empty.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, select

from transload.ledger.schema import claims

ALONE_AFTER = 2
_LONG = 30.0
"""Seconds for which a suspect waits for other work to pause; then nothing new is taken until it has had its turn."""


class Suspects:
    """What the workers of this process may take, as far as suspects are concerned."""

    def __init__(self) -> None:
        self._alone: dict[str, int] = {}
        self._waiting: dict[str, float] = {}

    def keep_from(self, connection: Connection, worker: str) -> bool:
        """Whether this worker takes nothing now: it has one in hand, or one has waited for long and something else is in hand."""
        if worker in self._alone:
            if connection.execute(select(claims.c.id).where(claims.c.id == self._alone[worker])).first() is not None:
                return True
            del self._alone[worker]
        return self.waited_long(worker) and _has_something(connection, worker)

    def waited_long(self, worker: str) -> bool:
        """Whether one has waited for so long that it goes before all else."""
        waited = time.monotonic() - self._waiting.get(worker, time.monotonic())
        if waited > 2 * _LONG:
            # It went another way: to another worker, or it was skipped.
            del self._waiting[worker]
        return _LONG < waited <= 2 * _LONG

    def may_go(self, connection: Connection, worker: str) -> bool:
        """Whether one may go now; it waits otherwise."""
        if _has_something(connection, worker):
            self._waiting.setdefault(worker, time.monotonic())
            return False
        return True

    def goes(self, worker: str, claim: int) -> None:
        """One is in the hands of `worker`, by this claim."""
        self._alone[worker] = claim
        self._waiting.pop(worker, None)


def _has_something(connection: Connection, worker: str) -> bool:
    return connection.execute(select(claims.c.id).where(claims.c.worker == worker).limit(1)).first() is not None
