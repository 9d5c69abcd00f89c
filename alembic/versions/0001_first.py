"""All tables of the first version, the catalog's identity and its one local reader.

Revision 0001, the first.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite only numbers INTEGER keys by itself. AUTOINCREMENT (sqlite_autoincrement) never gives an id out twice.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "acl",
        sa.Column("id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acl")),
        sa.UniqueConstraint("sha256", name=op.f("uq_acl_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "catalog",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("log_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_catalog_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog")),
    )
    op.create_table(
        "change",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("document_id", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_change")),
    )
    op.create_index(op.f("ix_change_document_id"), "change", ["document_id"])

    op.create_table(
        "embedding",
        sa.Column("text_hash", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("text_hash", "model", name=op.f("pk_embedding")),
    )
    op.create_table(
        "principal",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column("external_id", sa.String(length=255), nullable=False),
        sa.Column("display", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principal")),
        sa.UniqueConstraint("issuer", "external_id", name=op.f("uq_principal_issuer_external_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "specialist",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_specialist")),
        sa.UniqueConstraint("name", name=op.f("uq_specialist_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "acl_entry",
        sa.Column("acl_id", ID, nullable=False),
        sa.Column("principal_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["acl_id"], ["acl.id"], name=op.f("fk_acl_entry_acl_id_acl"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["principal_id"], ["principal.id"], name=op.f("fk_acl_entry_principal_id_principal"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("acl_id", "principal_id", name=op.f("pk_acl_entry")),
    )
    op.create_index(op.f("ix_acl_entry_principal_id"), "acl_entry", ["principal_id"])

    op.create_table(
        "answer",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("principal_id", ID, nullable=False),
        sa.Column("specialist", sa.String(length=100), nullable=True),
        sa.Column("specialist_version", sa.Integer(), nullable=True),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("citations", sa.JSON(), nullable=False),
        sa.Column("passages", sa.JSON(), nullable=False),
        sa.Column("finish_reason", sa.String(length=16), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("generator", sa.String(length=255), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("indexed_through", ID, nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_answer_principal_id_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answer")),
    )
    op.create_index(op.f("ix_answer_asked_at"), "answer", ["asked_at"])
    op.create_index(op.f("ix_answer_principal_id"), "answer", ["principal_id"])

    op.create_table(
        "source",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("acl_id", ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["acl_id"], ["acl.id"], name=op.f("fk_source_acl_id_acl")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("name", name=op.f("uq_source_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "specialist_version",
        sa.Column("id", ID, nullable=False),
        sa.Column("specialist_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("generator", sa.String(length=255), nullable=True),
        sa.Column("top_k", sa.Integer(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["specialist_id"],
            ["specialist.id"],
            name=op.f("fk_specialist_version_specialist_id_specialist"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_specialist_version")),
        sa.UniqueConstraint("specialist_id", "version", name=op.f("uq_specialist_version_specialist_id_version")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "document",
        sa.Column("id", ID, nullable=False),
        sa.Column("source_id", ID, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("parent_id", ID, nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("version_tag", sa.Text(), nullable=False),
        sa.Column("modified_at", MOMENT, nullable=True),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("pipeline", sa.String(length=64), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("acl_id", ID, nullable=False),
        sa.Column("indexed_at", MOMENT, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["acl_id"], ["acl.id"], name=op.f("fk_document_acl_id_acl")),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["document.id"], name=op.f("fk_document_parent_id_document"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_document_source_id_source"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("source_id", "uri", name=op.f("uq_document_source_id_uri")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_document_acl_id"), "document", ["acl_id"])
    op.create_index("ix_document_content", "document", ["source_id", "content_hash"])
    op.create_index(op.f("ix_document_parent_id"), "document", ["parent_id"])

    op.create_table(
        "feedback",
        sa.Column("id", ID, nullable=False),
        sa.Column("answer_id", sa.String(length=36), nullable=False),
        sa.Column("principal_id", ID, nullable=False),
        sa.Column("helpful", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["answer.id"], name=op.f("fk_feedback_answer_id_answer"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["principal_id"], ["principal.id"], name=op.f("fk_feedback_principal_id_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_feedback_answer_id"), "feedback", ["answer_id"])

    op.create_table(
        "original",
        sa.Column("id", ID, nullable=False),
        sa.Column("source_id", ID, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=True),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("pushed_at", MOMENT, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_original_source_id_source"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_original")),
        sa.UniqueConstraint("source_id", "uri", name=op.f("uq_original_source_id_uri")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "run",
        sa.Column("id", ID, nullable=False),
        sa.Column("source_id", ID, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_run_source_id_source"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_run_source_id"), "run", ["source_id"])

    op.create_table(
        "chunk",
        sa.Column("id", ID, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("start_char", sa.Integer(), nullable=False),
        sa.Column("end_char", sa.Integer(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("heading_path", sa.JSON(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("text_hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name=op.f("fk_chunk_document_id_document"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chunk")),
        sa.UniqueConstraint("document_id", "ordinal", name=op.f("uq_chunk_document_id_ordinal")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_chunk_text_hash"), "chunk", ["text_hash"])

    op.create_table(
        "failure",
        sa.Column("id", ID, nullable=False),
        sa.Column("source_id", ID, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("error", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=True),
        sa.Column("version_tag", sa.Text(), nullable=True),
        sa.Column("pipeline", sa.String(length=64), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_id", ID, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_failure_run_id_run"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_failure_source_id_source"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failure")),
        sa.UniqueConstraint("source_id", "uri", name=op.f("uq_failure_source_id_uri")),
        sqlite_autoincrement=True,
    )

    first_rows()


def first_rows() -> None:
    """The catalog's identity, and the local principal with the access list that only it is on: both get id 1."""
    identity = str(uuid.uuid4())
    bind = op.get_bind()
    catalog = sa.table("catalog", *map(sa.column, ("id", "uuid", "seq", "log_hash")), sa.column("created_at", MOMENT))
    first_hash = hashlib.sha256(identity.encode()).hexdigest()
    now = datetime.now(UTC)
    bind.execute(catalog.insert().values(id=1, uuid=identity, seq=0, log_hash=first_hash, created_at=now))
    principal = sa.table("principal", *map(sa.column, ("kind", "issuer", "external_id", "display", "state")))
    local = {"kind": "user", "issuer": "local", "external_id": "local", "display": "Local user", "state": "active"}
    bind.execute(principal.insert().values(local))
    acl = sa.table("acl", sa.column("sha256"))
    bind.execute(acl.insert().values(sha256=hashlib.sha256(b"1").hexdigest()))
    entry = sa.table("acl_entry", sa.column("acl_id"), sa.column("principal_id"))
    bind.execute(entry.insert().values(acl_id=1, principal_id=1))


def downgrade() -> None:
    for table in (
        "failure",
        "chunk",
        "run",
        "original",
        "feedback",
        "document",
        "specialist_version",
        "source",
        "answer",
        "acl_entry",
        "specialist",
        "principal",
        "embedding",
        "change",
        "catalog",
        "acl",
    ):
        op.drop_table(table)
