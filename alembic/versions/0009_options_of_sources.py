"""What sources may be told, the names of their secrets, and how far a listing came.

Revision 0009, after 0008.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NUMBERED = {"sqlite_autoincrement": True}  # SQLite makes the table anew, and would forget it


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def upgrade() -> None:
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("options", sa.JSON(), nullable=True))
        batch.add_column(sa.Column("secret", sa.String(length=64), nullable=True))
        batch.add_column(sa.Column("checkpoint", sa.Text(), nullable=True))
    op.execute("UPDATE source SET options = '{}'")
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.alter_column("options", existing_type=sa.JSON(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_column("checkpoint")
        batch.drop_column("secret")
        batch.drop_column("options")
