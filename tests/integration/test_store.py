from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from indexing import changelog, store
from indexing.access import authorise
from indexing.documents import Item, KnownDocument, OriginalContent, SourceRecord
from indexing.errors import CatalogError
from indexing.tables import LOCAL_ACL_ID, LOCAL_PRINCIPAL_ID
from tests.catalogs import MODEL, chunk_ids, chunks_of, new_document, put, sha256

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def source(catalog):
    with catalog.transaction() as session:
        return store.add_source(session, "handbook", "folder", "/handbook")


def rows(session, table):
    return session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def record_of(session, document_id):
    record = store.document(session, authorise(session, LOCAL_PRINCIPAL_ID), document_id)
    assert record is not None
    return record


def changed_by(session, work):
    """Return the documents that the change log names after *work*."""
    before = changelog.state(session).seq
    work()
    return changelog.changed_documents(session, before)


# --- sources --------------------------------------------------------------------------------------------------


def test_sources_are_found_by_name_and_listed_in_its_order(catalog):
    with catalog.transaction() as session:
        support = store.add_source(session, "support", "push", "")
        handbook = store.add_source(session, "handbook", "folder", "/handbook")

        assert store.sources(session) == [handbook, support]
        assert store.source_named(session, "support") == support
        assert support == SourceRecord(support.id, "support", "push", "", LOCAL_ACL_ID)
        assert store.source_named(session, "unknown") is None


def test_a_name_that_is_taken_is_refused(catalog, source):
    with pytest.raises(CatalogError, match="Choose another name"), catalog.transaction() as session:
        store.add_source(session, source.name, "push", "")


def test_a_removed_source_takes_everything_with_it_and_leaves_others_alone(catalog, source):
    with catalog.transaction() as session:
        other = store.add_source(session, "support", "push", "")
        gone = put(session, source.id, "a.txt", "A.")
        kept = put(session, other.id, "a.txt", "A.")
        store.put_original(session, source.id, "a.txt", OriginalContent(b"A.", None, sha256("A.")))

        changed = changed_by(session, lambda: store.remove_source(session, source.id))

        assert changed == {gone}
        assert store.sources(session) == [other]
        assert len(chunk_ids(session)) == len(chunk_ids(session, kept)) == 1
        assert rows(session, "original") == 0


# --- replacing ------------------------------------------------------------------------------------------------


def test_a_new_document_is_stored_whole(catalog, source):
    new = new_document(
        source.id,
        "déjà/vu.txt",
        ["Über uns 🙂", "naïve"],
        title="Ein Titel",
        media_type="text/plain",
        modified_at=NOON,
        notes=("1 of 2 pages could not be read",),
    )
    with catalog.transaction() as session:
        document_id = store.replace_document(session, new, chunks_of(["Über uns 🙂", "naïve"]))

    with catalog.reading() as session:
        scope = authorise(session, LOCAL_PRINCIPAL_ID)
        record = record_of(session, document_id)
        assert (record.uri, record.title, record.media_type) == ("déjà/vu.txt", "Ein Titel", "text/plain")
        assert (record.modified_at, record.notes, record.chunks) == (NOON, ("1 of 2 pages could not be read",), 2)
        whole = store.document_text(session, scope, document_id) or ""
        assert whole == "Über uns 🙂\n\nnaïve"
        for passage in store.passages(session, scope, chunk_ids(session), None).values():
            assert whole[passage.start : passage.end] == passage.text


def test_a_document_read_again_keeps_its_id_and_gets_new_chunks(catalog, source):
    with catalog.transaction() as session:
        first = put(session, source.id, "a.txt", "One.", "Two.")
        before = chunk_ids(session, first)

    with catalog.transaction() as session:
        assert put(session, source.id, "a.txt", "One.", "Three.", "Four.") == first
        after = chunk_ids(session, first)

    assert len(after) == 3
    assert min(after) > max(before)  # ids are never given out twice
    with catalog.reading() as session:
        assert store.document_text(session, authorise(session, LOCAL_PRINCIPAL_ID), first) == "One.\n\nThree.\n\nFour."


def test_the_same_uri_in_two_sources_is_two_documents(catalog, source):
    with catalog.transaction() as session:
        other = store.add_source(session, "support", "push", "")

        assert put(session, source.id, "a.txt", "A.") != put(session, other.id, "a.txt", "A.")


