"""Access lists as rows: interned sets of principals, and the lists of documents that are bound to their source's.

A document is read by whoever is on its source's list and, if the source gave it a list of its own, on that one too.
The pair is one row (``bound_acl``), so that an index row still carries one number. Such a row counts for nobody while
the lists of its source are older than the source's limit: unknown and too old both mean nobody.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from indexing import changelog
from indexing.tables import Table, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import ScalarSelect
    from sqlalchemy.orm import Session

ACL = Table.metadata.tables["acl"]
ACL_ENTRY = Table.metadata.tables["acl_entry"]
BOUND = Table.metadata.tables["bound_acl"]
SOURCE = Table.metadata.tables["source"]
DOCUMENT = Table.metadata.tables["document"]


def interned(session: Session, principal_ids: Collection[int]) -> int:
    """Return the id of the access list of exactly these principals; of none: what nobody may read."""
    changelog.lock(session)
    wanted = sorted(set(principal_ids))
    found, made = _row_of(session, ",".join(map(str, wanted)))
    if made and wanted:
        entries = [{"acl_id": found, "principal_id": principal_id} for principal_id in wanted]
        session.execute(insert(ACL_ENTRY), entries)
    return found


def _row_of(session: Session, what: str) -> tuple[int, bool]:
    """Return the id of the list that *what* describes, and whether it is new."""
    key = hashlib.sha256(what.encode()).hexdigest()
    found = session.execute(select(ACL.c.id).where(ACL.c.sha256 == key)).scalar_one_or_none()
    if found is not None:
        return int(found), False
    return int(session.execute(insert(ACL).values(sha256=key).returning(ACL.c.id)).scalar_one()), True


def unlisted(session: Session, what: str) -> int:
    """Return the id of the list that *what* describes, which nobody is on and nobody is ever put on."""
    changelog.lock(session)
    return _row_of(session, what)[0]


def on_list(session: Session, acl_id: int) -> frozenset[int]:
    """Return the principals on an access list; of a bound one there are none: see ``sides``."""
    query = select(ACL_ENTRY.c.principal_id).where(ACL_ENTRY.c.acl_id == acl_id)
    return frozenset(session.execute(query).scalars())


def sides(session: Session, acl_id: int) -> tuple[int, int | None]:
    """Return the source's list and the own list (or None) that a document's list stands for."""
    row = session.execute(select(BOUND.c.within_id, BOUND.c.own_id).where(BOUND.c.acl_id == acl_id)).one_or_none()
    return (acl_id, None) if row is None else (row[0], row[1])


def list_for(session: Session, source_id: int, own_id: int | None = None) -> int:
    """Return the list that a document of the source carries now, with a list of its own or without one.

    Looked up under the lock: a run that began before a revocation must not write the list of before.
    """
    changelog.lock(session)
    query = select(SOURCE.c.acl_id, SOURCE.c.acl_max_age_minutes).where(SOURCE.c.id == source_id)
    within_id, max_age = session.execute(query).one()
    if own_id is None and not max_age:
        return int(within_id)
    found, made = _row_of(session, f"source {source_id}, within {within_id}, own {own_id or 0}")
    if made:
        row = {"acl_id": found, "source_id": source_id, "within_id": within_id, "own_id": own_id}
        session.execute(insert(BOUND).values(row))
    return found


def has_own_lists(session: Session, source_id: int) -> bool:
    """Say whether a document of the source has, or had, a list of its own."""
    found = select(BOUND.c.acl_id).where(BOUND.c.source_id == source_id, BOUND.c.own_id.is_not(None)).limit(1)
    return session.execute(found).first() is not None


def own_list() -> ScalarSelect[int | None]:
    """Return the column of the own list of the statement's document."""
    return select(BOUND.c.own_id).where(BOUND.c.acl_id == DOCUMENT.c.acl_id).scalar_subquery()


def note_listing(session: Session, source_id: int, began_at: datetime) -> None:
    """Remember that all lists of the source were as they are now when a complete listing began."""
    session.execute(update(SOURCE).where(SOURCE.c.id == source_id).values(acl_synced_at=began_at))


def is_stale(synced_at: datetime | None, max_age_minutes: int | None) -> bool:
    """Say whether lists of that moment are too old; without a limit (None, 0) never, without a moment always."""
    if not max_age_minutes:
        return False
    return synced_at is None or utc_now() - synced_at > timedelta(minutes=max_age_minutes)


def stale_sources(session: Session) -> frozenset[int]:
    """Return the sources whose documents are hidden, because their lists are older than their limit."""
    s = SOURCE.c
    query = select(s.id, s.acl_synced_at, s.acl_max_age_minutes).where(s.acl_max_age_minutes > 0)
    return frozenset(id_ for id_, synced_at, max_age in session.execute(query) if is_stale(synced_at, max_age))
