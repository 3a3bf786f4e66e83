"""Our own servers: uploads, users, bans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make their tables; an arrival tells which upload it was."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("arrivals", sa.Column("upload", sa.BigInteger(), nullable=True))
    op.create_table(
        "uploads",
        sa.Column("id", number, nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("modified", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("taken", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("judge", sa.BigInteger(), nullable=True),
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    here, untaken = sa.text("state = 'here'"), sa.text("state = 'here' and not taken")
    op.create_index("uploads_here", "uploads", ["user", "path"], unique=True, sqlite_where=here, postgresql_where=here)
    op.create_index("uploads_untaken", "uploads", ["sha256"], unique=False, sqlite_where=untaken, postgresql_where=untaken)
    op.create_table(
        "users",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "bans",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("address"),
    )
