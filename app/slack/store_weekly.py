"""What the weekly digest needs: questions that were not answered well, and who was told. Functions never commit."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select

from app.specialists import DEFAULT_NAME
from app.tables import AnswerRow, FeedbackRow, SpecialistRow
from app.tables_slack import SlackToldRow
from indexing.db import insert_missing
from indexing.tables import Table, utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

TOLD = Table.metadata.tables[SlackToldRow.__tablename__]
_KEY_CHARS = 128
#: What the digests' keys begin with.
BEGINS = "weekly:"


def take(session: Session, what: str) -> bool:
    """Return whether *what* was not told before: the caller, and nobody else, tells it."""
    row = {"what": _key(what), "at": utc_now()}
    taken = insert_missing(session, TOLD).values(row).returning(TOLD.c.what)
    return session.execute(taken).one_or_none() is not None


def give_back(session: Session, what: str) -> None:
    """Let *what* be told again: it could not be told."""
    session.execute(delete(TOLD).where(TOLD.c.what == _key(what)))


def was_told(session: Session, what: str) -> bool:
    """Return whether somebody has taken it."""
    return session.get(SlackToldRow, _key(what)) is not None


def forget_told(session: Session, before: datetime) -> int:
    """Delete the digests that were taken before then, and return how many."""
    old = TOLD.c.what.startswith(BEGINS) & (TOLD.c.at < before)
    return len(session.execute(delete(TOLD).where(old).returning(TOLD.c.what)).all())


def _key(what: str) -> str:
    return what if len(what) <= _KEY_CHARS else f"{BEGINS}{sha256(what.encode()).hexdigest()}"


def names(session: Session) -> list[str]:
    """Return the names of all specialists, the built-in one first."""
    return [DEFAULT_NAME, *session.scalars(select(SpecialistRow.name).order_by(SpecialistRow.name))]


def unanswered(session: Session, specialist: str, since: datetime, until: datetime) -> list[tuple[str, str]]:
    """Return the questions of that time, with their languages, that the specialist did not answer well, oldest first.

    Those that it had no answer to, and those whose answer somebody did not find helpful. Who asked is not read.
    """
    a, f = AnswerRow, FeedbackRow
    unhelpful = select(f.id).where(f.answer_id == a.id, f.helpful.is_(False)).exists()
    query = select(a.question, a.language).where(a.specialist == specialist, a.asked_at >= since, a.asked_at < until)
    rows = session.execute(query.where(or_(a.finish_reason == "abstained", unhelpful)).order_by(a.asked_at, a.id))
    return [(question, language) for question, language in rows]
