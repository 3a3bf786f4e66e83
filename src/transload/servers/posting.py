"""Who is in, and what lies cut in the homes, told in a file that `status` reads; beside it a lock shows that it is true."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transload.errors import TransloadError
from transload.servers.base import KEPT

if TYPE_CHECKING:
    from transload.ledger import Ledger
    from transload.servers.gate import Gate
    from transload.servers.seats import Seat

_EVERY = 1.0
_COUNT = 60.0


class Posting:
    """Keeps the file `data`/servers.json up to date, in a thread, from `start` to `close`."""

    def __init__(self, data: Path, node: str, ledger: Ledger, gate: Gate, doors: Callable[[], Mapping[str, int]]) -> None:
        """`doors` tells which servers are open, and their ports."""
        self._path, self._lock = data / "servers.json", f"servers-{node}"
        self._ledger, self._gate, self._doors = ledger, gate, doors
        self._since: dict[Seat, float] = {}
        self._told: dict[str, Any] = {}
        self._cut, self._counted = 0, -_COUNT
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="transload-posting", daemon=True)

    def start(self) -> None:
        """Begin; the first word is there when it returns."""
        self._ledger.presence.hold(self._lock)
        self._post()
        self._thread.start()

    def close(self) -> None:
        """No more."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._ledger.presence.release(self._lock)
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._over.wait(_EVERY):
            with suppress(TransloadError, OSError):  # the next time may be better, and `status` needs it for its looks alone
                self._post()

    def _post(self) -> None:
        if time.monotonic() - self._counted > _COUNT:
            self._counted = time.monotonic()
            self._cut = sum(_kept(Path(account.home)) for account in self._ledger.people.all())
        there, now = self._gate.present(), time.time()
        self._since = {seat: self._since.get(seat, now) for seat in there}
        sessions = [
            {"user": seat.account.name, "protocol": seat.login.protocol, "address": seat.login.address, "since": round(since)}
            for seat, since in self._since.items()
        ]
        told = {"pid": os.getpid(), "doors": dict(self._doors()), "cut": self._cut, "sessions": sessions}
        if told != self._told:
            beside = self._path.with_suffix(".new")
            beside.write_text(json.dumps(told))
            beside.replace(self._path)
            self._told = told


def _kept(home: Path) -> int:
    """How many cut uploads are kept in a home."""
    return sum(name.startswith(KEPT) for _, _, names in os.walk(os.fsencode(home)) for name in names)
