"""Schedules of sources; signs of life of runs.

Revision 0008, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
NUMBERED = {"sqlite_autoincrement": True}  # SQLite makes the table anew, and would forget it


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def upgrade() -> None:
    with op.batch_alter_table("run", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("trigger", sa.String(length=16), server_default="manual", nullable=False))
        batch.add_column(sa.Column("due_at", MOMENT, nullable=True))
        batch.add_column(sa.Column("beat_at", MOMENT, nullable=True))
    op.create_table(
        "schedule",
        sa.Column("source_id", ID, nullable=False),
        sa.Column("cron", sa.String(length=100), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("jitter_s", sa.Integer(), nullable=False),
        sa.Column("quiet", sa.String(length=11), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("next_at", MOMENT, nullable=False),
        sa.Column("failed_in_row", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_schedule_source_id_source"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_schedule")),
    )
    op.create_index(op.f("ix_schedule_next_at"), "schedule", ["next_at"])


def downgrade() -> None:
    op.drop_table("schedule")
    with op.batch_alter_table("run", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_column("beat_at")
        batch.drop_column("due_at")
        batch.drop_column("trigger")
