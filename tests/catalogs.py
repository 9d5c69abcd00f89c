"""Short ways to put documents and readers into a catalog, for tests."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import insert, select

from indexing import store
from indexing.documents import Chunk, NewDocument, Scope
from indexing.tables import LOCAL_ACL_ID, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

MODEL = "test-model"
NOTHING = Scope(1, frozenset())


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def vector(text: str) -> bytes:
    """Return two numbers that depend on the text only, as the catalog keeps them."""
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:2], dtype=np.uint8).astype("<f2").tobytes()


def chunks_of(texts: Sequence[str], **fields: Any) -> list[Chunk]:
    """Return one chunk for each text, as if the document were the texts joined by blank lines."""
    chunks, start = [], 0
    for ordinal, text in enumerate(texts):
        values: dict[str, Any] = {
            "ordinal": ordinal,
            "text": text,
            "start": start,
            "end": start + len(text),
            "page": None,
            "heading_path": (),
            "language": "en",
            "token_count": len(text.split()),
            "embed_text": text,
            "text_hash": sha256(text),
        }
        chunks.append(Chunk(**(values | fields)))
        start += len(text) + 2
    return chunks


def new_document(source_id: int, uri: str, texts: Sequence[str], **fields: Any) -> NewDocument:
    text = "\n\n".join(texts)
    values: dict[str, Any] = {
        "source_id": source_id,
        "uri": uri,
        "title": uri,
        "size_bytes": len(text),
        "content_hash": sha256(text),
        "version_tag": "1",
        "language": "en",
        "pipeline": "p1",
        "text": text,
        "acl_id": LOCAL_ACL_ID,
    }
    return NewDocument(**(values | fields))


def put(session: Session, source_id: int, uri: str, *texts: str, **fields: Any) -> int:
    """Return the id of a document of these chunks, with embeddings."""
    chunks = chunks_of(texts)
    store.put_embeddings(session, MODEL, {chunk.text_hash: vector(chunk.text) for chunk in chunks})
    return store.replace_document(session, new_document(source_id, uri, texts, **fields), chunks)


def chunk_ids(session: Session, document_id: int | None = None) -> list[int]:
    """Return the ids of the document's chunks (or all chunks), past every permission: for assertions only."""
    chunk = Table.metadata.tables["chunk"]
    query = select(chunk.c.id).order_by(chunk.c.id)
    return list(
        session.execute(query if document_id is None else query.where(chunk.c.document_id == document_id)).scalars()
    )


def add_principal(session: Session, external_id: str, kind: str = "user", state: str = "active") -> int:
    principal = Table.metadata.tables["principal"]
    row = {"kind": kind, "issuer": "test", "external_id": external_id, "display": external_id, "state": state}
    return int(session.execute(insert(principal).values(row).returning(principal.c.id)).scalar_one())


def add_acl(session: Session, *principal_ids: int) -> int:
    acl, entry = Table.metadata.tables["acl"], Table.metadata.tables["acl_entry"]
    key = sha256(",".join(map(str, sorted(principal_ids))))
    acl_id = int(session.execute(insert(acl).values(sha256=key).returning(acl.c.id)).scalar_one())
    session.execute(insert(entry), [{"acl_id": acl_id, "principal_id": p} for p in principal_ids])
    return acl_id