def test_a_document_without_chunks_can_be_stored(catalog, source):
    """A mail that is nothing but its attachments."""
    with catalog.transaction() as session:
        document_id = store.replace_document(session, new_document(source.id, "a.eml", [""]), [])

        assert chunk_ids(session, document_id) == []
        assert changelog.changed_documents(session, 0) == {document_id}


def test_ids_are_never_given_out_twice(catalog, source):
    with catalog.transaction() as session:
        first = put(session, source.id, "a.txt", "A.")
        chunk = chunk_ids(session, first)
        store.delete_documents(session, [first])
        removed = store.add_source(session, "support", "push", "")
        store.remove_source(session, removed.id)
    with catalog.transaction() as session:
        second = put(session, source.id, "a.txt", "A.")

        assert second > first
        assert chunk_ids(session, second) > chunk
        assert store.add_source(session, "support", "push", "").id > removed.id


def test_a_moment_without_time_zone_is_refused(catalog, source):
    naive = NOON.replace(tzinfo=None)

    with pytest.raises(Exception, match="naive datetime"), catalog.transaction() as session:
        put(session, source.id, "a.txt", "A.", modified_at=naive)


def test_a_moment_of_another_time_zone_comes_back_in_utc(catalog, source):
    paris = NOON.astimezone(timezone(timedelta(hours=2)))
    with catalog.transaction() as session:
        document_id = put(session, source.id, "a.txt", "A.", modified_at=paris)

        found = record_of(session, document_id).modified_at
        assert (found, found and found.tzinfo) == (NOON, UTC)


def test_writing_five_hundred_chunks_takes_well_under_a_tenth_of_a_second(sqlite_catalog):
    """Processor time: what else the machine does, and its disk, are not the store's."""
    with sqlite_catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", "/handbook")
    texts = [f"Paragraph {n}. " + "Some words that make it longer. " * 20 for n in range(500)]
    chunks, new = chunks_of(texts), new_document(source.id, "a.txt", texts)
    seconds = []
    for _ in range(3):
        with sqlite_catalog.transaction() as session:
            started = time.process_time()
            store.replace_document(session, new, chunks)
            seconds.append(time.process_time() - started)

    assert min(seconds) < 0.1


# --- planning -------------------------------------------------------------------------------------------------


def test_planning_gets_every_document_of_the_source_by_uri(catalog, source):
    with catalog.transaction() as session:
        mail = put(session, source.id, "a.eml", "Mail.", version_tag="v7", pipeline="p2")
        plan = put(session, source.id, "a.eml!/plan.pdf", "Plan.", parent_id=mail)
        other = store.add_source(session, "support", "push", "")
        put(session, other.id, "b.txt", "B.")

        known = store.known_documents(session, source.id)

        assert known["a.eml"] == KnownDocument(mail, "a.eml", "v7", sha256("Mail."), "p2", None, 5, "a.eml")
        assert known["a.eml!/plan.pdf"].parent_id == mail
        assert list(known) == ["a.eml", "a.eml!/plan.pdf"]
        assert store.known_document(session, source.id, "a.eml") == known["a.eml"]
        assert store.known_document(session, other.id, "a.eml") is None
        assert [d.id for d in store.known_attachments(session, mail)] == [plan]


def test_an_empty_source_has_nothing_to_plan(catalog, source):
    with catalog.reading() as session:
        assert store.known_documents(session, source.id) == {}


# --- moving, touching, deleting -------------------------------------------------------------------------------


def test_a_touched_document_gets_its_tag_and_no_change(catalog, source):
    with catalog.transaction() as session:
        document_id = put(session, source.id, "a.txt", "A.")

        assert changed_by(session, lambda: store.touch_document(session, document_id, "v2", NOON)) == set()

        assert store.known_documents(session, source.id)["a.txt"].version_tag == "v2"


def test_a_renamed_document_keeps_its_id_chunks_and_embeddings(catalog, source):
    with catalog.transaction() as session:
        document_id = put(session, source.id, "old.txt", "One.", "Two.")
        before = chunk_ids(session, document_id)

        changed = changed_by(session, lambda: store.move_document(session, document_id, "new.txt", "new", "v2", NOON))

        assert changed == {document_id}  # its title and uri are searched too
        assert chunk_ids(session, document_id) == before
        assert store.count_index_rows(session, MODEL) == 2
        known = store.known_documents(session, source.id)
        assert list(known) == ["new.txt"]
        assert (known["new.txt"].id, known["new.txt"].version_tag) == (document_id, "v2")


