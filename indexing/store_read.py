"""What may be shown to somebody: every statement that returns text, titles or counts, each under a scope.

A scope without access lists sees nothing: no text, no title, no count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, exists, func, select

from indexing.db import among
from indexing.documents import Counts, DocumentRecord, Passage, SourceRecord
from indexing.principals import counted_groups
from indexing.store_lists import stale_sources
from indexing.tables import Table

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Row, Select
    from sqlalchemy.orm import Session

    from indexing.documents import Scope

PRINCIPAL = Table.metadata.tables["principal"]
ACL_ENTRY = Table.metadata.tables["acl_entry"]
BOUND = Table.metadata.tables["bound_acl"]
SOURCE = Table.metadata.tables["source"]
DOCUMENT = Table.metadata.tables["document"]
CHUNK = Table.metadata.tables["chunk"]

#: The fields of a SourceRecord, in order.
SOURCE_COLUMNS: tuple[Any, ...] = (
    SOURCE.c.id,
    SOURCE.c.name,
    SOURCE.c.kind,
    SOURCE.c.location,
    SOURCE.c.acl_id,
    SOURCE.c.acl_synced_at,
    SOURCE.c.acl_max_age_minutes,
    SOURCE.c.options,
    SOURCE.c.secret,
    SOURCE.c.asks,
)


def _readable_lists() -> Select[Any]:
    counted = counted_groups(bindparam("principal_id"))
    everyone = select(PRINCIPAL.c.id).where(PRINCIPAL.c.kind == "public", PRINCIPAL.c.state == "active")
    entry = ACL_ENTRY.c
    return select(entry.acl_id).where(
        entry.principal_id.in_(select(counted.c.id)) | entry.principal_id.in_(everyone),
        exists(select(counted.c.id)),
    )


_READABLE_LISTS = _readable_lists()  # made once: putting it together takes longer than running it


def readable_acl_ids(session: Session, principal_id: int) -> frozenset[int]:
    """Return the access lists that the principal, a group of its, or everyone is on; none unless it is active.

    A document's list that is bound to its source's is among them when both sides are, and the source's lists are not
    too old: all three locks go by this one place.
    """
    found = frozenset(session.execute(_READABLE_LISTS, {"principal_id": principal_id}).scalars())
    b = BOUND.c
    bound = select(b.acl_id).where(
        among(session, b.within_id, found),
        b.own_id.is_(None) | among(session, b.own_id, found),
        ~among(session, b.source_id, stale_sources(session)),
    )
    return found | frozenset(session.execute(bound).scalars()) if found else found


def _permitted(session: Session, scope: Scope) -> ColumnElement[bool]:
    permitted = among(session, DOCUMENT.c.acl_id, scope.acl_ids)
    if scope.trial is not None and scope.trial.replaced:
        permitted &= ~among(session, DOCUMENT.c.id, scope.trial.replaced)
    return permitted


def _source_name(scope: Scope) -> ColumnElement[str]:
    """Return the column of the source's name; what is tried goes by the name of the source that it is for."""
    if scope.trial is None or scope.trial.twin_id is None:
        return SOURCE.c.name
    return case((SOURCE.c.id == scope.trial.twin_id, scope.trial.source), else_=SOURCE.c.name)


def source_permitted(session: Session, scope: Scope) -> ColumnElement[bool]:
    """Return the condition that the scope may read the statement's source."""
    return among(session, SOURCE.c.acl_id, scope.acl_ids)


def visible_sources(session: Session, scope: Scope) -> list[SourceRecord]:
    """Return the sources whose list the scope holds, by name; a source that may not be read is not there at all."""
    there = source_permitted(session, scope) & SOURCE.c.candidate_of.is_(None)
    query = select(*SOURCE_COLUMNS).where(there).order_by(SOURCE.c.name)
    return [SourceRecord(*row) for row in session.execute(query)]


