"""Runs and failures: what synchronisation did, and which documents could not be read."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from indexing import changelog, notices, triggers
from indexing.db import among, now
from indexing.documents import Failure, FailureRecord, KnownFailure
from indexing.errors import RunLost
from indexing.run_records import RunRecord
from indexing.store_lists import stale_sources
from indexing.store_read import source_permitted
from indexing.tables import Table, utc_now
from indexing.trial import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from indexing.documents import Scope, SyncReport

SOURCE = Table.metadata.tables["source"]
RUN = Table.metadata.tables["run"]
FAILURE = Table.metadata.tables["failure"]
GATE = Table.metadata.tables["gate"]

RUNNING = "running"
#: What the run has read waits: the gate is closed.
HELD = "held"
#: A run that gave no sign of life for so long has lost its source; it gives one every BEAT_S.
LEASE_S = 120.0
BEAT_S = 15.0


@dataclass(frozen=True, slots=True)
class Going:
    """A run that goes on by the record, and whether its process gave a sign of life within LEASE_S."""

    id: int
    source_id: int
    alive: bool


# --- runs -----------------------------------------------------------------------------------------------------


def start_run(session: Session, source_id: int, *, due_at: datetime | None = None, trigger: str | None = None) -> int:
    """Return the id of a new run that is going on.

    *due_at* is when its schedule wanted it to begin, or when it was asked for; *trigger* is who asked, if it waited.
    """
    moment = now(session)
    row = {"source_id": source_id, "state": RUNNING, "started_at": moment, "beat_at": moment, "report": {}}
    row |= {"due_at": due_at, "trigger": trigger or ("manual" if due_at is None else "schedule")}
    row |= {"holder": f"{os.uname().nodename}, process {os.getpid()}"[:255]}
    return int(session.execute(insert(RUN).values(row).returning(RUN.c.id)).scalar_one())


def covered_until(session: Session, source_id: int, until: datetime) -> datetime | None:
    """Return the latest moment, not after *until*, that a run of the source was due at or began at; None without one.

    A run that begins late, after an outage, stands for every moment until it begins. Runs that nobody had to wait for
    (no ``due_at``) stand for none.
    """
    r = RUN.c
    due = (r.source_id == source_id) & r.due_at.is_not(None)
    moments = [select(func.max(each)).where(due, each <= until).scalar_subquery() for each in (r.due_at, r.started_at)]
    return max((each for each in session.execute(select(*moments)).one() if each is not None), default=None)


def hold(session: Session, run_id: int) -> None:
    """Give a sign of life of the run, and make sure that what this transaction writes is still its to write.

    Raises RunLost when another run has taken over, or the source is gone. This is the fencing token of leases
    (Kleppmann, "How to do distributed locking", 2016): a process that was paused cannot write late.
    """
    held = update(RUN).where(RUN.c.id == run_id, RUN.c.state == RUNNING).values(beat_at=now(session))
    if session.execute(held.returning(RUN.c.id)).one_or_none() is None:
        raise RunLost


def update_run(session: Session, run_id: int, report: Mapping[str, Any]) -> None:
    """Store the run's counts so far. Raises RunLost."""
    hold(session, run_id)
    session.execute(update(RUN).where(RUN.c.id == run_id).values(report=dict(report)))


def finish_run(session: Session, report: SyncReport) -> bool:
    """Store the run's final state and report; return False, with nothing stored, when another run has taken over."""
    changelog.lock(session)
    values = {"state": report.state, "finished_at": now(session), "report": asdict(report), "error": report.error}
    return end_run(session, report.run_id, values, whole=report.state != "cancelled")


def end_run(session: Session, run_id: int, values: Mapping[str, Any], *, whole: bool) -> bool:
    """Return whether the run went on; it has ended now. What follows from that is written in the same transaction."""
    ended = update(RUN).where(RUN.c.id == run_id, RUN.c.state == RUNNING).values(**values)
    row = session.execute(ended.returning(RUN.c.cancel_asked_at)).one_or_none()
    if row is None:
        return False
    triggers.run_ended(session, run_id, whole=whole or row.cancel_asked_at is not None)  # who cancels wants no other
    notices.run_ended(session, run_id)
    return True


def held_sources(session: Session, scope: Scope) -> list[str]:
    """Return the names of the sources that the scope may read and whose newest run is held."""
    newest = select(func.max(RUN.c.id)).group_by(RUN.c.source_id)
    query = select(SOURCE.c.name).join(RUN, RUN.c.source_id == SOURCE.c.id)
    query = query.where(RUN.c.id.in_(newest), RUN.c.state == HELD, source_permitted(session, scope))
    return list(session.execute(query.order_by(SOURCE.c.name)).scalars())


