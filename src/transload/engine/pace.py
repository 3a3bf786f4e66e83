"""How often the queues are looked into: often while there is work, seldom once there has been none for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transload.engine.slots import Slots

_LINGER = 5.0


class Pace:
    """A look costs as much where there is nothing, and what is waited for is waited for by somebody."""

    def __init__(self, *, always: bool) -> None:
        """`always` looks often whatever happens: a run is waited for."""
        self._always = always
        self._worked, self._rests = time.monotonic(), False

    def tell(self, slots: Slots, *, working: bool, beat: bool) -> None:
        """There is something to do now, or nothing; with `beat`, see to it that the others hold to it."""
        if working or self._always:
            self._worked = time.monotonic()
        rests = time.monotonic() - self._worked > _LINGER
        # Another worker may have come and gone, and have had them looked into often.
        if rests != self._rests or (rests and beat):
            slots.pace(quick=not rests)
            self._rests = rests
