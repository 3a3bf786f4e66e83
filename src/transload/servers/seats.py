"""Who is in: connections and sessions, counted exactly, and what a session is allowed at this moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from transload.accounts import Login
from transload.accounts.addresses import source
from transload.accounts.people import Known
from transload.errors import Busy


class Seat:
    """One session's place. The account in it is the one of this moment: it changes under the session's feet."""

    def __init__(self, known: Known, login: Login, leave: Callable[[Seat], None]) -> None:
        self.account, self.stamp, self.login = known.account, known.stamp, login
        self.over = ""
        """Why the session must end, or nothing."""
        self._leave = leave

    def leave(self) -> None:
        """The session is over. Harmless when it was before."""
        self._leave(self)


class Seats:
    """The sessions there are. For any thread; never more than allowed, however many come at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._doors: Counter[str] = Counter()
        self._places: Counter[tuple[str, str]] = Counter()
        self._users: Counter[str] = Counter()
        self._taken: set[Seat] = set()

    def come(self, door: str, address: str, most: int, most_of_address: int) -> None:
        """A connection came to a door; raises Busy when there are as many as there may be."""
        place = door, source(address)
        with self._lock:
            if self._doors[door] >= most:
                raise Busy(f"there are {most} connections by {door}, as many as there may be")
            if self._places[place] >= most_of_address:
                raise Busy(f"there are {most_of_address} connections by {door} from {address}, as many as there may be")
            self._doors[door] += 1
            self._places[place] += 1

    def go(self, door: str, address: str) -> None:
        """A connection is over."""
        place = door, source(address)
        with self._lock:
            self._doors[door] = max(0, self._doors[door] - 1)
            self._places[place] -= 1
            if self._places[place] <= 0:
                del self._places[place]

    def take(self, known: Known, login: Login, most: int) -> Seat:
        """A place for one more session of this user; raises Busy when it has as many as it may."""
        name = known.account.name
        with self._lock:
            if self._users[name] >= most:
                raise Busy(f"{name} has {most} sessions, as many as it may")
            self._users[name] += 1
            seat = Seat(known, login, self._left)
            self._taken.add(seat)
            return seat

    def _left(self, seat: Seat) -> None:
        with self._lock:
            if seat in self._taken:
                self._taken.discard(seat)
                self._users[seat.account.name] -= 1
                if not self._users[seat.account.name]:
                    del self._users[seat.account.name]

    def taken(self) -> list[Seat]:
        """All there are now."""
        with self._lock:
            return list(self._taken)