def test_attachments_are_renamed_with_their_mail(catalog, source):
    with catalog.transaction() as session:
        mail = put(session, source.id, "a.eml", "Mail.")
        inner = put(session, source.id, "a.eml!/b.eml", "Inner mail.", parent_id=mail)
        deep = put(session, source.id, "a.eml!/b.eml!/a.eml", "Deep.", parent_id=inner)
        bystander = put(session, source.id, "a.eml!", "Not attached.")

        changed = changed_by(session, lambda: store.move_document(session, mail, "x/c.eml", "c", "v2", None))

        assert changed == {mail, inner, deep}
        assert {d.id: uri for uri, d in store.known_documents(session, source.id).items()} == {
            mail: "x/c.eml",
            inner: "x/c.eml!/b.eml",
            deep: "x/c.eml!/b.eml!/a.eml",
            bystander: "a.eml!",
        }


def test_a_deleted_document_is_gone_with_its_chunks(catalog, source):
    with catalog.transaction() as session:
        gone = put(session, source.id, "a.txt", "One.", "Two.")
        kept = put(session, source.id, "b.txt", "One.")

        changed = changed_by(session, lambda: store.delete_documents(session, [gone, gone, 4711]))

        assert changed == {gone}
        assert chunk_ids(session) == chunk_ids(session, kept)
        assert list(store.known_documents(session, source.id)) == ["b.txt"]


def test_attachments_go_with_their_mail_each_with_a_change(catalog, source):
    with catalog.transaction() as session:
        mail = put(session, source.id, "a.eml", "Mail.")
        inner = put(session, source.id, "a.eml!/b.eml", "Inner mail.", parent_id=mail)
        deep = put(session, source.id, "a.eml!/b.eml!/c.pdf", "Deep.", parent_id=inner)
        before = changelog.state(session).seq

        assert store.delete_documents(session, [mail]) == 3

        assert changelog.changed_documents(session, before) == {mail, inner, deep}
        assert changelog.state(session).seq == before + 3
        assert rows(session, "document") == rows(session, "chunk") == 0


def test_deleting_nothing_writes_nothing(catalog, source):
    with catalog.transaction() as session:
        assert store.delete_documents(session, []) == 0
        assert changelog.state(session).seq == 0


def test_lists_of_ids_may_be_longer_than_any_limit_of_parameters(catalog, source):
    number = 250_001  # as SQLite is built by Debian; 32,767 by its authors, 65,536 on PostgreSQL
    with catalog.transaction() as session:
        document_id = put(session, source.id, "a.txt", "A.")
        many = set(range(document_id, document_id + number))
        scope = authorise(session, LOCAL_PRINCIPAL_ID)

        assert len(store.passages(session, scope, many, frozenset(many))) <= 1
        assert store.missing_embeddings(session, {str(n) for n in many}, MODEL) == {str(n) for n in many}
        assert sum(len(b.chunk_ids) for b in store.index_rows(session, MODEL, many)) == 1
        store.set_acl(session, many, LOCAL_ACL_ID)
        assert store.delete_documents(session, many) == 1


# --- originals ------------------------------------------------------------------------------------------------


def test_pushed_bytes_come_back_as_they_were(catalog, source):
    content = bytes(range(256)) * 100
    original = OriginalContent(content, "application/pdf", "h1")
    with catalog.transaction() as session:
        store.put_original(session, source.id, "a.pdf", OriginalContent(b"older", None, "h0"))
        store.put_original(session, source.id, "a.pdf", original)

    with catalog.reading() as session:
        assert store.original_content(session, source.id, "a.pdf") == original
        assert store.original_content(session, source.id, "b.pdf") is None
        (item,) = store.originals(session, source.id)
        assert item == Item("a.pdf", "h1", item.modified_at, len(content))
        assert item.modified_at is not None
        assert item.modified_at.tzinfo is UTC


def test_deleted_originals_are_gone(catalog, source):
    with catalog.transaction() as session:
        store.put_original(session, source.id, "a.pdf", OriginalContent(b"A", None, "h0"))

        assert store.delete_original(session, source.id, "a.pdf")
        assert not store.delete_original(session, source.id, "a.pdf")
        assert store.originals(session, source.id) == []
