"""Sources, documents and originals: every statement that writes them, and what synchronisation reads.

Functions take a session and never commit: a transaction of the caller is all or nothing. Whatever may be shown
to somebody is in ``store_read`` and whatever indexes are made from is in ``store_index``; both are offered here
under the same name, so that callers know one module.

Every function that writes documents takes the change log's lock first (see ``changelog.lock``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from indexing import changelog, deletions
from indexing.db import among
from indexing.documents import Item, KnownDocument, OriginalContent, SourceRecord
from indexing.errors import CatalogError
from indexing.store_index import (
    count_index_rows,
    index_rows,
    missing_embeddings,
    put_embeddings,
    sweep_embeddings,
)
from indexing.store_lists import list_for, own_list
from indexing.store_read import (
    SOURCE_COLUMNS,
    access_list_of,
    counts,
    document,
    document_list,
    document_text,
    passages,
    readable_acl_ids,
    visible_sources,
)
from indexing.tables import LOCAL_ACL_ID, Table, utc_now

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from indexing.documents import Chunk, NewDocument

__all__ = [
    "access_list_of",
    "add_source",
    "count_index_rows",
    "counts",
    "delete_documents",
    "delete_original",
    "document",
    "document_list",
    "document_text",
    "index_rows",
    "known_attachments",
    "known_document",
    "known_documents",
    "known_documents_with",
    "leave_checkpoint",
    "left_checkpoint",
    "missing_embeddings",
    "move_document",
    "original_content",
    "originals",
    "passages",
    "put_embeddings",
    "put_original",
    "readable_acl_ids",
    "remove_source",
    "replace_document",
    "set_acl",
    "set_original_readers",
    "set_own_list",
    "source_named",
    "sources",
    "stored_versions",
    "sweep_embeddings",
    "touch_document",
    "visible_sources",
]

SOURCE = Table.metadata.tables["source"]
DOCUMENT = Table.metadata.tables["document"]
CHUNK = Table.metadata.tables["chunk"]
ORIGINAL = Table.metadata.tables["original"]

_AT_A_TIME = 10_000
_KNOWN_COLUMNS = (
    DOCUMENT.c.id,
    DOCUMENT.c.uri,
    DOCUMENT.c.version_tag,
    DOCUMENT.c.content_hash,
    DOCUMENT.c.pipeline,
    DOCUMENT.c.parent_id,
    DOCUMENT.c.size_bytes,
    DOCUMENT.c.title,
    own_list().label("own_acl_id"),
)


# --- sources --------------------------------------------------------------------------------------------------


def add_source(
    session: Session,
    name: str,
    kind: str,
    location: str,
    acl_id: int = LOCAL_ACL_ID,
    *,
    options: Mapping[str, str] | None = None,
    secret: str | None = None,
) -> SourceRecord:
    """Return the new source. Raises CatalogError when the name is taken."""
    changelog.lock(session)
    if source_named(session, name) is not None:
        raise CatalogError(f"There is a source named {name!r} already.", remedy="Choose another name.")
    row = {"name": name, "kind": kind, "location": location, "acl_id": acl_id, "created_at": utc_now()}
    row |= {"options": dict(options or {}), "secret": secret}
    source_id = session.execute(insert(SOURCE).values(row).returning(SOURCE.c.id)).scalar_one()
    return SourceRecord(source_id, name, kind, location, acl_id, options=dict(options or {}), secret=secret)


def sources(session: Session) -> list[SourceRecord]:
    """Return all sources by name."""
    query = select(*SOURCE_COLUMNS).where(SOURCE.c.candidate_of.is_(None)).order_by(SOURCE.c.name)
    return [SourceRecord(*row) for row in session.execute(query)]


def source_named(session: Session, name: str) -> SourceRecord | None:
    """Return the source, or None when there is none of that name."""
    named = (SOURCE.c.name == name) & SOURCE.c.candidate_of.is_(None)
    row = session.execute(select(*SOURCE_COLUMNS).where(named)).one_or_none()
    return None if row is None else SourceRecord(*row)


def left_checkpoint(session: Session, source_id: int) -> str | None:
    """Return how far the source's last listing came that did not come to its end; None: it did, or nobody knows."""
    return session.execute(select(SOURCE.c.checkpoint).where(SOURCE.c.id == source_id)).scalar_one_or_none()


