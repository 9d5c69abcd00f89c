"""The questions that somebody asked a human. Functions take a session and never commit.

A row goes open → proposed → approved → expired, or proposed → refused; a refused or expired one may be proposed again.
Each step is one conditional statement: of two who take it at once, one is told that it was taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from app.slack.records import Post, Visibility
from app.tables import AnswerRow
from app.tables_slack import SlackHelpRow
from indexing import store
from indexing.tables import DocumentRow, SourceRow

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from app.history import AnswerRecord
    from indexing.documents import SourceRecord

#: What documents are called that hold a reviewed answer; the number is the row's.
URI = "reviewed/{}.md"
#: Names of the sources that hold them begin so.
SOURCE_PREFIX = "answers-"
#: What stands for no document, and waits for nobody's decision.
_IDLE = SlackHelpRow.state.in_(("open", "refused", "expired"))


@dataclass(frozen=True, slots=True)
class Help:
    """A question that a human was asked, and what came of it."""

    id: int
    team_id: str
    channel_id: str  # "" where only the asker saw the answer in a channel
    thread_ts: str
    user_id: str
    principal_id: int | None  # of who asked; None: anonymous
    answer_id: str | None
    specialist: str
    language: str
    question: str
    state: str  # open | proposed | approved | refused | expired
    reply: str | None
    replied_by: str | None
    decided_by: str | None
    source_id: int | None
    uri: str | None
    expires_at: datetime | None

    @property
    def private(self) -> bool:
        """Whether nobody but the asker saw the question and the answer."""
        return not self.channel_id or self.channel_id.startswith("D")


def open_help(
    session: Session, post: Post, record: AnswerRecord, user_id: str, principal_id: int | None
) -> tuple[Help, bool]:
    """Return the row of this answer, and whether it is new: an answer is asked about once in a workspace."""
    session.execute(select(AnswerRow.id).where(AnswerRow.id == post.answer_id).with_for_update())
    known = select(SlackHelpRow).where(SlackHelpRow.team_id == post.team_id, SlackHelpRow.answer_id == post.answer_id)
    found = session.scalars(known.order_by(SlackHelpRow.id).limit(1)).one_or_none()
    if found is not None:
        return _help(found), False
    shown = post.visibility != Visibility.EPHEMERAL
    row = SlackHelpRow(
        team_id=post.team_id,
        channel_id=post.channel_id if shown else "",
        thread_ts=(post.thread_ts or post.ts) if shown else "",
        user_id=user_id,
        principal_id=principal_id,
        answer_id=post.answer_id,
        specialist=record.specialist or "metier",
        language=record.language,
        question=record.question,
        state="open",
    )
    session.add(row)
    session.flush()
    return _help(row), True


def help_with_id(session: Session, team_id: str, help_id: int) -> Help | None:
    """Return the row of this workspace, or None."""
    row = session.get(SlackHelpRow, help_id)
    return _help(row) if row is not None and row.team_id == team_id else None


def open_in_thread(session: Session, team_id: str, channel_id: str, thread_ts: str) -> Help | None:
    """Return the newest question in this thread that nobody has replied to, or None."""
    h = SlackHelpRow
    here = (h.team_id == team_id, h.channel_id == channel_id, h.thread_ts == thread_ts, h.state == "open")
    row = session.scalars(select(h).where(*here).order_by(h.id.desc()).limit(1)).one_or_none()
    return None if row is None else _help(row)


def propose(session: Session, help_id: int, reply: str, by: str, expires_at: datetime) -> bool:
    """Keep the reply for approval, and return whether that was possible: nobody else has replied meanwhile."""
    values = {"state": "proposed", "reply": reply, "replied_by": by, "decided_by": None, "expires_at": expires_at}
    return _changed(session, help_id, _IDLE, values)


def decide(session: Session, help_id: int, by: str, state: str) -> bool:
    """Approve or refuse the reply that waits, and return whether nobody else has done so meanwhile."""
    return _changed(session, help_id, SlackHelpRow.state == "proposed", {"state": state, "decided_by": by})


def undecided(session: Session, help_id: int, by: str) -> bool:
    """Let the reply wait for approval again, as it could not be published."""
    mine = (SlackHelpRow.state == "approved") & (SlackHelpRow.decided_by == by) & SlackHelpRow.uri.is_(None)
    return _changed(session, help_id, mine, {"state": "proposed", "decided_by": None})


def published(session: Session, help_id: int, source_id: int) -> bool:
    """Note where the approved reply is, and return whether it was not noted before."""
    new = (SlackHelpRow.state == "approved") & SlackHelpRow.uri.is_(None)
    return _changed(session, help_id, new, {"source_id": source_id, "uri": URI.format(help_id)})


def withdraw(session: Session, help_id: int, moment: datetime) -> bool:
    """End the time of the approved reply at *moment*, and return whether it was not over before."""
    quoted = (SlackHelpRow.state == "approved") & (SlackHelpRow.expires_at > moment)
    return _changed(session, help_id, quoted, {"expires_at": moment})


def due(session: Session, now: datetime) -> list[Help]:
    """Return the approved replies whose time is over."""
    over = select(SlackHelpRow).where(SlackHelpRow.state == "approved", SlackHelpRow.expires_at <= now)
    return [_help(row) for row in session.scalars(over.order_by(SlackHelpRow.id))]


def expired_since(session: Session, team_id: str, moment: datetime) -> list[Help]:
    """Return the workspace's replies whose time ended after *moment* and that are quoted no more."""
    ours = (SlackHelpRow.team_id == team_id) & (SlackHelpRow.state == "expired")
    over = select(SlackHelpRow).where(ours, SlackHelpRow.expires_at > moment)
    return [_help(row) for row in session.scalars(over.order_by(SlackHelpRow.id))]


