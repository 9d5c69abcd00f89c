"""The Slack bot's tables.

Revision 0014, after 0013.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
SHORT = sa.String(length=32)
NUMBERED = {"sqlite_autoincrement": True}
TABLES = (
    "slack_workspace",
    "slack_event",
    "slack_signature",
    "slack_job",
    "slack_user",
    "slack_link",
    "slack_channel",
    "slack_thread",
    "slack_turn",
    "slack_post",
    "slack_recall",
    "slack_recall_read",
    "slack_help",
    "slack_files",
    "slack_told",
)


def upgrade() -> None:
    workspace_tables()
    people_tables()
    thread_tables()
    recall_tables()
    further_tables()


def workspace_tables() -> None:
    op.create_table(
        "slack_workspace",
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("app_id", SHORT, nullable=False),
        sa.Column("bot_user_id", SHORT, nullable=False),
        sa.Column("api_url", sa.String(length=255), nullable=False),
        sa.Column("transport", sa.String(length=8), nullable=False),
        sa.Column("bot_secret", sa.String(length=64), nullable=False),
        sa.Column("app_secret", sa.String(length=64), nullable=True),
        sa.Column("signing_secret", sa.String(length=64), nullable=True),
        sa.Column("domains", sa.JSON(), nullable=False),
        sa.Column("outsiders", sa.String(length=8), nullable=False),
        sa.Column("connected_at", MOMENT, nullable=False),
        sa.Column("heard_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("team_id", name=op.f("pk_slack_workspace")),
    )
    op.create_table(
        "slack_event",
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("event_id", sa.String(length=128), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("team_id", "event_id", name=op.f("pk_slack_event")),
    )
    op.create_index(op.f("ix_slack_event_at"), "slack_event", ["at"])
    op.create_table(
        "slack_signature",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_slack_signature")),
    )
    op.create_index(op.f("ix_slack_signature_at"), "slack_signature", ["at"])
    op.create_table(
        "slack_job",
        sa.Column("id", ID, nullable=False),
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("meaning", sa.String(length=255), nullable=False),
        sa.Column("lane", sa.String(length=8), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("channel_id", SHORT, nullable=False),
        sa.Column("user_id", SHORT, nullable=False),
        sa.Column("incoming", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("begin_at", MOMENT, nullable=False),
        sa.Column("claimed_until", MOMENT, nullable=True),
        sa.Column("claim", sa.String(length=36), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("message_ts", SHORT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slack_job")),
        sa.UniqueConstraint("meaning", name=op.f("uq_slack_job_meaning")),
        **NUMBERED,
    )
    op.create_index(op.f("ix_slack_job_finished_at"), "slack_job", ["finished_at"])
    op.create_index(op.f("ix_slack_job_lane"), "slack_job", ["lane"])
    op.create_index(op.f("ix_slack_job_state"), "slack_job", ["state"])


def people_tables() -> None:
    op.create_table(
        "slack_user",
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("user_id", SHORT, nullable=False),
        sa.Column("principal_id", ID, nullable=True),
        sa.Column("how", sa.String(length=8), nullable=True),
        sa.Column("email", sa.String(length=320), nullable=True),
        sa.Column("member", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("locale", sa.String(length=16), nullable=False),
        sa.Column("checked_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_slack_user_principal_id_principal")),
        sa.PrimaryKeyConstraint("team_id", "user_id", name=op.f("pk_slack_user")),
    )
    op.create_index(op.f("ix_slack_user_principal_id"), "slack_user", ["principal_id"])
    op.create_table(
        "slack_link",
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("user_id", SHORT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("secret_sha256", name=op.f("pk_slack_link")),
    )
    op.create_index(op.f("ix_slack_link_expires_at"), "slack_link", ["expires_at"])
    op.create_table(
        "slack_channel",
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("channel_id", SHORT, nullable=False),
        sa.Column("answers", sa.String(length=16), nullable=False),
        sa.Column("unknown", sa.String(length=8), nullable=False),
        sa.Column("specialist", sa.String(length=100), nullable=True),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("recall", sa.Boolean(), nullable=False),
        sa.Column("editors", sa.String(length=16), nullable=False),
        sa.Column("changed_by", SHORT, nullable=True),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("team_id", "channel_id", name=op.f("pk_slack_channel")),
    )


def thread_tables() -> None:
    op.create_table(
        "slack_thread",
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("channel_id", SHORT, nullable=False),
        sa.Column("thread_ts", SHORT, nullable=False),
        sa.Column("muted", sa.Boolean(), nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("team_id", "channel_id", "thread_ts", name=op.f("pk_slack_thread")),
    )
    op.create_index(op.f("ix_slack_thread_last_at"), "slack_thread", ["last_at"])
    op.create_table(
        "slack_turn",
        sa.Column("id", ID, nullable=False),
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("channel_id", SHORT, nullable=False),
        sa.Column("thread_ts", SHORT, nullable=False),
        sa.Column("ts", SHORT, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("user_id", SHORT, nullable=False),
        sa.Column("principal_id", ID, nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_slack_turn_principal_id_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slack_turn")),
        sa.UniqueConstraint("team_id", "channel_id", "ts", name=op.f("uq_slack_turn_team_id_channel_id_ts")),
        **NUMBERED,
    )
    op.create_index(op.f("ix_slack_turn_at"), "slack_turn", ["at"])
    op.create_index(op.f("ix_slack_turn_principal_id"), "slack_turn", ["principal_id"])
    op.create_table(
        "slack_post",
        "slack_recall",
        "slack_recall_read",
        sa.Column("id", ID, nullable=False),
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("channel_id", SHORT, nullable=False),
        sa.Column("ts", SHORT, nullable=False),
        sa.Column("thread_ts", SHORT, nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("user_id", SHORT, nullable=False),
        sa.Column("answer_id", sa.String(length=36), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("corrected_at", MOMENT, nullable=True),
        sa.Column("correction", sa.String(length=64), nullable=True),
        sa.Column("correction_ts", SHORT, nullable=True),
        sa.Column("stands_id", sa.String(length=36), nullable=True),
        sa.Column("checked", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["answer.id"], name=op.f("fk_slack_post_answer_id_answer"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["stands_id"], ["answer.id"], name=op.f("fk_slack_post_stands_id_answer"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slack_post")),
        sa.UniqueConstraint("team_id", "channel_id", "ts", name=op.f("uq_slack_post_team_id_channel_id_ts")),
        **NUMBERED,
    )
    op.create_index(op.f("ix_slack_post_answer_id"), "slack_post", ["answer_id"])
    op.create_index(op.f("ix_slack_post_at"), "slack_post", ["at"])
    op.create_index(op.f("ix_slack_post_stands_id"), "slack_post", ["stands_id"])


def recall_tables() -> None:
    op.create_table(
        "slack_recall",
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("channel_id", SHORT, nullable=False),
        sa.Column("thread_ts", SHORT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("claimed_until", MOMENT, nullable=True),
        sa.Column("claim", sa.String(length=36), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "channel_id", "thread_ts", name=op.f("pk_slack_recall")),
    )
    op.create_index(op.f("ix_slack_recall_due_at"), "slack_recall", ["due_at"])
    op.create_table(
        "slack_recall_read",
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("team_id", name=op.f("pk_slack_recall_read")),
    )


def further_tables() -> None:
    op.create_table(
        "slack_help",
        sa.Column("id", ID, nullable=False),
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("channel_id", SHORT, nullable=False),
        sa.Column("thread_ts", SHORT, nullable=False),
        sa.Column("user_id", SHORT, nullable=False),
        sa.Column("principal_id", ID, nullable=True),
        sa.Column("answer_id", sa.String(length=36), nullable=True),
        sa.Column("specialist", sa.String(length=100), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("replied_by", SHORT, nullable=True),
        sa.Column("decided_by", SHORT, nullable=True),
        sa.Column("source_id", ID, nullable=True),
        sa.Column("uri", sa.Text(), nullable=True),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["answer.id"], name=op.f("fk_slack_help_answer_id_answer"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_slack_help_principal_id_principal")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_slack_help_source_id_source"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slack_help")),
        **NUMBERED,
    )
    op.create_index(op.f("ix_slack_help_answer_id"), "slack_help", ["answer_id"])
    op.create_index(op.f("ix_slack_help_expires_at"), "slack_help", ["expires_at"])
    op.create_index(op.f("ix_slack_help_principal_id"), "slack_help", ["principal_id"])
    op.create_table(
        "slack_files",
        sa.Column("source_id", ID, nullable=False),
        sa.Column("team_id", SHORT, nullable=False),
        sa.Column("user_id", SHORT, nullable=False),
        sa.Column("principal_id", ID, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_slack_files_principal_id_principal")),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_slack_files_source_id_source"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_slack_files")),
    )
    op.create_index(op.f("ix_slack_files_expires_at"), "slack_files", ["expires_at"])
    op.create_index(op.f("ix_slack_files_principal_id"), "slack_files", ["principal_id"])
    op.create_table(
        "slack_told",
        sa.Column("what", sa.String(length=128), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("what", name=op.f("pk_slack_told")),
    )
    op.create_index(op.f("ix_slack_told_at"), "slack_told", ["at"])


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
