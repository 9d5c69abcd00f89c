"""Hooks that outside systems call, runs that were asked for, and notifications.

Revision 0012, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
NUMBERED = {"sqlite_autoincrement": True}


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def of_source(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["source_id"], ["source.id"], name=op.f(f"fk_{table}_source_id_source"), ondelete="CASCADE"
    )


def upgrade() -> None:
    with op.batch_alter_table("schedule", recreate=anew()) as batch:
        batch.add_column(sa.Column("set_at", MOMENT, nullable=True))
    op.create_table(
        "hook",
        sa.Column("source_id", ID, nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        of_source("hook"),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_hook")),
    )
    op.create_table(
        "hook_seen",
        sa.Column("source_id", ID, nullable=False),
        sa.Column("message_id", sa.String(length=128), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        of_source("hook_seen"),
        sa.PrimaryKeyConstraint("source_id", "message_id", name=op.f("pk_hook_seen")),
    )
    op.create_index(op.f("ix_hook_seen_at"), "hook_seen", ["at"])
    op.create_table(
        "wanted_run",
        sa.Column("source_id", ID, nullable=False),
        sa.Column("trigger", sa.String(length=16), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("begin_at", MOMENT, nullable=False),
        of_source("wanted_run"),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_wanted_run")),
    )
    op.create_index(op.f("ix_wanted_run_begin_at"), "wanted_run", ["begin_at"])
    op.create_table(
        "problem",
        sa.Column("source_id", ID, nullable=False),
        sa.Column("topic", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("told_at", MOMENT, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        of_source("problem"),
        sa.PrimaryKeyConstraint("source_id", "topic", name=op.f("pk_problem")),
    )
    notification_tables()


def notification_tables() -> None:
    op.create_table(
        "notification_target",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("digest_minutes", sa.Integer(), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=True),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("next_at", MOMENT, nullable=False),
        sa.Column("claimed_until", MOMENT, nullable=True),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.Column("failed_in_row", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_sent_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_target")),
        **NUMBERED,
    )
    op.create_index(op.f("ix_notification_target_next_at"), "notification_target", ["next_at"])
    op.create_table(
        "notice",
        sa.Column("id", ID, nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=8), nullable=False),
        sa.Column("topic", sa.String(length=16), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["target_id"],
            ["notification_target.id"],
            name=op.f("fk_notice_target_id_notification_target"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        **NUMBERED,
    )
    for column in ("target_id", "message_id", "sent_at"):
        op.create_index(op.f(f"ix_notice_{column}"), "notice", [column])


def downgrade() -> None:
    for table in ("notice", "notification_target", "problem", "wanted_run", "hook_seen", "hook"):
        op.drop_table(table)
    with op.batch_alter_table("schedule", recreate=anew()) as batch:
        batch.drop_column("set_at")
