"""Golden-set candidates: questions that readers judged, or that an expert answered, as lines for a person to review.

Nothing goes into a golden set by itself. A line whose right answer nobody has said yet expects nothing, and a set that
holds such a line is refused until somebody fills it in or takes it out.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from app.measures import said
from app.tables import AnswerRow, FeedbackRow
from app.tables_slack import SlackHelpRow
from app.terms import content_terms
from indexing.tables import SourceRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: An answer of more characters is no short answer that another one could be compared with.
SHORT_CHARS = 120
#: Reasons of a thumbs down (``app.slack.wording_people``) that say what would have been right.
NO_ANSWER_REASON = "should_not_answer"
ID_DIGITS = 8


@dataclass
class _Judged:
    """What was said of one question, by all who asked it."""

    question: str
    language: str
    helpful: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    comments: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)  # of an answer that was found helpful, or of the expert's
    answers: list[str] = field(default_factory=list)
    expert: bool = False


def candidates(session: Session, specialist: str) -> list[dict[str, Any]]:
    """Return the lines for a golden set of *specialist*, those that went wrong first; [] when nothing was judged.

    Each has the columns of a golden set and ``note``, which says why it is there. Questions with the same content words
    are one line.
    """
    judged: dict[Any, _Judged] = {}
    _add_feedback(session, specialist, judged)
    _add_experts(session, specialist, judged)
    ordered = sorted(judged.values(), key=lambda each: (-sum(each.reasons.values()), not each.expert, each.question))
    return [_line(each) for each in ordered]


def candidate_lines(found: list[dict[str, Any]]) -> str:
    """Return the candidates as JSON lines; "" for none."""
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found)


def _of(judged: dict[Any, _Judged], question: str, language: str) -> _Judged:
    key = frozenset(content_terms(question, language)) or " ".join(question.casefold().split())
    return judged.setdefault(key, _Judged(question, language))


def _add_feedback(session: Session, specialist: str, judged: dict[Any, _Judged]) -> None:
    query = select(AnswerRow, FeedbackRow).join(FeedbackRow, FeedbackRow.answer_id == AnswerRow.id)
    rows = session.execute(query.where(AnswerRow.specialist == specialist).order_by(FeedbackRow.id))
    for answer, feedback in rows:
        found = _of(judged, answer.question, answer.language)
        if feedback.comment:
            found.comments.append(feedback.comment)
        if not feedback.helpful:
            found.reasons[feedback.reason or "no reason"] += 1
            continue
        found.helpful += 1
        text = said(answer.text).strip()
        if answer.finish_reason == "stop":
            found.documents += [f"{each['source']}:{each['uri']}" for each in answer.citations]
            found.answers += [text] if len(text) <= SHORT_CHARS else []


def _add_experts(session: Session, specialist: str, judged: dict[Any, _Judged]) -> None:
    h = SlackHelpRow
    query = select(h, SourceRow.name).join(SourceRow, SourceRow.id == h.source_id)
    rows = session.execute(query.where(h.specialist == specialist, h.state == "approved").order_by(h.id))
    for row, source in rows:
        found = _of(judged, row.question, row.language)
        found.expert = True
        found.documents = [f"{source}:{row.uri}"]  # what was found before is what the expert was asked about
        found.answers = [row.reply] if row.reply and len(row.reply) <= SHORT_CHARS else []


def _line(found: _Judged) -> dict[str, Any]:
    bad = sum(found.reasons.values())
    refused = found.reasons[NO_ANSWER_REASON] > bad / 2 and not found.expert and not found.helpful
    known = found.expert or (found.helpful > bad)
    return {
        "id": "q-" + hashlib.sha256(found.question.strip().encode()).hexdigest()[:ID_DIGITS],
        "question": found.question.strip(),
        "documents": list(dict.fromkeys(found.documents)) if known and not refused else [],
        "answers": list(dict.fromkeys(found.answers)) if known and not refused else [],
        "answerable": not refused,
        "language": found.language,
        "note": _note(found, bad),
    }


def _note(found: _Judged, bad: int) -> str:
    why = ["answered by an expert"] if found.expert else []
    if found.helpful:
        why.append(f"helpful: {found.helpful}")
    if bad:
        why.append(f"not helpful: {bad} ({', '.join(f'{name} {n}' for name, n in sorted(found.reasons.items()))})")
    why += [f"“{' '.join(each.split())}”" for each in found.comments]
    return "; ".join(why)
