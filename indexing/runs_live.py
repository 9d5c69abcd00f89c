"""The row of a run that goes on: where it is, and that somebody asked it to stop. Functions never commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from indexing import changelog
from indexing.db import now
from indexing.errors import RunLost
from indexing.runs import RUN, RUNNING, end_run, is_alive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

CANCELLED = "cancelled"


def tell(session: Session, run_id: int, progress: Mapping[str, Any]) -> bool:
    """Store where the run is, as a sign of life, and return whether it was asked to stop. Raises RunLost."""
    mine = update(RUN).where(RUN.c.id == run_id, RUN.c.state == RUNNING)
    told = mine.values(beat_at=now(session), progress=dict(progress)).returning(RUN.c.id, RUN.c.cancel_asked_at)
    row = session.execute(told).one_or_none()
    if row is None:
        raise RunLost
    return row.cancel_asked_at is not None


def cancel_asked(session: Session, run_id: int) -> bool:
    """Say whether somebody asked the run to stop."""
    return session.scalar(select(RUN.c.cancel_asked_at).where(RUN.c.id == run_id)) is not None


def ask_to_cancel(session: Session, run_id: int) -> bool:
    """Ask the run to stop and return True; False when it has ended. Asking again changes nothing.

    One that gave no sign of life for LEASE_S would not hear it: it is closed at once, and cannot write any more.
    """
    changelog.lock(session)
    moment = now(session)
    row = session.execute(
        select(RUN.c.beat_at, RUN.c.cancel_asked_at).where(RUN.c.id == run_id, RUN.c.state == RUNNING)
    )
    going = row.one_or_none()
    if going is None:
        return False
    asked = {"cancel_asked_at": going.cancel_asked_at or moment}
    session.execute(update(RUN).where(RUN.c.id == run_id).values(asked))
    if not is_alive(going.beat_at, moment):
        values = {"state": CANCELLED, "finished_at": moment, "error": "Its process had died before."}
        end_run(session, run_id, values, whole=False)
    return True
