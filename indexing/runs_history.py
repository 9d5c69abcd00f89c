"""Earlier runs: what they tell of the next, what surrounds one of them, and which are forgotten. Nothing commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from indexing import runs, schedules
from indexing.db import now
from indexing.explain import Around
from indexing.pace import Pace, pace_of, sample_of
from indexing.runs import RUN, RUNNING

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from indexing.documents import Scope
    from indexing.run_records import RunRecord

#: Newest runs that are looked through for those that read something.
_LOOKED_THROUGH = 50
#: Newest runs of each source that stay, however old they are.
KEPT = 10
#: Runs deleted in one transaction, so that nobody waits long for it.
BATCH = 500


def pace(session: Session, source_id: int, scope: Scope | None = None) -> Pace:
    """Return the pace of the source by earlier runs; with a scope, by those of sources that it may read."""

    def found(of: int | None) -> list[RunRecord]:
        if scope is None:
            return runs.runs(session, of, _LOOKED_THROUGH)
        return runs.visible_runs(session, scope, of, _LOOKED_THROUGH)

    own = found(source_id)
    return pace_of(own, () if any(sample_of(run) for run in own) else found(None))


def around(session: Session, run: RunRecord) -> Around:
    """Return what explains the run besides its own row; whoever may see it may see this."""
    earlier = [r for r in runs.runs(session, run.source_id, _LOOKED_THROUGH) if r.id < run.id and r.finished_at]
    going = [each.id for each in runs.going_on(session, run.source_id) if each.alive and each.id != run.id]
    schedule = schedules.schedules(session).get(run.source_id)
    return Around(
        now=now(session),
        history=tuple(earlier),
        other_run=max(going, default=None),
        paused=schedule is not None and schedule.paused,
        next_at=schedule.next_at if schedule else None,
        failed_in_row=schedule.failed_in_row if schedule else 0,
    )


def forget_runs(session: Session, before: datetime) -> int:
    """Delete at most BATCH of the runs that began before then, and return how many; the last KEPT of a source stay."""
    wanted = _old(before).limit(BATCH)
    return len(session.execute(delete(RUN).where(RUN.c.id.in_(wanted)).returning(RUN.c.id)).all())


def any_old(session: Session, before: datetime) -> bool:
    """Say whether ``forget_runs`` has something to do."""
    return session.execute(_old(before).limit(1)).first() is not None


def _old(before: datetime) -> Any:
    rank = func.row_number().over(partition_by=RUN.c.source_id, order_by=RUN.c.id.desc()).label("rank")
    ranked = select(RUN.c.id, RUN.c.started_at, RUN.c.state, rank).subquery()
    old = (ranked.c.rank > KEPT) & (ranked.c.started_at < before) & (ranked.c.state != RUNNING)
    return select(ranked.c.id).where(old).order_by(ranked.c.id)
