"""Groups, roles and API keys; how many sentences an answer left out.

Revision 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
NUMBERED = {"sqlite_autoincrement": True}  # SQLite makes the table anew, and would forget it


def anew() -> str:
    """SQLite makes a table anew, so that its definition reads as if it had always been so; PostgreSQL alters it."""
    return "always" if op.get_bind().dialect.name == "sqlite" else "never"


def upgrade() -> None:
    with op.batch_alter_table("principal", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("role", sa.String(length=16), server_default="reader", nullable=False))
    with op.batch_alter_table("answer", recreate=anew()) as batch:
        batch.add_column(sa.Column("unsupported", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "membership",
        sa.Column("group_id", ID, nullable=False),
        sa.Column("member_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["principal.id"], name=op.f("fk_membership_group_id_principal"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["member_id"], ["principal.id"], name=op.f("fk_membership_member_id_principal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "member_id", name=op.f("pk_membership")),
    )
    op.create_index(op.f("ix_membership_member_id"), "membership", ["member_id"])
    op.create_table(
        "api_key",
        sa.Column("id", ID, nullable=False),
        sa.Column("public_id", sa.String(length=16), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("principal_id", ID, nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principal.id"], name=op.f("fk_api_key_principal_id_principal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("public_id", name=op.f("uq_api_key_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_api_key_principal_id"), "api_key", ["principal_id"])

    principal = sa.table("principal", *map(sa.column, ("kind", "issuer", "external_id", "display", "state", "role")))
    bind = op.get_bind()
    bind.execute(principal.update().where(principal.c.issuer == "local").values(role="admin"))
    everyone = {"kind": "public", "issuer": "metier", "external_id": "everyone", "display": "Everyone"}
    bind.execute(principal.insert().values(**everyone, state="active", role="reader"))


def downgrade() -> None:
    op.drop_table("api_key")
    op.drop_table("membership")
    # Whoever was added since would be a user without groups or roles: none of them could ask anything, but the
    # answers that they were given refer to them, so they stay.
    bind = op.get_bind()
    everyone = "kind = 'public' AND issuer = 'metier' AND id NOT IN (SELECT principal_id FROM acl_entry)"
    bind.execute(sa.text(f"DELETE FROM principal WHERE {everyone}"))  # noqa: S608 -- no value from outside
    with op.batch_alter_table("answer", recreate=anew()) as batch:
        batch.drop_column("unsupported")
    with op.batch_alter_table("principal", recreate=anew(), table_kwargs=NUMBERED) as batch:
        batch.drop_column("role")
