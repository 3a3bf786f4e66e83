"""The ledger: what arrived, what is owed, what happened. Every SQL statement is below this package."""

from __future__ import annotations

from transload.ledger.arrivals import Arrivals, Outcome
from transload.ledger.bans import Bans
from transload.ledger.claims import Claim, Claims, Lost
from transload.ledger.clock import Clock
from transload.ledger.database import Database, NoRoom, now
from transload.ledger.deliveries import Deliveries, Due, Settling
from transload.ledger.entries import NO_STEPS, Received, Trouble, Wanted
from transload.ledger.fleet import Fleet, Trip, Worker
from transload.ledger.hand import Hand
from transload.ledger.looks import Found, Known, Looks, PassRow
from transload.ledger.notices import Condition, News, Notices
from transload.ledger.owing import Owed
from transload.ledger.people import People
from transload.ledger.presence import Presence
from transload.ledger.processing import Processing
from transload.ledger.quarantine import Quarantine
from transload.ledger.rescans import Rescans
from transload.ledger.uploads import Uploads
from transload.ledger.view import Row, View

__all__ = [
    "NO_STEPS",
    "Arrivals",
    "Bans",
    "Claim",
    "Claims",
    "Clock",
    "Condition",
    "Database",
    "Deliveries",
    "Due",
    "Fleet",
    "Found",
    "Hand",
    "Known",
    "Ledger",
    "Looks",
    "Lost",
    "News",
    "NoRoom",
    "Notices",
    "Outcome",
    "Owed",
    "PassRow",
    "People",
    "Presence",
    "Processing",
    "Quarantine",
    "Received",
    "Rescans",
    "Row",
    "Settling",
    "Trip",
    "Trouble",
    "Uploads",
    "View",
    "Wanted",
    "Worker",
    "now",
]


class Ledger:
    """The one memory of the whole system, on SQLite or PostgreSQL; each public method of its parts is one transaction."""

    def __init__(self, url: str, *, busy: float = 60.0) -> None:
        """Open the ledger at `url`; raises LedgerAway when it cannot be used, ConfigError when its schema is another's.

        `busy` is how long (seconds) another process may keep this one from writing.
        """
        self.database = Database(url, busy=busy)
        self.arrivals = Arrivals(self.database)
        self.bans = Bans(self.database)
        self.claims = Claims(self.database)
        self.clock = Clock(self.database)
        self.deliveries = Deliveries(self.database)
        self.fleet = Fleet(self.database)
        self.hand = Hand(self.database)
        self.looks = Looks(self.database)
        self.notices = Notices(self.database)
        self.people = People(self.database)
        self.presence = Presence(self.database)
        self.processing = Processing(self.database)
        self.quarantine = Quarantine(self.database)
        self.rescans = Rescans(self.database)
        self.uploads = Uploads(self.database)
        self.view = View(self.database)

    def close(self) -> None:
        """Give all locks and connections back."""
        self.presence.close()
        self.database.close()
