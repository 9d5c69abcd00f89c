"""The change log: every change of a document, numbered without gaps in commit order and chained by hashes.

The number is taken by updating the one catalog row inside the writing transaction. Its row lock makes commit
order equal to number order, so a reader that polls "after n" can never skip a change that commits late.
A restored backup that went on differently has another hash at the same number, which the indexes notice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update

from indexing.db import among
from indexing.errors import CatalogError
from indexing.tables import Table, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

CATALOG = Table.metadata.tables["catalog"]
CHANGE = Table.metadata.tables["change"]

PUT, DELETE, ACL = "put", "delete", "acl"


@dataclass(frozen=True, slots=True)
class CatalogState:
    """Which catalog this is, and the head of its change log. ``seq`` is 0 before the first change."""

    uuid: str
    seq: int
    log_hash: str


def first_hash(uuid: str) -> str:
    """Return the hash that the chain starts with: what ``log_hash`` is when no change was written yet."""
    return hashlib.sha256(uuid.encode()).hexdigest()


def lock(session: Session) -> None:
    """Hold the catalog row until the transaction ends: one writer of documents at a time.

    SQLite's BEGIN IMMEDIATE has done that already. On PostgreSQL every writer takes this lock before any
    other row, so that two writers cannot wait for each other.
    """
    session.execute(select(CATALOG.c.id).with_for_update())


def state(session: Session) -> CatalogState:
    """Return the catalog's identity and the head of its change log."""
    return CatalogState(*session.execute(select(CATALOG.c.uuid, CATALOG.c.seq, CATALOG.c.log_hash)).one())


def hash_at(session: Session, seq: int) -> str | None:
    """Return the hash of the change numbered *seq* (for 0: the first hash), or None when there is no such change."""
    if seq == 0:
        return first_hash(state(session).uuid)
    return session.execute(select(CHANGE.c.hash).where(CHANGE.c.seq == seq)).scalar_one_or_none()


def append(session: Session, kind: str, document_id: int, content_hash: str) -> int:
    """Write one change and return its number."""
    return append_all(session, kind, [(document_id, content_hash)])


def append_all(session: Session, kind: str, documents: Sequence[tuple[int, str]]) -> int:
    """Write a change of *kind* for each (document id, content hash) and return the last number.

    With no documents nothing is written, and the number is the head's.
    """
    taken = update(CATALOG).values(seq=CATALOG.c.seq + len(documents)).returning(CATALOG.c.seq, CATALOG.c.log_hash)
    last, log_hash = session.execute(taken).one()
    if not documents:
        return int(last)
    now = utc_now()
    rows = []
    for seq, (document_id, content_hash) in enumerate(documents, start=last - len(documents) + 1):
        log_hash = _chained(log_hash, seq, kind, document_id, content_hash, now)
        rows.append(
            {
                "seq": seq,
                "kind": kind,
                "document_id": document_id,
                "content_hash": content_hash,
                "at": now,
                "hash": log_hash,
            }
        )
    session.execute(insert(CHANGE), rows)
    session.execute(update(CATALOG).values(log_hash=log_hash))
    return int(last)


def _chained(previous: str, seq: int, kind: str, document_id: int, content_hash: str, at: datetime) -> str:
    """Return the hash of a change: it covers the hash before it and every field, one a line."""
    fields = (previous, str(seq), kind, str(document_id), content_hash, at.isoformat(timespec="microseconds"))
    return hashlib.sha256("\n".join(fields).encode()).hexdigest()


def changed_documents(session: Session, after_seq: int) -> set[int]:
    """Return the ids of the documents with a change numbered above *after_seq*, deleted ones included."""
    return set(session.execute(select(CHANGE.c.document_id).where(CHANGE.c.seq > after_seq).distinct()).scalars())


def last_changes(session: Session, after_seq: int) -> dict[int, int]:
    """Return the number of the last change of each document that has one above *after_seq*, by document id."""
    query = select(CHANGE.c.document_id, func.max(CHANGE.c.seq)).where(CHANGE.c.seq > after_seq)
    return {row[0]: row[1] for row in session.execute(query.group_by(CHANGE.c.document_id))}


def last_changes_of(session: Session, document_ids: Collection[int]) -> dict[int, int]:
    """Return the number of the last change of each of *document_ids* that has one, by document id."""
    query = select(CHANGE.c.document_id, func.max(CHANGE.c.seq)).where(
        among(session, CHANGE.c.document_id, document_ids)
    )
    return {row[0]: row[1] for row in session.execute(query.group_by(CHANGE.c.document_id))}


def kinds_since(session: Session, document_id: int, after_seq: int) -> set[str]:
    """Return the kinds of the document's changes numbered above *after_seq*: of PUT, DELETE and ACL."""
    query = select(CHANGE.c.kind).where(CHANGE.c.document_id == document_id, CHANGE.c.seq > after_seq)
    return set(session.execute(query.distinct()).scalars())


def verify(session: Session) -> None:
    """Return when the whole log is intact.

    Raises CatalogError that names the first change that is missing, added or altered.
    """
    head = state(session)
    expected, log_hash = 0, first_hash(head.uuid)
    columns = (CHANGE.c.seq, CHANGE.c.kind, CHANGE.c.document_id, CHANGE.c.content_hash, CHANGE.c.at, CHANGE.c.hash)
    query = select(*columns).order_by(CHANGE.c.seq).execution_options(yield_per=5000)
    with session.execute(query) as rows:
        for seq, kind, document_id, content_hash, at, written in rows:
            expected += 1
            if seq != expected:
                raise _broken(expected, "is missing")
            log_hash = _chained(log_hash, seq, kind, document_id, content_hash, at)
            if log_hash != written:
                raise _broken(seq, "was altered")
    if expected < head.seq:
        raise _broken(expected + 1, "is missing")
    if expected > head.seq:
        raise _broken(head.seq + 1, "was added without being counted")
    if log_hash != head.log_hash:
        raise _broken(expected, "does not match the head of the log")


def _broken(seq: int, what: str) -> CatalogError:
    return CatalogError(
        f"Change {seq} of the catalog's log {what}.",
        remedy="Somebody or something else wrote to the database; restore the last backup that verifies.",
    )
