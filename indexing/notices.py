"""What is wrong with sources, and what to tell of it. Functions take a session and never commit.

A problem of a source (``problem``) begins, goes on, and is over. It is told when it begins, when it becomes another
one, once a day while it goes on, and when it is over. To tell means a row (``notice``) for each target that wants to
hear of such things, in the transaction of what it tells of; ``app/notifying.py`` sends them.
"""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from indexing.db import now
from indexing.tables import Table
from indexing.tables_events import NoticeRow, ProblemRow, TargetRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

PROBLEM = Table.metadata.tables[ProblemRow.__tablename__]
TARGET = Table.metadata.tables[TargetRow.__tablename__]
NOTICE = Table.metadata.tables[NoticeRow.__tablename__]
RUN = Table.metadata.tables["run"]
SOURCE = Table.metadata.tables["source"]

#: What can be told of.
KINDS = ("run_failed", "run_held", "permissions_old", "schedule_late")
#: How a run ended → what that is. A state that is not here and not below is a failure: nobody promised that it is none.
OF_STATE = {"failed": "run_failed", "held": "run_held"}
WELL = frozenset({"succeeded"})
SAYS_NOTHING = frozenset({"running", "cancelled"})
#: A problem that goes on is told again so often.
AGAIN = timedelta(days=1)
#: Numbers of a run's report that may be told; nothing else of it may, since it names documents.
_COUNTS = ("listed", "added", "changed", "moved", "unchanged", "deleted", "failed", "parked")


def run_ended(session: Session, run_id: int) -> None:
    """Note how the run ended. To be called wherever a run's state changes, after that."""
    r = RUN.c
    row = session.execute(select(r.source_id, r.state, r.report, r.error).where(r.id == run_id)).one()
    if row.state in SAYS_NOTHING:
        return
    if row.state in WELL:
        over(session, row.source_id, "run", run_id=run_id)
        return
    same = re.sub(r"\d+", "", row.error or "")  # counts and seconds make no other problem of it
    mark = hashlib.sha256(f"{row.state} {same}".encode()).hexdigest()
    counts = {name: row.report[name] for name in _COUNTS if isinstance(row.report.get(name), int)}
    kind = OF_STATE.get(row.state, "run_failed")
    wrong(session, row.source_id, "run", kind, mark, run_id=run_id, counts=counts)


def wrong(
    session: Session,
    source_id: int,
    topic: str,
    kind: str,
    mark: str = "",
    *,
    run_id: int | None = None,
    counts: Mapping[str, int] | None = None,
) -> None:
    """Note that something is wrong with the source, and tell of it unless that was done today."""
    moment = now(session)
    p = PROBLEM.c
    here = (p.source_id == source_id) & (p.topic == topic)
    found = session.execute(select(p.kind, p.mark, p.since, p.told_at, p.times).where(here)).one_or_none()
    same = found is not None and (found.kind, found.mark) == (kind, mark)
    times = found.times + 1 if found is not None and same else 1
    if found is not None and same and moment - found.told_at < AGAIN:
        session.execute(update(PROBLEM).where(here).values(times=times))
        return
    since = found.since if found is not None else moment
    values = {"kind": kind, "mark": mark, "since": since, "told_at": moment, "times": 0}
    if found is None:
        session.execute(insert(PROBLEM).values(source_id=source_id, topic=topic, **values))
    else:
        session.execute(update(PROBLEM).where(here).values(values))
    told = {"kind": kind, "phase": "still" if same else "new", "topic": topic, "since": since, "times": times}
    _tell(session, source_id, told | {"run_id": run_id, "counts": dict(counts or {}), "at": moment})


def over(session: Session, source_id: int, topic: str, *, run_id: int | None = None) -> None:
    """Note that nothing is wrong with the source in this respect, and tell of it if something was."""
    p = PROBLEM.c
    gone = delete(PROBLEM).where(p.source_id == source_id, p.topic == topic).returning(p.kind, p.since)
    found = session.execute(gone).one_or_none()
    if found is not None:
        told = {"kind": found.kind, "phase": "over", "topic": topic, "since": found.since, "times": 1}
        _tell(session, source_id, told | {"run_id": run_id, "counts": {}, "at": now(session)})


def _tell(session: Session, source_id: int, told: Mapping[str, Any]) -> None:
    name = session.execute(select(SOURCE.c.name).where(SOURCE.c.id == source_id)).scalar_one()
    rows = [
        {"target_id": target_id, "source_id": source_id, "source": name, **told}
        for target_id, kinds in session.execute(select(TARGET.c.id, TARGET.c.events))
        if told["kind"] in kinds
    ]
    if rows:
        session.execute(insert(NOTICE), rows)


def problems(session: Session, topics: tuple[str, ...]) -> dict[tuple[int, str], datetime]:
    """Return when each problem of these topics was last told of, by source and topic."""
    p = PROBLEM.c
    rows = session.execute(select(p.source_id, p.topic, p.told_at).where(p.topic.in_(topics)))
    return {(source_id, topic): told_at for source_id, topic, told_at in rows}
