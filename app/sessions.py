"""Sessions of people who signed in: a random cookie, of which only the hash is kept. Functions never commit.

A session ends when its owner signs out, after IDLE without a request, and after MOST in any case. Its owner's state and
role are looked up with each request, so who is suspended is out at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from app.tables import OneTimeRow, SessionRow
from indexing.principals import principal_with_id
from indexing.tables import utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from indexing.principals import PrincipalRecord

IDLE = timedelta(hours=12)
MOST = timedelta(days=7)
#: The last request is noted to this precision: a request should not cost a write.
_NOTED = timedelta(minutes=5)
_FIRST_ADMIN = "first-admin"
_FIRST_ADMIN_LASTS = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose session it is. ``stale``: the moment of its last request should be noted (``touch``)."""

    principal: PrincipalRecord
    stale: bool


def begin(session: Session, principal_id: int) -> str:
    """Return the secret of a new session, for its cookie; sessions that ended are swept."""
    now = utc_now()
    session.execute(delete(SessionRow).where((SessionRow.expires_at <= now) | (SessionRow.seen_at <= now - IDLE)))
    secret = secrets.token_urlsafe(32)
    row = SessionRow(secret_sha256=hashed(secret), principal_id=principal_id, seen_at=now, expires_at=now + MOST)
    session.add(row)
    session.flush()
    return secret


def signed_in(session: Session, secret: str) -> SignedIn | None:
    """Return whose session *secret* opens; None when it ended, never was, or its owner is suspended."""
    row = session.scalars(select(SessionRow).where(SessionRow.secret_sha256 == hashed(secret))).one_or_none()
    now = utc_now()
    if row is None or row.expires_at <= now or row.seen_at <= now - IDLE:
        return None
    principal = principal_with_id(session, row.principal_id)
    if principal is None or principal.state != "active":
        return None
    return SignedIn(principal, stale=row.seen_at <= now - _NOTED)


def touch(session: Session, secret: str) -> None:
    """Note that the session is used."""
    session.execute(update(SessionRow).where(SessionRow.secret_sha256 == hashed(secret)).values(seen_at=utc_now()))


def end(session: Session, secret: str) -> None:
    """End the session; nothing happens when it ended before."""
    session.execute(delete(SessionRow).where(SessionRow.secret_sha256 == hashed(secret)))


def csrf_token(secret: str) -> str:
    """Return what a page of ours sends with every change: only who holds the session can know it."""
    return hashlib.sha256(f"csrf:{secret}".encode()).hexdigest()


def hashed(secret: str) -> str:
    """Return what is kept of a secret. It has 256 random bits, so that no slow hash is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


# --- the first admin ------------------------------------------------------------------------------------------


def offer_first_admin(session: Session) -> str:
    """Return a token with which somebody who signed in becomes admin, once, within an hour; older ones end."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(OneTimeRow).where(OneTimeRow.purpose == _FIRST_ADMIN))
    ends = utc_now() + _FIRST_ADMIN_LASTS
    session.add(OneTimeRow(purpose=_FIRST_ADMIN, secret_sha256=hashed(token), expires_at=ends))
    session.flush()
    return token


def take_first_admin(session: Session, token: str) -> bool:
    """Return whether *token* is the one that was offered; then it is used up."""
    row = session.scalars(select(OneTimeRow).where(OneTimeRow.purpose == _FIRST_ADMIN).with_for_update()).one_or_none()
    same = hmac.compare_digest(hashed(token), row.secret_sha256 if row else hashed("nobody"))
    if row is None or not same or row.expires_at <= utc_now():
        return False
    session.delete(row)
    session.flush()
    return True
