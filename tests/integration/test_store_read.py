from __future__ import annotations

import pytest
from sqlalchemy import event, update

from indexing import changelog, store
from indexing.access import authorise
from indexing.documents import Counts, Passage, Scope
from indexing.tables import LOCAL_ACL_ID, LOCAL_PRINCIPAL_ID, Table
from tests.catalogs import NOTHING, add_acl, add_principal, chunk_ids, chunks_of, new_document, put

PRINCIPAL = Table.metadata.tables["principal"]


@pytest.fixture
def handbook(catalog):
    """Return (source id, ids of an open, a secret and an everyone's document)."""
    with catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", "/handbook")
        other = add_principal(session, "alice")
        everyone = add_principal(session, "everyone", kind="public")
        secret_acl, public_acl = add_acl(session, other), add_acl(session, everyone)
        return (
            source.id,
            put(session, source.id, "open.txt", "Open one.", "Open two."),
            put(session, source.id, "secret.txt", "Secret.", acl_id=secret_acl),
            put(session, source.id, "public.txt", "Public.", acl_id=public_acl),
        )


def everything(session, scope, *, source_id=None):
    """Return all that a scope can get out of the catalog."""
    found = store.passages(session, scope, chunk_ids(session), None)
    documents = store.document_list(session, scope, source_id=source_id)
    every_id = range(1, 100)
    return (
        {p.text for p in found.values()},
        {d.uri for d in documents},
        {d.uri for i in every_id if (d := store.document(session, scope, i))},
        {text for i in every_id if (text := store.document_text(session, scope, i))},
        store.counts(session, scope, source_id=source_id),
    )


def test_a_scope_without_access_lists_sees_nothing(catalog, handbook):
    with catalog.reading() as session:
        assert everything(session, NOTHING) == (set(), set(), set(), set(), Counts(0, 0))
        assert everything(session, NOTHING, source_id=handbook[0]) == (set(), set(), set(), set(), Counts(0, 0))


def test_a_scope_sees_what_is_permitted_and_nothing_else(catalog, handbook):
    with catalog.reading() as session:
        local = authorise(session, LOCAL_PRINCIPAL_ID)

        assert everything(session, local) == (
            {"Open one.", "Open two.", "Public."},
            {"open.txt", "public.txt"},
            {"open.txt", "public.txt"},
            {"Open one.\n\nOpen two.", "Public."},
            Counts(2, 3),
        )


def test_the_public_is_on_everybodys_lists_but_not_nobodys(catalog, handbook):
    with catalog.transaction() as session:
        bob = add_principal(session, "bob")

        assert everything(session, authorise(session, bob))[1] == {"public.txt"}
        assert authorise(session, 4711).acl_ids == frozenset()


def test_a_suspended_principal_reads_nothing_and_neither_does_a_suspended_public(catalog, handbook):
    with catalog.transaction() as session:
        session.execute(update(PRINCIPAL).where(PRINCIPAL.c.external_id == "local").values(state="suspended"))
        assert authorise(session, LOCAL_PRINCIPAL_ID).acl_ids == frozenset()

        alice = session.execute(PRINCIPAL.select().where(PRINCIPAL.c.external_id == "alice")).one().id
        session.execute(update(PRINCIPAL).where(PRINCIPAL.c.kind == "public").values(state="suspended"))
        assert everything(session, authorise(session, alice))[1] == {"secret.txt"}


def test_a_revocation_holds_from_the_next_question_on(catalog, handbook):
    _, opened, _, _ = handbook
    with catalog.transaction() as session:
        nobody = add_acl(session, add_principal(session, "carol"))
        before = changelog.state(session).seq

        store.set_acl(session, [opened], nobody)

        assert changelog.changed_documents(session, before) == {opened}
        assert everything(session, authorise(session, LOCAL_PRINCIPAL_ID))[1] == {"public.txt"}


def test_a_passage_carries_all_that_a_citation_needs_in_one_statement(catalog):
    with catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", "/handbook")
        document_id = put(session, source.id, "a.txt", "One.", "Two.", title="A title")
        scope = authorise(session, LOCAL_PRINCIPAL_ID)
        _, second = chunk_ids(session, document_id)
        statements: list[str] = []
        event.listen(catalog.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

        found = store.passages(session, scope, [second, 4711], None)

        assert len(statements) == 1
    assert found == {
        second: Passage(
            chunk_id=second,
            document_id=document_id,
            source_id=source.id,
            source="handbook",
            uri="a.txt",
            title="A title",
            text="Two.",
            start=6,
            end=10,
            page=None,
            heading_path=(),
            language="en",
            modified_at=None,
        )
    }


def test_passages_can_be_kept_to_some_sources_and_no_source_means_no_passage(catalog, handbook):
    with catalog.transaction() as session:
        other = store.add_source(session, "support", "push", "")
        document_id = put(session, other.id, "open.txt", "Support.")
        scope = authorise(session, LOCAL_PRINCIPAL_ID)

        def texts(source_ids):
            return {p.text for p in store.passages(session, scope, chunk_ids(session), source_ids).values()}

        assert texts(frozenset({other.id})) == {"Support."}
        assert texts(frozenset({other.id, handbook[0]})) == {"Support.", "Open one.", "Open two.", "Public."}
        assert texts(frozenset()) == set()
        assert store.counts(session, scope, source_id=other.id) == Counts(1, 1)
        assert [d.id for d in store.document_list(session, scope, source_id=other.id)] == [document_id]


def test_a_deleted_or_replaced_chunk_is_no_passage(catalog, handbook):
    source_id, opened, _, public = handbook
    with catalog.transaction() as session:
        old = chunk_ids(session)
        store.delete_documents(session, [public])
        put(session, source_id, "open.txt", "Open three.")

        assert store.passages(session, authorise(session, LOCAL_PRINCIPAL_ID), old, None) == {}
        assert store.document_text(session, authorise(session, LOCAL_PRINCIPAL_ID), opened) == "Open three."


def test_pages_of_documents_go_through_all_of_them_once(catalog):
    with catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", "/handbook")
        ids = [put(session, source.id, f"{n}.txt", f"Text {n}.") for n in range(7)]
        scope = Scope(LOCAL_PRINCIPAL_ID, frozenset({LOCAL_ACL_ID}))

        seen: list[int] = []
        last = 0
        while page := store.document_list(session, scope, after_id=last, limit=3):
            assert len(page) <= 3
            seen.extend(d.id for d in page)
            last = page[-1].id

        assert seen == ids


def test_a_heading_path_comes_back_as_it_was(catalog):
    with catalog.transaction() as session:
        source = store.add_source(session, "handbook", "folder", "/handbook")
        chunks = chunks_of(["One."], heading_path=("Leave", "Congés payés"), page=3, language="fr")
        store.replace_document(session, new_document(source.id, "a.txt", ["One."]), chunks)

        (passage,) = store.passages(session, authorise(session, 1), chunk_ids(session), None).values()

        assert (passage.heading_path, passage.page, passage.language) == (("Leave", "Congés payés"), 3, "fr")
