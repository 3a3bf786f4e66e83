"""Who brought an arrival, and when: what hooks are told beside the file itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select

from transload.ledger.database import Database
from transload.ledger.schema import arrivals, events, uploads


class Origin(NamedTuple):
    """How an arrival came: by which upload to our servers, or fetched; `at` in microseconds."""

    at: int
    user: str = ""
    client: str = ""
    protocol: str = ""


class Origins:
    """Reads where arrivals came from."""

    def __init__(self, database: Database) -> None:
        """In this database."""
        self._db = database

    def of(self, numbers: Sequence[int]) -> dict[int, Origin]:
        """How these arrivals came."""
        came = select(events.c.arrival, func.min(events.c.at)).where(events.c.arrival.in_(numbers), events.c.what == "received")
        sent = select(arrivals.c.id, uploads.c.at, uploads.c.user, uploads.c.client, uploads.c.protocol)
        sent = sent.join(uploads, uploads.c.id == arrivals.c.upload).where(arrivals.c.id.in_(numbers))
        with self._db.read() as connection:
            found = {number: Origin(at) for number, at in connection.execute(came.group_by(events.c.arrival))}
            return found | {number: Origin(*told) for number, *told in connection.execute(sent)}