def leave_checkpoint(session: Session, source_id: int, checkpoint: str | None) -> None:
    """Keep how far the listing came; None when it came to its end."""
    session.execute(update(SOURCE).where(SOURCE.c.id == source_id).values(checkpoint=checkpoint))


def remove_source(session: Session, source_id: int) -> int:
    """Return how many documents went with the source; its originals, runs, failures and candidate go too."""
    changelog.lock(session)
    waiting = select(DOCUMENT.c.id).join(SOURCE, SOURCE.c.id == DOCUMENT.c.source_id)
    delete_documents(session, session.execute(waiting.where(SOURCE.c.candidate_of == source_id)).scalars().all())
    ids = session.execute(select(DOCUMENT.c.id).where(DOCUMENT.c.source_id == source_id)).scalars().all()
    gone = delete_documents(session, ids)
    session.execute(delete(SOURCE).where(SOURCE.c.id == source_id))
    return gone


# --- documents ------------------------------------------------------------------------------------------------


def known_documents(session: Session, source_id: int) -> dict[str, KnownDocument]:
    """Return what planning needs of every document of the source, by uri."""
    query = select(*_KNOWN_COLUMNS).where(DOCUMENT.c.source_id == source_id).order_by(DOCUMENT.c.id)
    return {row.uri: KnownDocument(*row) for row in session.execute(query)}


class StoredVersion(NamedTuple):
    """What tells whether a listed item is stored as it is."""

    id: int
    uri: str
    version_tag: str
    pipeline: str
    own_acl_id: int | None


def stored_versions(session: Session, source_id: int) -> Iterator[StoredVersion]:
    """Yield every document of the source, attachments left out, a few at a time."""
    c = DOCUMENT.c
    columns = (c.id, c.uri, c.version_tag, c.pipeline, own_list().label("own_acl_id"))
    query = select(*columns).where(c.source_id == source_id, c.parent_id.is_(None))
    for row in session.execute(query.execution_options(yield_per=_AT_A_TIME)):
        yield StoredVersion(*row)


def known_documents_with(session: Session, ids: Sequence[int]) -> dict[str, KnownDocument]:
    """Return what planning needs of these documents and everything attached to them, by uri."""
    found: dict[str, KnownDocument] = {}
    for begin in range(0, len(ids), _AT_A_TIME):
        some = set(ids[begin : begin + _AT_A_TIME])
        within = among(session, DOCUMENT.c.id, some | set(_descendants(session, some)))
        rows = session.execute(select(*_KNOWN_COLUMNS).where(within).order_by(DOCUMENT.c.id))
        found.update((row.uri, KnownDocument(*row)) for row in rows)
    return found


def known_document(session: Session, source_id: int, uri: str) -> KnownDocument | None:
    """Return what planning needs of one document as it is now, or None when there is none at *uri*."""
    same = (DOCUMENT.c.source_id == source_id) & (DOCUMENT.c.uri == uri)
    row = session.execute(select(*_KNOWN_COLUMNS).where(same)).one_or_none()
    return None if row is None else KnownDocument(*row)


def known_attachments(session: Session, document_id: int) -> list[KnownDocument]:
    """Return what planning needs of everything attached to a document, and attached to that."""
    within = among(session, DOCUMENT.c.id, _descendants(session, [document_id]))
    return [KnownDocument(*row) for row in session.execute(select(*_KNOWN_COLUMNS).where(within))]


