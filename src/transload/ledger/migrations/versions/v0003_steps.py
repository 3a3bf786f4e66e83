"""Steps: what files are made of, what was found out about bytes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Arrivals tell what they were made of, and under which steps they were received."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("arrivals", sa.Column("parent", sa.BigInteger(), nullable=True))
    op.add_column("arrivals", sa.Column("recipe", sa.String(), nullable=True))
    made = sa.text("parent IS NOT NULL")
    op.create_index("arrivals_parent", "arrivals", ["parent"], unique=False, sqlite_where=made, postgresql_where=made)
    op.create_table(
        "recipes",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("steps", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", number, nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("found", sa.String(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("arrival", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("verdicts_of", "verdicts", ["sha256", "what", "id"], unique=False)
    op.create_table(
        "quarantine",
        sa.Column("arrival", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("decided", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("arrival"),
    )
