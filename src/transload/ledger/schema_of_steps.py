"""The ledger's tables about steps: under which ones something was received, what they found out, what is kept apart."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from transload.ledger.schema import IDENTITY, tables

recipes = Table(
    "recipes",
    tables,
    Column("digest", String, primary_key=True),
    Column("steps", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""The steps of routes as they were when something was received under them: a list in JSON, secrets by reference only."""

verdicts = Table(
    "verdicts",
    tables,
    Column("id", IDENTITY, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("what", String, nullable=False),
    Column("found", String, nullable=False),
    Column("facts", Text, nullable=False),
    Column("arrival", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("verdicts_of", "sha256", "what", "id"),
)
"""What steps found out about bytes: appended, never edited; `arrival` is the one for which it was asked."""

quarantine = Table(
    "quarantine",
    tables,
    Column("arrival", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("node", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("who", String),
    Column("why", Text),
    Column("decided", BigInteger),
)
"""What is kept apart, with a copy of its bytes on `node`: held, released (it goes on, its verdict stays) or discarded; by whom, and why."""

__all__ = ["quarantine", "recipes", "tables", "verdicts"]
