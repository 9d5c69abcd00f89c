"""Whatever is in a generation and whatever is in its tail: the hits are those of a plain scan of the catalog."""

from __future__ import annotations

import random
import shutil
import threading

import numpy as np
import pytest

from indexing import store
from indexing.documents import Scope
from indexing.testing import HashEmbedder
from tests.searching import EVERYTHING, Company, answers

WORDS = [
    "congé",
    "prime",
    "badge",
    "vélo",
    "repas",
    "laptop",
    "leave",
    "policy",
    "parking",
    "salaire",
    "usine",
    "frais",
]
QUESTIONS = ["congé prime", "leave policy laptop", "badge", "salaire usine frais vélo", "remote parking repas"]


@pytest.fixture
def company(sqlite_catalog, settings):
    return Company(sqlite_catalog, settings())


def brute_force(company, scope, vector, k):
    """Return the best cosines among permitted rows, straight from the catalog."""
    with company.catalog.reading() as session:
        batches = list(store.index_rows(session, company.embedder.fingerprint, None))
    scored = [
        (-round(float(row.astype(np.float64) @ vector.astype(np.float64)), 6), int(chunk))
        for batch in batches
        for chunk, acl, row in zip(batch.chunk_ids, batch.acl_ids, batch.vectors, strict=True)
        if acl in scope.acl_ids
    ]
    return [chunk for _, chunk in sorted(scored)[:k]]


def change_something(company, rng, acls):
    action = rng.random()
    uri = f"doc-{rng.randrange(25)}.md"
    if action < 0.7:
        text = "\n\n".join(" ".join(rng.choices(WORDS, k=rng.randrange(3, 25))) for _ in range(rng.randrange(1, 3)))
        company.put(uri, text, acl_id=rng.choice(acls), title=rng.choice(["", *WORDS]))
        return
    with company.catalog.transaction() as session:
        known = store.known_documents(session, company.source_id).get(uri)
        if known is None:
            return
        if action < 0.9:
            store.delete_documents(session, [known.id])
        else:
            store.set_acl(session, [known.id], rng.choice(acls))


@pytest.mark.parametrize("seed", range(3))
def test_a_long_tail_a_new_generation_and_a_rebuild_all_find_the_same(company, seed):
    rng = random.Random(seed)
    acls = [1, company.acl("team"), company.acl("board")]
    scopes = [EVERYTHING, Scope(2, frozenset(acls[1:])), Scope(3, frozenset(acls)), Scope(4, frozenset())]
    lived = company.index()
    for step in range(30):
        change_something(company, rng, acls)
        if rng.random() < 0.08:
            lived.publish(force=True)
        if step % 6:
            lived.refresh()
            continue
        rebuilt = company.index()
        shutil.rmtree(company.settings.cache_dir, ignore_errors=True)
        for scope in scopes:
            assert answers(company, lived, QUESTIONS, scope=scope) == answers(company, rebuilt, QUESTIONS, scope=scope)
            vector = company.embedder.embed_questions([QUESTIONS[step % 5]])[0]
            hits = lived.snapshot().search_dense(vector, scope, None, 7)
            assert [hit.chunk_id for hit in hits] == brute_force(company, scope, vector, 7)
        assert len(lived.snapshot()) == len(rebuilt.snapshot())


def test_what_was_stored_a_moment_ago_is_found_by_the_next_question(company):
    index = company.index()
    company.put("a.md", "Le badge ouvre le parking.")
    assert company.ask(index, "badge parking").passages[0].uri == "a.md"
    company.put("b.md", "Le vélo est au garage.")

    assert company.ask(index, "où est le vélo").passages[0].uri == "b.md"


def test_another_process_sees_it_too(company):
    reader = company.index()
    company.put("a.md", "Le badge ouvre le parking.")
    company.index().publish()
    reader.refresh()
    company.put("b.md", "Le vélo est au garage.")

    assert company.ask(reader, "vélo garage").passages[0].uri == "b.md"


