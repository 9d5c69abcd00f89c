"""What indexes are made from: embeddings by text and model, and the rows that every index holds.

These rows carry text without a scope, because an index holds everything and answers with ids only. They are for
the indexes, never for a face.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Text, cast, delete, exists, func, select

from indexing import changelog
from indexing.db import among, insert_missing
from indexing.documents import IndexBatch
from indexing.tables import Table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Row, Select
    from sqlalchemy.orm import Session

DOCUMENT = Table.metadata.tables["document"]
CHUNK = Table.metadata.tables["chunk"]
EMBEDDING = Table.metadata.tables["embedding"]


def missing_embeddings(session: Session, hashes: Collection[str], model: str) -> set[str]:
    """Return those of *hashes* that have no embedding by *model* yet."""
    e = EMBEDDING.c
    have = session.execute(select(e.text_hash).where(among(session, e.text_hash, set(hashes)), e.model == model))
    return set(hashes) - set(have.scalars())


def put_embeddings(session: Session, model: str, vectors: Mapping[str, bytes]) -> None:
    """Keep a vector (fp16 bytes) for each text hash; what is there already stays as it is."""
    if not vectors:
        return
    changelog.lock(session)
    rows = [{"text_hash": text_hash, "model": model, "vector": vector} for text_hash, vector in sorted(vectors.items())]
    session.execute(insert_missing(session, EMBEDDING), rows)


def sweep_embeddings(session: Session) -> int:
    """Return how many embeddings were removed: those that no chunk refers to any more."""
    changelog.lock(session)
    used = exists().where(CHUNK.c.text_hash == EMBEDDING.c.text_hash)
    orphans = EMBEDDING.c.text_hash.in_(select(EMBEDDING.c.text_hash).where(~used))
    count = session.execute(select(func.count()).select_from(EMBEDDING).where(orphans)).scalar_one()
    session.execute(delete(EMBEDDING).where(orphans))
    return int(count)


def count_index_rows(session: Session, model: str) -> int:
    """Return how many rows ``index_rows`` would give for all documents."""
    joined = select(func.count()).select_from(CHUNK).join(EMBEDDING, EMBEDDING.c.text_hash == CHUNK.c.text_hash)
    return int(session.execute(joined.where(EMBEDDING.c.model == model)).scalar_one())


def index_rows(
    session: Session, model: str, document_ids: Collection[int] | None, batch: int = 2048
) -> Iterator[IndexBatch]:
    """Yield the chunks that have an embedding by *model*, in chunk-id order, at most *batch* at a time.

    *document_ids* None means all documents. With nothing to give there is no batch at all.
    """
    query = _index_query(model).limit(batch)
    if document_ids is not None:
        query = query.where(among(session, CHUNK.c.document_id, document_ids))
    last = 0
    while rows := session.execute(query.where(CHUNK.c.id > last)).all():
        yield _batch(rows)
        last = rows[-1].id  # each batch is a statement of its own: nothing is held open while the index takes it in


def _index_query(model: str) -> Select[Any]:
    c, d = CHUNK.c, DOCUMENT.c
    columns = (
        c.id,
        c.document_id,
        d.source_id,
        d.acl_id,
        c.language,
        c.text,
        d.title,
        cast(c.heading_path, Text),  # few differ: decoded once each, below
        d.uri,
        EMBEDDING.c.vector,
    )
    joined = select(*columns).join(DOCUMENT, d.id == c.document_id)
    joined = joined.join(EMBEDDING, EMBEDDING.c.text_hash == c.text_hash)
    return joined.where(EMBEDDING.c.model == model).order_by(c.id)


def _batch(rows: Sequence[Row[Any]]) -> IndexBatch:
    ids, documents, sources, acls, languages, texts, titles, headings, uris, vectors = zip(*rows, strict=True)
    shown = {path: " > ".join(json.loads(path)) for path in set(headings)}
    return IndexBatch(
        chunk_ids=np.array(ids, dtype=np.int64),
        document_ids=np.array(documents, dtype=np.int64),
        source_ids=np.array(sources, dtype=np.int32),
        acl_ids=np.array(acls, dtype=np.int32),
        languages=list(languages),
        texts=list(texts),
        titles=list(titles),
        headings=[shown[path] for path in headings],
        uris=list(uris),
        vectors=np.frombuffer(b"".join(vectors), dtype="<f2").reshape(len(rows), -1),
    )
