from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import text

from indexing import changelog, store
from indexing.errors import CatalogError
from tests.catalogs import put

WRITERS = 8
TRANSACTIONS = 12


@pytest.fixture
def source(catalog):
    with catalog.transaction() as session:
        return store.add_source(session, "handbook", "folder", "/handbook")


def write(session, *document_ids, kind=changelog.PUT):
    return changelog.append_all(session, kind, [(i, f"{i:064x}") for i in document_ids])


# --- the sequence ---------------------------------------------------------------------------------------------


def test_changes_are_numbered_from_one_without_gaps(catalog):
    with catalog.transaction() as session:
        assert changelog.append(session, changelog.PUT, 7, "a") == 1
        assert write(session, 8, 9) == 3
        assert write(session) == 3  # nothing to write: nothing is written

    with catalog.reading() as session:
        assert changelog.state(session).seq == 3
        assert changelog.changed_documents(session, 0) == {7, 8, 9}
        assert changelog.changed_documents(session, 1) == {8, 9}
        assert changelog.changed_documents(session, 3) == set()


def test_a_transaction_that_is_rolled_back_takes_no_number(catalog):
    with pytest.raises(RuntimeError), catalog.transaction() as session:  # noqa: PT012 -- rolls back after the write
        write(session, 1, 2, 3)
        raise RuntimeError

    with catalog.transaction() as session:
        assert write(session, 4) == 1
        changelog.verify(session)


def test_a_polling_reader_skips_nothing_that_concurrent_writers_commit(catalog):
    """Writers commit late, in any order, and every third rolls back; the reader asks "after the last I saw"."""
    committed: set[int] = set()
    done = threading.Event()

    def writer(number):
        rng = random.Random(number)
        for turn in range(TRANSACTIONS):
            document_id = number * 1000 + turn
            commits = rng.random() < 2 / 3
            with suppress(ZeroDivisionError), catalog.transaction() as session:
                write(session, document_id)
                time.sleep(rng.random() * 0.004)
                _ = 1 / commits  # no commit: an error rolls back
            if commits:
                committed.add(document_id)

    def reader():
        seen: list[int] = []
        last = 0
        while True:
            finished = done.is_set()
            with catalog.reading() as session:
                new = changelog.changed_documents(session, last)
                last = changelog.state(session).seq
            seen.extend(new)
            if finished:
                return seen, last

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        seen_by = pool.submit(reader)
        writers = [pool.submit(writer, number) for number in range(WRITERS)]
        for each in writers:
            each.result()
        done.set()
        seen, last = seen_by.result()

    assert 0 < len(committed) < WRITERS * TRANSACTIONS
    assert len(seen) == len(set(seen))
    assert set(seen) == committed
    assert last == len(committed)
    with catalog.reading() as session:
        changelog.verify(session)


def test_writers_that_touch_the_same_documents_in_other_orders_do_not_wait_for_each_other_for_ever(catalog, source):
    def writer(number):
        for turn in range(6):
            with catalog.transaction() as session:
                for name in random.Random(number * 100 + turn).sample("abcd", 4):
                    put(session, source.id, name, f"{name} {turn % 2}")

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(writer, number) for number in range(4)]:
            each.result()

    with catalog.reading() as session:
        assert changelog.state(session).seq == 4 * 6 * 4
        changelog.verify(session)


# --- the chain ------------------------------------------------------------------------------------------------


def test_the_hash_at_a_position_is_that_of_the_head_when_it_was_there(catalog):
    heads = []
    for document_id in (1, 2, 3):
        with catalog.transaction() as session:
            heads.append(changelog.state(session))
            write(session, document_id)

    with catalog.reading() as session:
        heads.append(changelog.state(session))
        assert [changelog.hash_at(session, h.seq) for h in heads] == [h.log_hash for h in heads]
        assert len({h.log_hash for h in heads}) == 4
        assert changelog.hash_at(session, 4) is None


def test_a_backup_that_went_on_differently_has_another_hash_at_the_same_position(catalog):
    """Of two futures of one catalog, each change written at the same time: only what changed differs."""
    hashes = []
    for document_id in (1, 2):
        with pytest.raises(RuntimeError), catalog.transaction() as session:  # noqa: PT012 -- back to the backup
            write(session, document_id)
            hashes.append(changelog.state(session).log_hash)
            raise RuntimeError

    assert hashes[0] != hashes[1]


TAMPERING = [
    ("UPDATE change SET document_id = 99 WHERE seq = 3", "Change 3 .* was altered"),
    ("UPDATE change SET kind = 'delete' WHERE seq = 3", "Change 3 .* was altered"),
    ("UPDATE change SET content_hash = 'x' WHERE seq = 3", "Change 3 .* was altered"),
    ("UPDATE change SET at = '2020-01-01 00:00:00.000000' WHERE seq = 3", "Change 3 .* was altered"),
    ("UPDATE change SET hash = 'x' WHERE seq = 3", "Change 3 .* was altered"),
    ("DELETE FROM change WHERE seq = 3", "Change 3 .* is missing"),
    ("DELETE FROM change WHERE seq = 1", "Change 1 .* is missing"),
    ("DELETE FROM change WHERE seq = 5", "Change 5 .* is missing"),
    ("DELETE FROM change", "Change 1 .* is missing"),
    ("UPDATE catalog SET seq = 4", "Change 5 .* was added"),
    ("UPDATE catalog SET log_hash = 'x'", "Change 5 .* does not match the head"),
    ("UPDATE catalog SET uuid = 'x'", "Change 1 .* was altered"),
]


class Undone(Exception):
    """Raised at the end of a transaction that must leave nothing."""


def test_tampering_is_found_and_the_first_bad_change_named(catalog, subtests):
    with catalog.transaction() as session:
        write(session, 1, 2, 3, 4, 5)
        changelog.verify(session)

    for tampering, said in TAMPERING:
        with subtests.test(tampering), suppress(Undone), catalog.transaction() as session:
            session.execute(text(tampering))
            with pytest.raises(CatalogError, match=said):
                changelog.verify(session)
            raise Undone


def test_an_empty_log_is_intact(catalog):
    with catalog.reading() as session:
        changelog.verify(session)

        assert changelog.changed_documents(session, 0) == set()


# --- what is logged -------------------------------------------------------------------------------------------


def test_every_change_of_a_document_is_logged_and_nothing_else_is(catalog, source):
    def logged(session):
        return [tuple(row) for row in session.execute(text("SELECT kind, document_id FROM change ORDER BY seq"))]

    with catalog.transaction() as session:
        kept = put(session, source.id, "a.txt", "A.")
        gone = put(session, source.id, "b.txt", "B.")
        put(session, source.id, "a.txt", "A, again.")
        store.touch_document(session, kept, "2", None)
        store.set_acl(session, [kept], 1)  # the one that it has
        store.move_document(session, kept, "c.txt", "c", "2", None)
        store.delete_documents(session, [gone, 12345])
        store.sweep_embeddings(session)

        assert logged(session) == [
            ("put", kept),
            ("put", gone),
            ("put", kept),
            ("put", kept),
            ("delete", gone),
        ]
