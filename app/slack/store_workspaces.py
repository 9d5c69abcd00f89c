"""The workspaces that the bot is installed in. Functions take a session and never commit."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, or_, select, update

from app.slack.records import Workspace
from app.tables_slack import SlackWorkspaceRow
from indexing.db import now
from indexing.tables import Table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

WORKSPACE = Table.metadata.tables[SlackWorkspaceRow.__tablename__]
#: How exactly it is known when something came in last.
HEARD_EVERY_S = 10.0
_FIELDS = tuple(Workspace.__dataclass_fields__)


def connect(session: Session, workspace: Workspace) -> bool:
    """Store the workspace, in place of what was known of it, and return whether it is a new one."""
    values = asdict(workspace) | {"domains": list(workspace.domains)}
    heard_at = values.pop("heard_at")
    changed = update(WORKSPACE).where(WORKSPACE.c.team_id == workspace.team_id).values(values)
    if session.execute(changed.returning(WORKSPACE.c.team_id)).one_or_none() is not None:
        return False
    session.execute(insert(WORKSPACE).values(values | {"heard_at": heard_at, "connected_at": now(session)}))
    return True


def workspaces(session: Session) -> list[Workspace]:
    """Return all connected workspaces."""
    query = select(*(WORKSPACE.c[name] for name in _FIELDS)).order_by(WORKSPACE.c.team_id)
    return [_workspace(row) for row in session.execute(query)]


def workspace(session: Session, team_id: str) -> Workspace | None:
    """Return the workspace; None when it is not connected."""
    query = select(*(WORKSPACE.c[name] for name in _FIELDS)).where(WORKSPACE.c.team_id == team_id)
    row = session.execute(query).one_or_none()
    return None if row is None else _workspace(row)


def _workspace(row: object) -> Workspace:
    values = {name: getattr(row, name) for name in _FIELDS}
    return Workspace(**values | {"domains": tuple(values["domains"])})


def heard(session: Session, team_id: str) -> None:
    """Note that something came from the workspace; a row that says so since HEARD_EVERY_S seconds is left alone."""
    moment = now(session)
    w = WORKSPACE.c
    stale = or_(w.heard_at.is_(None), w.heard_at < moment - timedelta(seconds=HEARD_EVERY_S))
    session.execute(update(WORKSPACE).where(w.team_id == team_id, stale).values(heard_at=moment))


def silent_for_s(session: Session) -> float | None:
    """Return the seconds since something came in last, of the workspace that has said nothing for the longest.

    None when none is connected; one that never said anything counts from when it was connected.
    """
    query = select(WORKSPACE.c.heard_at, WORKSPACE.c.connected_at)
    last = [heard_at or connected_at for heard_at, connected_at in session.execute(query)]
    return max(0.0, (now(session) - min(last)).total_seconds()) if last else None


def disconnect(session: Session, team_id: str) -> bool:
    """Forget the workspace, and return whether it was connected."""
    gone = delete(WORKSPACE).where(WORKSPACE.c.team_id == team_id).returning(WORKSPACE.c.team_id)
    return session.execute(gone).one_or_none() is not None
