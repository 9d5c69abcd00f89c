"""Candidates: what a run of a guarded source has read, beside what is served, until it is published or thrown away.

A candidate is made of ordinary documents, chunks and changes, so that it is embedded, indexed and found like any
other; but of a hidden source, the *twin*, whose list nobody is on, ever. No reading of sources by name or in a list
gives the twin. Where the new version of a document would be without it, a *tombstone* stands in the twin: a document
without text. What is published keeps the chunks and embeddings that the candidate has.

Functions take a session and never commit. Publishing is one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select, update

from indexing import changelog, store
from indexing.db import among
from indexing.documents import NewDocument
from indexing.store_lists import BOUND, list_for, own_list, unlisted
from indexing.tables import Table, utc_now
from indexing.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy.orm import Session

    from indexing.documents import KnownDocument

SOURCE = Table.metadata.tables["source"]
DOCUMENT = Table.metadata.tables["document"]
CHUNK = Table.metadata.tables["chunk"]

#: The pipeline of a tombstone; those of documents are fingerprints.
_GONE = "gone"
#: What a document that is replaced takes over; id, uri, parent and access list stay.
_TAKEN_OVER = (
    "title",
    "media_type",
    "size_bytes",
    "content_hash",
    "version_tag",
    "modified_at",
    "language",
    "pipeline",
    "notes",
    "text",
)


def twin_of(session: Session, source_id: int) -> int | None:
    """Return the id of the source's twin, or None when it never had a candidate."""
    return session.execute(select(SOURCE.c.id).where(SOURCE.c.candidate_of == source_id)).scalar_one_or_none()


def discard(session: Session, source_id: int) -> int:
    """Throw the source's candidate away, if there is one; return how many documents it had."""
    changelog.lock(session)
    twin_id = twin_of(session, source_id)
    return 0 if twin_id is None else store.delete_documents(session, _ids(session, twin_id))


def begin(session: Session, source_id: int) -> int:
    """Return the id of the source's twin, which is empty: made now, unless it had one."""
    discard(session, source_id)
    twin_id = twin_of(session, source_id)
    if twin_id is not None:
        return twin_id
    row = {
        "name": f"\x1f{source_id}",  # no name that a source can be given
        "kind": "candidate",
        "location": "",
        "acl_id": unlisted(session, f"candidate of source {source_id}"),
        "created_at": utc_now(),
        "options": {},
        "candidate_of": source_id,
    }
    return int(session.execute(insert(SOURCE).values(row).returning(SOURCE.c.id)).scalar_one())


def bury(session: Session, twin_id: int, documents: Collection[KnownDocument]) -> int:
    """Say in the candidate that these documents, and all that is attached to them, would be gone; return how many."""
    family = {each.id: each for each in documents}
    for each in documents:
        family |= {attached.id: attached for attached in store.known_attachments(session, each.id)}
    for each in family.values():
        stone = NewDocument(twin_id, each.uri, each.title, 0, "", each.version_tag, "und", _GONE, "")
        store.replace_document(session, stone, [])
    return len(family)


def trial(session: Session, source_id: int) -> Trial | None:
    """Return the source as its candidate would have it; None when there is no candidate, or an empty one."""
    twin_id = twin_of(session, source_id)
    if twin_id is None or not (rows := _rows(session, source_id, twin_id)):
        return None
    replaced = frozenset(row.served_id for row in rows if row.served_id is not None)
    return Trial(source_id, _name(session, source_id), twin_id, replaced)


def served(session: Session, source_id: int) -> Trial:
    """Return the source as it is served, for a trial with equal rights."""
    return Trial(source_id, _name(session, source_id))


def _name(session: Session, source_id: int) -> str:
    return str(session.execute(select(SOURCE.c.name).where(SOURCE.c.id == source_id)).scalar_one())


def lists(session: Session, tried: Trial) -> frozenset[int]:
    """Return all access lists of the source, and of its candidate, whoever is on them."""
    ids = [tried.source_id] if tried.twin_id is None else [tried.source_id, tried.twin_id]
    own = session.execute(select(SOURCE.c.acl_id).where(among(session, SOURCE.c.id, ids))).scalars()
    bound = session.execute(select(BOUND.c.acl_id).where(among(session, BOUND.c.source_id, ids))).scalars()
    return frozenset(own) | frozenset(bound)


