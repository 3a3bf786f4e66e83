"""One batch of any kind, from its claim to the closing of its books."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from transload import log
from transload.alerts import tell
from transload.deliver import deliver
from transload.errors import TransloadError
from transload.ledger import Lost
from transload.process import process
from transload.pull import fetch, look
from transload.settle import settle

if TYPE_CHECKING:
    from transload.ledger import Claim
    from transload.workplace import Workplace

_WORK: Mapping[str, Callable[[Workplace, Claim], None]] = {
    "look": look,
    "fetch": fetch,
    "deliver": deliver,
    "process": process,
    "settle": settle,
    "tell": tell,
}


class Batches:
    """Does batches, in the threads that call it; what one raises is its own end, never theirs."""

    def __init__(self, stop: threading.Event) -> None:
        """`stop` cuts the pauses after failures short."""
        self._stop = stop
        self._unended: deque[tuple[Claim, bool]] = deque()
        self._log = log.get("transload.engine")

    def do(self, work: Workplace, claim: Claim) -> None:
        """Do it; raises only what keeps its end from being written, which `end` tries again."""
        died = False
        try:
            _WORK[claim.kind](work, claim)
        except Lost as error:
            self._log.warning("a batch was put back, or given to another worker", claim=claim.id, error=str(error))
        except TransloadError as error:
            self._log.error(
                "a batch was put back", claim=claim.id, kind=claim.kind, route=claim.route, remote=claim.remote, error=str(error)
            )
            self._stop.wait(0.5)
        except BaseException as error:  # noqa: BLE001 - it is logged, told, and counted; SystemExit too, which would take the slot with it
            # A fault of ours counts like a death: a file that brings it about again and again goes alone, then fails.
            died = True
            self._log.exception(
                "a batch failed inside the program", claim=claim.id, kind=claim.kind, route=claim.route, remote=claim.remote
            )
            if claim.kind == "look":
                told = f"a fault inside Transload: {type(error).__name__}: {error}"
                work.away(claim.remote, work.route(claim.route), TransloadError(told))
            else:
                self._stop.wait(0.5)
        finally:
            self._unended.append((claim, died))
        self.end(work)

    def end(self, work: Workplace) -> None:
        """Close the books on batches that are over; those for which the ledger was away are closed when it is back."""
        while self._unended:
            claim, died = self._unended.popleft()
            try:
                work.ledger.claims.done(claim.id, died=died)
            except TransloadError:
                self._unended.append((claim, died))
                raise
