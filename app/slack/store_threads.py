"""The threads that the bot takes part in, and what was asked and answered in them.

Turns are kept of answers that a thread's readers saw too (a direct message, a channel): an ephemeral answer, which one
person saw, never becomes part of what the next question in the channel is understood by. Functions take a session and
never commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from app.generator import Turn
from app.slack.records import Visibility
from app.tables_slack import SlackThreadRow, SlackTurnRow
from indexing.db import insert_missing
from indexing.tables import utc_now

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from app.slack.records import Post

#: Turns of a thread that a question is understood by; a conversation reads no more either.
TURNS_READ = 12
TURN_CHARS = 4000
#: Who sees an answer that becomes a turn.
KEPT = frozenset({Visibility.CHANNEL, Visibility.DIRECT})


@dataclass(frozen=True, slots=True)
class Taking:
    """Whether the bot takes part in a thread, and was asked to be quiet in it."""

    joined: bool = False
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A question with its answer, and who asked."""

    question_ts: str
    question: str
    answer_ts: str
    answer: str
    user_id: str
    principal_id: int | None


def taking(session: Session, team_id: str, channel_id: str, thread_ts: str) -> Taking:
    """Return how the bot takes part in the thread; not at all where there is none."""
    row = session.get(SlackThreadRow, (team_id, channel_id, thread_ts)) if thread_ts else None
    return Taking() if row is None else Taking(joined=True, muted=row.muted)


def join(session: Session, team_id: str, channel_id: str, thread_ts: str) -> None:
    """Take part in the thread from here on, also when it was muted."""
    key = {"team_id": team_id, "channel_id": channel_id, "thread_ts": thread_ts}
    row = {**key, "muted": False, "last_at": utc_now()}
    session.execute(insert_missing(session, SlackThreadRow.__table__).values(row))  # type: ignore[arg-type]
    session.execute(update(SlackThreadRow).where(*_of(SlackThreadRow, key)).values(muted=False, last_at=utc_now()))


def mute(session: Session, team_id: str, channel_id: str, thread_ts: str | None, *, muted: bool = True) -> int:
    """Be quiet in the thread, or no longer; None stands for all of the channel. Return how many threads it concerns."""
    where = [SlackThreadRow.team_id == team_id, SlackThreadRow.channel_id == channel_id]
    if thread_ts is not None:
        where.append(SlackThreadRow.thread_ts == thread_ts)
    changed = update(SlackThreadRow).where(*where, SlackThreadRow.muted.is_not(muted)).values(muted=muted)
    return len(session.execute(changed.returning(SlackThreadRow.thread_ts)).all())


def keep(session: Session, team_id: str, channel_id: str, thread_ts: str, said: Said, visibility: Visibility) -> None:
    """Keep the question and its answer as turns, instead of an earlier attempt's; none of an ephemeral answer."""
    if visibility not in KEPT:
        return
    drop_turns(session, team_id, channel_id, said.question_ts, said.answer_ts)
    now = utc_now()
    for ts, role, text in (
        (said.question_ts, "user", said.question),
        (said.answer_ts, "assistant", said.answer),
    ):
        row = SlackTurnRow(
            team_id=team_id,
            channel_id=channel_id,
            thread_ts=thread_ts,
            ts=ts,
            role=role,
            user_id=said.user_id,
            principal_id=said.principal_id,
            text=text[:TURN_CHARS],
            at=now,
        )
        session.add(row)
    session.flush()


def drop_turns(session: Session, team_id: str, channel_id: str, *moments: str) -> None:
    """Delete what was said then, if it is kept."""
    session.execute(
        delete(SlackTurnRow).where(
            SlackTurnRow.team_id == team_id, SlackTurnRow.channel_id == channel_id, SlackTurnRow.ts.in_(moments)
        )
    )


def turns(session: Session, team_id: str, channel_id: str, thread_ts: str) -> tuple[Turn, ...]:
    """Return the last TURNS_READ turns of the thread, oldest first."""
    return _newest(session, team_id, channel_id, SlackTurnRow.thread_ts == thread_ts)


def turns_before(session: Session, post: Post) -> tuple[Turn, ...]:
    """Return the turns of the thread from before the question of *post*; () when that was kept nowhere."""
    here = (SlackTurnRow.team_id == post.team_id, SlackTurnRow.channel_id == post.channel_id)
    answer_id = select(SlackTurnRow.id).where(*here, SlackTurnRow.ts == post.ts).scalar_subquery()
    # The question is the turn right before its answer.
    earlier = (SlackTurnRow.thread_ts == (post.thread_ts or post.ts)) & (SlackTurnRow.id < answer_id - 1)
    return _newest(session, post.team_id, post.channel_id, earlier)


def turns_since(session: Session, team_id: str, channel_id: str, since: datetime) -> tuple[Turn, ...]:
    """Return the last TURNS_READ turns of the whole conversation since then, in whichever thread."""
    return _newest(session, team_id, channel_id, SlackTurnRow.at >= since)


def _newest(session: Session, team_id: str, channel_id: str, which: ColumnElement[bool]) -> tuple[Turn, ...]:
    found = session.execute(
        select(SlackTurnRow.role, SlackTurnRow.text)
        .where(SlackTurnRow.team_id == team_id, SlackTurnRow.channel_id == channel_id, which)
        .order_by(SlackTurnRow.id.desc())
        .limit(TURNS_READ)
    )
    return tuple(Turn(role, text) for role, text in reversed(found.all()))


def forget(session: Session, before: datetime) -> int:
    """Delete the turns that are older, and the threads in which nothing was said since; return how many turns."""
    session.execute(delete(SlackThreadRow).where(SlackThreadRow.last_at < before))
    gone = session.execute(delete(SlackTurnRow).where(SlackTurnRow.at < before).returning(SlackTurnRow.id))
    return len(gone.all())


def any_old(session: Session, before: datetime) -> bool:
    """Return whether ``forget`` would find something."""
    old = select(func.min(SlackTurnRow.at))
    oldest, last = session.scalar(old), session.scalar(select(func.min(SlackThreadRow.last_at)))
    return any(each is not None and each < before for each in (oldest, last))


def forget_user(session: Session, team_id: str, user_id: str) -> int:
    """Delete what this user asked and was answered in threads, and return how many turns that were."""
    theirs = delete(SlackTurnRow).where(SlackTurnRow.team_id == team_id, SlackTurnRow.user_id == user_id)
    return len(session.execute(theirs.returning(SlackTurnRow.id)).all())


def _of(row: type[SlackThreadRow], key: dict[str, str]) -> list[ColumnElement[bool]]:
    return [getattr(row, name) == value for name, value in key.items()]
