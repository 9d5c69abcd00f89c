"""A synchronisation over a real catalog: each promise of the pipeline, as a claim."""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import asdict
from pathlib import Path

import pytest

from indexing import runs, store
from indexing.documents import Attachment, Block, Parsed, Progress
from indexing.errors import (
    EncryptedDocument,
    ModelUnusable,
    ParseLimit,
    RunInProgress,
    SourceMissing,
    StorageFull,
)
from tests.worlds import World


def prose(seed, paragraphs=1):
    choose = random.Random(str(seed))
    return "\n\n".join(
        " ".join(f"{choose.choice('abcdefgh')}{choose.randint(0, 999)}" for _ in range(50)) + "."
        for _ in range(paragraphs)
    )


@pytest.fixture
def world(sqlite_catalog, settings):
    return World(sqlite_catalog, settings())


@pytest.fixture
def twenty(world):
    """A world of twenty documents that were synchronised, with the record of that forgotten."""
    for number in range(20):
        world.files.write(f"d{number:02}.txt", f"# Title {number}\n\n{prose(number)}")
    assert world.sync().added == 20
    world.files.fetched.clear()
    world.parsers.parsed.clear()
    world.embedder.seen.clear()
    return world


# --- the flow -------------------------------------------------------------------------------------------------


def test_new_documents_are_stored_with_text_title_chunks_and_embeddings(world):
    world.files.write("a.txt", f"# Leave\n\n{prose(1, 9)}")
    report = world.sync()

    assert (report.state, report.listed, report.added) == ("succeeded", 1, 1)
    assert report.chunks_written == report.chunks_embedded == len(world.indexed()) > 1
    assert world.text("a.txt") == f"Leave\n\n{prose(1, 9)}"
    assert world.known()["a.txt"].title == "Leave"


def test_the_same_flow_works_on_both_databases(catalog, settings):
    world = World(catalog, settings())
    world.files = type(world.files)({"a.txt": prose(1), "b.txt": prose(2), "c.txt": b"\xff"})
    assert world.sync().added == 2
    world.files.rename("a.txt", "z.txt")
    world.files.remove("b.txt")

    report = world.sync()

    assert (report.state, report.moved, report.deleted, report.parked) == ("succeeded", 1, 1, 1)
    assert {uri for uri, _ in world.indexed()} == {"z.txt"}


def test_unchanged_files_cost_a_listing_and_nothing_else(twenty):
    report = twenty.sync()

    assert (report.unchanged, report.added, report.changed, report.touched) == (20, 0, 0, 0)
    assert (twenty.files.fetched, twenty.parsers.parsed, twenty.embedder.seen) == ([], [], [])


def test_a_touched_file_costs_a_hash_and_only_once(twenty):
    twenty.files.touch("d03.txt")

    assert twenty.sync().touched == 1
    assert (twenty.files.fetched, twenty.parsers.parsed) == (["d03.txt"], [])
    assert twenty.sync().unchanged == 20


def test_an_edited_file_embeds_only_the_chunks_that_changed(world):
    paragraphs = [prose(n) for n in range(60)]
    world.files.write("book.txt", "\n\n".join(paragraphs))
    first = world.sync()
    paragraphs.insert(30, prose("inserted"))
    world.files.write("book.txt", "\n\n".join(paragraphs))

    second = world.sync()

    assert second.changed == 1
    assert first.chunks_written > 15
    assert 1 <= second.chunks_embedded <= 5
    assert second.chunks_embedded + second.chunks_reused == second.chunks_written


def test_equal_text_is_embedded_once_whoever_it_belongs_to(world):
    world.files.write("a.txt", prose(1))
    world.files.write("b.txt", prose(1))

    report = world.sync()

    assert (report.chunks_written, report.chunks_embedded, report.chunks_reused) == (2, 1, 1)


def test_a_deleted_file_is_gone_from_every_index(twenty):
    twenty.files.remove("d07.txt")

    assert twenty.sync().deleted == 1
    assert "d07.txt" not in {uri for uri, _ in twenty.indexed()}
    assert twenty.text("d07.txt") is None


def test_the_report_is_kept_with_the_run(twenty):
    report = twenty.sync()

    assert twenty.runs()[0].report == json.loads(json.dumps(asdict(report)))
    assert [run.state for run in twenty.runs()] == ["succeeded", "succeeded"]


