from __future__ import annotations

import numpy as np
import pytest

from indexing import store
from tests.catalogs import MODEL, chunk_ids, chunks_of, new_document, put, sha256, vector


@pytest.fixture
def source(catalog):
    with catalog.transaction() as session:
        return store.add_source(session, "handbook", "folder", "/handbook")


def joined(batches):
    batches = list(batches)
    return [row for b in batches for row in zip(b.chunk_ids.tolist(), b.texts, b.vectors.tolist(), strict=True)]


def test_equal_text_is_embedded_once_whoever_it_belongs_to(catalog, source):
    with catalog.transaction() as session:
        other = store.add_source(session, "support", "push", "")
        put(session, source.id, "a.txt", "Equal.", "Equal.")

        assert store.missing_embeddings(session, [sha256("Equal."), sha256("New.")], MODEL) == {sha256("New.")}
        put(session, other.id, "b.txt", "Equal.")

        assert store.count_index_rows(session, MODEL) == 3
        assert store.sweep_embeddings(session) == 0


def test_an_embedding_belongs_to_one_model(catalog, source):
    with catalog.transaction() as session:
        put(session, source.id, "a.txt", "Text.")

        assert store.missing_embeddings(session, [sha256("Text.")], "another") == {sha256("Text.")}
        assert store.count_index_rows(session, "another") == 0
        assert joined(store.index_rows(session, "another", None)) == []
        store.put_embeddings(session, "another", {sha256("Text."): b"\0\0"})
        assert joined(store.index_rows(session, "another", None)) == [(*chunk_ids(session), "Text.", [0.0])]


def test_an_embedding_that_is_there_stays_as_it_is(catalog, source):
    with catalog.transaction() as session:
        put(session, source.id, "a.txt", "Text.")
        before = joined(store.index_rows(session, MODEL, None))

        store.put_embeddings(session, MODEL, {sha256("Text."): b"\0\0\0\0"})
        store.put_embeddings(session, MODEL, {})

        assert joined(store.index_rows(session, MODEL, None)) == before


def test_embeddings_that_no_chunk_refers_to_are_swept(catalog, source):
    with catalog.transaction() as session:
        gone = put(session, source.id, "a.txt", "Gone.", "Shared.")
        put(session, source.id, "b.txt", "Shared.")
        store.delete_documents(session, [gone])

        assert store.missing_embeddings(session, [sha256("Gone.")], MODEL) == set()  # kept for when it comes back
        assert store.sweep_embeddings(session) == 1
        assert store.sweep_embeddings(session) == 0
        assert store.missing_embeddings(session, [sha256("Gone."), sha256("Shared.")], MODEL) == {sha256("Gone.")}


def test_no_hashes_miss_nothing(catalog):
    with catalog.reading() as session:
        assert store.missing_embeddings(session, [], MODEL) == set()


def test_index_rows_hold_everything_in_order_of_chunk_ids(catalog, source):
    with catalog.transaction() as session:
        texts = [f"Text {n}." for n in range(5)]
        first = put(session, source.id, "a.txt", *texts, title="A")
        chunks = chunks_of(["Sixième."], heading_path=("Leave", "Sick"), language="fr")
        store.put_embeddings(session, MODEL, {chunks[0].text_hash: vector("Sixième.")})
        second = store.replace_document(session, new_document(source.id, "b.txt", ["Sixième."], title="B"), chunks)

        batches = list(store.index_rows(session, MODEL, None, batch=4))

        assert [len(b.chunk_ids) for b in batches] == [4, 2]
        assert joined(batches) == [
            (chunk_id, text, np.frombuffer(vector(text), dtype="<f2").tolist())
            for chunk_id, text in zip(chunk_ids(session), [*texts, "Sixième."], strict=True)
        ]
        last = batches[-1]
        assert last.document_ids.tolist() == [first, second]
        assert last.source_ids.tolist() == [source.id, source.id]
        assert last.acl_ids.tolist() == [source.acl_id, source.acl_id]
        assert (last.languages, last.titles, last.headings, last.uris) == (
            ["en", "fr"],
            ["A", "B"],
            ["", "Leave > Sick"],
            ["a.txt", "b.txt"],
        )
        kinds = [f.dtype for f in (last.chunk_ids, last.document_ids, last.source_ids, last.acl_ids, last.vectors)]
        assert kinds == [np.int64, np.int64, np.int32, np.int32, np.float16]
        assert last.vectors.shape == (2, 2)


def test_index_rows_can_be_kept_to_some_documents(catalog, source):
    with catalog.transaction() as session:
        put(session, source.id, "a.txt", "One.")
        second = put(session, source.id, "b.txt", "Two.", "Three.")

        assert [text for _, text, _ in joined(store.index_rows(session, MODEL, [second]))] == ["Two.", "Three."]
        assert joined(store.index_rows(session, MODEL, [4711])) == []
        assert joined(store.index_rows(session, MODEL, [])) == []


def test_a_chunk_without_embedding_waits_for_it(catalog, source):
    with catalog.transaction() as session:
        store.replace_document(session, new_document(source.id, "a.txt", ["One."]), chunks_of(["One."]))
        assert joined(store.index_rows(session, MODEL, None)) == []

        store.put_embeddings(session, MODEL, {sha256("One."): vector("One.")})
        assert store.count_index_rows(session, MODEL) == 1
