"""Whom to tell of trouble, and what of it has not arrived yet. Functions take a session and never commit.

A message to a target is claimed before it is sent and marked when it has arrived, each in a transaction of its own, so
that one of several servers sends it. Whoever claims takes all that there is to tell. Should the process die between,
the next one sends the same message again, with the same id.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, or_, select, update

from indexing.db import now
from indexing.notices import KINDS
from indexing.tables import Table
from indexing.tables_events import NoticeRow, TargetRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

TARGET = Table.metadata.tables[TargetRow.__tablename__]
NOTICE = Table.metadata.tables[NoticeRow.__tablename__]

#: Who claimed a message and has not sent it in this time has died: longer than any sending takes.
LEASE = timedelta(minutes=10)
FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=6)
#: What has arrived is kept so long.
KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class NewTarget:
    """Whom somebody wants to be told."""

    kind: str  # webhook | email | slack
    address: str
    server: str | None = None
    events: tuple[str, ...] = KINDS
    digest_minutes: int = 15
    secret: str | None = None
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Target:
    """A stored target, and how sending to it goes."""

    id: int
    wanted: NewTarget
    failed_in_row: int
    last_error: str | None
    last_sent_at: datetime | None
    waiting: int  # notices that have not arrived


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell."""

    kind: str
    phase: str  # new | still | over
    topic: str
    source_id: int
    source: str
    run_id: int | None
    times: int
    counts: Mapping[str, int]
    since: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent to a target now."""

    id: str
    target: Target
    notices: tuple[Notice, ...]


def add_target(session: Session, wanted: NewTarget) -> int:
    """Return the id of a new target; it is told of what happens from now on."""
    t = TARGET.c
    row: dict[str, Any] = {
        "kind": wanted.kind,
        "address": wanted.address,
        "server": wanted.server,
        "events": list(wanted.events),
    }
    row |= {"digest_minutes": wanted.digest_minutes, "secret": wanted.secret, "language": wanted.language}
    row |= {"failed_in_row": 0, "next_at": now(session), "created_at": now(session)}
    return int(session.execute(insert(TARGET).values(row).returning(t.id)).scalar_one())


def remove_target(session: Session, target_id: int) -> bool:
    """Return whether there was such a target; it and what waited for it are gone."""
    gone = delete(TARGET).where(TARGET.c.id == target_id).returning(TARGET.c.id)
    return session.execute(gone).one_or_none() is not None


def targets(session: Session) -> list[Target]:
    """Return all targets."""
    t, n = TARGET.c, NOTICE.c
    waiting = select(func.count()).where(n.target_id == t.id, n.sent_at.is_(None)).scalar_subquery()
    wanted = (t.kind, t.address, t.server, t.events, t.digest_minutes, t.secret, t.language)
    query = select(t.id, *wanted, t.failed_in_row, t.last_error, t.last_sent_at, waiting).order_by(t.id)
    rows: list[Any] = list(session.execute(query).all())
    return [Target(r[0], NewTarget(r[1], r[2], r[3], tuple(r[4]), r[5], r[6], r[7]), *r[8:]) for r in rows]


def due(session: Session) -> list[int]:
    """Return the targets to which something is to be sent now, and nobody is sending."""
    t, n = TARGET.c, NOTICE.c
    moment = now(session)
    something = select(n.id).where(n.target_id == t.id, n.sent_at.is_(None)).exists()
    free = or_(t.claimed_until.is_(None), t.claimed_until < moment)
    query = select(t.id).where(t.next_at <= moment, free, something)
    return list(session.execute(query.order_by(t.next_at, t.id)).scalars())


def claim(session: Session, target_id: int) -> Message | None:
    """Return the message to send to the target, for the caller alone; None when somebody else was quicker.

    One that was claimed before and has not arrived is returned as it was.
    """
    t, n = TARGET.c, NOTICE.c
    moment = now(session)
    free = (t.next_at <= moment) & or_(t.claimed_until.is_(None), t.claimed_until < moment)
    taken = update(TARGET).where(t.id == target_id, free).values(claimed_until=moment + LEASE).returning(t.message_id)
    row = session.execute(taken).one_or_none()
    if row is None:
        return None
    message_id = row.message_id
    if message_id is None:
        message_id = str(uuid.uuid4())
        session.execute(update(TARGET).where(t.id == target_id).values(message_id=message_id))
        mine = update(NOTICE).where(n.target_id == target_id, n.sent_at.is_(None), n.message_id.is_(None))
        session.execute(mine.values(message_id=message_id))
    columns = (n.kind, n.phase, n.topic, n.source_id, n.source, n.run_id, n.times, n.counts, n.since, n.at)
    query = select(*columns).where(n.message_id == message_id, n.sent_at.is_(None)).order_by(n.id)
    rows: list[Any] = list(session.execute(query).all())
    if not rows:  # somebody else has sent it since the caller looked
        nothing = update(TARGET).where(t.id == target_id).values(message_id=None, claimed_until=None)
        session.execute(nothing)
        return None
    target = next(each for each in targets(session) if each.id == target_id)
    return Message(message_id, target, tuple(Notice(*row) for row in rows))


def arrived(session: Session, message: Message) -> None:
    """Note that the message has arrived: the next one is sent after the target's interval."""
    moment = now(session)
    pause = timedelta(minutes=message.target.wanted.digest_minutes)
    values: dict[str, Any] = {"message_id": None, "claimed_until": None, "next_at": moment + pause}
    values |= {"failed_in_row": 0, "last_error": None, "last_sent_at": moment}
    if _settle(session, message, values):
        session.execute(update(NOTICE).where(NOTICE.c.message_id == message.id).values(sent_at=moment))


def failed(session: Session, message: Message, why: str) -> None:
    """Note that the message could not be sent: it is sent again, each time later."""
    count = message.target.failed_in_row
    pause = min(FIRST_RETRY * 2 ** min(count, 12), LAST_RETRY)
    values = {"claimed_until": None, "next_at": now(session) + pause, "failed_in_row": count + 1, "last_error": why}
    _settle(session, message, values)


def _settle(session: Session, message: Message, values: Mapping[str, Any]) -> bool:
    """Return whether the message was still to be sent; somebody else may have done that meanwhile."""
    t = TARGET.c
    mine = update(TARGET).where(t.id == message.target.id, t.message_id == message.id).values(**values)
    return session.execute(mine.returning(t.id)).one_or_none() is not None


def forget(session: Session, before: datetime) -> int:
    """Delete what arrived before then, and return how much; what has not arrived stays."""
    gone = delete(NOTICE).where(NOTICE.c.sent_at < before).returning(NOTICE.c.id)
    return len(session.execute(gone).all())
