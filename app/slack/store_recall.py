"""Which posted answers quote documents that changed, thread by thread, and who looks at them again.

``behind`` reads the change log from where the workspace's last look came to; ``note`` writes down the threads that
wait, in one transaction with the new position, so that no change is lost and none is taken twice. A thread is claimed
by one process at a time, and is another's when the claim has run out. Functions take a session and never commit.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, or_, select, update
from sqlalchemy.orm import aliased

from app.tables import AnswerRow
from app.tables_slack import SlackChannelRow, SlackPostRow, SlackRecallRow
from indexing import changelog
from indexing.db import among, insert_missing
from indexing.tables import DocumentRow, SourceRow, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

READ = Table.metadata.tables["slack_recall_read"]
RECALL = Table.metadata.tables["slack_recall"]
#: A post this young may be of an answer that was made before a change and posted after it was read.
FRESH = timedelta(minutes=10)
#: Answers that are older than this are not looked at again, however long they are kept.
LOOKED_AT = timedelta(days=365)
#: A document that is saved again and again is waited for, but not for longer than this.
PATIENCE = timedelta(minutes=10)
#: Longer than an answer and a call to Slack take together, with every retry.
CLAIMED = timedelta(minutes=10)
_AT_A_TIME = 500
#: A correction has a row of its own, with its own ts for that of its correction: not it, what it corrects is watched.
_SEEN = {"channel", "direct"}  # an ephemeral message is gone when its reader reloads: there is nothing to correct


@dataclass(frozen=True, slots=True)
class Behind:
    """What changed since the last look: threads by (channel, thread) with the last change that concerns them."""

    before: int | None  # None: there was no look yet
    head: int
    threads: Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Due:
    """A thread that the caller has claimed."""

    team_id: str
    channel_id: str
    thread_ts: str
    seq: int
    claim: str
    attempts: int  # this one included
    state: str | None  # of the correction that an earlier attempt may have posted
    answers: Mapping[str, str]  # what that says: post ids → answer ids


@dataclass
class _Scan:
    """The changes that a look has to do with."""

    since: int
    changed: Mapping[int, int]
    places: Mapping[tuple[str, str], int]  # the same by (source, uri): a document may come again under another id
    threads: dict[tuple[str, str], int] = field(default_factory=dict)

    def last(self, cited: Sequence[Mapping[str, Any]]) -> int:
        """Return the last change of the cited documents; 0 when none changed."""
        ids = (self.changed.get(each["document_id"], 0) for each in cited)
        places = (self.places.get((each["source"], each["uri"]), 0) for each in cited)
        return max((*ids, *places), default=0)


def behind(session: Session, team_id: str, now: datetime, kept: timedelta | None = None) -> Behind | None:
    """Return what changed since the last look; None when that was nothing. *kept*: how long answers are.

    Costs two rows when nothing changed and nothing was posted in the last minutes; else it reads the citations of the
    posts of the channels that want corrections, once.
    """
    head = changelog.state(session).seq
    before = session.scalar(select(READ.c.seq).where(READ.c.team_id == team_id))
    fresh = now - FRESH
    young = SlackPostRow.at >= fresh
    if before == head and not session.scalar(select(exists(wanted(team_id).where(young)))):
        return None
    since = head if before is None else before
    changed = changelog.last_changes(session, since)
    scan = _Scan(since, changed, _places(session, changed))
    oldest = now - min(kept or LOOKED_AT, LOOKED_AT)
    if changed:
        for row in session.execute(_cited(team_id).where(SlackPostRow.at >= oldest, ~young)):
            _add(scan, row.channel_id, row.thread, scan.last([*row.first, *(row.now or ())]))
    _add_young(session, team_id, fresh, scan)
    return Behind(before, head, scan.threads)


def wanted(team_id: str) -> Select[Any]:
    """Return the statement of the posts that may be corrected, where the channel wants it."""
    wants = (SlackChannelRow.team_id == SlackPostRow.team_id) & (SlackChannelRow.channel_id == SlackPostRow.channel_id)
    return (
        select(SlackPostRow.id)
        .join(SlackChannelRow, wants)
        .where(
            SlackPostRow.team_id == team_id,
            SlackPostRow.visibility.in_(_SEEN),
            func.coalesce(SlackPostRow.correction_ts, "") != SlackPostRow.ts,
            SlackChannelRow.recall,
            SlackChannelRow.answers != "off",
        )
    )


def _cited(team_id: str) -> Select[Any]:
    stands = aliased(AnswerRow)
    thread = func.coalesce(func.nullif(SlackPostRow.thread_ts, ""), SlackPostRow.ts)
    seen = func.coalesce(SlackPostRow.checked, stands.indexed_through, AnswerRow.indexed_through)
    columns = (
        SlackPostRow.channel_id,
        thread.label("thread"),
        AnswerRow.citations.label("first"),
        stands.citations.label("now"),
        seen.label("seen"),
    )
    return (
        wanted(team_id)
        .join(AnswerRow, AnswerRow.id == SlackPostRow.answer_id)
        .outerjoin(stands, stands.id == SlackPostRow.stands_id)
        .with_only_columns(*columns, maintain_column_froms=True)
        .execution_options(yield_per=_AT_A_TIME)
    )


def _add(scan: _Scan, channel_id: str, thread: str, last: int) -> None:
    if last:
        scan.threads[(channel_id, thread)] = max(last, scan.threads.get((channel_id, thread), 0))


def _add_young(session: Session, team_id: str, fresh: datetime, scan: _Scan) -> None:
    """Add threads with young posts, whose documents may have changed before they were posted."""
    rows = session.execute(_cited(team_id).where(SlackPostRow.at >= fresh)).all()
    cited = {each["document_id"] for row in rows for each in (*row.first, *(row.now or ()))}
    changed = {**changelog.last_changes_of(session, cited), **scan.changed}
    young = _Scan(scan.since, changed, scan.places, scan.threads)
    for row in rows:
        last = young.last([*row.first, *(row.now or ())])
        _add(scan, row.channel_id, row.thread, last if last > row.seen else 0)


def _places(session: Session, changed: Mapping[int, int]) -> dict[tuple[str, str], int]:
    """Return *changed* by (source, uri), of the documents that are there; what waits at a gate is not."""
    query = select(DocumentRow.id, SourceRow.name, DocumentRow.uri).join(
        SourceRow, SourceRow.id == DocumentRow.source_id
    )
    there = among(session, Table.metadata.tables["document"].c.id, list(changed)) & SourceRow.candidate_of.is_(None)
    return {(name, uri): changed[each] for each, name, uri in session.execute(query.where(there))} if changed else {}


def note(session: Session, team_id: str, found: Behind, now: datetime, settle: timedelta) -> bool:
    """Write down the threads that wait, due *settle* from now, and the position; False: another look was first."""
    if found.before is None:
        first = insert_missing(session, READ).values(team_id=team_id, seq=found.head, at=now).returning(READ.c.team_id)
        ahead = session.execute(first).first() is not None
    else:
        read = update(READ).where(READ.c.team_id == team_id, READ.c.seq == found.before)
        ahead = session.execute(read.values(seq=found.head, at=now).returning(READ.c.team_id)).first() is not None
    if ahead and found.threads:
        _wait(session, team_id, found.threads, now, settle)
    return ahead


def _wait(
    session: Session, team_id: str, threads: Mapping[tuple[str, str], int], now: datetime, settle: timedelta
) -> None:
    waiting = session.scalars(select(SlackRecallRow).where(SlackRecallRow.team_id == team_id).with_for_update())
    known = {(row.channel_id, row.thread_ts): row for row in waiting}
    for thread, seq in threads.items():
        row = known.get(thread)
        if row is not None and row.seq < seq:
            row.seq, row.attempts = seq, 0
            row.due_at = max(now, min(now + settle, row.since + max(settle, PATIENCE)))
    values = {"team_id": team_id, "since": now, "due_at": now + settle, "attempts": 0, "answers": {}}
    new = [
        values | {"channel_id": channel_id, "thread_ts": thread_ts, "seq": seq}
        for (channel_id, thread_ts), seq in threads.items()
        if (channel_id, thread_ts) not in known
    ]
    if new:
        session.execute(insert_missing(session, RECALL), new)


def waits(session: Session, team_id: str, now: datetime) -> bool:
    """Return whether ``claim`` would find a thread."""
    return session.scalar(_due(team_id, now).limit(1)) is not None


def _due(team_id: str, now: datetime) -> Select[Any]:
    free = or_(SlackRecallRow.claimed_until.is_(None), SlackRecallRow.claimed_until < now)
    return select(SlackRecallRow).where(SlackRecallRow.team_id == team_id, SlackRecallRow.due_at <= now, free)


def claim(session: Session, team_id: str, now: datetime) -> Due | None:
    """Return a thread that is due, which is the caller's for CLAIMED, or None."""
    query = _due(team_id, now)
    row: SlackRecallRow | None = session.scalars(
        query.order_by(SlackRecallRow.due_at).limit(1).with_for_update(skip_locked=True)
    ).first()
    if row is None:
        return None
    row.claim, row.claimed_until, row.attempts = str(uuid.uuid4()), now + CLAIMED, row.attempts + 1
    session.flush()
    thread = (row.team_id, row.channel_id, row.thread_ts)
    return Due(*thread, row.seq, row.claim, row.attempts, row.state, dict(row.answers))


def _claimed(due: Due) -> ColumnElement[bool]:
    return (
        (SlackRecallRow.team_id == due.team_id)
        & (SlackRecallRow.channel_id == due.channel_id)
        & (SlackRecallRow.thread_ts == due.thread_ts)
        & (SlackRecallRow.claim == due.claim)
    )


def mine(session: Session, due: Due) -> SlackRecallRow | None:
    """Return the thread's row, locked, or None when another process has it now."""
    return session.scalars(select(SlackRecallRow).where(_claimed(due)).with_for_update()).one_or_none()


def done(session: Session, due: Due) -> None:
    """Give the thread back; it waits on if more has changed meanwhile."""
    row = mine(session, due)
    if row is None:
        return
    if row.seq <= due.seq:
        session.delete(row)
    else:
        row.claim, row.claimed_until, row.attempts, row.since = None, None, 0, row.due_at


def later(session: Session, due: Due, now: datetime, after: timedelta) -> None:
    """Give the thread back, to be claimed again after that time."""
    row = mine(session, due)
    if row is not None:
        row.claim, row.claimed_until, row.due_at = None, None, max(row.due_at, now + after)
