"""Receipts of deletions, and sources that ask before they delete.

Revision 0013, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBERED = {"sqlite_autoincrement": True}  # SQLite makes the table anew, and would forget it


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def upgrade() -> None:
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("asks", sa.Text(), nullable=True))
    op.create_table(
        "deletion",
        sa.Column("id", BIG, nullable=False),
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("uri_hash", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletion")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_deletion_document_id"), "deletion", ["document_id"])


def downgrade() -> None:
    op.drop_table("deletion")
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_column("asks")
