"""The audit log, with the triggers that keep it append-only.

Revision 0003, after 0002.
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

SQLITE = (
    (
        "CREATE TRIGGER audit_is_append_only BEFORE UPDATE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    ),
    (
        "CREATE TRIGGER audit_goes_from_the_front BEFORE DELETE ON audit "
        "WHEN OLD.seq > (SELECT start_seq FROM audit_head) "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    ),
    (
        "CREATE TRIGGER audit_has_no_gaps BEFORE INSERT ON audit "
        "WHEN NEW.seq IS NOT (SELECT seq FROM audit_head) "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is numbered without gaps'); END"
    ),
    (
        "CREATE TRIGGER audit_head_only_grows BEFORE UPDATE ON audit_head "
        "WHEN NEW.seq < OLD.seq OR NEW.start_seq < OLD.start_seq OR NEW.start_seq > NEW.seq "
        "BEGIN SELECT RAISE(ABORT, 'the head of the audit log only grows'); END"
    ),
    (
        "CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head "
        "BEGIN SELECT RAISE(ABORT, 'the audit log has one head'); END"
    ),
)
POSTGRESQL = (
    (
        "CREATE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT start_seq FROM audit_head) THEN RETURN OLD; END IF; "
        "IF TG_OP = 'INSERT' AND NEW.seq = (SELECT seq FROM audit_head) THEN RETURN NEW; END IF; "
        "RAISE EXCEPTION 'the audit log is append-only'; END $$"
    ),
    (
        "CREATE TRIGGER audit_is_append_only BEFORE INSERT OR UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_guard()"
    ),
    "CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_guard()",
    (
        "CREATE FUNCTION audit_head_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'UPDATE' AND NEW.seq >= OLD.seq AND NEW.start_seq >= OLD.start_seq "
        "AND NEW.start_seq <= NEW.seq THEN RETURN NEW; END IF; "
        "RAISE EXCEPTION 'the head of the audit log only grows'; END $$"
    ),
    (
        "CREATE TRIGGER audit_head_only_grows BEFORE UPDATE OR DELETE ON audit_head "
        "FOR EACH ROW EXECUTE FUNCTION audit_head_guard()"
    ),
)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", ID, autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("principal_id", ID, nullable=True),
        sa.Column("about_id", ID, nullable=True),
        sa.Column("door", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    for column in ("at", "principal_id", "about_id"):
        op.create_index(op.f(f"ix_audit_{column}"), "audit", [column])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", ID, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("start_seq", ID, nullable=False),
        sa.Column("start_hash", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_head_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    bind = op.get_bind()
    uuid = bind.execute(sa.text("SELECT uuid FROM catalog")).scalar_one()
    first = hashlib.sha256(f"audit {uuid}".encode()).hexdigest()
    bind.execute(head.insert().values(id=1, seq=0, hash=first, start_seq=0, start_hash=first))
    for statement in SQLITE if bind.dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("audit")
    op.drop_table("audit_head")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_guard()")
        op.execute("DROP FUNCTION audit_head_guard()")
