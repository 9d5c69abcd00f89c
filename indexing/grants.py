"""Who may read a source: its access list, which all its documents carry. Functions take a session and never commit.

Lists are interned: the same set of principals is one row, whatever carries it. A list is never changed; a source gets
another one, and its documents with it in the same transaction, so that the next question already goes by it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from indexing import changelog, store
from indexing.tables import Table

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.orm import Session

ACL = Table.metadata.tables["acl"]
ACL_ENTRY = Table.metadata.tables["acl_entry"]
SOURCE = Table.metadata.tables["source"]
DOCUMENT = Table.metadata.tables["document"]


def interned(session: Session, principal_ids: Collection[int]) -> int:
    """Return the id of the access list of exactly these principals; of none: what nobody may read."""
    changelog.lock(session)
    wanted = sorted(set(principal_ids))
    key = hashlib.sha256(",".join(map(str, wanted)).encode()).hexdigest()
    found = session.execute(select(ACL.c.id).where(ACL.c.sha256 == key)).scalar_one_or_none()
    if found is None:
        found = session.execute(insert(ACL).values(sha256=key).returning(ACL.c.id)).scalar_one()
        if wanted:
            entries = [{"acl_id": found, "principal_id": principal_id} for principal_id in wanted]
            session.execute(insert(ACL_ENTRY), entries)
    return int(found)


def on_list(session: Session, acl_id: int) -> frozenset[int]:
    """Return the principals on an access list."""
    query = select(ACL_ENTRY.c.principal_id).where(ACL_ENTRY.c.acl_id == acl_id)
    return frozenset(session.execute(query).scalars())


def set_readers(session: Session, source_id: int, principal_ids: Collection[int]) -> int:
    """Let exactly these principals read the source and return how many documents it concerns.

    A run that goes on meanwhile writes its documents with the new list: it is looked up when they are written.
    """
    acl_id = interned(session, principal_ids)
    session.execute(update(SOURCE).where(SOURCE.c.id == source_id).values(acl_id=acl_id))
    ids = session.execute(select(DOCUMENT.c.id).where(DOCUMENT.c.source_id == source_id)).scalars().all()
    store.set_acl(session, ids, acl_id)
    return len(ids)


def take_off_all(session: Session, principal_id: int) -> int:
    """Take the principal off every list, delete the lists that it was on, and return how many those were."""
    changelog.lock(session)
    on = select(ACL_ENTRY.c.acl_id).where(ACL_ENTRY.c.principal_id == principal_id).order_by(ACL_ENTRY.c.acl_id)
    before = session.execute(on).scalars().all()
    for acl_id in before:
        without = interned(session, on_list(session, acl_id) - {principal_id})
        session.execute(update(SOURCE).where(SOURCE.c.acl_id == acl_id).values(acl_id=without))
        ids = session.execute(select(DOCUMENT.c.id).where(DOCUMENT.c.acl_id == acl_id)).scalars().all()
        store.set_acl(session, ids, without)
        session.execute(delete(ACL).where(ACL.c.id == acl_id))
    return len(before)


def readers(session: Session, source_id: int) -> frozenset[int]:
    """Return the principals that may read the source."""
    acl_id = session.execute(select(SOURCE.c.acl_id).where(SOURCE.c.id == source_id)).scalar_one()
    return on_list(session, acl_id)
