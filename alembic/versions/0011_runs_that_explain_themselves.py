"""Who works on a run, where it is, and whether somebody asked it to stop.

Revision 0011, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NUMBERED = {"sqlite_autoincrement": True}  # SQLite makes the table anew, and would forget it


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def upgrade() -> None:
    with op.batch_alter_table("run", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("holder", sa.String(length=255), nullable=True))
        batch.add_column(sa.Column("progress", sa.JSON(), nullable=True))
        batch.add_column(sa.Column("cancel_asked_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("run", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_column("cancel_asked_at")
        batch.drop_column("progress")
        batch.drop_column("holder")
