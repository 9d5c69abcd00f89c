"""Links by which a Slack user becomes a principal: random, short-lived, used once, kept as a hash. Nothing commits."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from app.sessions import hashed
from app.tables_slack import SlackLinkRow
from indexing.tables import utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

GOOD_FOR = timedelta(minutes=10)


def offer(session: Session, team_id: str, user_id: str) -> str:
    """Return the token of a new link of the user; older ones of the same user are good no longer."""
    now, row = utc_now(), SlackLinkRow
    mine = (row.team_id == team_id) & (row.user_id == user_id)
    session.execute(delete(row).where(mine | (row.expires_at <= now)))
    token = secrets.token_urlsafe(32)
    values = {"team_id": team_id, "user_id": user_id, "expires_at": now + GOOD_FOR}
    session.execute(insert(row).values(values | {"secret_sha256": hashed(token)}))
    return token


def offered(session: Session, token: str) -> tuple[str, str] | None:
    """Return the workspace and the user that the token is of; None when it is not good, or no longer."""
    row = SlackLinkRow
    query = select(row.team_id, row.user_id).where(row.secret_sha256 == hashed(token), row.expires_at > utc_now())
    found = session.execute(query).one_or_none()
    return None if found is None else (found.team_id, found.user_id)


def take(session: Session, token: str) -> tuple[str, str] | None:
    """Return what ``offered`` does, and use the token up: of two who take it at once one gets it."""
    row = SlackLinkRow
    taken = delete(row).where(row.secret_sha256 == hashed(token), row.expires_at > utc_now())
    found = session.execute(taken.returning(row.team_id, row.user_id)).one_or_none()
    return None if found is None else (found.team_id, found.user_id)