def test_progress_counts_up_to_the_total(world):
    for number in range(5):
        world.files.write(f"{number}.txt", prose(number))
    seen: list[Progress] = []
    world.sync(on_progress=seen.append)

    read = [progress for progress in seen if progress.stage not in {"list", "compare"}]
    assert [done for done, _ in itertools.groupby(progress.done for progress in read)] == [0, 1, 2, 3, 4, 5]
    assert {progress.total for progress in read} == {5}
    assert read[-1].bytes_done == read[-1].bytes_total > 0


# --- renames --------------------------------------------------------------------------------------------------


def test_a_renamed_file_keeps_its_id_and_is_neither_parsed_nor_embedded(twenty):
    before = twenty.known()["d05.txt"].id
    twenty.files.rename("d05.txt", "archive/e.txt")

    report = twenty.sync()

    assert (report.moved, report.added, report.deleted) == (1, 0, 0)
    assert twenty.known()["archive/e.txt"].id == before
    assert (twenty.parsers.parsed, twenty.embedder.seen) == ([], [])
    assert "archive/e.txt" in {uri for uri, _ in twenty.indexed()}


def test_a_renamed_folder_is_no_loss(twenty):
    for number in range(20):
        twenty.files.rename(f"d{number:02}.txt", f"moved/d{number:02}.txt")

    report = twenty.sync()

    assert (report.state, report.moved, report.deleted) == ("succeeded", 20, 0)


def test_a_document_titled_by_its_name_is_titled_by_its_new_name(world):
    world.files.write("old.txt", prose(1))
    world.sync()
    world.files.rename("old.txt", "new.txt")
    world.sync()

    assert world.known()["new.txt"].title == "new.txt"


def test_a_copy_is_a_document_of_its_own(twenty):
    twenty.files.write("copy.txt", f"# Title 1\n\n{prose(1)}")

    report = twenty.sync()

    assert (report.added, report.moved, report.chunks_embedded) == (1, 0, 0)


def test_a_renamed_file_of_equal_size_and_other_bytes_is_no_rename(world):
    world.files.write("a.txt", "one two")
    world.sync()
    world.files.remove("a.txt")
    world.files.write("b.txt", "two one")

    report = world.sync()

    assert (report.added, report.deleted, report.moved) == (1, 1, 0)


# --- what deletes nothing -------------------------------------------------------------------------------------


def test_a_failed_listing_deletes_nothing(twenty):
    twenty.files.error = SourceMissing("There is no folder.")

    report = twenty.sync()

    assert report.state == "failed"
    assert "There is no folder." in report.error
    assert len(twenty.known()) == 20


def test_an_incomplete_listing_deletes_nothing_and_still_adds(twenty):
    twenty.files.complete = False
    twenty.files.remove("d00.txt")
    twenty.files.write("new.txt", prose("new"))

    report = twenty.sync()

    assert (report.state, report.deleted, report.added) == ("succeeded", 0, 1)
    assert "d00.txt" in twenty.known()
    assert any("incomplete" in note for note in report.notes)


def test_an_implausibly_shrunken_listing_changes_nothing_until_it_is_confirmed(twenty):
    for number in range(11):
        twenty.files.remove(f"d{number:02}.txt")
    twenty.files.write("new.txt", prose("new"))

    report = twenty.sync()
    assert report.state == "failed"
    assert "11 of 20" in report.error
    assert "--confirm-deletions" in report.error
    assert len(twenty.known()) == 20

    report = twenty.sync(confirm_deletions=True)
    assert (report.state, report.deleted, report.added) == ("succeeded", 11, 1)


def test_a_few_documents_may_all_go_as_long_as_something_is_listed(world):
    world.files.write("a.txt", prose(1))
    world.sync()
    world.files.remove("a.txt")
    world.files.write("b.txt", prose(2))

    assert world.sync().deleted == 1


