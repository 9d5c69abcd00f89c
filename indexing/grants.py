"""Who may read a source: its access list, which bounds those of its documents. Functions take a session, never commit.

Lists are interned: the same set of principals is one row, whatever carries it. A list is never changed; a source gets
another one, and its documents with it in the same transaction, so that the next question already goes by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from indexing import changelog, store
from indexing.store_lists import ACL_ENTRY, interned, list_for, on_list, own_list
from indexing.tables import Table

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

__all__ = ["interned", "on_list", "readers", "set_max_age", "set_readers", "take_off_all"]

SOURCE = Table.metadata.tables["source"]
DOCUMENT = Table.metadata.tables["document"]


def set_readers(session: Session, source_id: int, principal_ids: Collection[int]) -> int:
    """Let exactly these principals read the source and return how many documents it concerns.

    A document with a list of its own keeps that: it is read by whoever is on both. A run that goes on meanwhile
    writes its documents with the new list: it is looked up when they are written.
    """
    acl_id = interned(session, principal_ids)
    session.execute(update(SOURCE).where(SOURCE.c.id == source_id).values(acl_id=acl_id))
    return _carry(session, source_id)


def set_max_age(session: Session, source_id: int, minutes: int) -> int:
    """Hide the source's documents whenever its lists are older than so many minutes; 0 never hides them.

    Returns how many documents it concerns. The age counts from the last complete listing; without one they are hidden.
    """
    changelog.lock(session)
    session.execute(update(SOURCE).where(SOURCE.c.id == source_id).values(acl_max_age_minutes=minutes))
    return _carry(session, source_id)


def _carry(session: Session, source_id: int) -> int:
    """Give each document of the source the list that it should carry now, and return how many documents there are."""
    by_own: dict[int | None, list[int]] = {}
    query = select(DOCUMENT.c.id, own_list()).where(DOCUMENT.c.source_id == source_id)
    for document_id, own_id in session.execute(query):
        by_own.setdefault(own_id, []).append(document_id)
    for own_id, ids in by_own.items():
        store.set_acl(session, ids, list_for(session, source_id, own_id))
    return sum(map(len, by_own.values()))


def take_off_all(session: Session, principal_id: int) -> int:
    """Take the principal off every list that it is on, and return how many those were.

    What carries such a list goes on carrying it: the one change that a list ever sees, for who is erased and will
    never be on one again.
    """
    changelog.lock(session)
    on = delete(ACL_ENTRY).where(ACL_ENTRY.c.principal_id == principal_id).returning(ACL_ENTRY.c.acl_id)
    return len(session.execute(on).all())


def readers(session: Session, source_id: int) -> frozenset[int]:
    """Return the principals that may read the source."""
    acl_id = session.execute(select(SOURCE.c.acl_id).where(SOURCE.c.id == source_id)).scalar_one()
    return on_list(session, acl_id)
