"""What Alembic runs: the versions, over the connection and inside the transaction that `transload.ledger.care` opened."""

from __future__ import annotations

from alembic import context

from transload.ledger.schema import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables, render_as_batch=True)
context.run_migrations()
