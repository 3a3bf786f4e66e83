"""Room on the disk of the spool: how much there is, and how much is to stay free."""

from __future__ import annotations

import shutil
import time

from transload.errors import Full
from transload.spool.telling import telling
from transload.units import show_size

_LOOK_AGAIN = 0.1


class Room:
    """Looked for at most ten times a second."""

    def __init__(self, base: str, min_free: int) -> None:
        """On the disk of the folder `base`, of which `min_free` bytes are left alone."""
        self._base, self.min_free = base, min_free
        self._free, self._looked = 0, -1.0
        self.refused = False
        """Whether there was too little for something since this was last set to False."""

    def free(self) -> int:
        """How many bytes the disk has left for us."""
        with telling():
            return shutil.disk_usage(self._base).free

    def check(self, size: int) -> None:
        """Raise Full when `size` more bytes would leave less than `min_free`."""
        now = time.monotonic()
        if now - self._looked > _LOOK_AGAIN:
            self._free, self._looked = self.free(), now
        if self._free - size < self.min_free:
            self._looked, self.refused = -1.0, True
            message = (
                f"the disk of the spool {self._base} has {show_size(self._free)} left, of which {show_size(self.min_free)} are to stay free"
            )
            raise Full(message)

    def lack(self) -> str | None:
        """Why nothing more can be fetched at present, if so."""
        try:
            self.check(0)
        except Full as error:
            return str(error)
        return None
