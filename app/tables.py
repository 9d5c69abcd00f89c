"""The serving package's tables, in the same catalog as indexing's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Float, ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

import app.tables_audit
import app.tables_golden
import app.tables_slack  # noqa: F401 -- fill the same metadata
import indexing.tables_events  # noqa: F401 -- the same
from indexing.tables import Id, Table, utc_now


class SpecialistRow(Table):
    """A named answerer for one business function; what it does is in its current version."""

    __tablename__ = "specialist"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    version: Mapped[int] = mapped_column(Integer)  # the one that answers
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    acl_id: Mapped[int] = mapped_column(ForeignKey("acl.id"))  # who may ask it, and see that it exists
    curators_acl_id: Mapped[int] = mapped_column(ForeignKey("acl.id"))  # who may change it without being operator
    audience: Mapped[str] = mapped_column(String(16), server_default="asker")  # asker | public: who gets to see answers


class SpecialistVersionRow(Table):
    """One version, never changed after it was written."""

    __tablename__ = "specialist_version"
    __table_args__ = (UniqueConstraint("specialist_id", "version"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    specialist_id: Mapped[int] = mapped_column(ForeignKey("specialist.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(Integer)
    sources: Mapped[list[Any]]  # names; empty: all that the asker may read
    instructions: Mapped[str]
    generator: Mapped[str | None] = mapped_column(String(255))  # None: the server's
    top_k: Mapped[int | None] = mapped_column(Integer)
    threshold: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class AnswerRow(Table):
    """A question and what was answered."""

    __tablename__ = "answer"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    principal_id: Mapped[int] = mapped_column(ForeignKey("principal.id"), index=True)
    specialist: Mapped[str | None] = mapped_column(String(100))
    specialist_version: Mapped[int | None] = mapped_column(Integer)
    question: Mapped[str]
    text: Mapped[str]
    citations: Mapped[list[Any]]
    passages: Mapped[list[Any]]  # chunk ids, best first
    finish_reason: Mapped[str] = mapped_column(String(16))
    confidence: Mapped[float | None] = mapped_column(Float)
    generator: Mapped[str] = mapped_column(String(255))
    language: Mapped[str] = mapped_column(String(8))
    seconds: Mapped[float] = mapped_column(Float)
    indexed_through: Mapped[int] = mapped_column(Id)
    unsupported: Mapped[int] = mapped_column(Integer, server_default="0")  # sentences left out
    asked_at: Mapped[datetime] = mapped_column(default=utc_now, index=True)


class FeedbackRow(Table):
    """What a reader said of an answer."""

    __tablename__ = "feedback"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("answer.id", ondelete="CASCADE"), index=True)
    principal_id: Mapped[int] = mapped_column(ForeignKey("principal.id"))
    helpful: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str | None] = mapped_column(String(64))
    comment: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(default=utc_now)


class ApiKeyRow(Table):
    """A key that a program carries in a principal's name. Only the secret's hash is kept: it is shown once."""

    __tablename__ = "api_key"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(16), unique=True)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    principal_id: Mapped[int] = mapped_column(ForeignKey("principal.id", ondelete="CASCADE"), index=True)
    label: Mapped[str] = mapped_column(String(100))
    permissions: Mapped[list[Any]]  # at most these; what the principal's role allows still decides
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SessionRow(Table):
    """A session of somebody who signed in. Only the hash of its cookie is kept."""

    __tablename__ = "session"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    principal_id: Mapped[int] = mapped_column(ForeignKey("principal.id", ondelete="CASCADE"), index=True)
    begun_at: Mapped[datetime] = mapped_column(default=utc_now)
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class OneTimeRow(Table):
    """A token that is good once. Only its hash is kept."""

    __tablename__ = "one_time"

    purpose: Mapped[str] = mapped_column(String(32), primary_key=True)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime]