def test_an_empty_listing_deletes_nothing_until_it_is_confirmed_or_whole_again(world):
    world.files.write("a.txt", prose(1))
    world.sync()
    world.files.remove("a.txt")

    assert world.sync().state == "failed"
    assert "All 1 documents" in asks(world)
    world.files.write("a.txt", prose(1))
    assert (world.sync().state, asks(world)) == ("succeeded", None)

    world.files.remove("a.txt")
    assert world.sync().state == "failed"
    assert set(world.known()) == {"a.txt"}
    assert world.sync(confirm_deletions=True).deleted == 1
    assert asks(world) is None


def test_another_failure_leaves_the_mark_of_a_source_that_asks(twenty):
    for number in range(11):
        twenty.files.remove(f"d{number:02}.txt")
    twenty.sync()
    twenty.files.error = SourceMissing("The folder is not there.")

    assert twenty.sync().state == "failed"
    assert "11 of 20" in asks(twenty)


def asks(world):
    with world.catalog.reading() as session:
        found = store.source_named(session, "docs")
        return found and found.asks


# --- failures -------------------------------------------------------------------------------------------------


def test_a_failing_document_is_a_row_with_a_remedy_and_stops_nobody(world):
    world.files.write("bad.pdf", "secret")
    world.files.write("good.txt", prose(1))
    world.parsers.answers["bad.pdf"] = EncryptedDocument("bad.pdf needs a password.")

    report = world.sync()

    assert (report.state, report.added, report.failed) == ("succeeded", 1, 1)
    [failure] = report.failures
    assert (failure.uri, failure.stage, failure.error) == ("bad.pdf", "parse", "EncryptedDocument")
    assert failure.remedy == "Save a copy without the password."
    assert world.failures()["bad.pdf"].failure == failure


def test_a_verdict_on_the_bytes_is_not_asked_for_twice(world):
    world.files.write("bad.pdf", "secret")
    world.parsers.answers["bad.pdf"] = EncryptedDocument("bad.pdf needs a password.")
    world.sync()

    assert (world.sync().parked, world.parsers.parsed) == (1, ["bad.pdf"])
    world.files.touch("bad.pdf")
    assert (world.sync().parked, world.parsers.parsed) == (1, ["bad.pdf"])
    world.files.fetched.clear()
    assert (world.sync().parked, world.files.fetched) == (1, [])


def test_a_failure_that_may_pass_is_tried_three_times_and_then_parked(world):
    world.files.write("slow.pdf", "slow")
    world.parsers.answers["slow.pdf"] = ParseLimit("slow.pdf took too long.")

    assert [(report.failed, report.parked) for report in (world.sync() for _ in range(5))] == [
        (1, 0),
        (1, 0),
        (1, 0),
        (0, 1),
        (0, 1),
    ]
    assert len(world.parsers.parsed) == 3


def test_a_parked_document_is_tried_again_when_it_or_the_pipeline_changes(world, settings):
    world.files.write("bad.pdf", "secret")
    world.parsers.answers["bad.pdf"] = EncryptedDocument("bad.pdf needs a password.")
    world.sync()

    world.settings = settings(parse_timeout_s=500)
    assert world.sync().failed == 1
    world.parsers.answers.clear()
    world.files.write("bad.pdf", prose(1))
    assert world.sync().added == 1
    assert world.failures() == {}


def test_an_unreadable_file_keeps_its_old_text_and_is_always_tried_again(twenty):
    twenty.files.touch("d01.txt")
    twenty.files.unreadable.add("d01.txt")

    for _ in range(5):
        report = twenty.sync()
        assert (report.failed, report.deleted) == (1, 0)
        assert report.failures[0].stage == "fetch"
    assert twenty.text("d01.txt") is not None

    twenty.files.unreadable.clear()
    assert twenty.sync().touched == 1
    assert twenty.failures() == {}


def test_new_bytes_that_cannot_be_read_take_the_old_text_away(twenty):
    twenty.files.write("d01.txt", b"\xff\xfe")

    report = twenty.sync()

    assert (report.failed, report.deleted) == (1, 1)
    assert twenty.text("d01.txt") is None


def test_old_bytes_that_a_newer_parser_cannot_read_keep_their_text(twenty, settings):
    twenty.settings = settings(chunk_tokens=100)
    twenty.parsers.answers["d01.txt"] = ParseLimit("d01.txt took too long.")

    report = twenty.sync()

    assert (report.changed, report.failed, report.deleted) == (19, 1, 0)
    assert twenty.text("d01.txt") is not None


