"""Candidates of sources that a golden set guards, what the gate said of them, and the golden sets of specialists.

Revision 0010, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NUMBERED = {"sqlite_autoincrement": True}  # SQLite makes the table anew, and would forget it
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def upgrade() -> None:
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("candidate_of", ID, nullable=True))
        batch.create_unique_constraint("uq_source_candidate_of", ["candidate_of"])
        batch.create_foreign_key(
            "fk_source_candidate_of_source", "source", ["candidate_of"], ["id"], ondelete="CASCADE"
        )
    op.create_table(
        "gate",
        sa.Column("run_id", ID, autoincrement=False, nullable=False),
        sa.Column("closes", sa.Boolean(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_gate_run_id_run", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", name="pk_gate"),
    )
    op.create_table(
        "golden_set",
        sa.Column("specialist", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("questions", sa.Text(), nullable=False),
        sa.Column("tolerance", sa.Float(), nullable=False),
        sa.Column("floors", sa.JSON(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("specialist", name="pk_golden_set"),
    )


def downgrade() -> None:
    op.drop_table("golden_set")
    op.drop_table("gate")
    op.execute("DELETE FROM document WHERE source_id IN (SELECT id FROM source WHERE candidate_of IS NOT NULL)")
    op.execute("DELETE FROM source WHERE candidate_of IS NOT NULL")
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_constraint("fk_source_candidate_of_source", type_="foreignkey")
        batch.drop_constraint("uq_source_candidate_of", type_="unique")
        batch.drop_column("candidate_of")
