"""What was not taken when it landed, judged anew when its time has come, or when another file speaks for it; also after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from transload import log
from transload.checksums import Kind, digests
from transload.errors import LedgerAway, TransloadError
from transload.ledger import now
from transload.ledger.taking import Judged, Verdict
from transload.servers.arriving import LATER

if TYPE_CHECKING:
    from transload.ledger import Ledger
    from transload.ledger.taking import Row
    from transload.model import Name
    from transload.servers.arriving import Arrivals
    from transload.spool import Spool

_LOOK = 30.0
_AGAIN = 1.0
_LATER = 600_000_000
_TRIES = 5


class Judging:
    """A thread that looks at the ledger when something is due there."""

    def __init__(self, ledger: Ledger, spool: Spool, node: str, own: Callable[[str], str | None], wake: Callable[[], None]) -> None:
        """`own` gives what a user's account says of arrivals; `wake` is called when something was taken."""
        self._ledger, self._node, self._own, self._wake = ledger, node, own, wake
        self._bench = Bench(ledger, spool)
        self._arrivals: Arrivals | None = None
        self._stop, self._poked = False, threading.Event()
        self._thread = threading.Thread(target=self._run, name="transload-judging", daemon=True)

    def start(self, arrivals: Arrivals) -> None:
        """Begin, by what these say."""
        self._arrivals = arrivals
        self._thread.start()

    def change(self, arrivals: Arrivals) -> None:
        """Go on by what others say: what no route took is judged by them when it is renamed, or its time has come."""
        self._arrivals = arrivals
        self.poke()

    def poke(self) -> None:
        """Something may be due."""
        self._poked.set()

    def heed(self, row: Row) -> None:
        """Before an upload changes: let count what another file has said of it, and what it has said of others.

        Whoever sent the last of the two has heard "yes"; what is done to them after that changes nothing. Raises LedgerAway.
        """
        arrivals, own, made = self._arrivals, self._own(row.user), 0
        if arrivals is None or row.taken or not arrivals.listens(row.user, own):
            return
        try:
            for one in (*arrivals.spoken_for(row, own, self._bench), row):
                made += self._heeded(arrivals, one.id, own)
        except LedgerAway:
            raise
        except TransloadError as error:
            log.get("transload.landing").error("an upload could not be judged before it changed", user=row.user, reason=str(error))
        if made:
            self._wake()

    def _heeded(self, arrivals: Arrivals, number: int, own: str | None) -> int:
        made = 0
        for _ in range(_TRIES):  # again where the thread has written down about it what it knew before
            row = self._ledger.uploads.number(number)
            if row is None or row.state != "here" or (row.taken and not _came_again(row)):
                break
            verdict = arrivals.judge(row, LATER, own, self._bench)
            if not verdict.by:
                break
            made += self._ledger.uploads.judged(self._node, [Judged(row, verdict)])
        return made

    def close(self) -> None:
        """No more."""
        self._stop = True
        self._poked.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._stop:
            self._poked.wait(wait)
            self._poked.clear()
            if self._ended():
                return
            try:
                wait = self._turn()
            except TransloadError as error:
                log.get("transload.landing").error("uploads could not be judged", reason=str(error))
                wait = _AGAIN
            except Exception:  # noqa: BLE001 - it is logged, and tried again
                log.get("transload.landing").exception("uploads could not be judged")
                wait = _LOOK

    def _ended(self) -> bool:
        return self._stop

    def _turn(self) -> float:
        """Judge what is due; gives how long there is nothing to do."""
        while due := self._ledger.uploads.due(self._node):
            if self._ended():
                return 0.0
            made = sum(self._tried(row) for row in due)
            if made:
                self._wake()
        following = self._ledger.uploads.next_due(self._node)
        return _LOOK if following is None else min(_LOOK, max(0.0, (following - now()) / 1e6))

    def _tried(self, row: Row) -> int:
        try:
            return self._judge(row)
        except LedgerAway:
            raise
        except TransloadError as error:
            # One that cannot be judged (its bytes cannot be read, say) keeps no other from it.
            verdict = Verdict(reason=f"it could not be judged: {error}", judge=now() + _LATER, waits=True)
            return self._ledger.uploads.judged(self._node, [Judged(row, verdict)])

    def _judge(self, row: Row) -> int:
        """One upload, and the files that it speaks for; gives how many arrivals that makes."""
        assert self._arrivals is not None  # noqa: S101 - set before the thread starts
        arrivals, own, made = self._arrivals, self._own(row.user), 0
        for other in arrivals.spoken_for(row, own, self._bench):
            if not other.taken or _came_again(other):
                made += self._ledger.uploads.judged(self._node, [Judged(other, arrivals.judge(other, LATER, own, self._bench))])
        here = self._ledger.uploads.number(row.id)
        if here is not None and not here.taken and here.updated == row.updated:
            made += self._ledger.uploads.judged(self._node, [Judged(row, arrivals.judge(row, LATER, own, self._bench))])
        return made


def _came_again(row: Row) -> bool:
    """Whether a file that was taken was sent again since: then its word comes again too, and is not for the next version."""
    return row.at >= row.updated


class Bench:
    """The other uploads of a user, and their bytes."""

    def __init__(self, ledger: Ledger, spool: Spool) -> None:
        """In this ledger and this spool."""
        self._ledger, self._spool = ledger, spool

    def at(self, user: str, path: Name) -> Row | None:
        """The whole file that is there."""
        return self._ledger.uploads.at(user, path)

    def under(self, user: str, folder: bytes) -> Sequence[Row]:
        """All that is in a folder, and below."""
        return self._ledger.uploads.under(user, folder)

    def read(self, row: Row, most: int) -> bytes:
        """The first bytes of a file; raises Missing."""
        with self._spool.open(row.sha256) as file:
            return file.read(most)

    def digest(self, row: Row, kind: Kind) -> str:
        """The checksum of a file; raises Missing."""
        with self._spool.open(row.sha256) as file:
            return digests(file, [kind])[kind]