def test_an_unexpected_error_of_one_document_stops_nobody(world):
    world.files.write("odd.txt", prose(1))
    world.files.write("good.txt", prose(2))
    world.parsers.answers["odd.txt"] = ZeroDivisionError("division by zero")

    report = world.sync()

    assert (report.state, report.added, report.failed) == ("succeeded", 1, 1)
    assert "ZeroDivisionError" in report.failures[0].reason


def test_a_text_that_cannot_be_embedded_fails_its_own_document_only(world):
    for number in range(5):
        world.files.write(f"{number}.txt", prose(number))
    world.files.write("cursed.txt", "a cursed text")
    world.embedder.fails_on = "cursed"

    report = world.sync()

    assert (report.added, report.failed) == (5, 1)
    assert (report.failures[0].uri, report.failures[0].stage) == ("cursed.txt", "embed")


def test_a_text_that_cannot_be_stored_fails_its_own_document_only(catalog, settings):
    world = World(catalog, settings())
    world.files.write("good.txt", prose(1))
    world.files.write("odd.txt", prose(2))
    world.parsers.answers["odd.txt"] = Parsed((Block("a lone surrogate \ud800 that no database takes"),))

    report = world.sync()

    assert (report.state, report.added, report.failed) == ("succeeded", 1, 1)
    assert "good.txt" in world.known()


def test_a_failure_is_forgotten_when_its_file_goes(world):
    world.files.write("bad.txt", b"\xff")
    world.sync()
    world.files.remove("bad.txt")
    world.sync()

    assert world.failures() == {}


def test_a_file_above_the_limit_is_not_even_fetched(world, settings):
    world.settings = settings(max_file_mb=1)
    world.files.write("huge.txt", b"x" * (1 << 20) + b"x")

    report = world.sync()

    assert (report.failed, world.files.fetched) == (1, [])
    assert "METIER_MAX_FILE_MB" in report.failures[0].remedy


# --- what ends a run ------------------------------------------------------------------------------------------


def test_a_full_disk_ends_the_run_and_keeps_what_was_stored(world):
    world.files.write("a.txt", prose(1))
    world.sync()
    world.files.write("b.txt", prose(2))
    world.embedder.fails_on, world.embedder.error = "b", ModelUnusable("The model is gone.")

    report = world.sync()

    assert report.state == "failed"
    assert "The model is gone." in report.error
    assert set(world.known()) == {"a.txt"}


def test_no_room_for_private_copies_ends_the_run(twenty):
    twenty.files.touch("d01.txt")

    def full(item, into):
        raise StorageFull("No room.")

    twenty.files.fetch = full

    assert twenty.sync().state == "failed"
    assert len(twenty.known()) == 20
    assert twenty.failures() == {}


def test_a_cancelled_run_keeps_what_was_stored_and_the_next_one_goes_on(world):
    for number in range(40):
        world.files.write(f"{number:02}.txt", prose(number))
    cancel = threading.Event()

    def cancel_in_the_middle(progress):
        if progress.done >= 10:
            cancel.set()

    report = world.sync(cancel=cancel, on_progress=cancel_in_the_middle)

    assert report.state == "cancelled"
    assert len(world.known()) == report.added < 40
    assert world.sync().added == 40 - report.added


def test_a_large_document_is_cancelled_between_two_slices_of_the_model(world):
    world.files.write("book.txt", "\n\n".join(f"# Chapter {number}\n\n{prose(number, 2)}" for number in range(400)))
    cancel = threading.Event()
    embed = world.embedder.embed_passages

    def embed_and_cancel(texts):
        cancel.set()
        return embed(texts)

    world.embedder.embed_passages = embed_and_cancel

    assert world.sync(cancel=cancel).state == "cancelled"
    assert len(world.embedder.seen) < 400
    assert world.known() == {}


