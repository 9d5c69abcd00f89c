"""The sources that hold what people dropped in a direct message: each is one person's, and goes when its time is up.

A source of the catalog like others, so that everything about documents holds for it; on its list is its owner alone.
Its option tells it from a source that somebody added: one whose row is gone, because its owner was erased, is removed
with the expired ones. Functions take a session and never commit.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from app import audit
from app.tables_slack import SlackFilesRow
from indexing import changelog, grants, store
from indexing.db import now
from indexing.tables import Table

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy.orm import Session

    from indexing.documents import SourceRecord

FILES = Table.metadata.tables[SlackFilesRow.__tablename__]

#: No command or route gives a push source an option.
OPTIONS = {"slack": "files"}


@dataclass(frozen=True, slots=True)
class Held:
    """Where a person's files are, until when, and how much there is already."""

    source: SourceRecord
    expires_at: datetime
    files: int
    size_bytes: int


def hold(session: Session, team_id: str, user_id: str, principal_id: int, kept_for: timedelta) -> Held:
    """Return the source for the person's files, made when there is none, and keep it for so long from now on.

    On its list is this principal alone from the beginning. One that has expired, or that was made while the user was
    somebody else, is removed with what is in it.
    """
    changelog.lock(session)
    moment = now(session)
    expires_at = moment + kept_for
    for row in _of(session, team_id, user_id):
        if row.principal_id == principal_id and row.expires_at > moment:
            session.execute(update(FILES).where(FILES.c.source_id == row.source_id).values(expires_at=expires_at))
            (source,) = (each for each in store.sources(session) if each.id == row.source_id)
            originals = store.originals(session, source.id)
            return Held(source, expires_at, len(originals), sum(each.size_bytes or 0 for each in originals))
        _remove(session, row.source_id, None)
    name = f"slack-{user_id}"
    while store.source_named(session, name) is not None:
        name = f"slack-{user_id}-{secrets.token_hex(3)}"
    alone = grants.interned(session, {principal_id})
    source = store.add_source(session, name, "push", "", alone, options=OPTIONS)
    ids = {"source_id": source.id, "team_id": team_id, "user_id": user_id, "principal_id": principal_id}
    session.execute(insert(FILES).values(ids | {"expires_at": expires_at}))
    audit.record(session, principal_id, "source.add", source.id)
    return Held(source, expires_at, 0, 0)


def forget(session: Session, team_id: str, user_id: str, principal_id: int | None) -> int:
    """Remove the person's files and return how many documents that were."""
    changelog.lock(session)
    return sum(_remove(session, row.source_id, principal_id) for row in _of(session, team_id, user_id))


def due(session: Session) -> list[int]:
    """Return the sources whose time is up, and those that are nobody's any more; [] mostly."""
    owned = {row.source_id: row.expires_at for row in session.execute(select(FILES.c.source_id, FILES.c.expires_at))}
    moment = now(session)
    ours = [source.id for source in store.sources(session) if source.options == OPTIONS]
    return [source_id for source_id in ours if source_id not in owned or owned[source_id] <= moment]


def remove_due(session: Session, source_id: int) -> bool:
    """Remove the source if that is still due, and return whether it was: another process may have been faster."""
    changelog.lock(session)
    if source_id not in due(session):
        return False
    _remove(session, source_id, None)
    return True


def _of(session: Session, team_id: str, user_id: str) -> list[SlackFilesRow]:
    mine = select(SlackFilesRow).where(SlackFilesRow.team_id == team_id, SlackFilesRow.user_id == user_id)
    return list(session.scalars(mine.order_by(SlackFilesRow.source_id)))


def _remove(session: Session, source_id: int, by: int | None) -> int:
    """Remove the source as any other is: its row here goes with it."""
    gone = store.remove_source(session, source_id)
    session.expire_all()
    audit.record(session, by, "source.remove", source_id)
    return gone