def test_a_deleted_document_is_never_found_again(company):
    index = company.index()
    first = company.put("a.md", "Le badge ouvre le parking.")
    company.put("b.md", "Le vélo est au garage.")
    index.publish()
    company.delete(first)

    found = company.ask(index, "badge parking").passages

    assert [passage.uri for passage in found] == ["b.md"]
    assert index.snapshot().search_keywords("badge", "fr", EVERYTHING, None, 5) == []


def test_a_changed_document_is_found_by_its_new_words_only(company):
    index = company.index()
    company.put("a.md", "Le badge ouvre le parking.")
    index.publish()
    company.put("a.md", "Le code ouvre la cantine.")
    company.ask(index, "x")

    snapshot = index.snapshot()

    assert snapshot.search_keywords("badge", "fr", EVERYTHING, None, 5) == []
    assert len(snapshot.search_keywords("cantine", "fr", EVERYTHING, None, 5)) == 1
    assert len(snapshot) == 1


def test_a_revoked_list_hides_a_document_from_the_next_question_on(company):
    board = company.acl("board")
    index = company.index()
    document = company.put("a.md", "Le salaire du directeur.")
    index.publish()
    with company.catalog.transaction() as session:
        store.set_acl(session, [document], board)

    assert company.ask(index, "salaire directeur").passages == ()
    assert company.ask(index, "salaire directeur", scope=Scope(2, frozenset({board}))).passages[0].uri == "a.md"


def test_a_scope_without_lists_finds_nothing(company):
    company.put("a.md", "Le badge ouvre le parking.")
    index = company.index()
    index.publish()
    company.put("b.md", "Le badge ouvre la cantine.")

    assert company.ask(index, "badge", scope=Scope(9, frozenset())).passages == ()


def test_hidden_documents_change_neither_order_nor_scores(company):
    board = company.acl("board")
    for number, text in enumerate(["badge parking usine", "vélo parking", "badge prime repas", "salaire usine"]):
        company.put(f"{number}.md", text)
    index = company.index()
    before = answers(company, index, QUESTIONS)
    for number in range(20):
        company.put(f"secret-{number}.md", f"badge badge congé salaire {number}", acl_id=board)

    assert answers(company, index, QUESTIONS) == before
    index.publish(force=True)
    assert answers(company, index, QUESTIONS) == before


def test_only_the_chosen_sources_are_searched(company):
    other = company.source("intranet")
    company.put("a.md", "Le badge ouvre le parking.")
    company.put("b.md", "Le badge ouvre la cantine.", source_id=other)
    index = company.index()
    index.publish()
    company.put("c.md", "Le badge ouvre la cave.", source_id=other)

    found = company.ask(index, "badge", source_ids=frozenset({other}))

    assert {passage.uri for passage in found.passages} == {"b.md", "c.md"}
    assert company.ask(index, "badge", source_ids=frozenset()).passages == ()


def test_removing_the_cache_while_running_changes_no_answer_and_embeds_nothing(company):
    company.put("a.md", "Le badge ouvre le parking.")
    index = company.index()
    index.publish()
    company.put("b.md", "Le vélo est au garage.")
    expected = answers(company, index, QUESTIONS)
    embedded = len(company.embedder.seen)
    shutil.rmtree(company.settings.cache_dir)

    assert answers(company, index, QUESTIONS) == expected
    company.put("c.md", "Le vélo est au garage.")  # the same text: its embedding is in the catalog
    company.delete(company.put("c.md", "Le vélo est au garage."))
    assert answers(company, index, QUESTIONS) == expected
    assert index.publish()
    assert answers(company, company.index(), QUESTIONS) == expected
    assert set(company.embedder.seen[embedded:]) <= {"Le vélo est au garage."}


