"""When sources are synchronised by themselves. Functions take a session and never commit.

A schedule holds the moment of its next run. Whoever comes first after that moment, among all replicas, starts the run
and moves the moment on, in one transaction: so a moment leads to one run. What was missed happens once. While a run of
the source goes on the moment stays, and the next run follows it. A run that failed is tried again soon, then less soon,
and after RETRIES in a row at its ordinary times only. A clock that is put back repeats no moment.

Runs that were asked for (``indexing/triggers.py``) begin here too. A person's begins whatever the schedule says; one by
a hook waits while the schedule is paused, or while its quiet hours last.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import delete, insert, select, update

from indexing import changelog, runs, store, triggers
from indexing.db import now
from indexing.errors import ScheduleUnusable
from indexing.tables import Table

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from indexing.documents import SourceRecord

SCHEDULE = Table.metadata.tables["schedule"]
SOURCE = Table.metadata.tables["source"]

RETRIES = 5
FIRST_RETRY = timedelta(minutes=1)
#: A moment that a run was due at is not met again when the clock is put back by so much; by more, it was wrong before.
PUT_BACK = timedelta(days=2)
_MOST_JITTER_S = 86_400
_QUIET = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")


@dataclass(frozen=True, slots=True)
class Timing:
    """What somebody wants: cron's five fields in a time zone, spread over some seconds, and hours without a start."""

    cron: str
    timezone: str = "UTC"
    jitter_s: int = 0
    quiet: str = ""  # "08:00-18:00"; it may go past midnight


