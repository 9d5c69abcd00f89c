"""A generation proves itself or is not searched; without any the answers are the same."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sqlite3

import numpy as np
import pytest

from indexing import changelog, generation
from indexing.errors import StorageFull
from tests.searching import Company, answers

QUESTIONS = ["congés payés", "remote work laptop", "Qui valide les notes de frais ?", "badge 42"]
TEXTS = {
    "conges.md": "Les congés payés sont de 25 jours.\n\nLa direction valide les congés.",
    "frais.md": "Les notes de frais sont validées par la comptabilité avant le 5 du mois.",
    "remote.md": "Remote work is open to everyone. A laptop is lent for it.",
    "badge.md": "Le badge 42 ouvre le parking.\n\nUn badge perdu est signalé le jour même.",
}


@pytest.fixture
def company(sqlite_catalog, settings):
    company = Company(sqlite_catalog, settings(generations_kept=2))
    for uri, text in TEXTS.items():
        company.put(uri, text)
    return company


@pytest.fixture
def home(company):
    with company.catalog.reading() as session:
        return company.settings.cache_dir / changelog.state(session).uuid


def names(home):
    return sorted(path.name for path in home.iterdir())


def newest(company):
    with company.catalog.reading() as session:
        embedder = company.embedder
        return generation.newest(session, company.settings.cache_dir, embedder.fingerprint, embedder.dimension)


def test_a_published_generation_is_opened_by_the_next_process(company, home):
    index = company.index()
    index.publish()
    expected = answers(company, index, QUESTIONS)

    other = company.index()

    assert answers(company, other, QUESTIONS) == expected
    assert other.snapshot().generation.path == home / names(home)[0]
    assert len(other.snapshot().tail) == 0


def test_the_manifest_names_every_file_with_its_checksum(company, home):
    company.index().publish()
    path = next(home.iterdir())
    manifest = json.loads((path / "manifest.json").read_bytes())

    on_disk = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}

    assert set(manifest["files"]) == {name for name in on_disk if not name.endswith((".lock", "manifest.json"))}
    assert manifest["rows"] == len(company.index().snapshot())
    assert manifest["model"] == company.embedder.fingerprint


def damage_file(path, how):
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 0xFF
    elif how == "zero":
        content[:] = bytes(len(content))
    elif how == "cut":
        del content[len(content) // 2 :]
    path.write_bytes(content)
    if how == "delete":
        path.unlink()


@pytest.mark.parametrize("how", ["flip", "zero", "cut", "delete"])
def test_any_damaged_file_puts_the_generation_aside_and_answers_stay_the_same(company, home, tmp_path, how):
    index = company.index()
    index.publish()
    expected = answers(company, index, QUESTIONS[:1])
    good = next(home.iterdir())
    kept = tmp_path / "kept"
    shutil.copytree(good, kept)
    for file in sorted(kept.rglob("*")):
        if file.is_dir() or file.name.endswith(".lock") or not file.stat().st_size:
            continue
        shutil.rmtree(home)
        home.mkdir()
        shutil.copytree(kept, home / good.name)
        damaged = home / good.name / file.relative_to(kept)
        damage_file(damaged, how)

        assert newest(company) is None, f"{damaged.name} was {how} and nobody noticed"
        assert names(home)[0].startswith("bad-g-")
        assert answers(company, company.index(), QUESTIONS[:1]) == expected


def test_a_generation_without_a_manifest_is_put_aside(company, home):
    company.index().publish()
    (next(home.iterdir()) / "manifest.json").unlink()

    assert newest(company) is None
    assert names(home)[0].startswith("bad-")


def test_a_generation_of_another_catalog_is_never_searched(company, home, tmp_path):
    company.index().publish()
    path = next(home.iterdir())
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_text(json.dumps(manifest | {"catalog_uuid": "another"}))

    assert newest(company) is None


def test_a_generation_of_a_timeline_that_was_rolled_back_is_put_aside(company, home, tmp_path):
    """A backup is restored and other changes follow: the same number, another hash."""
    file = company.settings.data_dir / "catalog.db"
    backup = tmp_path / "backup.db"
    with contextlib.closing(sqlite3.connect(file)) as now, contextlib.closing(sqlite3.connect(backup)) as copy:
        now.backup(copy)
    index = company.index()
    company.put("lost.md", "Ce document sera perdu.")
    index.publish()
    assert answers(company, index, ["document perdu"])[0]
    company.catalog.engine.dispose()
    for path in file.parent.glob("catalog.db*"):
        path.unlink()
    shutil.copy(backup, file)
    company.put("other.md", "Un autre texte a pris sa place.")

    found = company.ask(index, "document perdu").passages

    assert all(passage.uri != "lost.md" for passage in found)
    assert any(name.startswith("bad-") for name in names(home))
    assert company.ask(index, "autre place").passages[0].uri == "other.md"


def test_a_generation_of_another_model_is_left_alone_and_not_searched(company, home):
    company.index().publish()
    before = names(home)
    with company.catalog.reading() as session:
        cache = company.settings.cache_dir
        assert generation.newest(session, cache, "another-model", company.embedder.dimension) is None

    assert names(home) == before


def test_every_kept_generation_gives_the_same_answers(company, home):
    index = company.index()
    index.publish()
    company.put("velo.md", "Le local à vélos est au sous-sol.")
    company.delete(1)
    index.publish(force=True)
    company.put("badge.md", "Le badge 43 ouvre la cantine.")
    index.publish(force=True)
    expected = answers(company, index, [*QUESTIONS, "vélos", "badge cantine"])
    assert len(names(home)) == 2

    for name in reversed(names(home)):
        other = company.index()
        assert answers(company, other, [*QUESTIONS, "vélos", "badge cantine"]) == expected
        assert other.snapshot().generation.path.name == name
        shutil.rmtree(home / name)
    assert answers(company, company.index(), [*QUESTIONS, "vélos", "badge cantine"]) == expected


def test_only_as_many_generations_as_set_are_kept(company, home):
    index = company.index()
    for number in range(4):
        company.put("counter.md", f"Compteur {number}.")
        index.publish(force=True)

    assert len(names(home)) == 2


def test_a_build_that_fails_leaves_nothing_behind(company, home):
    home.parent.mkdir(parents=True)
    home.write_text("a file is in the way")
    index = company.index()

    assert company.ask(index, "congés payés").passages[0].uri == "conges.md"
    assert index.snapshot().generation.path is None
    assert home.read_text() == "a file is in the way"


@pytest.mark.parametrize("limit", [4_000, 6_000])
def test_on_a_full_disk_nothing_is_lost_and_questions_are_answered_from_memory(company, home, limit):
    """A limit on the size of files stands for the full disk."""
    for number in range(60):
        company.put(f"{number}.md", f"Le badge {number} ouvre la porte {number * 7} du bâtiment.")
    index = company.index()
    company.ask(index, "x")
    expected = answers(company, index, QUESTIONS)
    shutil.rmtree(home)
    other = company.index()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        assert answers(company, other, QUESTIONS) == expected
        with pytest.raises(StorageFull):
            other.publish(force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert names(home) == []
    assert answers(company, other, QUESTIONS) == expected
    assert other.publish()


def test_what_a_dead_process_left_is_cleaned_up_later(company, home):
    index = company.index()
    index.publish()
    fresh, old = home / "tmp-fresh", home / "tmp-old"
    fresh.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    index.publish(force=True)

    assert fresh.exists()
    assert not old.exists()


def test_rows_are_in_the_order_of_the_catalog(company):
    index = company.index()
    index.publish()
    rows = index.snapshot().generation.rows

    assert np.array_equal(rows.chunks, np.sort(rows.chunks))
    assert rows.numbers_of(rows.chunks).tolist() == list(range(len(rows)))
    assert rows.numbers_of(np.array([0, 10**9])).tolist() == [-1, -1]
