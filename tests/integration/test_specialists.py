from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import BadRequest, Conflict, NotFound
from app.specialists import (
    DEFAULT,
    Specialist,
    add_version,
    create_specialist,
    delete_specialist,
    promote,
    specialist,
    specialists,
    versions,
)
from indexing import store

HR = Specialist("hr", sources=("handbook",), instructions="Be kind.", top_k=5, threshold=0.7)


@pytest.fixture
def with_source(catalog):
    with catalog.transaction() as session:
        store.add_source(session, "handbook", "folder", "/handbook")
    return catalog


def test_built_in_specialist_exists_without_a_row(catalog):
    with catalog.reading() as session:
        assert specialist(session, "metier") == DEFAULT
        assert specialists(session) == [DEFAULT]
        assert versions(session, "metier") == [DEFAULT]


def test_created_specialist_is_version_one_and_read_back_as_it_was(with_source):
    with with_source.transaction() as session:
        assert create_specialist(session, HR) == replace(HR, version=1)
    with with_source.reading() as session:
        assert specialist(session, "hr") == replace(HR, version=1)
        assert specialists(session) == [DEFAULT, replace(HR, version=1)]


def test_new_version_answers_from_now_on_and_the_old_one_stays_as_it_was(with_source):
    with with_source.transaction() as session:
        create_specialist(session, HR)
        second = add_version(session, replace(HR, instructions="Be brief."))
    with with_source.reading() as session:
        assert (second.version, second.instructions) == (2, "Be brief.")
        assert specialist(session, "hr") == second
        assert specialist(session, "hr", 1) == replace(HR, version=1)
        assert versions(session, "hr") == [replace(HR, version=1), second]


def test_rollback_promotes_an_older_version_and_the_next_version_gets_a_new_number(with_source):
    with with_source.transaction() as session:
        create_specialist(session, HR)
        add_version(session, replace(HR, top_k=9))
        assert promote(session, "hr", 1).top_k == 5
        assert specialist(session, "hr").version == 1
        assert add_version(session, HR).version == 3


def test_deleted_specialist_is_not_found_and_its_name_is_free(with_source):
    with with_source.transaction() as session:
        create_specialist(session, HR)
        delete_specialist(session, "hr")
        with pytest.raises(NotFound, match="hr"):
            specialist(session, "hr")
        assert create_specialist(session, HR).version == 1


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (replace(HR, name="HR team"), "HR team"),
        (replace(HR, name=""), "''"),
        (replace(HR, name="a" * 101), "aaa"),
        (replace(HR, sources=("handbook", "nowhere")), "nowhere"),
        (replace(HR, top_k=0), "top_k"),
        (replace(HR, top_k=51), "top_k"),
        (replace(HR, threshold=1.1), "threshold"),
        (replace(HR, instructions="x" * 8001), "instructions"),
    ],
)
def test_unusable_field_is_named(with_source, wanted, said):
    with with_source.transaction() as session, pytest.raises(BadRequest, match=said):
        create_specialist(session, wanted)


@pytest.mark.parametrize("name", ["hr", "metier"])
def test_taken_name_is_a_conflict(with_source, name):
    with with_source.transaction() as session:
        create_specialist(session, HR)
    with with_source.transaction() as session, pytest.raises(Conflict, match=name):
        create_specialist(session, replace(HR, name=name))


def test_built_in_specialist_cannot_be_changed_or_deleted(catalog):
    with catalog.transaction() as session:
        for change in (
            lambda: add_version(session, Specialist("metier")),
            lambda: delete_specialist(session, "metier"),
            lambda: promote(session, "metier", 1),
        ):
            with pytest.raises(Conflict, match="built in"):
                change()


def test_unknown_name_or_version_is_not_found(with_source):
    with with_source.transaction() as session:
        create_specialist(session, HR)
        for look in (
            lambda: specialist(session, "law"),
            lambda: specialist(session, "hr", 2),
            lambda: specialist(session, "metier", 2),
            lambda: versions(session, "law"),
            lambda: add_version(session, replace(HR, name="law")),
            lambda: promote(session, "hr", 7),
            lambda: delete_specialist(session, "law"),
        ):
            with pytest.raises(NotFound):
                look()