def test_publishing_is_due_when_rows_died_or_the_tail_grew(sqlite_catalog, settings):
    company = Company(sqlite_catalog, settings(tail_rows=3))
    documents = [company.put(f"{number}.md", f"badge {number}") for number in range(12)]
    index = company.index()
    assert index.publish()
    assert not index.publish()
    company.put("new.md", "vélo")
    assert not index.publish(), "one row in the tail is not worth a generation"
    company.delete(*documents[:2])
    assert index.publish(), "two rows of twelve are dead"
    for number in range(4):
        company.put(f"more-{number}.md", "repas")
    assert index.publish(), "the tail is longer than the setting"


def test_embeddings_of_a_new_model_make_publishing_due(company):
    company.put("a.md", "Le badge ouvre le parking.")
    index = company.index()
    index.publish()
    company.embedder = HashEmbedder(64, fingerprint="hash-64-v2")
    other = company.index()
    other.refresh()
    assert len(other.snapshot()) == 0
    company.put("b.md", "Le vélo.")
    company.put("a.md", "Le badge ouvre le parking.")

    assert other.publish()
    assert len(other.snapshot()) == 2


def test_an_empty_catalog_is_searched_without_a_generation(company):
    index = company.index()

    assert not index.publish()
    assert company.ask(index, "rien ?").passages == ()
    assert index.snapshot().main_language(EVERYTHING, None) == "und"
    assert not company.settings.cache_dir.exists()


def test_a_snapshot_that_a_question_holds_does_not_change_under_it(company):
    company.put("a.md", "Le badge ouvre le parking.")
    index = company.index()
    index.publish()
    held = index.snapshot()
    before = held.search_keywords("badge", "fr", EVERYTHING, None, 5)
    company.put("b.md", "badge badge badge")
    company.delete(1)
    index.publish(force=True)
    shutil.rmtree(company.settings.cache_dir)

    assert held.search_keywords("badge", "fr", EVERYTHING, None, 5) == before


def test_questions_go_on_while_a_writer_writes_and_generations_are_swapped(company):
    for number in range(10):
        company.put(f"{number}.md", f"badge numéro {number}")
    index = company.index()
    index.publish()
    stop = threading.Event()
    failures: list[object] = []

    def read():
        while not stop.is_set():
            try:
                found = company.ask(index, "badge numéro 3").passages
                if not found or found[0].uri != "3.md":
                    failures.append([passage.uri for passage in found])
            except Exception as exc:  # noqa: BLE001 -- whatever happens in the thread is the result of this test
                failures.append(exc)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(12):
        company.put(f"other-{number}.md", f"vélo {number}")
        if number % 4 == 3:
            index.publish(force=True)
    stop.set()
    for reader in readers:
        reader.join()

    assert failures == []


def test_a_model_that_gives_other_vectors_under_the_same_name_is_noticed(company):
    company.put("a.md", "Le badge ouvre le parking.")
    company.index().publish()

    class Changed(HashEmbedder):
        def embed_questions(self, texts):
            return -super().embed_questions(texts)

    company.embedder = Changed(64)
    index = company.index()
    company.ask(index, "badge")

    home = next(company.settings.cache_dir.iterdir())
    assert any(path.name.startswith("bad-") for path in home.iterdir())
    assert index.snapshot().generation.probes["4.2"] == pytest.approx(Changed(64).embed_questions(["4.2"])[0].tolist())


def test_an_old_row_that_joins_the_tail_after_newer_ones_keeps_its_scores(company):
    board = company.acl("board")
    old = company.put("old.md", "Le badge ouvre le parking.")
    index = company.index()
    index.publish()
    for number in range(3):
        company.put(f"{number}.md", f"badge parking {number}")
        index.refresh()
    with company.catalog.transaction() as session:
        store.set_acl(session, [old], board)
    scope = Scope(1, frozenset({1, board}))

    assert len(company.ask(index, "badge parking", scope=scope).passages) == 4
    chunks = index.snapshot().tail.chunks
    assert chunks.tolist() == sorted(chunks.tolist())
