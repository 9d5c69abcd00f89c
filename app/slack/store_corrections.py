"""What becomes of answers that are looked at again: what they were, what stands for them now, and what is being posted.

Before a correction is posted the claim on its thread says so (``posting``), and what it will say: whoever takes over
from a process that died looks in the thread whether it is there. Functions take a session and never commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select, update

from app.events import Citation
from app.slack.records import Post, Visibility
from app.slack.store_posts import record_post
from app.slack.store_recall import CLAIMED, mine, wanted
from app.slack.store_threads import TURN_CHARS
from app.tables import AnswerRow
from app.tables_slack import SlackPostRow, SlackTurnRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from app.slack.store_recall import Due


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as it is kept."""

    id: str
    question: str
    text: str
    citations: tuple[Citation, ...]
    language: str
    specialist: str | None
    asked_at: datetime
    indexed_through: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A posted answer whose documents may have changed."""

    id: int
    ts: str
    visibility: str
    user_id: str
    first: Given  # as it was posted
    now: Given  # what the thread says now: the first, or that of the last correction
    seen: int  # position of the change log at which that held
    corrected: bool

    @property
    def watched(self) -> tuple[Citation, ...]:
        """What it rests on; of an answer that is not known any more, what it rested on when it was."""
        return self.now.citations or self.first.citations

    @property
    def may_be_better(self) -> bool:
        """Whether the last correction had to do without a document of the first answer, which may be back."""
        return bool({each.uri for each in self.first.citations} - {each.uri for each in self.now.citations})


def posting(session: Session, due: Due, state: str, answers: Mapping[str, str], now: datetime) -> bool:
    """Write down what is about to be posted, and hold the claim for as long again; False: another process has it."""
    row = mine(session, due)
    if row is None:
        return False
    row.state, row.answers, row.claimed_until = state, dict(answers), now + CLAIMED
    posts = update(SlackPostRow).where(SlackPostRow.id.in_([int(each) for each in answers]))
    session.execute(posts.values(corrected_at=now, correction=state))
    return True


def posted(session: Session, due: Due, ts: str, answers: Mapping[str, str], checked: int) -> bool:
    """Write down that the correction stands at *ts*; its answers are what the thread says from now on."""
    row = mine(session, due)
    if row is None:
        return False
    row.state, row.answers = None, {}
    for post_id, answer_id in answers.items():
        kept = session.get(AnswerRow, answer_id) is not None
        values = {"correction_ts": ts, "stands_id": answer_id if kept else None, "checked": checked}
        post = update(SlackPostRow).where(SlackPostRow.id == int(post_id)).values(values)
        _say_now(session, session.scalars(post.returning(SlackPostRow)).one_or_none(), answer_id)
    return True


def _say_now(session: Session, post: SlackPostRow | None, answer_id: str) -> None:
    """Let what is remembered of the conversation be the new answer, and the correction be one that was posted."""
    answer = session.get(AnswerRow, answer_id)
    if post is None or answer is None:
        return
    said = update(SlackTurnRow).where(SlackTurnRow.team_id == post.team_id, SlackTurnRow.channel_id == post.channel_id)
    said = said.where(SlackTurnRow.ts == post.ts, SlackTurnRow.role == "assistant")
    session.execute(said.values(text=answer.text[:TURN_CHARS]))
    place = (post.team_id, post.channel_id, post.correction_ts or "", post.thread_ts or post.ts)
    correction = Post(*place, Visibility(post.visibility), post.user_id, answer_id)
    if record_post(session, correction):
        here = update(SlackPostRow).where(SlackPostRow.team_id == post.team_id)
        here = here.where(SlackPostRow.channel_id == post.channel_id, SlackPostRow.ts == correction.ts)
        session.execute(here.values(correction_ts=correction.ts))


def not_posted(session: Session, due: Due) -> bool:
    """Take back what ``posting`` wrote: it is not in the thread."""
    row = mine(session, due)
    if row is None:
        return False
    session.execute(delete(AnswerRow).where(AnswerRow.id.in_(row.answers.values())))
    posts = update(SlackPostRow).where(SlackPostRow.id.in_([int(each) for each in row.answers]))
    session.execute(posts.where(SlackPostRow.correction_ts.is_(None)).values(corrected_at=None, correction=None))
    row.state, row.answers = None, {}
    return True


def holds(session: Session, due: Due, post_id: int, checked: int) -> None:
    """Write down that the answer held at position *checked*; nothing when another process has the thread."""
    if mine(session, due) is not None:
        session.execute(update(SlackPostRow).where(SlackPostRow.id == post_id).values(checked=checked))


def forget(session: Session, answer_id: str) -> None:
    """Delete an answer that was made to compare with, and that nobody got."""
    session.execute(delete(AnswerRow).where(AnswerRow.id == answer_id))


def watched(session: Session, due: Due) -> list[Watched]:
    """Return the answers of the thread, oldest first; [] where the channel wants no corrections any more."""
    thread = or_(
        SlackPostRow.thread_ts == due.thread_ts, (SlackPostRow.thread_ts == "") & (SlackPostRow.ts == due.thread_ts)
    )
    there = wanted(due.team_id).where(SlackPostRow.channel_id == due.channel_id, thread)
    query = select(SlackPostRow).where(SlackPostRow.id.in_(there)).order_by(SlackPostRow.id)
    found = []
    for row in session.scalars(query):
        first = _given(session.get_one(AnswerRow, row.answer_id))
        stands = None if row.stands_id is None else session.get(AnswerRow, row.stands_id)
        now = first if stands is None else _given(stands)
        seen = max(now.indexed_through, row.checked or 0)
        corrected = row.correction_ts is not None
        found.append(Watched(row.id, row.ts, row.visibility, row.user_id, first, now, seen, corrected))
    return [each for each in found if each.watched]


def _given(row: AnswerRow) -> Given:
    cited = tuple(Citation(**each) for each in row.citations)
    at = (row.asked_at, row.indexed_through)
    return Given(row.id, row.question, row.text, cited, row.language, row.specialist, *at)


def given(session: Session, answer_id: str) -> Given | None:
    """Return the answer, or None when it is not kept."""
    row = session.get(AnswerRow, answer_id)
    return None if row is None else _given(row)