def put_verdict(session: Session, run_id: int, verdict: Verdict) -> None:
    """Keep what the gate said of the run."""
    row = {"run_id": run_id, "closes": verdict.closes, "report": dict(verdict.report)}
    session.execute(insert(GATE).values(row))


def verdict(session: Session, run_id: int) -> Verdict | None:
    """Return what the gate said of the run; None when it was not asked."""
    row = session.execute(select(GATE.c.closes, GATE.c.report).where(GATE.c.run_id == run_id)).one_or_none()
    return None if row is None else Verdict(row.closes, row.report)


def release(session: Session, run: RunRecord) -> bool:
    """Return whether the run is held and the newest of its source; then it has succeeded from now on."""
    changelog.lock(session)
    newest = runs(session, run.source_id, 1)
    if not newest or newest[0].id != run.id or newest[0].state != HELD:
        return False
    report = newest[0].report | {"state": "succeeded", "error": None}
    values = {"state": "succeeded", "error": None, "report": report}
    session.execute(update(RUN).where(RUN.c.id == run.id).values(values))
    notices.run_ended(session, run.id)
    return True


def fail_run(session: Session, run_id: int) -> bool:
    """Close a run whose process is dead, or gave no sign of life for LEASE_S; from now on it cannot write.

    Returns False, and changes nothing, when it had ended: then somebody else has seen to what follows.
    """
    changelog.lock(session)
    values = {"state": "failed", "finished_at": now(session), "error": "The process ended before the run did."}
    return end_run(session, run_id, values, whole=False)


def going_on(session: Session, source_id: int | None = None) -> list[Going]:
    """Return the runs that go on by the record, of one source or of all, oldest first."""
    query = select(RUN.c.id, RUN.c.source_id, RUN.c.beat_at).where(RUN.c.state == RUNNING).order_by(RUN.c.id)
    query = query if source_id is None else query.where(RUN.c.source_id == source_id)
    moment = now(session)
    rows = session.execute(query)
    return [Going(r.id, r.source_id, is_alive(r.beat_at, moment)) for r in rows]


def is_alive(beat_at: datetime | None, moment: datetime) -> bool:
    """Say whether a run that goes on by the record, and gave its last sign of life then, still has its source.

    A sign of life from the future is none: the clock was put back, and who lives gives another one soon.
    """
    return beat_at is not None and abs(moment - beat_at) < timedelta(seconds=LEASE_S)


def _run_query() -> Any:
    r = RUN.c
    columns = (r.id, r.source_id, SOURCE.c.name, r.state, r.started_at, r.finished_at, r.report, r.error)
    live = (r.trigger, r.due_at, r.beat_at, r.holder, r.progress, r.cancel_asked_at)
    return select(*columns, *live).join(SOURCE, SOURCE.c.id == r.source_id)


def _newest_runs(source_id: int | None, limit: int) -> Any:
    query = _run_query().order_by(RUN.c.id.desc()).limit(limit)
    return query if source_id is None else query.where(RUN.c.source_id == source_id)


def runs(session: Session, source_id: int | None = None, limit: int = 20) -> list[RunRecord]:
    """Return the newest runs, newest first: for this program itself, not for whoever asks (``visible_runs``)."""
    return [RunRecord(*row) for row in session.execute(_newest_runs(source_id, limit))]


def visible_runs(session: Session, scope: Scope, source_id: int | None = None, limit: int = 20) -> list[RunRecord]:
    """Return the newest runs of the sources that the scope may read, newest first."""
    query = _newest_runs(source_id, limit).where(source_permitted(session, scope))
    return [_without_names(RunRecord(*row)) for row in session.execute(query)]


def run(session: Session, run_id: int) -> RunRecord | None:
    """Return the run, or None: for this program itself, not for whoever asks (``visible_run``)."""
    row = session.execute(_run_query().where(RUN.c.id == run_id)).one_or_none()
    return None if row is None else RunRecord(*row)


def visible_run(session: Session, scope: Scope, run_id: int) -> RunRecord | None:
    """Return the run, or None when there is none of that id, or its source may not be read."""
    query = _run_query().where(RUN.c.id == run_id, source_permitted(session, scope))
    row = session.execute(query).one_or_none()
    return None if row is None else _without_names(RunRecord(*row))


def _without_names(run: RunRecord) -> RunRecord:
    """Return the run without names of items, if not all who may read the source may read all of its items."""
    if not run.report.get("gives_lists"):
        return run
    return replace(run, report=run.report | {"failures": [], "notes": [], "slowest": []})


