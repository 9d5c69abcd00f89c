"""Documents that are pushed: acknowledged means committed and searchable, refused means that nothing changed."""

from __future__ import annotations

import threading

import pytest

from indexing import runs, store
from indexing.documents import Attachment, Block, Failure, Parsed
from indexing.errors import EncryptedDocument, ItemUnreadable, ParseLimit, SourceError, UnsupportedFormat
from indexing.pipeline import delete_document, push_document
from tests.worlds import World


@pytest.fixture
def world(catalog, settings):
    return World(catalog, settings(), kind="push", location="")


@pytest.fixture
def push(world, tmp_path):
    """Return a function that pushes text under a uri."""

    def pushed(uri, text):
        file = tmp_path / f"upload{len(list(tmp_path.iterdir()))}"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return push_document(world.indexing, world.source, uri, file)

    return pushed


def original(world, uri):
    """Return the bytes that are kept under *uri*."""
    with world.catalog.reading() as session:
        found = store.original_content(session, world.source.id, uri)
    assert found is not None
    return found.content


def test_an_acknowledged_document_is_in_the_index_rows_with_its_original(world, push):
    number = push("hr/leave.txt", "Leave is 25 days.")

    assert world.known()["hr/leave.txt"].id == number
    assert world.indexed() == [("hr/leave.txt", "Leave is 25 days.")]
    assert original(world, "hr/leave.txt") == b"Leave is 25 days."


def test_pushing_again_replaces_the_document_under_the_same_id(world, push):
    first = push("a", "one")

    assert push("a", "two") == first
    assert world.indexed() == [("a", "two")]


def test_pushing_the_same_bytes_again_parses_and_changes_nothing(world, push):
    first = push("a", "one")
    assert push("a", "one") == first
    assert world.parsers.parsed == ["a"]


def test_a_document_that_cannot_be_read_is_refused_and_the_older_version_stays(world, push):
    push("a", "one")
    world.parsers.answers["a"] = EncryptedDocument("a needs a password.")

    with pytest.raises(EncryptedDocument, match="password"):
        push("a", "two")

    assert world.text("a") == "one"
    assert world.failures() == {}
    assert original(world, "a") == b"one"


def test_a_document_that_cannot_be_embedded_is_refused_whole(world, push):
    world.embedder.fails_on = "one"

    with pytest.raises(RuntimeError):
        push("a", "one")

    assert world.known() == {}
    with world.catalog.reading() as session:
        assert store.originals(session, world.source.id) == []


def test_names_that_cannot_be_shown_are_refused(push):
    for uri in ("", "  ", "a!/b", "a\nb", "a\0b", "x" * 2001, "\ud800"):
        with pytest.raises(SourceError, match="cannot be used"):
            push(uri, "text")


def test_files_above_the_limit_and_files_that_are_not_there_are_refused(world, push, settings, tmp_path):
    world.settings = settings(max_file_mb=1)
    with pytest.raises(ParseLimit, match="METIER_MAX_FILE_MB"):
        push("a", b"x" * (1 << 20) + b"x")
    with pytest.raises(ItemUnreadable):
        push_document(world.indexing, world.source, "a", tmp_path / "nowhere")


def test_documents_cannot_be_pushed_into_a_folder_or_deleted_from_it(sqlite_catalog, settings, tmp_path):
    world = World(sqlite_catalog, settings(), kind="folder", location=str(tmp_path))
    with pytest.raises(SourceError, match="folder"):
        push_document(world.indexing, world.source, "a", tmp_path / "x")
    with pytest.raises(SourceError, match="folder"):
        delete_document(world.indexing, world.source, "a")


def test_a_deleted_document_is_gone_with_its_original_and_attachments(world, push):
    def mail(path, workdir):
        (workdir / "1").write_text("attached")
        return Parsed((Block("body"),), attachments=(Attachment("b.txt", workdir / "1"),))

    world.parsers.answers["m.eml"] = mail
    push("m.eml", "mail")
    assert set(world.known()) == {"m.eml", "m.eml!/b.txt"}

    assert delete_document(world.indexing, world.source, "m.eml") is True
    assert (world.known(), world.indexed()) == ({}, [])
    assert delete_document(world.indexing, world.source, "m.eml") is False


def test_a_sync_of_a_push_source_finds_everything_unchanged_and_rereads_for_a_new_pipeline(world, push, settings):
    push("a", "one")
    push("b", "two")
    assert world.sync().unchanged == 2

    world.settings = settings(chunk_tokens=100)
    report = world.sync()

    assert (report.state, report.changed, report.failed) == ("succeeded", 2, 0)
    assert world.sync().unchanged == 2


def test_a_sync_never_puts_back_what_was_pushed_over_or_deleted_meanwhile(world, push, settings):
    push("a", "old a")
    push("b", "old b")
    world.settings = settings(chunk_tokens=100)
    done: list[int] = []

    def meanwhile(progress):
        if progress.done == 1 and not done:
            done.append(1)
            push("a", "new a")
            delete_document(world.indexing, world.source, "b")

    world.sync(on_progress=meanwhile)

    assert world.text("a") == "new a"
    assert world.text("b") is None


def test_a_push_that_was_overtaken_is_done_again_with_all_its_attachments(world, push):
    overtaken: list[str] = []

    def mail(path, workdir):
        content = path.read_text()
        if content == "second" and not overtaken:
            overtaken.append(content)
            push("m.eml", "third, without attachment")
        (workdir / "1").write_text("attached")
        attachments = () if content.startswith("third") else (Attachment("b.txt", workdir / "1"),)
        return Parsed((Block(content),), attachments=attachments)

    world.parsers.answers["m.eml"] = mail
    push("m.eml", "first")
    push("m.eml", "second")

    assert overtaken
    assert dict(world.indexed()) == {"m.eml": "second", "m.eml!/b.txt": "attached"}


def test_a_push_clears_the_failure_of_its_document(world, push):
    with world.catalog.transaction() as session:
        for uri in ("a", "a!/b", "other"):
            runs.record_failure(session, world.source.id, None, Failure(uri, "parse", "", ""), None, "")
    push("a", "one")

    assert set(world.failures()) == {"other"}


def test_pushes_of_one_document_at_the_same_time_leave_one_whole_version(world, tmp_path):
    def push_own(number):
        file = tmp_path / f"upload{number}"
        file.write_text(f"version {number}")
        try:
            push_document(world.indexing, world.source, "a", file)
        except SourceError as exc:
            refused.append(exc.message)

    refused: list[str] = []
    threads = [threading.Thread(target=push_own, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert world.indexed() == [("a", original(world, "a").decode())]
    assert len(refused) < 6


def test_unreadable_bytes_are_refused_with_the_reason(push):
    with pytest.raises(UnsupportedFormat, match="UTF-8"):
        push("a.txt", b"\xff")