def replace_document(session: Session, new: NewDocument, chunks: Sequence[Chunk]) -> int:
    """Return the document's id after its row and chunks are *new* and *chunks*.

    A document of the same source and uri keeps its id; its chunks get new ones. Attachments of an older
    version stay until ``delete_documents``: the caller knows which are still there.
    """
    changelog.lock(session)
    values = _row(session, new)
    same = (DOCUMENT.c.source_id == new.source_id) & (DOCUMENT.c.uri == new.uri)
    document_id = session.execute(select(DOCUMENT.c.id).where(same)).scalar_one_or_none()
    if document_id is None:
        document_id = session.execute(insert(DOCUMENT).values(values).returning(DOCUMENT.c.id)).scalar_one()
    else:
        session.execute(update(DOCUMENT).where(DOCUMENT.c.id == document_id).values(values))
        session.execute(delete(CHUNK).where(CHUNK.c.document_id == document_id))
    if chunks:
        session.execute(insert(CHUNK), [_chunk_row(document_id, chunk) for chunk in chunks])
    changelog.append(session, changelog.PUT, document_id, new.content_hash)
    return int(document_id)


def _row(session: Session, new: NewDocument) -> dict[str, Any]:
    """Return the document as its table's row, which has no id yet."""
    return {
        "source_id": new.source_id,
        "uri": new.uri,
        "parent_id": new.parent_id,
        "title": new.title,
        "media_type": new.media_type,
        "size_bytes": new.size_bytes,
        "content_hash": new.content_hash,
        "version_tag": new.version_tag,
        "modified_at": new.modified_at,
        "language": new.language,
        "pipeline": new.pipeline,
        "notes": list(new.notes),
        "acl_id": list_for(session, new.source_id, new.own_acl_id) if new.acl_id is None else new.acl_id,
        "indexed_at": utc_now(),
        "text": new.text,
    }


def _chunk_row(document_id: int, chunk: Chunk) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "ordinal": chunk.ordinal,
        "text": chunk.text,
        "start_char": chunk.start,
        "end_char": chunk.end,
        "page": chunk.page,
        "heading_path": list(chunk.heading_path),
        "language": chunk.language,
        "token_count": chunk.token_count,
        "text_hash": chunk.text_hash,
    }


def touch_document(session: Session, document_id: int, version_tag: str, modified_at: datetime | None) -> None:
    """Note that the bytes are still the same under a new version tag: nothing to index, so no change is written."""
    changelog.lock(session)
    values = {"version_tag": version_tag, "modified_at": modified_at}
    session.execute(update(DOCUMENT).where(DOCUMENT.c.id == document_id).values(values))


def move_document(
    session: Session, document_id: int, new_uri: str, title: str, version_tag: str, modified_at: datetime | None
) -> None:
    """Rename a document: id, chunks and embeddings stay, and its attachments follow (``new-uri!/name``)."""
    changelog.lock(session)
    c = DOCUMENT.c
    old_uri, content_hash = session.execute(select(c.uri, c.content_hash).where(c.id == document_id)).one()
    values = {"uri": new_uri, "title": title, "version_tag": version_tag, "modified_at": modified_at}
    session.execute(update(DOCUMENT).where(c.id == document_id).values(values))
    changes = [(document_id, content_hash)]
    within = _descendants(session, [document_id])
    for child_id, uri, child_hash in session.execute(
        select(c.id, c.uri, c.content_hash).where(among(session, c.id, within))
    ):
        if uri.startswith(f"{old_uri}!/"):
            moved = new_uri + uri.removeprefix(old_uri)
            session.execute(update(DOCUMENT).where(c.id == child_id).values(uri=moved))
            changes.append((child_id, child_hash))
    changelog.append_all(session, changelog.PUT, changes)


def delete_documents(session: Session, ids: Collection[int]) -> int:
    """Return how many documents are gone: these and all their attachments, with chunks; unknown ids are passed over."""
    changelog.lock(session)
    wanted = among(session, DOCUMENT.c.id, ids)
    found = set(session.execute(select(DOCUMENT.c.id).where(wanted)).scalars())
    gone = sorted(found | set(_descendants(session, found)))
    if gone:
        receipts = deletions.wanted(session, gone)
        session.execute(delete(DOCUMENT).where(among(session, DOCUMENT.c.id, gone)))  # chunks go by cascade
        last = changelog.append_all(session, changelog.DELETE, [(document_id, "") for document_id in gone])
        deletions.keep(session, receipts, last)
    return len(gone)