# --- failures -------------------------------------------------------------------------------------------------


def record_failure(
    session: Session,
    source_id: int,
    run_id: int | None,
    failure: Failure,
    version_tag: str | None,
    pipeline: str,
    own_acl_id: int | None = None,
) -> None:
    """Store the failure of one item in place of an older one; *own_acl_id* is the list that the source gave the item.

    Attempts count on while the bytes and the pipeline stay the same, and start at 1 when either is new.
    """
    changelog.lock(session)
    f = FAILURE.c
    row = {
        "source_id": source_id,
        "uri": failure.uri,
        "stage": failure.stage,
        "error": failure.error[:64],
        "reason": failure.reason,
        "remedy": failure.remedy,
        "content_hash": failure.content_hash,
        "version_tag": version_tag,
        "pipeline": pipeline,
        "run_id": run_id,
        "at": utc_now(),
        "own_acl_id": own_acl_id,
    }
    same = (f.source_id == source_id) & (f.uri == failure.uri)
    old = session.execute(select(f.id, f.content_hash, f.pipeline, f.attempts).where(same)).one_or_none()
    if old is None:
        session.execute(insert(FAILURE).values(row | {"attempts": 1}))
        return
    again = (old.content_hash, old.pipeline) == (failure.content_hash, pipeline)
    values = row | {"attempts": old.attempts + 1 if again else 1}
    session.execute(update(FAILURE).where(f.id == old.id).values(values))


def set_failure_list(session: Session, source_id: int, uri: str, own_acl_id: int | None) -> None:
    """Show the failure to whoever may read the source and is on this list; None: to all who may read the source."""
    same = (FAILURE.c.source_id == source_id) & (FAILURE.c.uri == uri)
    session.execute(update(FAILURE).where(same).values(own_acl_id=own_acl_id))


def clear_failure(session: Session, source_id: int, uri: str) -> None:
    """Forget the failure of an item that could be read, or is gone; nothing happens when there was none."""
    session.execute(delete(FAILURE).where(FAILURE.c.source_id == source_id, FAILURE.c.uri == uri))


def retry_failures(session: Session, source_id: int, uri: str | None = None) -> int:
    """Let the next run try failed items again as if for the first time, one or all; return how many there are."""
    wanted = FAILURE.c.source_id == source_id
    wanted = wanted if uri is None else wanted & (FAILURE.c.uri == uri)
    again = update(FAILURE).where(wanted).values(pipeline="", attempts=0)
    return len(session.execute(again.returning(FAILURE.c.id)).all())


def known_failures(session: Session, source_id: int) -> dict[str, KnownFailure]:
    """Return what planning needs of every failed item of the source, by uri."""
    f = FAILURE.c
    columns = (f.uri, f.content_hash, f.version_tag, f.pipeline, f.attempts, f.stage, f.error)
    rows = session.execute(select(*columns).where(f.source_id == source_id).order_by(f.id))
    return {row.uri: KnownFailure(*row) for row in rows}


def failures(session: Session, source_id: int | None = None) -> list[FailureRecord]:
    """Return the items that could not be read, by source and uri: for this program itself (``visible_failures``)."""
    return _failures(session, _failure_query(source_id))


def visible_failures(session: Session, scope: Scope, source_id: int | None = None) -> list[FailureRecord]:
    """Return the items that the scope may read, or might if they could be read, by source and uri.

    One with a list of its own is shown to whoever is on that too, and to nobody while the source's lists are too old.
    """
    f = FAILURE.c
    fresh = among(session, f.own_acl_id, scope.acl_ids) & ~among(session, f.source_id, stale_sources(session))
    shown = source_permitted(session, scope) & (f.own_acl_id.is_(None) | fresh)
    return _failures(session, _failure_query(source_id).where(shown))


def _failure_query(source_id: int | None) -> Any:
    f = FAILURE.c
    columns = (f.uri, f.stage, f.reason, f.remedy, f.error, f.content_hash)
    query = select(f.source_id, SOURCE.c.name, f.attempts, f.run_id, f.at, *columns)
    query = query.join(SOURCE, SOURCE.c.id == f.source_id).order_by(SOURCE.c.name, f.uri)
    return query if source_id is None else query.where(f.source_id == source_id)


def _failures(session: Session, query: Any) -> list[FailureRecord]:
    return [
        FailureRecord(in_source, source, Failure(*failure), attempts, run_id, at)
        for in_source, source, attempts, run_id, at, *failure in session.execute(query)
    ]
