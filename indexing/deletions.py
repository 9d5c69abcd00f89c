"""Receipts of deletions: when a document left the answers, and when its bytes were gone from this host.

A document leaves the answers in the transaction that deletes it. Its text is overwritten in SQLite's pages then; what
may still hold some of it is the write-ahead log, its embeddings, and generations of the index that are older than the
deletion. ``compaction.compact`` takes those away, and then the receipt says so. A receipt names its document by number
and by a hash of its uri, never by text.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from indexing.db import among, now
from indexing.tables import Table

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

DELETION = Table.metadata.tables["deletion"]

#: What no deletion here reaches, in plain words.
BEYOND = (
    "Backups of the catalog keep a deleted document until they are thrown away.",
    "Answers that quoted it are kept for METIER_ANSWERS_KEPT_DAYS; other hosts clean their own cache of the index.",
    "PostgreSQL keeps deleted rows in its files until it vacuums them, and in its write-ahead log until that goes.",
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of one deletion. ``gone_at`` is None while something of it may be left on this host."""

    id: int
    document_id: int
    source_id: int
    source: str  # its name then
    uri_hash: str  # sha256 of the uri
    left_at: datetime
    gone_at: datetime | None

    @property
    def state(self) -> str:
        """Say in two words how far it is."""
        return "left answers" if self.gone_at is None else "bytes gone"


def wanted(session: Session, document_ids: list[int]) -> list[dict[str, object]]:
    """Return the receipts of documents that are about to be deleted, to be ``kept`` when they are."""
    d, s = Table.metadata.tables["document"].c, Table.metadata.tables["source"].c
    query = select(d.id, d.source_id, s.name, d.uri).join(Table.metadata.tables["source"], s.id == d.source_id)
    moment = now(session)
    return [
        {
            "document_id": row.id,
            "source_id": row.source_id,
            "source": row.name,
            "uri_hash": hashlib.sha256(row.uri.encode()).hexdigest(),
            "left_at": moment,
        }
        for row in session.execute(query.where(among(session, d.id, document_ids)).order_by(d.id))
    ]


def keep(session: Session, receipts: list[dict[str, object]], seq: int) -> None:
    """Store the receipts of deletions that the change log numbers up to *seq*."""
    if receipts:
        session.execute(insert(DELETION), [receipt | {"seq": seq} for receipt in receipts])


def receipts(session: Session, limit: int = 100) -> list[Receipt]:
    """Return the newest receipts, newest first."""
    c = DELETION.c
    columns = (c.id, c.document_id, c.source_id, c.source, c.uri_hash, c.left_at, c.gone_at)
    rows = session.execute(select(*columns).order_by(c.id.desc()).limit(limit))
    return [Receipt(*row) for row in rows]