@dataclass(frozen=True, slots=True)
class Schedule:
    """A stored schedule."""

    source_id: int
    timing: Timing
    paused: bool
    next_at: datetime
    failed_in_row: int
    set_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that was started in the catalog, for the caller to carry out."""

    source: SourceRecord
    run_id: int


def next_run(timing: Timing, after: datetime, source_id: int = 0) -> datetime:
    """Return the first moment after *after* at which a run should begin.

    Times that a clock change skips or repeats are taken as Debian's cron takes them. The same source gets the same
    share of the jitter each time. Raises ScheduleUnusable for fields, a zone or hours that cannot be read, and for a
    schedule that never fires.
    """
    from cronsim import CronSim, CronSimError

    try:
        zone = ZoneInfo(timing.timezone)
    except (KeyError, OSError, ValueError) as exc:
        message = f"There is no time zone called {timing.timezone!r}."
        raise ScheduleUnusable(message, remedy="Use an IANA name, such as Europe/Paris.") from exc
    if timing.quiet and not _QUIET.fullmatch(timing.quiet):
        raise ScheduleUnusable(f"{timing.quiet!r} are no hours.", remedy="Write them as 08:00-18:00.")
    if not 0 <= timing.jitter_s <= _MOST_JITTER_S:
        raise ScheduleUnusable("The jitter is more than a day, or negative.", remedy="Use a few minutes.")
    try:
        fires = CronSim(timing.cron, after.astimezone(zone))
        fire = next(fires)
    except CronSimError as exc:
        raise ScheduleUnusable(f"{timing.cron!r} is not a schedule of cron.") from exc
    except StopIteration as exc:
        raise ScheduleUnusable(f"{timing.cron!r} never comes.") from exc
    digest = hashlib.sha256(str(source_id).encode()).digest()
    share = timedelta(seconds=int.from_bytes(digest[:4]) % (timing.jitter_s + 1))
    return _after_quiet(timing, fire + share)


def fire_before(timing: Timing, moment: datetime, count: int) -> datetime:
    """Return the *count*-th last moment before *moment* that the fields name; quiet hours and jitter do not count."""
    from cronsim import CronSim

    fires = CronSim(timing.cron, moment.astimezone(ZoneInfo(timing.timezone)), reverse=True)
    fire = moment
    for _ in range(count):
        fire = next(fires, fire)  # fields that name one day in many years end at some time
    return fire.astimezone(UTC)


def _after_quiet(timing: Timing, moment: datetime) -> datetime:
    """Return *moment*, or the end of the quiet hours that it lies in, in UTC."""
    local = moment.astimezone(ZoneInfo(timing.timezone))
    if timing.quiet:
        begin, end = (time.fromisoformat(text) for text in timing.quiet.split("-"))
        at = local.time()
        if begin <= at < end if begin <= end else at >= begin or at < end:
            over = local.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0)
            local = over if over > local else over + timedelta(days=1)
    return local.astimezone(UTC)


def set_schedule(session: Session, source_id: int, timing: Timing, *, paused: bool = False) -> Schedule:
    """Give the source this schedule in place of any other, and return it. Raises ScheduleUnusable."""
    changelog.lock(session)
    next_at = next_run(timing, now(session), source_id)
    remove_schedule(session, source_id)
    row = {"cron": timing.cron, "timezone": timing.timezone, "jitter_s": timing.jitter_s, "quiet": timing.quiet}
    values = row | {"source_id": source_id, "paused": paused, "next_at": next_at, "failed_in_row": 0}
    session.execute(insert(SCHEDULE).values(values | {"set_at": now(session)}))
    return Schedule(source_id, timing, paused, next_at, 0)


def remove_schedule(session: Session, source_id: int) -> bool:
    """Return whether the source had a schedule; it has none now."""
    gone = delete(SCHEDULE).where(SCHEDULE.c.source_id == source_id).returning(SCHEDULE.c.source_id)
    return session.execute(gone).one_or_none() is not None


def schedules(session: Session) -> dict[int, Schedule]:
    """Return all schedules by the id of their source."""
    s = SCHEDULE.c
    columns = (s.source_id, s.cron, s.timezone, s.jitter_s, s.quiet, s.paused, s.next_at, s.failed_in_row, s.set_at)
    rows = session.execute(select(*columns).order_by(s.next_at, s.source_id))
    return {r[0]: Schedule(r[0], Timing(*r[1:5]), *r[5:]) for r in rows}


def claim_due(session: Session) -> list[Claim]:
    """Start the runs that are due, in the catalog, and return them for the caller to carry out; [] when none is.

    Runs that gave no sign of life are closed first, so that their sources are tried again.
    """
    changelog.lock(session)
    moment = now(session)
    for going in runs.going_on(session):
        if not going.alive and runs.fail_run(session, going.id):
            settle(session, going.source_id, succeeded=False)
    busy = {going.source_id for going in runs.going_on(session)}
    known = {source.id: source for source in store.sources(session)}
    claims = []
    for schedule in schedules(session).values():
        if schedule.paused or schedule.next_at > moment or schedule.source_id in busy:
            continue
        run_id = runs.start_run(session, schedule.source_id, due_at=schedule.next_at)
        triggers.take(session, schedule.source_id)
        last = runs.covered_until(session, schedule.source_id, moment + PUT_BACK) or moment
        _put_off(session, schedule.source_id, next_run(schedule.timing, max(moment, last), schedule.source_id))
        claims.append(Claim(known[schedule.source_id], run_id))
    for wanted in _wanted(session, moment):
        if wanted.source_id not in busy:
            run_id = runs.start_run(session, wanted.source_id, due_at=wanted.asked_at, trigger=wanted.trigger)
            triggers.take(session, wanted.source_id)
            claims.append(Claim(known[wanted.source_id], run_id))
    return claims


def _wanted(session: Session, moment: datetime) -> list[triggers.Wanted]:
    """Return the runs that were asked for and may begin now, if nothing of their sources goes on."""
    wanted = triggers.ripe(session, moment)
    known = schedules(session) if wanted else {}

    def held_back(each: triggers.Wanted) -> bool:
        schedule = known.get(each.source_id)
        if schedule is None or each.trigger == triggers.MANUAL:
            return False
        return schedule.paused or _after_quiet(schedule.timing, moment) > moment

    return [each for each in wanted if not held_back(each)]


def settle(session: Session, source_id: int, *, succeeded: bool, asks: str | None = None) -> None:
    """Note how a run of the source ended: one that failed is tried again before its next ordinary time.

    *asks* is why it deleted nothing and asks for a confirmation: the source is marked until a run succeeds, and tried
    again at its ordinary times only, to see whether the listing is whole again.
    """
    if succeeded or asks is not None:
        session.execute(update(SOURCE).where(SOURCE.c.id == source_id).values(asks=asks))
    found = schedules(session).get(source_id)
    if found is None:
        return
    failed = 0 if succeeded else found.failed_in_row + 1
    session.execute(update(SCHEDULE).where(SCHEDULE.c.source_id == source_id).values(failed_in_row=failed))
    if 0 < failed <= RETRIES and asks is None:
        again = _after_quiet(found.timing, now(session) + FIRST_RETRY * 2 ** (failed - 1))
        _put_off(session, source_id, min(found.next_at, again))


def _put_off(session: Session, source_id: int, next_at: datetime) -> None:
    session.execute(update(SCHEDULE).where(SCHEDULE.c.source_id == source_id).values(next_at=next_at))


def anything_due(session: Session) -> bool:
    """Tell whether ``claim_due`` has something to do; it changes nothing."""
    due = select(SCHEDULE.c.source_id).where(SCHEDULE.c.paused.is_(False), SCHEDULE.c.next_at <= now(session))
    if session.execute(due.limit(1)).first() is not None:
        return True
    going_on = runs.going_on(session)
    busy = {going.source_id for going in going_on}
    if any(wanted.source_id not in busy for wanted in _wanted(session, now(session))):
        return True
    return any(not going.alive for going in going_on)
