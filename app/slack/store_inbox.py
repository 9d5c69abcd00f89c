"""What came in and what is to be done about it: every statement on events, signatures and jobs.

Functions take a session and never commit. Time is the database's. A job is written by whoever holds its claim: one
that was stopped, and whose lease lapsed, wakes up with a claim that changes nothing.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, or_, select, update

from app.slack.records import Incoming, Job
from app.tables_slack import SlackEventRow, SlackJobRow, SlackSignatureRow
from indexing.db import insert_missing, now
from indexing.tables import Table

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

EVENT = Table.metadata.tables[SlackEventRow.__tablename__]
SIGNATURE = Table.metadata.tables[SlackSignatureRow.__tablename__]
JOB = Table.metadata.tables[SlackJobRow.__tablename__]

#: A claim that is not renewed for so long is anybody's.
LEASE_S = 30.0
#: Times that a job is begun before it is given up.
MOST_ATTEMPTS = 5
#: What of an Incoming has a column of its own.
_COLUMNS = ("team_id", "meaning", "kind", "channel_id", "user_id")


def accept(session: Session, incoming: Incoming) -> int | None:
    """Store the event and its job, and return the job's id; None when it was seen before, by event or by meaning."""
    moment = now(session)
    if incoming.event_id:
        event = {"team_id": incoming.team_id, "event_id": incoming.event_id, "at": moment}
        stored = insert_missing(session, EVENT).values(event).returning(EVENT.c.event_id)
        if session.execute(stored).one_or_none() is None:
            return None
    fields = asdict(incoming)
    job = {name: fields.pop(name) for name in _COLUMNS} | {
        "lane": incoming.lane,
        "incoming": fields,
        "state": "waiting",
        "created_at": moment,
        "begin_at": moment,
        "attempts": 0,
    }
    made = insert_missing(session, JOB).values(job).returning(JOB.c.id)
    found = session.execute(made).one_or_none()
    return None if found is None else int(found.id)


def first_use(session: Session, digest: str) -> bool:
    """Remember a signature, and return whether it is used for the first time."""
    row = {"digest": digest, "at": now(session)}
    stored = insert_missing(session, SIGNATURE).values(row).returning(SIGNATURE.c.digest)
    return session.execute(stored).one_or_none() is not None


# --- claims ---------------------------------------------------------------------------------------------------


def claim(session: Session, team_id: str, lane: str, lease_s: float = LEASE_S) -> Job | None:
    """Claim the oldest job that may begin, and return it; None when there is none.

    One whose claim has lapsed may begin again. Those that were begun MOST_ATTEMPTS times have failed.
    """
    moment = now(session)
    open_ones = (JOB.c.team_id == team_id, JOB.c.lane == lane, _may_begin(moment))
    tired = update(JOB).where(*open_ones, JOB.c.attempts >= MOST_ATTEMPTS)
    session.execute(tired.values(_ended("failed", moment) | {"error": "It was begun too often."}))
    oldest = select(JOB.c.id).where(*open_ones).order_by(JOB.c.id).limit(1)
    if session.get_bind().dialect.name == "postgresql":
        oldest = oldest.with_for_update(skip_locked=True)  # SQLite has one writer at a time anyway
    job_id = session.execute(oldest).scalar_one_or_none()
    if job_id is None:
        return None
    taken = update(JOB).where(JOB.c.id == job_id).returning(*JOB.c)
    claimed = {"state": "working", "claim": str(uuid.uuid4()), "claimed_until": moment + timedelta(seconds=lease_s)}
    return _job(session.execute(taken.values(claimed | {"attempts": JOB.c.attempts + 1})).one())


def anything(session: Session, team_id: str, lane: str) -> bool:
    """Return whether a job may begin: a look that takes no lock."""
    open_ones = (JOB.c.team_id == team_id, JOB.c.lane == lane, _may_begin(now(session)))
    return session.execute(select(JOB.c.id).where(*open_ones).limit(1)).one_or_none() is not None


def renew(session: Session, job: Job, lease_s: float = LEASE_S) -> bool:
    """Hold the job for longer, and return whether it is still the caller's."""
    return _write(session, job, {"claimed_until": now(session) + timedelta(seconds=lease_s)})


