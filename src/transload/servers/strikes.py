"""Wrong logins: each costs a moment, many in a row cost the door, for longer each time; nobody can lock out another.

Counted for a user from one address, and for an address in all. Only an address is ever shut out, or one user at one address, so that
whoever guesses at an account elsewhere does not take it from its owner.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from transload.accounts.addresses import source, within
from transload.accounts.people import Ban, Bans
from transload.accounts.proof import is_name
from transload.errors import Busy, Denied
from transload.units import show_duration

NO_NAME = "?"
"""For all names at one address that no user can have."""
_PATIENCE = 15.0
_FORGIVEN = 86400.0
_SECOND = 1_000_000
_MANY = 20_000
_LATELY = 600 * _SECOND


@dataclass(frozen=True, slots=True)
class Temper:
    """How much is borne, and for whom."""

    after: int = 5
    """Wrong logins in a row of one user from one address."""
    after_any: int = 20
    """Wrong logins from one address, whoever it says it is."""
    time: float = 60.0
    """Seconds of the first ban; each further one is twice as long."""
    longest: float = 86400.0
    delay: float = 0.25
    """Seconds that the first wrong login waits for its answer; further ones up to four times that."""
    allow: tuple[str, ...] = ()
    """Networks that are never banned."""


class Strikes:
    """What is known of wrong logins, kept where `bans` keeps it; asked from memory, so that an event loop may ask."""

    def __init__(self, bans: Bans, temper: Temper) -> None:
        self._bans, self.temper = bans, temper
        self._changed = threading.Condition()
        self._known: dict[str, Ban] = {}
        self._trying: Counter[str] = Counter()
        self.refresh()

    def refresh(self) -> None:
        """Take in what others (another process, `transload ban rm`) have changed."""
        begun = _now()
        known = {ban.key: ban for ban in self._bans.all()}
        if len(known) > _MANY:  # whoever has so many addresses gains nothing by it: what is banned stays so
            self._bans.forget(begun - _LATELY)
        with self._changed:
            self._known = known | {key: ban for key, ban in self._known.items() if ban.last >= begun}
            self._changed.notify_all()

    def tidy(self) -> None:
        """Forget what is forgiven."""
        self._bans.forget(_now() - round(_FORGIVEN * _SECOND))

    def banned(self, address: str) -> str:
        """Why nobody listens to this address, or nothing. Never waits."""
        if within(address, self.temper.allow):
            return ""
        return _shut(self._known.get(source(address)))

    @contextmanager
    def trying(self, user: str, address: str) -> Iterator[None]:
        """While a password of `user` from `address` is looked at: no more at once than wrong ones are still borne.

        Raises Denied when the user is locked at this address, or the address is banned, and Busy when its turn did not come.
        """
        if within(address, self.temper.allow):
            yield
            return
        borne = self._borne(user, address)
        with self._changed:
            deadline = time.monotonic() + _PATIENCE
            while not self._free(borne):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise Busy(f"too many logins from {address} at once")
            self._trying.update(borne.keys())
        try:
            yield
        finally:
            with self._changed:
                self._trying.subtract(borne.keys())
                self._trying += Counter()
                self._changed.notify_all()

    def _borne(self, user: str, address: str) -> dict[str, int]:
        """The keys that a wrong login counts for, and how often each bears it."""
        place = source(address)
        return {place: self.temper.after_any, _pair(place, user): self.temper.after}

    def _free(self, borne: dict[str, int]) -> bool:
        for key, most in borne.items():
            known = self._known.get(key)
            shut = _shut(known)
            if shut:
                raise Denied(shut)
            strikes = known.strikes if known and not _forgiven(known) else 0
            if self._trying[key] >= max(1, most - strikes):
                return False
        return True

    def wrong(self, user: str, address: str) -> None:
        """That login was wrong: durable when it returns."""
        if within(address, self.temper.allow):
            return
        counts = {key: partial(self._count, key, most) for key, most in self._borne(user, address).items()}
        struck = self._bans.strike(counts)
        with self._changed:
            self._known |= {ban.key: ban for ban in struck}

    def _count(self, key: str, most: int, before: Ban | None) -> Ban:
        now = _now()
        strikes = 1 + (before.strikes if before and not _forgiven(before) else 0)
        if strikes < most:
            return Ban(key, strikes, now, None, f"{strikes} wrong logins")
        seconds = min(self.temper.longest, self.temper.time * 2.0 ** min(strikes - most, 32))
        return Ban(key, strikes, now, now + round(seconds * _SECOND), f"{strikes} wrong logins: for {show_duration(seconds)}")

    def right(self, user: str, address: str) -> None:
        """A right login forgives the wrong ones of this user at this address, and them alone."""
        place = source(address)
        pair = self._known.get(_pair(place, user))
        if pair is None:
            return
        self._bans.lift([pair.key])
        with self._changed:
            self._known.pop(pair.key, None)

    def delay(self, user: str, address: str) -> float:
        """How long (seconds) a wrong login is to wait for its answer."""
        known = self._known.get(_pair(source(address), user))
        return min(self.temper.delay * (1 << min(known.strikes - 1 if known else 0, 2)), 1.0)


def _pair(place: str, user: str) -> str:
    # What cannot be a user's name is not kept: whoever guesses could have us keep, and show, what he likes.
    return f"{place} {user if is_name(user) else NO_NAME}"


def _shut(ban: Ban | None) -> str:
    if ban is None or ban.until is None or ban.until <= _now():
        return ""
    left = (ban.until - _now()) / _SECOND
    return f"{ban.key.replace(' ', ', user ')} is banned for another {show_duration(left)} ({ban.strikes} wrong logins)"


def _forgiven(ban: Ban) -> bool:
    return max(ban.last, ban.until or 0) < _now() - round(_FORGIVEN * _SECOND)


def _now() -> int:
    return time.time_ns() // 1000


__all__ = ["Strikes", "Temper"]
