"""Runs that somebody asked for, and hooks: who outside may ask. Functions take a session and never commit.

What was asked for is a row until its run begins, so that it outlives the process that took it. There is one for each
source: while a run of the source goes on, any number of requests lead to one further run after it; while none goes
on, those of QUIET_S seconds lead to one. A run of this kind that was stopped, or whose process died, is asked for
again, unless the source's last RETRIES runs have all failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from indexing import changelog
from indexing.db import insert_missing, now
from indexing.tables import Table
from indexing.tables_events import HookRow, HookSeenRow, WantedRunRow

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

HOOK = Table.metadata.tables[HookRow.__tablename__]
SEEN = Table.metadata.tables[HookSeenRow.__tablename__]
WANTED = Table.metadata.tables[WantedRunRow.__tablename__]
RUN = Table.metadata.tables["run"]

MANUAL, BY_HOOK = "manual", "hook"
#: What says "it changed" seldom says it once: a run begins so long after the first.
QUIET_S = 5.0
#: A message is good this long before and after its own time; it is remembered for longer than both.
WINDOW_S = 300
_REMEMBERED = timedelta(seconds=3 * WINDOW_S)
RETRIES = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that was asked for. ``asked_at`` is when that was first done."""

    source_id: int
    trigger: str
    asked_at: datetime
    begin_at: datetime


def ask(session: Session, source_id: int, trigger: str) -> bool:
    """Ask for a run of the source, and return whether none was asked for yet. A person's does not wait."""
    changelog.lock(session)  # whoever begins what is due holds it too: a request is either before that, or after
    moment = now(session)
    begin_at = moment + timedelta(seconds=QUIET_S if trigger == BY_HOOK else 0)
    row = {"source_id": source_id, "trigger": trigger, "asked_at": moment, "begin_at": begin_at}
    made = insert_missing(session, WANTED).values(row).returning(WANTED.c.source_id)
    if session.execute(made).one_or_none() is not None:
        return True
    if trigger == MANUAL:
        again = update(WANTED).where(WANTED.c.source_id == source_id)
        session.execute(again.values(trigger=trigger, begin_at=begin_at))
    return False


def ripe(session: Session, moment: datetime) -> list[Wanted]:
    """Return what was asked for and may begin by *moment*, the oldest first."""
    w = WANTED.c
    query = select(w.source_id, w.trigger, w.asked_at, w.begin_at).where(w.begin_at <= moment)
    return [Wanted(*row) for row in session.execute(query.order_by(w.asked_at, w.source_id))]


def take(session: Session, source_id: int) -> None:
    """A run of the source begins: nothing is asked for any more."""
    session.execute(delete(WANTED).where(WANTED.c.source_id == source_id))


def run_ended(session: Session, run_id: int, *, whole: bool) -> None:
    """Ask again for a run that was asked for, and was not *whole*: it was stopped, or its process died."""
    r = RUN.c
    row = session.execute(select(r.source_id, r.trigger, r.due_at).where(r.id == run_id)).one()
    if whole or row.due_at is None or row.trigger not in (MANUAL, BY_HOOK):
        return
    latest = select(r.state).where(r.source_id == row.source_id).order_by(r.id.desc()).limit(RETRIES)
    states = session.execute(latest).scalars().all()
    if len(states) < RETRIES or set(states) != {"failed"}:
        ask(session, row.source_id, row.trigger)


# --- hooks ----------------------------------------------------------------------------------------------------


def set_hook(session: Session, source_id: int, secret: str) -> None:
    """Let those in who sign with the secret of this name, in place of any other."""
    remove_hook(session, source_id)
    session.execute(insert(HOOK).values(source_id=source_id, secret=secret))


def remove_hook(session: Session, source_id: int) -> bool:
    """Return whether the source had a hook; it has none now."""
    gone = delete(HOOK).where(HOOK.c.source_id == source_id).returning(HOOK.c.source_id)
    return session.execute(gone).one_or_none() is not None


def hook_secret(session: Session, source_id: int) -> str | None:
    """Return the name of the secret of the source's hook; None when it has none, or there is no such source."""
    return session.execute(select(HOOK.c.secret).where(HOOK.c.source_id == source_id)).scalar_one_or_none()


def first_time(session: Session, source_id: int, message_id: str) -> bool:
    """Remember the message, and return whether it comes for the first time; what cannot come any more is forgotten."""
    changelog.lock(session)
    moment = now(session)
    session.execute(delete(SEEN).where(SEEN.c.at < moment - _REMEMBERED))
    row = {"source_id": source_id, "message_id": message_id, "at": moment}
    made = insert_missing(session, SEEN).values(row).returning(SEEN.c.source_id)
    return session.execute(made).one_or_none() is not None
