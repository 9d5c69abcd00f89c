"""The answers that were posted, and where. Functions take a session and never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from app.slack.records import Post, Visibility
from app.tables import AnswerRow
from app.tables_slack import SlackJobRow, SlackPostRow
from indexing.tables import utc_now

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session


def record_post(session: Session, post: Post) -> bool:
    """Store *post*, instead of one of an earlier attempt in the same place; return whether it was.

    It is not when its answer is not kept: nothing is kept of an answer longer than the answer itself.
    """
    if session.get(AnswerRow, post.answer_id) is None:
        return False
    here = (SlackPostRow.team_id == post.team_id, SlackPostRow.channel_id == post.channel_id)
    session.execute(delete(SlackPostRow).where(*here, SlackPostRow.ts == post.ts))
    session.add(
        SlackPostRow(
            team_id=post.team_id,
            channel_id=post.channel_id,
            ts=post.ts,
            thread_ts=post.thread_ts,
            visibility=post.visibility,
            user_id=post.user_id,
            answer_id=post.answer_id,
            at=utc_now(),
        )
    )
    session.flush()
    return True


def post_at(session: Session, team_id: str, channel_id: str, ts: str) -> Post | None:
    """Return the answer that was posted there and then, or None."""
    where = (SlackPostRow.team_id == team_id, SlackPostRow.channel_id == channel_id, SlackPostRow.ts == ts)
    return _one(session, select(SlackPostRow).where(*where))


def post_of(session: Session, team_id: str, answer_id: str) -> Post | None:
    """Return where the answer was posted first, or None."""
    where = (SlackPostRow.team_id == team_id, SlackPostRow.answer_id == answer_id)
    return _one(session, select(SlackPostRow).where(*where).order_by(SlackPostRow.id).limit(1))


def last_post(session: Session, team_id: str, channel_id: str, user_id: str) -> Post | None:
    """Return the last answer that this user got in this channel, or None."""
    where = (SlackPostRow.team_id == team_id, SlackPostRow.channel_id == channel_id, SlackPostRow.user_id == user_id)
    return _one(session, select(SlackPostRow).where(*where).order_by(SlackPostRow.id.desc()).limit(1))


def seen_post(session: Session, team_id: str, place: tuple[str, str], answer_id: str, user_id: str) -> Post | None:
    """Return the post of this answer that the user sees at *place* (channel and ts); None for any other answer.

    What only one person sees has no lasting ``ts``: it is found by that person.
    """
    channel_id, ts = place
    p = SlackPostRow
    hidden = p.visibility == Visibility.EPHEMERAL
    seen = ((p.ts == ts) & ~hidden) | (hidden & (p.user_id == user_id))
    where = (p.team_id == team_id, p.channel_id == channel_id, p.answer_id == answer_id, seen)
    return _one(session, select(p).where(*where).order_by(p.id).limit(1))


def begun_for_others(session: Session, team_id: str, channel_id: str, job_id: int) -> frozenset[str]:
    """Return the ``ts`` of each message in the channel that another job than this one has begun or posted."""
    j, p = SlackJobRow, SlackPostRow
    begun = select(j.message_ts).where(
        j.team_id == team_id, j.channel_id == channel_id, j.id != job_id, j.message_ts.is_not(None)
    )
    posted = select(p.ts).where(p.team_id == team_id, p.channel_id == channel_id)
    return frozenset(ts for query in (begun, posted) for ts in session.scalars(query) if ts)


def forget_user(session: Session, team_id: str, user_id: str) -> int:
    """Delete the answers that this user got in this workspace, with their posts and feedback; return how many."""
    theirs = select(SlackPostRow.answer_id).where(SlackPostRow.team_id == team_id, SlackPostRow.user_id == user_id)
    return len(session.execute(delete(AnswerRow).where(AnswerRow.id.in_(theirs)).returning(AnswerRow.id)).all())


def _one(session: Session, query: Select[SlackPostRow]) -> Post | None:
    row = session.scalars(query).one_or_none()
    if row is None:
        return None
    return Post(
        team_id=row.team_id,
        channel_id=row.channel_id,
        ts=row.ts,
        thread_ts=row.thread_ts,
        visibility=Visibility(row.visibility),
        user_id=row.user_id,
        answer_id=row.answer_id,
    )