def publish(session: Session, source_id: int) -> int:
    """Serve the source's candidate in place of what it replaces, and return how many documents changed by it.

    A document that is replaced keeps its id. Each gets the list that the source has now, with the candidate's own.
    """
    changelog.lock(session)
    twin_id = twin_of(session, source_id)
    rows = [] if twin_id is None else _rows(session, source_id, twin_id)
    stones = [row for row in rows if row.pipeline == _GONE]
    replaced = {row.id: row.served_id for row in rows if row.pipeline != _GONE and row.served_id is not None}
    added = [row.id for row in rows if row.pipeline != _GONE and row.served_id is None]
    hashes = {row.id: row.content_hash for row in rows}

    store.delete_documents(session, [row.served_id for row in stones if row.served_id is not None])
    store.delete_documents(session, [row.id for row in stones])
    if replaced:
        own = {replaced[id_]: own_id for id_, own_id in _own_lists(session, list(replaced)).items()}
        _replace(session, replaced)
        _give_lists(session, source_id, own)
        changelog.append_all(session, changelog.DELETE, [(id_, "") for id_ in replaced])
        changelog.append_all(session, changelog.PUT, [(to, hashes[id_]) for id_, to in replaced.items()])
    if added:
        _add(session, source_id, added)
        changelog.append_all(session, changelog.PUT, [(id_, hashes[id_]) for id_ in added])
    return len(rows)


def _replace(session: Session, replaced: Mapping[int, int]) -> None:
    """Give the served documents (values) columns and chunks of the candidate's (keys), which are gone then."""
    served_ids = list(replaced.values())
    pairs = [{"candidate": candidate, "serves": serves} for candidate, serves in replaced.items()]
    connection = session.connection()
    connection.execute(delete(CHUNK).where(among(session, CHUNK.c.document_id, served_ids)))
    moved = update(CHUNK).where(CHUNK.c.document_id == bindparam("candidate"))
    connection.execute(moved.values(document_id=bindparam("serves")), pairs)
    below = update(DOCUMENT).where(DOCUMENT.c.parent_id == bindparam("candidate"))
    connection.execute(below.values(parent_id=bindparam("serves")), pairs)
    other = DOCUMENT.alias("other")
    taken = {
        name: select(other.c[name]).where(other.c.id == bindparam("candidate")).scalar_subquery()
        for name in _TAKEN_OVER
    }
    over = update(DOCUMENT).where(DOCUMENT.c.id == bindparam("serves")).values(indexed_at=utc_now(), **taken)
    connection.execute(over, pairs)
    connection.execute(delete(DOCUMENT).where(among(session, DOCUMENT.c.id, list(replaced))))


def _add(session: Session, source_id: int, added: Sequence[int]) -> None:
    """Make the candidate's documents documents of the source, each under the list that it should have now."""
    own = _own_lists(session, added)
    values = {"source_id": source_id, "indexed_at": utc_now()}
    session.execute(update(DOCUMENT).where(among(session, DOCUMENT.c.id, added)).values(values))
    _give_lists(session, source_id, own)


def _own_lists(session: Session, document_ids: Sequence[int]) -> dict[int, int | None]:
    query = select(DOCUMENT.c.id, own_list()).where(among(session, DOCUMENT.c.id, document_ids))
    return {row[0]: row[1] for row in session.execute(query)}


def _give_lists(session: Session, source_id: int, own: Mapping[int, int | None]) -> None:
    """Give the documents (keys) the list that the source has now, each with its own (values)."""
    for own_id in set(own.values()):
        ids = [document_id for document_id, its in own.items() if its == own_id]
        values = {"acl_id": list_for(session, source_id, own_id)}
        session.execute(update(DOCUMENT).where(among(session, DOCUMENT.c.id, ids)).values(values))


def _ids(session: Session, twin_id: int) -> list[int]:
    return list(session.execute(select(DOCUMENT.c.id).where(DOCUMENT.c.source_id == twin_id)).scalars())


def _rows(session: Session, source_id: int, twin_id: int) -> list[Any]:
    """Return each document of the candidate, with the id of the served one that it is for, if there is one."""
    now = DOCUMENT.alias("now")
    c = DOCUMENT.c
    there = (now.c.source_id == source_id) & (now.c.uri == c.uri)
    query = select(c.id, c.pipeline, c.content_hash, now.c.id.label("served_id"))
    query = query.select_from(DOCUMENT.outerjoin(now, there)).where(c.source_id == twin_id).order_by(c.id)
    return list(session.execute(query))