def _descendants(session: Session, ids: Collection[int]) -> list[int]:
    """Return the ids of everything attached to *ids*, and attached to that."""
    found: list[int] = []
    parents: Collection[int] = ids
    while parents:
        children = select(DOCUMENT.c.id).where(among(session, DOCUMENT.c.parent_id, parents))
        parents = session.execute(children).scalars().all()
        found.extend(parents)
    return found


def set_own_list(session: Session, source_id: int, document_ids: Collection[int], own_id: int | None) -> int:
    """Give documents of the source, and what is attached to them, this list of their own, or none.

    Returns how many documents got another list by it.
    """
    family = [*document_ids, *_descendants(session, document_ids)]
    return set_acl(session, family, list_for(session, source_id, own_id))


def set_acl(session: Session, document_ids: Collection[int], acl_id: int) -> int:
    """Give the documents another access list; it holds from the next question on. Returns how many had another."""
    changelog.lock(session)
    c = DOCUMENT.c
    wanted = among(session, c.id, document_ids)
    rows = session.execute(select(c.id, c.content_hash).where(wanted, c.acl_id != acl_id).order_by(c.id)).all()
    if rows:
        session.execute(update(DOCUMENT).where(among(session, c.id, [row.id for row in rows])).values(acl_id=acl_id))
        changelog.append_all(session, changelog.ACL, [(row.id, row.content_hash) for row in rows])
    return len(rows)


# --- originals ------------------------------------------------------------------------------------------------


def set_original_readers(session: Session, source_id: int, uri: str, readers: Sequence[str] | None) -> None:
    """Remember who may read the pushed document, by name: None for whoever is on the source's list."""
    matching = (ORIGINAL.c.source_id == source_id) & (ORIGINAL.c.uri == uri)
    names = None if readers is None else list(readers)
    session.execute(update(ORIGINAL).where(matching).values(readers=names))


def put_original(session: Session, source_id: int, uri: str, original: OriginalContent) -> None:
    """Keep the bytes of a pushed document, instead of older ones of the same uri."""
    changelog.lock(session)
    delete_original(session, source_id, uri)
    row: Mapping[str, Any] = {
        "source_id": source_id,
        "uri": uri,
        "media_type": original.media_type,
        "content_hash": original.content_hash,
        "size_bytes": len(original.content),
        "pushed_at": utc_now(),
        "content": original.content,
    }
    session.execute(insert(ORIGINAL).values(row))


def originals(session: Session, source_id: int) -> list[Item]:
    """Return the pushed documents of the source as items, by uri; their version tag is the content hash."""
    c = ORIGINAL.c
    columns = (c.uri, c.content_hash, c.pushed_at, c.size_bytes, c.readers)
    rows = session.execute(select(*columns).where(c.source_id == source_id).order_by(c.uri))
    return [Item(*row[:-1], readers=None if row.readers is None else tuple(row.readers)) for row in rows]


def original_content(session: Session, source_id: int, uri: str) -> OriginalContent | None:
    """Return the bytes that were pushed under *uri*, or None."""
    c = ORIGINAL.c
    columns = (c.content, c.media_type, c.content_hash)
    row = session.execute(select(*columns).where(c.source_id == source_id, c.uri == uri)).one_or_none()
    return None if row is None else OriginalContent(*row)


def delete_original(session: Session, source_id: int, uri: str) -> bool:
    """Return whether there were pushed bytes under *uri*; there are none now."""
    matching = (ORIGINAL.c.source_id == source_id) & (ORIGINAL.c.uri == uri)
    there = session.execute(select(func.count()).select_from(ORIGINAL).where(matching)).scalar_one() > 0
    session.execute(delete(ORIGINAL).where(matching))
    return there
