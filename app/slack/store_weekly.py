"""What the weekly digest needs: questions that were not answered well. Functions never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from app.specialists import DEFAULT_NAME
from app.tables import AnswerRow, FeedbackRow, SpecialistRow

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


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
