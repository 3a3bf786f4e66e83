"""Which files of homes are kept apart, and so are not to be read: a set in memory, asked for again when it has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from transload.errors import Denied, LedgerAway

if TYPE_CHECKING:
    from transload.ledger import Ledger
    from transload.model import Name

_FRESH = 5.0


class Barred:
    """The uploads of one node that are held in quarantine or were discarded. Costs a look at one file's time while there are none.

    What this machine's processes decide is felt at once; what is decided elsewhere, and a discarded file that is sent once
    more, within five seconds.
    """

    def __init__(self, ledger: Ledger, node: str, mark: Callable[[], int]) -> None:
        """`mark` gives another number after each change on this machine."""
        self._ledger, self._node, self._mark = ledger, node, mark
        self._lock = threading.Lock()
        self._at, self._as_of = -_FRESH, -1
        self._numbers: dict[int, str] = {}
        self._users: frozenset[str] = frozenset()

    def check(self, user: str, path: Name, sharers: Callable[[], Sequence[str]]) -> None:
        """Raise Denied when this file of a user's home is kept apart; `sharers` gives the others who use the home."""
        self._renew()
        if not self._users:
            return
        others = sharers()
        if self._users.isdisjoint((user, *others)):
            return
        row = self._ledger.uploads.at(user, path, others)
        if row is not None and row.id in self._numbers:
            raise Denied(f"{path}: it is kept apart, and cannot be read")

    def _renew(self) -> None:
        mark, at = self._mark(), time.monotonic()
        if mark == self._as_of and at - self._at < _FRESH:
            return
        with self._lock:
            try:
                found = self._ledger.quarantine.uploads(self._node)
            except LedgerAway:
                # Nothing can have been put there or decided meanwhile, so what is known holds on.
                if self._as_of < 0:
                    raise
            else:
                self._numbers, self._users = found, frozenset(found.values())
            self._as_of, self._at = mark, at
