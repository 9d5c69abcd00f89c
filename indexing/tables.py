"""The catalog's tables: the only truth. FAISS and keyword indexes are caches made from these rows.

Identity of a document is ``(source_id, uri)``; its content hash is an attribute. Ids are never reused,
so that a citation cannot come to point at something else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: SQLite only auto-increments INTEGER; PostgreSQL gets 64 bits.
Id = BigInteger().with_variant(Integer, "sqlite")

#: Principals made by the first migration.
LOCAL_PRINCIPAL_ID = 1
#: The access list that only the local principal is on, and that every source gets until it has its own.
LOCAL_ACL_ID = 1
#: Made by the second migration: on an access list it stands for everyone who is known and active.
EVERYONE = "everyone"


class UtcDateTime(TypeDecorator[datetime]):
    """A time zone aware datetime in UTC on every database (SQLite itself would drop the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a naive datetime: it means another moment on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = f"naive datetime {value!r}"
            raise ValueError(msg)
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def utc_now() -> datetime:
    """Return the current moment, time zone aware."""
    return datetime.now(UTC)


class Table(DeclarativeBase):
    """The declarative parent of all tables, with names for constraints so that migrations can drop them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON, str: Text}  # noqa: RUF012


class CatalogRow(Table):
    """One row: who this catalog is, and the head of its change log."""

    __tablename__ = "catalog"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    uuid: Mapped[str] = mapped_column(String(36))
    seq: Mapped[int] = mapped_column(BigInteger, default=0)
    log_hash: Mapped[str] = mapped_column(String(64))  # of the change at seq; of the uuid when seq is 0
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class PrincipalRow(Table):
    """Who can ask: a user, a group, everyone. Identity is (issuer, external_id), never an e-mail address."""

    __tablename__ = "principal"
    __table_args__ = (UniqueConstraint("issuer", "external_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # user | service | group | public
    issuer: Mapped[str] = mapped_column(String(255))
    external_id: Mapped[str] = mapped_column(String(255))
    display: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | suspended | erased
    role: Mapped[str] = mapped_column(String(16), server_default="reader")  # what it may do: app.auth.ROLES


class MembershipRow(Table):
    """This principal, a user or a group, is in this group. Groups nest; there are no cycles."""

    __tablename__ = "membership"

    group_id: Mapped[int] = mapped_column(ForeignKey("principal.id", ondelete="CASCADE"), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("principal.id", ondelete="CASCADE"), primary_key=True, index=True)


class AclRow(Table):
    """An interned set of principals: many documents share few of these."""

    __tablename__ = "acl"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)  # of the sorted principal ids, comma-separated


class AclEntryRow(Table):
    """This principal may read what carries this access list. There are no deny entries."""

    __tablename__ = "acl_entry"

    acl_id: Mapped[int] = mapped_column(ForeignKey("acl.id", ondelete="CASCADE"), primary_key=True)
    principal_id: Mapped[int] = mapped_column(
        ForeignKey("principal.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class BoundAclRow(Table):
    """An access list with two sides: who is on *within* (its source's list) and on *own*, if it has one, may read.

    It counts for nobody while the lists of its source are too old. It has no entries, so a program of before this
    table would take it for nobody's.
    """

    __tablename__ = "bound_acl"

    acl_id: Mapped[int] = mapped_column(ForeignKey("acl.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), index=True)
    within_id: Mapped[int] = mapped_column(ForeignKey("acl.id"))
    own_id: Mapped[int | None] = mapped_column(ForeignKey("acl.id"))


class SourceRow(Table):
    """A place that documents come from."""

    __tablename__ = "source"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    kind: Mapped[str] = mapped_column(String(32))  # indexing.sources.kind_names
    location: Mapped[str] = mapped_column(default="")  # of a folder: its absolute path
    acl_id: Mapped[int] = mapped_column(ForeignKey("acl.id"), default=LOCAL_ACL_ID)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    acl_synced_at: Mapped[datetime | None]  # when the last listing began that was complete
    acl_max_age_minutes: Mapped[int | None] = mapped_column(
        Integer
    )  # older: its documents are hidden; 0: never; None: not chosen
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)  # names → texts, as its kind takes them
    secret: Mapped[str | None] = mapped_column(String(64))  # the name of one: indexing.secrets
    checkpoint: Mapped[str | None]  # how far a listing came that did not come to its end: indexing.listing
    #: Of a hidden twin, which holds what waits at the gate: the source that it is for (indexing.store_candidate).
    candidate_of: Mapped[int | None] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), unique=True)
    asks: Mapped[str | None]  # why a listing deleted nothing, until that is confirmed or it is whole again


class DocumentRow(Table):
    """One item of one source, as it was last read."""

    __tablename__ = "document"
    __table_args__ = (
        UniqueConstraint("source_id", "uri"),
        Index("ix_document_content", "source_id", "content_hash"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"))
    uri: Mapped[str]
    #: The mail that this attachment came with; it goes when the mail goes.
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"), index=True)
    title: Mapped[str]
    media_type: Mapped[str | None] = mapped_column(String(255))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    content_hash: Mapped[str] = mapped_column(String(64))
    version_tag: Mapped[str]
    modified_at: Mapped[datetime | None]
    language: Mapped[str] = mapped_column(String(8))
    pipeline: Mapped[str] = mapped_column(String(64))  # fingerprint of parser and chunker: a stale one is re-read
    notes: Mapped[list[Any]] = mapped_column(default=list)
    acl_id: Mapped[int] = mapped_column(ForeignKey("acl.id"), index=True)
    indexed_at: Mapped[datetime] = mapped_column(default=utc_now)
    text: Mapped[str] = mapped_column(deferred=True)  # the whole document; citations point into it


class OriginalRow(Table):
    """The bytes of a pushed document: nobody else has them. Folder sources keep theirs."""

    __tablename__ = "original"
    __table_args__ = (UniqueConstraint("source_id", "uri"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"))
    uri: Mapped[str]
    media_type: Mapped[str | None] = mapped_column(String(255))
    content_hash: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    pushed_at: Mapped[datetime] = mapped_column(default=utc_now)
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    readers: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))  # names; None: the source's list


class ChunkRow(Table):
    """What is embedded and retrieved. ``text == document.text[start_char:end_char]``."""

    __tablename__ = "chunk"
    __table_args__ = (UniqueConstraint("document_id", "ordinal"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"))
    ordinal: Mapped[int] = mapped_column(Integer)
    text: Mapped[str]
    start_char: Mapped[int] = mapped_column(Integer)
    end_char: Mapped[int] = mapped_column(Integer)
    page: Mapped[int | None] = mapped_column(Integer)
    heading_path: Mapped[list[Any]]
    language: Mapped[str] = mapped_column(String(8))
    token_count: Mapped[int] = mapped_column(Integer)
    text_hash: Mapped[str] = mapped_column(String(64), index=True)  # key of its embedding


class EmbeddingRow(Table):
    """One vector per (text, model): equal text is embedded once, whoever it belongs to."""

    __tablename__ = "embedding"

    text_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(64), primary_key=True)  # fingerprint of the embedder
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # fp16, little-endian, L2-normalised before rounding


class ChangeRow(Table):
    """The change log. ``seq`` has no gaps and is in commit order; each hash covers the one before.

    A reader that has seen ``seq`` n asks which documents changed after n and takes their rows as they
    are now, so a row carries the document's id, not its content.
    """

    __tablename__ = "change"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(8))  # put | delete | acl
    document_id: Mapped[int] = mapped_column(BigInteger, index=True)
    content_hash: Mapped[str] = mapped_column(String(64))  # of the document; empty for a delete
    at: Mapped[datetime] = mapped_column(default=utc_now)
    hash: Mapped[str] = mapped_column(String(64))


class RunRow(Table):
    """One synchronisation of one source."""

    __tablename__ = "run"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16))  # running | succeeded | held | failed | cancelled
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)  # SyncReport, while running its counts so far
    error: Mapped[str | None]
    trigger: Mapped[str] = mapped_column(String(16), server_default="manual")  # manual | schedule | hook
    due_at: Mapped[datetime | None]  # when its schedule, or whoever asked for it and had to wait, wanted it to begin
    beat_at: Mapped[datetime | None]  # its last sign of life, by the database's clock
    holder: Mapped[str | None] = mapped_column(String(255))  # the machine and process that works on it
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # where it is: indexing.live
    cancel_asked_at: Mapped[datetime | None]  # it ends as soon as its process sees this


class GateRow(Table):
    """What the gate found out about a run: measures by question, and no text of any document."""

    __tablename__ = "gate"

    run_id: Mapped[int] = mapped_column(
        Id, ForeignKey("run.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    closes: Mapped[bool] = mapped_column(Boolean)
    report: Mapped[dict[str, Any]]


class ScheduleRow(Table):
    """When a source is synchronised by itself."""

    __tablename__ = "schedule"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=True)
    cron: Mapped[str] = mapped_column(String(100))  # five fields
    timezone: Mapped[str] = mapped_column(String(64))  # IANA name
    jitter_s: Mapped[int] = mapped_column(Integer)
    quiet: Mapped[str] = mapped_column(String(11))  # "08:00-18:00": nothing begins then; "" for never quiet
    paused: Mapped[bool] = mapped_column(Boolean)
    next_at: Mapped[datetime] = mapped_column(index=True)
    failed_in_row: Mapped[int] = mapped_column(Integer, default=0)
    set_at: Mapped[datetime | None]  # when it was made, or resumed; None: before this was kept


class DeletionRow(Table):
    """A receipt: a document left the answers, and when no file of this program held its bytes any more.

    It has no key to its source, which may be gone too.
    """

    __tablename__ = "deletion"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    document_id: Mapped[int] = mapped_column(BigInteger, index=True)
    source_id: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(String(100))  # its name then
    uri_hash: Mapped[str] = mapped_column(String(64))  # sha256
    seq: Mapped[int] = mapped_column(BigInteger)  # of the change log: an older index may still hold it
    left_at: Mapped[datetime]  # the answers
    gone_at: Mapped[datetime | None]  # the bytes, of this host


class FailureRow(Table):
    """A document that could not be read, until it can be."""

    __tablename__ = "failure"
    __table_args__ = (UniqueConstraint("source_id", "uri"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"))
    uri: Mapped[str]
    stage: Mapped[str] = mapped_column(String(16))
    error: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str]
    remedy: Mapped[str]
    content_hash: Mapped[str | None] = mapped_column(String(64))  # of the bytes that failed
    version_tag: Mapped[str | None]
    pipeline: Mapped[str] = mapped_column(String(64), default="")  # tried again when the parser changes
    attempts: Mapped[int] = mapped_column(Integer, default=1)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", ondelete="SET NULL"))
    at: Mapped[datetime] = mapped_column(default=utc_now)
    own_acl_id: Mapped[int | None] = mapped_column(ForeignKey("acl.id"))  # of the item: its name is shown to these
