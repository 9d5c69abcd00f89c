"""A small company in a catalog: what the tests of searching put there and take out again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from app.retrieve import Retrieval, retrieve
from indexing import store
from indexing.chunk import chunk_blocks, document_text
from indexing.documents import Block, NewDocument, Scope
from indexing.search import SearchIndex
from indexing.tables import AclRow
from indexing.testing import HashEmbedder

if TYPE_CHECKING:
    from indexing.db import Catalog
    from indexing.settings import IndexingSettings

EVERYTHING = Scope(principal_id=1, acl_ids=frozenset({1}))


@dataclass
class Company:
    """Documents by uri, put and deleted as the pipeline would."""

    catalog: Catalog
    settings: IndexingSettings
    embedder: HashEmbedder = field(default_factory=lambda: HashEmbedder(64))
    source_id: int = 0

    def __post_init__(self) -> None:
        with self.catalog.transaction() as session:
            self.source_id = store.add_source(session, "handbook", "push", "").id

    def index(self) -> SearchIndex:
        return SearchIndex(self.catalog, self.embedder, self.settings)

    def acl(self, name: str) -> int:
        with self.catalog.transaction() as session:
            return session.execute(insert(AclRow).values(sha256=name).returning(AclRow.id)).scalar_one()

    def source(self, name: str) -> int:
        with self.catalog.transaction() as session:
            return store.add_source(session, name, "push", "").id

    def put(self, uri: str, text: str, *, acl_id: int | None = 1, source_id: int | None = None, title: str = "") -> int:
        blocks = [Block(paragraph) for paragraph in text.split("\n\n")]
        chunks = chunk_blocks(blocks, title=title or None, token_spans=self.embedder.token_spans, max_tokens=40)
        vectors = self.embedder.embed_passages([chunk.embed_text for chunk in chunks])
        document = NewDocument(
            source_id=source_id or self.source_id,
            uri=uri,
            title=title,
            size_bytes=len(text),
            content_hash=str(hash(text)),
            version_tag="1",
            language=chunks[0].language,
            pipeline="test",
            text=document_text(blocks),
            acl_id=acl_id,
        )
        with self.catalog.transaction() as session:
            rows = zip(chunks, vectors, strict=True)
            embeddings = {chunk.text_hash: vector.astype("<f2").tobytes() for chunk, vector in rows}
            store.put_embeddings(session, self.embedder.fingerprint, embeddings)
            return store.replace_document(session, document, chunks)

    def delete(self, *document_ids: int) -> None:
        with self.catalog.transaction() as session:
            store.delete_documents(session, document_ids)

    def ask(self, index: Any, question: str, **options: Any) -> Retrieval:
        chosen: dict[str, Any] = {"scope": EVERYTHING, "top_k": 5, **options}
        return retrieve(question, catalog=self.catalog, index=index, embedder=self.embedder, **chosen)


def answers(
    company: Company, index: SearchIndex, questions: list[str], **options: Any
) -> list[list[tuple[int, float]]]:
    """Return what is found for each question, with scores: equal lists mean equal answers."""
    return [
        [(passage.chunk_id, passage.score) for passage in company.ask(index, question, **options).passages]
        for question in questions
    ]
