"""Sessions of people who signed in, and one-time tokens.

Revision 0004, after 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "session",
        sa.Column("id", ID, nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("principal_id", ID, nullable=False),
        sa.Column("begun_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principal.id"], name=op.f("fk_session_principal_id_principal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_session_secret_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_session_principal_id"), "session", ["principal_id"])
    op.create_table(
        "one_time",
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("purpose", name=op.f("pk_one_time")),
    )


def downgrade() -> None:
    op.drop_table("one_time")
    op.drop_table("session")
