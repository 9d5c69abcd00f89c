"""A deleted document leaves the answers at once, its bytes leave this host with a compaction, and a receipt says so."""

from __future__ import annotations

import hashlib

import pytest

from app import retention
from app.cli import main
from app.ingest import indexing_of
from indexing import compaction, deletions, store
from indexing.pipeline import delete_document, sync_source
from tests.faces import face
from tests.worlds import World

CANARY = "quizzaciously-zwieback-4711"


def receipts_of(catalog):
    with catalog.reading() as session:
        return deletions.receipts(session)


def files_with(folder, *needles):
    """Return the files below *folder* that hold one of the texts, in UTF-8 or UTF-16."""
    sought = [needle.encode(code) for needle in needles for code in ("utf-8", "utf-16-le")]
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(each in path.read_bytes().lower() for each in sought)
    ]


@pytest.fixture
def world(catalog, settings):
    return World(catalog, settings())


def test_a_canary_is_in_no_file_of_the_data_directory_after_compaction(settings, sqlite_url, tmp_path):
    made = settings(tail_rows=1)
    with face(made) as found:
        source_id = found.add_source()
        found.push(source_id, "kept.md", "# Kept\n\nOther words that stay.")
        found.push(source_id, "secret.md", f"# Secret\n\nThe word is {CANARY}.")
        found.parts.index.publish()
        found.push(source_id, "secret.md", f"# Secret\n\nThe words are {CANARY} and more.")
        found.parts.index.publish()
        assert files_with(made.data_dir, CANARY)
        deleted = found.http.delete(f"/v1/sources/{source_id}/documents/secret.md")
        assert deleted.status_code == 204
        assert CANARY not in found.http.post("/v1/search", json={"question": CANARY}).text
        [receipt] = found.http.get("/v1/deletions").json()["deletions"]
        assert (receipt["state"], receipt["gone_at"]) == ("left answers", None)

        done = retention.apply(found.parts.catalog, made)

        assert (done.scrubbed, done.receipts) == (True, 1)
        body = found.http.get("/v1/deletions").json()
        assert body["deletions"][0]["state"] == "bytes gone"
        assert any("Backups" in line for line in body["remains"])
        assert receipt["uri_hash"] == hashlib.sha256(b"secret.md").hexdigest()
        assert "paid" not in found.http.post("/v1/search", json={"question": "words that stay"}).text
    assert files_with(made.data_dir, CANARY, "quizzaciously") == []


def test_every_way_of_deleting_leaves_a_receipt(world):
    world.files.write("a.txt", "words of a")
    world.files.write("b.txt", "words of b")
    world.sync()
    world.files.remove("a.txt")
    world.sync()
    with world.catalog.transaction() as session:
        pushed = store.add_source(session, "pushed", "push", "")
    with world.catalog.transaction() as session:
        store.remove_source(session, world.source.id)

    found = receipts_of(world.catalog)
    names = [hashlib.sha256(name).hexdigest() for name in (b"b.txt", b"a.txt")]
    assert [(one.uri_hash, one.source, one.state) for one in found] == [
        (name, "docs", "left answers") for name in names
    ]
    assert not delete_document(world.indexing, pushed, "nothing.txt")
    assert len(receipts_of(world.catalog)) == 2


def test_a_document_that_is_deleted_after_a_compaction_waits_for_the_next(world, tmp_path):
    for name in ("a.txt", "b.txt", "c.txt"):
        world.files.write(name, f"words of {name}")
    world.sync()
    world.files.remove("a.txt")
    world.sync()
    assert compaction.compact(world.catalog, tmp_path).receipts == 1
    world.files.remove("b.txt")
    world.sync()

    assert [one.state for one in receipts_of(world.catalog)] == ["left answers", "bytes gone"]
    assert compaction.compact(world.catalog, tmp_path).receipts == 1
    assert compaction.compact(world.catalog, tmp_path) == compaction.Compacted(0, 0, 0, True)


def test_an_embedding_that_another_document_uses_stays(world, tmp_path):
    for name in ("a.txt", "b.txt"):
        world.files.write(name, "the same words in both")
    world.sync()
    world.files.remove("a.txt")
    world.sync()

    assert compaction.compact(world.catalog, tmp_path).embeddings == 0
    assert {text for _, text in world.indexed()} == {"the same words in both"}


def test_while_somebody_reads_the_receipt_does_not_say_that_the_bytes_are_gone(sqlite_catalog, settings, tmp_path):
    world = World(sqlite_catalog, settings())
    for name in ("a.txt", "b.txt"):
        world.files.write(name, f"words of {name}")
    world.sync()
    with sqlite_catalog.reading() as session:
        deletions.receipts(session)
        world.files.remove("a.txt")
        world.sync()
        done = compaction.compact(sqlite_catalog, tmp_path)

    assert (done.scrubbed, done.receipts) == (False, 0)
    assert compaction.compact(sqlite_catalog, tmp_path).receipts == 1


def test_the_command_line_shows_receipts_and_sources_that_ask(settings, sqlite_url, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("METIER_DATA_DIR", str(tmp_path / "data"))
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("words of a")
    with face(settings()) as found:
        source_id = found.add_source("handbook", "folder", str(folder))
        with found.parts.catalog.reading() as session:
            [source] = store.sources(session)
        indexing = indexing_of(found.parts)
        sync_source(indexing, source)
        (folder / "a.md").unlink()
        assert sync_source(indexing, source).state == "failed"
        found.http.put(f"/v1/sources/{source_id}/schedule", json={"cron": "0 6 * * *"})
        assert "All 1 documents" in found.http.get(f"/v1/sources/{source_id}").json()["asks"]
        assert "All 1 documents" in found.http.get("/v1/schedules").json()["schedules"][0]["asks"]
        main_with(["sources", "list"])
        main_with(["schedule", "list"])
        assert capsys.readouterr().out.count("ASKS") == 2
        assert sync_source(indexing, source, confirm_deletions=True).deleted == 1
        main_with(["deletions"])
        assert "left answers" in capsys.readouterr().out
        main_with(["retention", "apply"])
        main_with(["deletions"])
        assert "bytes gone" in capsys.readouterr().out


def main_with(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
