"""Access lists of single documents, and how old they may be.

Revision 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBERED = {"sqlite_autoincrement": True}  # SQLite makes the table anew, and would forget it


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def upgrade() -> None:
    op.create_table(
        "bound_acl",
        sa.Column("acl_id", ID, nullable=False),
        sa.Column("source_id", ID, nullable=False),
        sa.Column("within_id", ID, nullable=False),
        sa.Column("own_id", ID, nullable=True),
        sa.ForeignKeyConstraint(["acl_id"], ["acl.id"], name=op.f("fk_bound_acl_acl_id_acl"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_bound_acl_source_id_source"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["within_id"], ["acl.id"], name=op.f("fk_bound_acl_within_id_acl")),
        sa.ForeignKeyConstraint(["own_id"], ["acl.id"], name=op.f("fk_bound_acl_own_id_acl")),
        sa.PrimaryKeyConstraint("acl_id", name=op.f("pk_bound_acl")),
    )
    op.create_index(op.f("ix_bound_acl_source_id"), "bound_acl", ["source_id"])
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("acl_synced_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("acl_max_age_minutes", sa.Integer(), nullable=True))
    with op.batch_alter_table("original", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("readers", sa.JSON(), nullable=True))
    with op.batch_alter_table("failure", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("own_acl_id", ID, nullable=True))
        batch.create_foreign_key(op.f("fk_failure_own_acl_id_acl"), "acl", ["own_acl_id"], ["id"])


def downgrade() -> None:
    # A document with a list of its own would be its source's again, and be read by more people: nobody reads it then.
    bind = op.get_bind()
    document = sa.table("document", sa.column("acl_id"))
    bound = sa.table("bound_acl", *map(sa.column, ("acl_id", "within_id", "own_id")))
    limited = sa.select(bound.c.acl_id).where(bound.c.own_id.is_(None))
    within = sa.select(bound.c.within_id).where(bound.c.acl_id == document.c.acl_id).scalar_subquery()
    bind.execute(document.update().where(document.c.acl_id.in_(limited)).values(acl_id=within))
    bind.execute(sa.text("DELETE FROM failure WHERE own_acl_id IS NOT NULL"))
    with op.batch_alter_table("failure", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_constraint(op.f("fk_failure_own_acl_id_acl"), type_="foreignkey")
        batch.drop_column("own_acl_id")
    with op.batch_alter_table("original", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_column("readers")
    with op.batch_alter_table("source", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_column("acl_max_age_minutes")
        batch.drop_column("acl_synced_at")
    op.drop_table("bound_acl")