def test_a_killed_run_keeps_whole_documents_and_the_next_one_goes_on(world, tmp_path):
    """A real process dies by SIGKILL in the middle of a run."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.txt").write_text(prose(number, 3))
    with world.catalog.transaction() as session:
        world.source = store.add_source(session, "folder", "folder", str(folder))
    program = textwrap.dedent("""
        import os, signal, sys
        from indexing import store
        from indexing.db import open_catalog
        from indexing.pipeline import Indexing, sync_source
        from indexing.settings import IndexingSettings
        from indexing.testing import FakeParsers, HashEmbedder

        settings = IndexingSettings(data_dir=sys.argv[1])
        catalog = open_catalog(settings.database)
        with catalog.reading() as session:
            source = store.source_named(session, "folder")

        def die(progress):
            if progress.done >= 40:
                os.kill(os.getpid(), signal.SIGKILL)

        sync_source(Indexing(catalog, HashEmbedder(), FakeParsers(), settings), source, on_progress=die)
    """)
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", program, world.settings.data_dir], cwd=root, check=False, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL
    survived = world.known()
    assert len(survived) < 60
    assert {uri for uri, _ in world.indexed()} == set(survived)

    report = world.sync()

    assert (report.state, report.added, report.unchanged) == ("succeeded", 60 - len(survived), len(survived))
    assert [run.state for run in world.runs()] == ["succeeded", "failed"]


def test_two_runs_of_one_source_exclude_each_other(world):
    world.files.write("a.txt", prose(1))
    refused = []

    def try_another(progress):
        with pytest.raises(RunInProgress, match="docs"):
            world.sync()
        refused.append(progress)

    assert world.sync(on_progress=try_another).added == 1
    assert refused
    assert [run.state for run in world.runs()] == ["succeeded"]


def test_a_run_whose_process_died_is_closed_and_does_not_block_the_next(world):
    class Killed(BaseException):
        pass

    def die(progress):
        raise Killed

    with pytest.raises(Killed):
        world.sync(on_progress=die)
    with world.catalog.transaction() as session:  # as if it had not even had the time to say so
        lock = world.settings.data_dir / "work" / f"source-{world.source.id}.lock"
        lock.write_text(f"{runs.start_run(session, world.source.id)}\n")

    assert world.sync().state == "succeeded"
    assert [run.state for run in world.runs()] == ["succeeded", "failed", "failed"]


def test_a_run_on_another_machine_is_respected(world):
    with world.catalog.transaction() as session:
        runs.start_run(session, world.source.id)

    with pytest.raises(RunInProgress):
        world.sync()


def test_nothing_is_left_in_the_work_folder(twenty):
    assert [path.name for path in (twenty.settings.data_dir / "work").iterdir()] == [f"source-{twenty.source.id}.lock"]


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten(world):
    world.files.write("a.txt", "old words")
    world.sync()
    world.files.write("a.txt", "new words")

    def delete_meanwhile(path, workdir):
        with world.catalog.transaction() as session:
            store.delete_documents(session, [world.known()["a.txt"].id])
        return Parsed((Block("new words"),))

    world.parsers.answers["a.txt"] = delete_meanwhile

    report = world.sync()

    assert (report.changed, report.unchanged) == (0, 1)
    assert world.known() == {}


def test_embeddings_that_are_swept_during_a_run_are_made_again(world):
    world.files.write("a.txt", prose(1))
    world.sync()
    world.files.remove("a.txt")
    world.files.write("b.txt", "an old chunk and a new one")
    world.parsers.answers["b.txt"] = Parsed((Block(prose(1)), Block(prose("new"), heading_path=("New",))))
    embed = world.embedder.embed_passages
    swept: list[int] = []

    def sweep_meanwhile(texts):
        """The old chunk was found to be embedded already; now it is not any more."""
        if not swept:
            with world.catalog.transaction() as session:
                swept.append(store.sweep_embeddings(session))
        return embed(texts)

    world.embedder.embed_passages = sweep_meanwhile

    assert world.sync().state == "succeeded"
    assert swept == [1]
    assert prose(1) in {text for _, text in world.indexed()}


# --- attachments ----------------------------------------------------------------------------------------------


def mail(*attachments, body="Dear all"):
    """Return what a parser answers for a mail with (name, text) attachments."""

    def parse(path, workdir):
        files = []
        for number, (name, text) in enumerate(attachments):
            file = workdir / str(number)
            file.write_text(text)
            files.append(Attachment(name, file))
        return Parsed((Block(body),), attachments=tuple(files))

    return parse


def test_attachments_become_documents_that_go_with_their_mail(world):
    world.files.write("m.eml", "mail")
    world.parsers.answers["m.eml"] = mail(("a.txt", prose(1)), ("b.txt", prose(2)))

    assert world.sync().added == 3
    known = world.known()
    assert set(known) == {"m.eml", "m.eml!/a.txt", "m.eml!/b.txt"}
    assert known["m.eml!/a.txt"].parent_id == known["m.eml"].id

    assert world.sync().unchanged == 1
    assert set(world.known()) == set(known)
    world.files.remove("m.eml")
    assert world.sync(confirm_deletions=True).deleted == 3
    assert world.known() == {}


def test_an_edited_mail_parses_only_the_attachments_that_changed(world):
    world.files.write("m.eml", "mail 1")
    world.parsers.answers["m.eml"] = mail(("a.txt", prose(1)), ("b.txt", prose(2)), ("c.txt", b"x".decode()))
    world.sync()
    ids = {uri: document.id for uri, document in world.known().items()}
    world.parsers.parsed.clear()
    world.files.write("m.eml", "mail 2")
    world.parsers.answers["m.eml"] = mail(("a.txt", prose(1)), ("b.txt", prose(3)))

    report = world.sync()

    assert (report.changed, report.deleted) == (2, 1)
    assert world.parsers.parsed == ["m.eml", "b.txt"]
    assert {uri: document.id for uri, document in world.known().items()} == {
        uri: number for uri, number in ids.items() if not uri.endswith("c.txt")
    }


def test_a_renamed_mail_takes_its_attachments_along(world):
    world.files.write("m.eml", "mail")
    world.parsers.answers["m.eml"] = mail(("a.txt", prose(1)))
    world.sync()
    world.files.rename("m.eml", "n.eml")

    assert world.sync().moved == 1
    assert set(world.known()) == {"n.eml", "n.eml!/a.txt"}


def test_attachment_names_are_labels_unique_and_harmless(world):
    world.files.write("m.eml", "mail")
    names = ["../../etc/passwd", "a.txt", "a.txt", "", "x\ny", "C:\\temp\\b.txt", "a!/b.txt"]
    world.parsers.answers["m.eml"] = mail(*((name, f"text {number}") for number, name in enumerate(names)))
    world.sync()

    assert sorted(world.known()) == sorted(
        f"m.eml{part}"
        for part in ("", "!/passwd", "!/a.txt", "!/a (2).txt", "!/attachment", "!/x�y", "!/b.txt", "!/b (2).txt")
    )


def test_attachments_are_read_two_levels_deep_and_no_deeper(world):
    world.files.write("m.eml", "mail")
    world.parsers.answers["m.eml"] = mail(("one.eml", "1"))
    world.parsers.answers["one.eml"] = mail(("two.eml", "2"))
    world.parsers.answers["two.eml"] = mail(("three.txt", "3"))

    assert world.sync().added == 3
    assert set(world.known()) == {"m.eml", "m.eml!/one.eml", "m.eml!/one.eml!/two.eml"}


def test_a_failing_attachment_is_a_failure_of_its_own(world):
    world.files.write("m.eml", "mail")
    world.parsers.answers["m.eml"] = mail(("a.txt", prose(1)), ("bad.pdf", "x"))
    world.parsers.answers["bad.pdf"] = EncryptedDocument("bad.pdf needs a password.")

    report = world.sync()

    assert (report.added, report.failed) == (2, 1)
    assert set(world.failures()) == {"m.eml!/bad.pdf"}
    world.sync()
    assert set(world.failures()) == {"m.eml!/bad.pdf"}

    world.files.write("m.eml", "mail 2")
    world.parsers.answers["m.eml"] = mail(("a.txt", prose(1)))
    world.sync()
    assert world.failures() == {}


# --- pipeline changes -----------------------------------------------------------------------------------------


def test_documents_of_an_older_pipeline_are_read_again_and_keep_their_ids(twenty, settings):
    ids = {uri: document.id for uri, document in twenty.known().items()}
    twenty.settings = settings(chunk_tokens=100)

    assert twenty.sync().changed == 20
    assert {uri: document.id for uri, document in twenty.known().items()} == ids
    assert twenty.sync().unchanged == 20
