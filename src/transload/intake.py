"""The one way in: bytes and ledger durable, then "yes"."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from transload import crash

if TYPE_CHECKING:
    from transload.ledger import Ledger, Outcome, Received
    from transload.spool import Spool


class Intake:
    """Takes responsibility for files: spool and ledger in that order, for many at once."""

    def __init__(self, ledger: Ledger, spool: Spool, node: str) -> None:
        """`node` is where this spool's bytes can be read."""
        self._ledger, self._spool, self._node = ledger, spool, node

    def accept(
        self,
        claim: int | None,
        route: str,
        source: str,
        got: Sequence[Received],
        *,
        skip_same: bool,
        worker: str,
        deliver: Collection[str],
        recipe: tuple[str, str] | None = None,
    ) -> Outcome:
        """Make these bytes and their arrivals durable; when it returns, they are ours, and their deliveries (or steps) are owed.

        Raises Full when there is no room, Lost when the claim was taken away, LedgerAway when nothing could be promised.
        """
        # The collector is kept out until the ledger knows: it must not take bytes that this group was just found to share.
        with self._spool.accepting():
            self._spool.commit([one.spooled for one in got])
            crash.point("spooled")
            outcome = self._ledger.arrivals.received(
                claim, route, source, self._node, got, skip_same=skip_same, worker=worker, deliver=deliver, recipe=recipe
            )
        crash.point("committed")
        return outcome
