"""What is told once, however many servers look: each thing has a key, and who takes it tells it.

Keys begin with what they are of (``weekly:``, ``files:``), so that each kind forgets its own. Functions take a session
and never commit.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from app.tables_slack import SlackToldRow
from indexing.db import among, insert_missing, now
from indexing.tables import Table

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.orm import Session

TOLD = Table.metadata.tables[SlackToldRow.__tablename__]
_KEY_CHARS = 128


def take(session: Session, what: str) -> bool:
    """Return whether *what* was not told before: the caller, and nobody else, tells it."""
    taken = insert_missing(session, TOLD).values(what=_key(what), at=now(session)).returning(TOLD.c.what)
    return session.execute(taken).one_or_none() is not None


def give_back(session: Session, what: str) -> None:
    """Let *what* be told again: it could not be told."""
    session.execute(delete(TOLD).where(TOLD.c.what == _key(what)))


def was_told(session: Session, what: str) -> bool:
    """Return whether somebody has taken it."""
    return session.get(SlackToldRow, _key(what)) is not None


def untold(session: Session, whats: Collection[str]) -> set[str]:
    """Return those that nobody has taken."""
    told = select(TOLD.c.what).where(among(session, TOLD.c.what, [_key(each) for each in whats]))
    taken = set(session.scalars(told))
    return {each for each in whats if _key(each) not in taken}


def forget(session: Session, begins: str, before: datetime) -> int:
    """Forget what was told before then, of the keys that begin so, and return how much that was."""
    old = TOLD.c.what.startswith(begins, autoescape=True) & (TOLD.c.at < before)
    return len(session.execute(delete(TOLD).where(old).returning(TOLD.c.what)).all())


def _key(what: str) -> str:
    if len(what) <= _KEY_CHARS:
        return what
    return f"{what.partition(':')[0]}:{sha256(what.encode()).hexdigest()}"
