"""What goes wrong by itself, as time passes: access lists that become too old, and schedules that do not succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from indexing import changelog, notices, schedules
from indexing.db import now
from indexing.store_lists import stale_sources
from indexing.tables import Table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

RUN = Table.metadata.tables["run"]
SOURCE = Table.metadata.tables["source"]

#: topic → what it is.
KINDS = {"permissions": "permissions_old", "schedule": "schedule_late"}
#: A schedule is late when it has not succeeded for so many of its intervals.
INTERVALS = 3


def late_sources(session: Session) -> frozenset[int]:
    """Return the sources whose schedules do not succeed: not once in INTERVALS, or not after all retries."""
    r = RUN.c
    succeeded = select(r.source_id, func.max(r.started_at)).where(r.state.in_(notices.WELL)).group_by(r.source_id)
    last = {row[0]: row[1] for row in session.execute(succeeded)}
    made = {row[0]: row[1] for row in session.execute(select(SOURCE.c.id, SOURCE.c.created_at))}
    moment = now(session)
    late = set()
    for schedule in schedules.schedules(session).values():
        if schedule.paused:
            continue
        begun = schedule.set_at or made[schedule.source_id]
        good = max(begun, last.get(schedule.source_id, begun))
        missed = good < schedules.fire_before(schedule.timing, moment, INTERVALS + 1)
        if missed or schedule.failed_in_row > schedules.RETRIES:
            late.add(schedule.source_id)
    return frozenset(late)


def changes(session: Session) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
    """Return what is wrong and to be told of now, and what is over: pairs of source and topic."""
    wrong = {(source_id, "permissions") for source_id in stale_sources(session)}
    wrong |= {(source_id, "schedule") for source_id in late_sources(session)}
    known = notices.problems(session, tuple(KINDS))
    told = {each for each, told_at in known.items() if now(session) - told_at < notices.AGAIN}
    return wrong - told, set(known) - wrong


def note(session: Session) -> None:
    """Write down what ``changes`` finds."""
    changelog.lock(session)
    begun, over = changes(session)
    for source_id, topic in sorted(begun):
        notices.wrong(session, source_id, topic, KINDS[topic])
    for source_id, topic in sorted(over):
        notices.over(session, source_id, topic)
