"""The tables of hooks and notifications: who may say that a source changed, and whom the program tells of trouble."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from indexing.tables import Id, Table, utc_now


class HookRow(Table):
    """Somebody outside may say that this source has changed, with signatures made by this secret."""

    __tablename__ = "hook"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[str] = mapped_column(String(64))  # the name of one: indexing.secrets


class HookSeenRow(Table):
    """A message that was accepted, for as long as its signature is good: it counts once."""

    __tablename__ = "hook_seen"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=True)
    message_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)


class WantedRunRow(Table):
    """A run that was asked for and has not begun; one for each source, however often it was asked for."""

    __tablename__ = "wanted_run"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=True)
    trigger: Mapped[str] = mapped_column(String(16))  # manual | hook
    asked_at: Mapped[datetime]
    begin_at: Mapped[datetime] = mapped_column(index=True)


class ProblemRow(Table):
    """What is wrong with a source now, and when it was last told of."""

    __tablename__ = "problem"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=True)
    topic: Mapped[str] = mapped_column(String(16), primary_key=True)  # run | permissions | schedule
    kind: Mapped[str] = mapped_column(String(32))  # indexing.notices.KINDS
    mark: Mapped[str] = mapped_column(String(64))  # another one: the problem is another one
    since: Mapped[datetime]
    told_at: Mapped[datetime]
    times: Mapped[int] = mapped_column(Integer)  # that it was found since it was last told of


class TargetRow(Table):
    """Whom to tell. It is outside the permission model: no name or text of a document goes there."""

    __tablename__ = "notification_target"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # webhook | email | slack
    address: Mapped[str]
    server: Mapped[str | None]  # of an e-mail: smtp://user@host:587
    events: Mapped[list[Any]]  # indexing.notices.KINDS
    digest_minutes: Mapped[int] = mapped_column(Integer)
    secret: Mapped[str | None] = mapped_column(String(64))  # the name of one: indexing.secrets
    language: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    next_at: Mapped[datetime] = mapped_column(index=True)  # nothing is sent before
    claimed_until: Mapped[datetime | None]  # somebody is sending
    message_id: Mapped[str | None] = mapped_column(String(36))  # of the message that has not arrived yet
    failed_in_row: Mapped[int] = mapped_column(Integer, default=0)
    last_error: Mapped[str | None]
    last_sent_at: Mapped[datetime | None]


class NoticeRow(Table):
    """One thing to tell one target: written in the transaction of what it tells of."""

    __tablename__ = "notice"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    target_id: Mapped[int] = mapped_column(ForeignKey("notification_target.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    phase: Mapped[str] = mapped_column(String(8))  # new | still | over
    topic: Mapped[str] = mapped_column(String(16))
    source_id: Mapped[int] = mapped_column(BigInteger)  # the source may be gone when it is told
    source: Mapped[str] = mapped_column(String(100))
    run_id: Mapped[int | None] = mapped_column(BigInteger)
    times: Mapped[int] = mapped_column(Integer)
    counts: Mapped[dict[str, Any]]  # of the run's report: numbers only
    since: Mapped[datetime]
    at: Mapped[datetime] = mapped_column(default=utc_now)
    message_id: Mapped[str | None] = mapped_column(String(36), index=True)  # the message that it goes with
    sent_at: Mapped[datetime | None] = mapped_column(index=True)