def expired(session: Session, help_id: int, now: datetime) -> bool:
    """Note that the reply is quoted no more, and return whether nobody else has noted it."""
    over = (SlackHelpRow.state == "approved") & (SlackHelpRow.expires_at <= now)
    return _changed(session, help_id, over, {"state": "expired", "source_id": None, "uri": None})


def orphans(session: Session) -> list[tuple[SourceRecord, str]]:
    """Return the documents of reviewed answers whose row is gone or does not stand for them any more.

    A row goes when who asked is erased: then the document has to go too.
    """
    d, s = DocumentRow, SourceRow
    query = select(s.name, d.uri).join(s, s.id == d.source_id)
    named = s.name.startswith(SOURCE_PREFIX, autoescape=True) & d.uri.startswith("reviewed/")
    there = list(session.execute(query.where(s.kind == "push", named)))
    if not there:
        return []
    kept = set(session.scalars(select(SlackHelpRow.id).where(SlackHelpRow.state == "approved")))
    stands = {URI.format(each) for each in kept}
    found = [(store.source_named(session, name), uri) for name, uri in there if uri not in stands]
    return [(source, uri) for source, uri in found if source is not None]


def forget_user(session: Session, team_id: str, user_id: str) -> int:
    """Delete what this user asked a human, but for what is an answer or may become one; return how many."""
    h = SlackHelpRow
    return _gone(session, (h.team_id == team_id) & (h.user_id == user_id))


def forget(session: Session, before: datetime) -> int:
    """Delete the questions of before then that are neither answered nor may be soon, and return how many."""
    return _gone(session, SlackHelpRow.at < before)


def any_old(session: Session, before: datetime) -> bool:
    """Return whether ``forget`` would find something."""
    old = select(SlackHelpRow.id).where(SlackHelpRow.at < before, _IDLE)
    return session.scalar(old.limit(1)) is not None


def _gone(session: Session, which: ColumnElement[bool]) -> int:
    gone = delete(SlackHelpRow).where(which, _IDLE).returning(SlackHelpRow.id)
    return len(session.execute(gone).all())


def source_of(session: Session, found: Help) -> SourceRecord | None:
    """Return the source that holds the reply; None when there is none any more."""
    name = session.scalar(select(SourceRow.name).where(SourceRow.id == found.source_id)) if found.source_id else None
    return None if name is None else store.source_named(session, name)


def _changed(session: Session, help_id: int, when: ColumnElement[bool], values: dict[str, Any]) -> bool:
    statement = update(SlackHelpRow).where(SlackHelpRow.id == help_id, when).values(**values)
    return session.execute(statement.returning(SlackHelpRow.id)).one_or_none() is not None


def _help(row: SlackHelpRow) -> Help:
    return Help(**{name: getattr(row, name) for name in Help.__slots__})