def passages(
    session: Session, scope: Scope, chunk_ids: Collection[int], source_ids: frozenset[int] | None
) -> dict[int, Passage]:
    """Return the passages of those chunks that are live and permitted now, by chunk id, in one statement.

    This is the only way by which text leaves the catalog towards an answer. *source_ids* None means all sources.
    """
    c, d = CHUNK.c, DOCUMENT.c
    columns = (
        c.id,
        d.id,
        d.source_id,
        _source_name(scope),
        d.uri,
        d.title,
        c.text,
        c.start_char,
        c.end_char,
        c.page,
        c.heading_path,
        c.language,
        d.modified_at,
    )
    query = select(*columns).join(DOCUMENT, d.id == c.document_id).join(SOURCE, SOURCE.c.id == d.source_id)
    query = query.where(among(session, c.id, chunk_ids), _permitted(session, scope))
    if source_ids is not None:
        query = query.where(among(session, d.source_id, source_ids))
    found: dict[int, Passage] = {}
    for row in session.execute(query):
        fields = list(row)
        fields[10] = tuple(fields[10])  # heading path: a list in JSON
        found[row[0]] = Passage(*fields)
    return found


def _record_query(scope: Scope) -> Any:
    d = DOCUMENT.c
    chunks = select(func.count()).where(CHUNK.c.document_id == d.id).scalar_subquery()
    columns = (
        d.id,
        d.source_id,
        _source_name(scope),
        d.uri,
        d.parent_id,
        d.title,
        d.media_type,
        d.size_bytes,
        d.content_hash,
        d.modified_at,
        d.language,
        d.notes,
        d.indexed_at,
        chunks,
    )
    return select(*columns).join(SOURCE, SOURCE.c.id == d.source_id)


def _record(row: Row[Any]) -> DocumentRecord:
    fields = list(row)
    fields[11] = tuple(fields[11])  # notes: a list in JSON
    return DocumentRecord(*fields)


def document_list(
    session: Session, scope: Scope, source_id: int | None = None, after_id: int = 0, limit: int = 100
) -> list[DocumentRecord]:
    """Return the permitted documents with ids above *after_id*, by id; at most *limit*."""
    query = _record_query(scope).where(_permitted(session, scope), DOCUMENT.c.id > after_id)
    if source_id is not None:
        query = query.where(DOCUMENT.c.source_id == source_id)
    return [_record(row) for row in session.execute(query.order_by(DOCUMENT.c.id).limit(limit))]


def document(session: Session, scope: Scope, document_id: int) -> DocumentRecord | None:
    """Return the document, or None when it is not there or not permitted: the two look the same."""
    query = _record_query(scope).where(_permitted(session, scope), DOCUMENT.c.id == document_id)
    row = session.execute(query).one_or_none()
    return None if row is None else _record(row)


def document_text(session: Session, scope: Scope, document_id: int) -> str | None:
    """Return the whole text that citations point into, or None when it is not there or not permitted."""
    query = select(DOCUMENT.c.text).where(_permitted(session, scope), DOCUMENT.c.id == document_id)
    return session.execute(query).scalar_one_or_none()


def access_list_of(session: Session, document_id: int) -> tuple[str, str, int] | None:
    """Return a document's uri, its source's name and its access list: for whoever explains access, not for readers."""
    query = select(DOCUMENT.c.uri, SOURCE.c.name, DOCUMENT.c.acl_id).join(SOURCE, SOURCE.c.id == DOCUMENT.c.source_id)
    row = session.execute(query.where(DOCUMENT.c.id == document_id, SOURCE.c.candidate_of.is_(None))).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def counts(session: Session, scope: Scope, source_id: int | None = None) -> Counts:
    """Return how many documents and chunks are permitted, in one source or in all."""
    permitted = [_permitted(session, scope)]
    if source_id is not None:
        permitted.append(DOCUMENT.c.source_id == source_id)
    documents = session.execute(select(func.count()).select_from(DOCUMENT).where(*permitted)).scalar_one()
    joined = select(func.count()).select_from(CHUNK).join(DOCUMENT, DOCUMENT.c.id == CHUNK.c.document_id)
    return Counts(documents, session.execute(joined.where(*permitted)).scalar_one())
