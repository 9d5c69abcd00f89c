"""What a run decides to do, from the listing and what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexing.compare import (
    MAX_ATTEMPTS,
    Pipeline,
    compare,
    is_settled,
    moves,
    pipeline_of,
    refuse_shrunk,
    rename_candidates,
)
from indexing.documents import Failure, Item, KnownDocument, KnownFailure, Listing, RawDocument
from indexing.errors import SourceShrunk
from indexing.testing import HashEmbedder

PIPELINE = Pipeline("documents", "failures", 200)


def known(uri, *, tag="v1", content="c", pipeline="documents", parent=None, number=1, size=1):
    return KnownDocument(number, uri, tag, content, pipeline, parent, size, uri)


def failed(uri, *, tag="v1", pipeline="failures", attempts=1, stage="parse", error="ParseError"):
    return KnownFailure(uri, "c", tag, pipeline, attempts, stage, error)


def work_of(items, documents=(), failed_before=(), **listing):
    listed = Listing(tuple(Item(uri, tag) for uri, tag in items.items()), **listing)
    return compare(listed, {d.uri: d for d in documents}, {f.uri: f for f in failed_before}, PIPELINE)


def reasons(work):
    return {task.item.uri: task.reason for task in work.tasks}


def test_new_changed_stale_unchanged_and_gone_are_told_apart():
    work = work_of(
        {"new": "v1", "changed": "v2", "stale": "v1", "same": "v1"},
        [known("changed"), known("stale", pipeline="older"), known("same"), known("gone")],
    )

    assert reasons(work) == {"new": "new", "changed": "changed", "stale": "stale"}
    assert (work.unchanged, [document.uri for document in work.gone]) == (1, ["gone"])


def test_an_incomplete_listing_makes_nothing_gone():
    work = work_of({}, [known("a")], [failed("b")], complete=False)

    assert (work.gone, work.forgotten) == ((), ())


def test_attachments_are_never_gone_by_themselves():
    work = work_of({"mail.eml": "v1"}, [known("mail.eml"), known("mail.eml!/a.pdf", parent=1)])

    assert (work.unchanged, work.gone) == (1, ())


def test_failures_of_gone_items_and_their_attachments_are_forgotten_and_others_kept():
    work = work_of(
        {"mail.eml": "v1"},
        [known("mail.eml")],
        [failed("gone"), failed("gone.eml!/a"), failed("mail.eml!/a"), failed("locked/", stage="list")],
        failures=(Failure("locked/", "list", "", ""),),
    )

    assert set(work.forgotten) == {"gone", "gone.eml!/a"}


@pytest.mark.parametrize(
    ("failure", "settled"),
    [
        (failed("a", error="EmptyDocument"), True),
        (failed("a", error="EncryptedDocument"), True),
        (failed("a", error="UnsupportedFormat"), True),
        (failed("a", error="ParserMissing"), True),
        (failed("a", error="EmptyDocument", pipeline="another"), False),
        (failed("a", error="ParseLimit", attempts=MAX_ATTEMPTS - 1), False),
        (failed("a", error="ParseLimit", attempts=MAX_ATTEMPTS), True),
        (failed("a", error="RuntimeError", stage="embed", attempts=MAX_ATTEMPTS), True),
        (failed("a", error="ItemUnreadable", stage="fetch", attempts=99), False),
    ],
)
def test_a_failure_is_parked_when_trying_again_cannot_help(failure, settled):
    assert is_settled(failure, PIPELINE) is settled
    assert reasons(work_of({"a": "v1"}, [], [failure])) == ({} if settled else {"a": "retried"})
    assert reasons(work_of({"a": "v2"}, [], [failure])) == {"a": "retried"}


def test_only_items_of_equal_size_are_hashed_to_find_renames_and_each_gone_document_is_used_once():
    listing = Listing((Item("b", "t", size_bytes=5), Item("c", "t", size_bytes=5), Item("d", "t", size_bytes=6)))
    work = compare(listing, {"a": known("a", content="hash", size=5)}, {}, PIPELINE)
    candidates = rename_candidates(work)
    assert [task.item.uri for task in candidates] == ["b", "c"]

    raws = [(task, RawDocument(task.item.uri, Path(), "hash", 5)) for task in candidates]
    assert [(document.uri, raw.uri) for document, raw in moves(work, raws, PIPELINE)] == [("a", "b")]


def test_a_document_of_an_older_pipeline_is_read_again_and_not_moved():
    listing = Listing((Item("b", "t", size_bytes=5),))
    work = compare(listing, {"a": known("a", content="hash", size=5, pipeline="older")}, {}, PIPELINE)

    assert moves(work, [(work.tasks[0], RawDocument("b", Path(), "hash", 5))], PIPELINE) == []


@pytest.mark.parametrize(("gone", "total", "refused"), [(5, 10, False), (6, 10, True), (9, 9, False), (10, 10, True)])
def test_losing_more_than_the_limit_is_refused_above_a_small_number(gone, total, refused):
    if refused:
        with pytest.raises(SourceShrunk, match=f"{gone} of {total}"):
            refuse_shrunk(gone, total, 0.5, 1)
    else:
        refuse_shrunk(gone, total, 0.5, 1)


@pytest.mark.parametrize("total", [1, 9, 100])
def test_an_empty_listing_of_a_source_that_had_documents_always_asks(total):
    with pytest.raises(SourceShrunk):
        refuse_shrunk(total, total, 1.0, 0)
    refuse_shrunk(0, 0, 1.0, 0)


def test_what_changes_chunks_changes_the_pipeline_and_limits_change_only_that_of_failures(settings):
    plain = pipeline_of(HashEmbedder(), settings())

    assert pipeline_of(HashEmbedder(), settings(chunk_tokens=100)).documents != plain.documents
    assert pipeline_of(HashEmbedder(fingerprint="other"), settings()).documents != plain.documents
    patient = pipeline_of(HashEmbedder(), settings(parse_timeout_s=999))
    assert patient.documents == plain.documents
    assert patient.failures != plain.failures
    assert len(plain.documents) <= 64


def test_chunks_are_never_longer_than_the_model_reads(settings):
    assert pipeline_of(HashEmbedder(max_tokens=64), settings(chunk_tokens=200)).chunk_tokens == 64
