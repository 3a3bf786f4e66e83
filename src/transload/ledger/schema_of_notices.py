"""The ledger's tables about notices: what is to be told to whom, what stands wrong, since when something is watched."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text, UniqueConstraint

from transload.ledger.schema import IDENTITY
from transload.ledger.schema_of_steps import tables

notices = Table(
    "notices",
    tables,
    Column("id", IDENTITY, primary_key=True),
    Column("target", String, nullable=False),
    Column("key", String, nullable=False),
    Column("event", String, nullable=False),
    Column("route", String, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("sent", BigInteger),
    UniqueConstraint("target", "key", name="notices_identity"),
)
"""What is to be told to whom, once each: the outbox. `sent` is when it was; all of one message have the same."""

Index(
    "notices_waiting",
    notices.c.target,
    notices.c.at,
    notices.c.id,
    sqlite_where=notices.c.sent.is_(None),
    postgresql_where=notices.c.sent.is_(None),
)
Index(
    "notices_sent", notices.c.target, notices.c.sent, sqlite_where=notices.c.sent.is_not(None), postgresql_where=notices.c.sent.is_not(None)
)

conditions = Table(
    "conditions",
    tables,
    Column("name", String, primary_key=True),
    Column("event", String, nullable=False),
    Column("route", String, nullable=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("told", Boolean, nullable=False),
)
"""What stands wrong at present, and whether it has been told: it is told once, and its end once."""

watches = Table(
    "watches",
    tables,
    Column("name", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
)
"""Since when something is expected, and up to when the events were read."""

__all__ = ["conditions", "notices", "tables", "watches"]
