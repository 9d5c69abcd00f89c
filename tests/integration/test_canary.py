"""Permission canaries: an index that gives out what it must not is never used, however well formed it is."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import update

from app import people
from indexing import canary, changelog, grants, principals, store
from indexing.access import authorise
from indexing.canary import COUNT
from indexing.keywords import KeywordIndex
from indexing.tables import DocumentRow
from tests.faces import face
from tests.searching import Company, answers

QUESTIONS = ["badge parking", "congés", "secret merger"]


@pytest.fixture
def company(catalog, settings):
    """Twenty documents that everyone reads, and twenty that only bob reads, in turn."""
    company = Company(catalog, settings())
    with catalog.transaction() as session:
        bob = principals.add_principal(session, "user", "bob")
        principals.add_principal(session, "user", "ann")
        everyone = people.principal(session, "everyone")
        lists = [grants.interned(session, {who.id}) for who in (everyone, bob)]
    for number in range(40):
        company.put(f"{number}.md", f"badge numéro {number}", acl_id=lists[number % 2])
    return company


@pytest.fixture
def home(company):
    with company.catalog.reading() as session:
        return company.settings.cache_dir / changelog.state(session).uuid


def told(company, snapshot):
    with company.catalog.reading() as session:
        return canary.leak(session, snapshot)


# --- a good index ---------------------------------------------------------------------------------------------


def test_a_good_index_keeps_its_secrets_and_they_count_nowhere(company):
    index = company.index()
    index.publish()
    snapshot = index.snapshot()

    assert told(company, snapshot) is None
    assert index.leak is None
    assert len(snapshot.generation.rows) == 40 + COUNT
    assert (len(snapshot), snapshot.dead) == (40, 0)
    with company.catalog.reading() as session:
        for name in ("ann", "bob", "local"):
            scope = authorise(session, people.principal(session, name).id)
            assert snapshot.main_language(scope, None) != "und"
            assert store.counts(session, scope).documents == (40 if name == "bob" else 20)
            for text, vector in zip(
                snapshot.generation.canary.texts(), snapshot.generation.canary.vectors(), strict=True
            ):
                assert snapshot.search_keywords(text, "und", scope, None, 50) == []
                assert all(hit.chunk_id < 2**32 for hit in snapshot.search_dense(vector, scope, None, 50))


def test_each_generation_has_secrets_of_its_own(company):
    index = company.index()
    index.publish()
    first = index.snapshot().generation.canary
    index.publish(force=True)

    assert not set(first.texts()) & set(index.snapshot().generation.canary.texts())


# --- faults, each in a well-formed index ----------------------------------------------------------------------


class Flat:
    """A dense index with a fault: what a wrong line in ``vectors.nearest`` would make of it."""

    def __init__(self, flat, fault):
        self.flat, self.fault, self.matrix = flat, fault, flat.matrix

    def nearest(self, vector, k, allowed):
        k = min(k, int(np.count_nonzero(allowed)))
        if self.fault == "selector ignored":
            return self.flat.nearest(vector, k, np.ones(len(allowed), dtype=np.bool_))
        bits = np.unpackbits(np.packbits(allowed), bitorder="little")[: len(allowed)]
        return self.flat.nearest(vector, k, bits.astype(np.bool_))


@pytest.mark.parametrize("fault", ["selector ignored", "bits in the wrong order"])
def test_a_dense_index_that_lets_the_wrong_rows_through_is_found_out(company, fault):
    index = company.index()
    index.publish()
    snapshot = index.snapshot()
    faulty = replace(snapshot.generation, flat=Flat(snapshot.generation.flat, fault))

    assert "its own" in told(company, replace(snapshot, generation=faulty, filters={}))


def test_a_column_that_is_shifted_is_found_out(company):
    index = company.index()
    index.publish()
    snapshot = index.snapshot()
    rows = snapshot.generation.rows
    for column, by in itertools.product(("acls", "chunks", "matrix"), (1, -1, 2, 7)):
        shifted = replace(rows, **{column: np.roll(getattr(rows, column), by, axis=0)})

        faulty = replace(snapshot, generation=replace(snapshot.generation, rows=shifted), filters={})

        assert told(company, faulty) is not None, (column, by)


def test_a_keyword_index_that_ignores_the_lists_is_found_out(company):
    index = company.index()
    index.publish()
    snapshot = index.snapshot()
    words = snapshot.generation.keywords

    class Words(KeywordIndex):
        def _filters(self, allowed):
            return []

    faulty = Words(words.searcher, words.schema)

    assert "words" in told(company, replace(snapshot, generation=replace(snapshot.generation, keywords=faulty)))


def test_a_tail_under_the_wrong_lists_is_found_out(company):
    index = company.index()
    snapshot = index.snapshot()
    assert len(snapshot.tail) == 0
    company.settings.cache_dir.mkdir(exist_ok=True)
    company.put("new.md", "badge neuf", acl_id=1)
    index.refresh()
    snapshot = index.snapshot()
    wrong = replace(snapshot.tail, acls=np.full(1, snapshot.generation.rows.acls[0]))

    assert told(company, snapshot) is None
    assert any(
        "does not let them read" in (told(company, replace(snapshot, tail=wrong, filters={})) or "") for _ in range(5)
    )


def test_an_index_that_has_other_lists_than_the_catalog_is_found_out(company):
    """As when something writes to the database beside the change log."""
    index = company.index()
    index.publish()
    with company.catalog.transaction() as session:
        session.execute(update(DocumentRow).values(acl_id=grants.interned(session, ())))

    assert "does not let them read" in told(company, index.snapshot())


# --- what happens then ----------------------------------------------------------------------------------------


def shift(path):
    """Make the generation one whose lists are shifted by a row, with every checksum right."""
    file = path / "acls.npy"
    np.save(file, np.roll(np.load(file), 1))
    manifest = json.loads((path / "manifest.json").read_bytes())
    manifest["files"]["acls.npy"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_a_generation_that_leaks_is_put_aside_and_the_older_one_answers(company, home, log_lines):
    index = company.index()
    index.publish()
    company.put("new.md", "secret merger", acl_id=1)
    expected = answers(company, index, QUESTIONS)
    index.publish(force=True)
    newest = max(home.iterdir(), key=lambda path: path.name)
    shift(newest)

    other = company.index()
    assert answers(company, other, QUESTIONS) == expected

    [alarm] = [line for line in log_lines() if line["level"] == "error"]
    assert (alarm["action"], alarm["generation"]) == ("permission_leak", newest.name)
    assert other.leak is not None
    assert other.snapshot().generation.path != newest
    assert not newest.exists()
    assert [path.name.startswith("bad-g-") for path in home.iterdir()].count(True) == 1

    assert other.publish(), "a leak makes a new one due"
    assert other.leak is None
    assert answers(company, other, QUESTIONS) == expected


def test_when_every_generation_leaks_all_is_searched_from_memory(company, home):
    index = company.index()
    index.publish()
    expected = answers(company, index, QUESTIONS)
    shift(next(home.iterdir()))

    other = company.index()

    assert answers(company, other, QUESTIONS) == expected
    assert other.snapshot().generation.path is None
    assert len(other.snapshot().tail) == 40


def test_a_leak_is_told_by_readiness_and_metrics_until_a_good_index_is_built(settings, sqlite_url, tmp_path):
    configured = settings(generations_kept=2)
    with face(configured) as found:
        found.filled()
        found.parts.index.publish()
        assert found.http.get("/readyz").json()["status"] == "ready"
    for path in configured.cache_dir.glob("*/g-*"):
        shift(path)
    with face(configured) as found:
        found.parts.index.refresh()
        ready = found.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "permission_leak")
        assert "metier_permission_leak 1.0" in found.http.get("/metrics").text
        assert found.http.post("/v1/search", json={"question": "paid leave"}).json()["passages"] != []

        found.parts.index.publish()
        assert found.http.get("/readyz").json()["status"] == "ready"
        assert "metier_permission_leak 0.0" in found.http.get("/metrics").text
