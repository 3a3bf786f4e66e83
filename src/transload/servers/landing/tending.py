"""A thread that looks after homes: puts them right after a death, removes what nobody will resume."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from transload import log
from transload.errors import TransloadError
from transload.servers.landing.sweeping import sweep

if TYPE_CHECKING:
    from transload.ledger.people import People
    from transload.model import Name
    from transload.servers.base import Home
    from transload.servers.home import Homes
    from transload.servers.landing.mending import Mending

_HOUR = 3600.0
_AGAIN = 5.0


class Tending:
    """Begins at once; after that once an hour."""

    def __init__(
        self,
        mending: Mending,
        people: People,
        homes: Homes,
        is_dead: Callable[[str], bool],
        expire: Callable[[str], Callable[[Name], float]],
    ) -> None:
        """`expire` says for each user how long a cut upload of a name is kept (seconds), `is_dead` whether the process of a token is."""
        self._is_dead = is_dead
        self._mending, self._people, self._homes, self._expire = mending, people, homes, expire
        self._stop = threading.Event()
        self.mended = threading.Event()
        """Set once homes show what the ledger says."""
        self._thread = threading.Thread(target=self._run, name="transload-tending", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                self._turn()
                wait = _HOUR
            except TransloadError as error:
                log.get("transload.landing").error("homes could not be looked after", reason=str(error))
                wait = _AGAIN
            except Exception:  # noqa: BLE001 - it is logged, and tried again
                log.get("transload.landing").exception("homes could not be looked after")
                wait = _HOUR

    def _turn(self) -> None:
        if not self.mended.is_set():
            self._mending.mend(self._home_of, lambda: not self._stop.is_set())
            self.mended.set()
        for account in self._people.all():
            if self._stop.is_set():
                return
            home = self._home_of(account.name)
            if home is not None:
                sweep(home, self._is_dead, self._expire(account.name), lambda: not self._stop.is_set())

    def _home_of(self, user: str) -> Home | None:
        known = self._people.find(user)
        return None if known is None else self._homes.of(user, known.account.home)