def begun(session: Session, job: Job, message_ts: str) -> bool:
    """Note the message that was begun for the job, so that another attempt goes on with it; False when it is lost."""
    return _write(session, job, {"message_ts": message_ts})


def finish(session: Session, job: Job) -> bool:
    """The job is done, and what was written in Slack is forgotten; False when the claim is lost."""
    return _write(session, job, _ended("done", now(session)))


def give_up(session: Session, job: Job, why: str) -> bool:
    """The job has failed for good; False when the claim is lost. *why* must not hold what somebody wrote."""
    return _write(session, job, _ended("failed", now(session)) | {"error": why})


def again(session: Session, job: Job, why: str, after_s: float) -> bool:
    """Let the job begin once more after so long, or fail when that was its last attempt; False: the claim is lost."""
    if job.attempts >= MOST_ATTEMPTS:
        return give_up(session, job, why)
    begin_at = now(session) + timedelta(seconds=after_s)
    waits = {"state": "waiting", "claim": None, "claimed_until": None, "begin_at": begin_at, "error": why}
    return _write(session, job, waits)


def _may_begin(moment: datetime) -> ColumnElement[bool]:
    waits = and_(JOB.c.state == "waiting", JOB.c.begin_at <= moment)
    return or_(waits, and_(JOB.c.state == "working", JOB.c.claimed_until < moment))


def _write(session: Session, job: Job, values: dict[str, Any]) -> bool:
    mine = update(JOB).where(JOB.c.id == job.id, JOB.c.claim == job.claim, JOB.c.state == "working")
    return session.execute(mine.values(values).returning(JOB.c.id)).one_or_none() is not None


def _ended(state: str, moment: datetime) -> dict[str, Any]:
    return {"state": state, "finished_at": moment, "incoming": {}, "claim": None, "claimed_until": None}


# --- looking --------------------------------------------------------------------------------------------------


def ahead(session: Session, job_id: int) -> int:
    """Return how many jobs of the same lane and workspace come before this one: those at work and those that wait."""
    this = select(JOB.c.team_id, JOB.c.lane).where(JOB.c.id == job_id).subquery()
    before = select(func.count()).select_from(JOB).join(this, _same_queue(this))
    return int(session.execute(before.where(JOB.c.id < job_id, JOB.c.state.in_(("waiting", "working")))).scalar_one())


def _same_queue(this: Any) -> ColumnElement[bool]:
    return and_(JOB.c.team_id == this.c.team_id, JOB.c.lane == this.c.lane)


def waiting(session: Session, job_id: int) -> Job | None:
    """Return the job while nobody has begun it; it is not the caller's, and its claim is worth nothing."""
    query = select(*JOB.c).where(JOB.c.id == job_id, JOB.c.state == "waiting")
    row = session.execute(query).one_or_none()
    return None if row is None else _job(row)


def unfinished(session: Session) -> dict[tuple[str, str], int]:
    """Return how many jobs wait, are at work, or failed, by workspace and state."""
    query = select(JOB.c.team_id, JOB.c.state, func.count()).where(JOB.c.state != "done")
    return {(team, state): count for team, state, count in session.execute(query.group_by(JOB.c.team_id, JOB.c.state))}


def _job(row: Any) -> Job:
    fields = {name: getattr(row, name) for name in _COLUMNS} | dict(row.incoming)
    return Job(row.id, Incoming(**fields), row.claim or "", row.attempts, row.message_ts)


# --- forgetting -----------------------------------------------------------------------------------------------


def forget(session: Session, before: datetime) -> int:
    """Delete events, signatures and finished jobs from before then, and return how many jobs.

    They are kept for at least as long as Slack may send the same again: a day is far more than that.
    """
    session.execute(delete(EVENT).where(EVENT.c.at < before))
    session.execute(delete(SIGNATURE).where(SIGNATURE.c.at < before))
    gone = delete(JOB).where(JOB.c.finished_at < before).returning(JOB.c.id)
    return len(session.execute(gone).all())


def forget_workspace(session: Session, team_id: str) -> None:
    """Delete all that came in from a workspace."""
    session.execute(delete(EVENT).where(EVENT.c.team_id == team_id))
    session.execute(delete(JOB).where(JOB.c.team_id == team_id))
