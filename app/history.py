"""What was asked and answered, and what readers said of it. Functions take a session and never commit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from app.errors import BadRequest, NotFound
from app.events import Citation
from app.tables import AnswerRow, FeedbackRow
from indexing.principals import ERASED
from indexing.tables import PrincipalRow, utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

COMMENT_CHARS = 4000
REASON_CHARS = 64


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """A question and what was answered, as it is kept."""

    id: str
    principal_id: int
    question: str
    text: str  # what was shown; for an abstention its message
    citations: tuple[Citation, ...]
    passages: tuple[int, ...]  # chunk ids, best first
    finish_reason: str
    confidence: float | None
    generator: str
    language: str
    seconds: float
    indexed_through: int
    unsupported: int = 0  # sentences that were written and left out
    specialist: str | None = None
    specialist_version: int | None = None
    asked_at: datetime | None = None  # set by the catalog


def record_answer(session: Session, record: AnswerRecord) -> None:
    """Store *record*; nothing is stored of somebody who was erased while the answer was written."""
    # The lock lets an erasure that has begun come first: it would not see this row.
    asker = (
        select(PrincipalRow.state)
        .where(PrincipalRow.id == record.principal_id)
        .with_for_update(read=True, key_share=True)
    )
    if session.scalar(asker) == ERASED:
        return
    session.add(
        AnswerRow(
            id=record.id,
            principal_id=record.principal_id,
            specialist=record.specialist,
            specialist_version=record.specialist_version,
            question=record.question,
            text=record.text,
            citations=[asdict(citation) for citation in record.citations],
            passages=list(record.passages),
            finish_reason=record.finish_reason,
            confidence=record.confidence,
            generator=record.generator[:255],
            language=record.language,
            seconds=record.seconds,
            indexed_through=record.indexed_through,
            unsupported=record.unsupported,
            asked_at=record.asked_at or utc_now(),
        )
    )
    session.flush()


def answer_record(session: Session, principal_id: int, answer_id: str) -> AnswerRecord:
    """Return one of this principal's own answers. Raises NotFound, for another's just as for none."""
    row = session.scalars(
        select(AnswerRow).where(AnswerRow.id == answer_id, AnswerRow.principal_id == principal_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no answer {answer_id}.")
    return _record(row)


def shown_answer(session: Session, answer_id: str) -> AnswerRecord | None:
    """Return an answer whoever asked, or None: only for who was shown it, which the caller has to know."""
    row = session.get(AnswerRow, answer_id)
    return None if row is None else _record(row)


def _record(row: AnswerRow) -> AnswerRecord:
    return AnswerRecord(
        id=row.id,
        principal_id=row.principal_id,
        question=row.question,
        text=row.text,
        citations=tuple(Citation(**each) for each in row.citations),
        passages=tuple(row.passages),
        finish_reason=row.finish_reason,
        confidence=row.confidence,
        generator=row.generator,
        language=row.language,
        seconds=row.seconds,
        indexed_through=row.indexed_through,
        unsupported=row.unsupported,
        specialist=row.specialist,
        specialist_version=row.specialist_version,
        asked_at=row.asked_at,
    )


def record_feedback(
    session: Session,
    principal_id: int,
    answer_id: str,
    *,
    helpful: bool,
    reason: str | None = None,
    comment: str | None = None,
) -> int:
    """Store what the asker says of an own answer and return the feedback's id.

    Raises NotFound when the answer is not this principal's, BadRequest when reason or comment is too long.
    """
    answer_record(session, principal_id, answer_id)
    return _add_feedback(session, principal_id, answer_id, helpful=helpful, reason=reason, comment=comment)


def judge(
    session: Session,
    principal_id: int,
    answer_id: str,
    *,
    helpful: bool,
    reason: str | None = None,
    comment: str | None = None,
) -> int:
    """Store what somebody says of an answer, in place of what they said before, and return the feedback's id.

    Only for who was shown the answer, which the caller has to know. Raises NotFound when it is not kept any more, and
    BadRequest as ``record_feedback``.
    """
    # The lock lets one of two clicks come first: each deletes what the other has stored.
    if session.scalar(select(AnswerRow.id).where(AnswerRow.id == answer_id).with_for_update()) is None:
        raise NotFound(f"There is no answer {answer_id}.")
    own = (FeedbackRow.answer_id == answer_id, FeedbackRow.principal_id == principal_id)
    session.execute(delete(FeedbackRow).where(*own))
    return _add_feedback(session, principal_id, answer_id, helpful=helpful, reason=reason, comment=comment)


def _add_feedback(
    session: Session,
    principal_id: int,
    answer_id: str,
    *,
    helpful: bool,
    reason: str | None,
    comment: str | None,
) -> int:
    if comment is not None and len(comment) > COMMENT_CHARS:
        raise BadRequest(f"The comment is longer than {COMMENT_CHARS} characters.", remedy="Shorten it.")
    if reason is not None and len(reason) > REASON_CHARS:
        raise BadRequest(f"The reason is longer than {REASON_CHARS} characters.", remedy="Put the rest in the comment.")
    row = FeedbackRow(answer_id=answer_id, principal_id=principal_id, helpful=helpful, reason=reason, comment=comment)
    session.add(row)
    session.flush()
    return row.id
