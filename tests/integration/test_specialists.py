from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import BadRequest, Conflict, NotFound
from app.specialists import (
    DEFAULT,
    Asker,
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
from indexing.access import authorise
from indexing.tables import LOCAL_PRINCIPAL_ID

HR = Specialist("hr", sources=("handbook",), instructions="Be kind.", top_k=5, threshold=0.7)


def me(session):
    """The local user, as operator."""
    return Asker(authorise(session, LOCAL_PRINCIPAL_ID), every=True)


@pytest.fixture
def with_source(catalog):
    with catalog.transaction() as session:
        store.add_source(session, "handbook", "folder", "/handbook")
    return catalog


def test_built_in_specialist_exists_without_a_row(catalog):
    with catalog.reading() as session:
        assert specialist(session, me(session), "metier") == DEFAULT
        assert specialists(session, me(session)) == [DEFAULT]
        assert versions(session, me(session), "metier") == [DEFAULT]


def test_created_specialist_is_version_one_and_read_back_as_it_was(with_source):
    with with_source.transaction() as session:
        assert create_specialist(session, me(session), HR) == replace(HR, version=1)
    with with_source.reading() as session:
        assert specialist(session, me(session), "hr") == replace(HR, version=1)
        assert specialists(session, me(session)) == [DEFAULT, replace(HR, version=1)]


def test_new_version_answers_from_now_on_and_the_old_one_stays_as_it_was(with_source):
    with with_source.transaction() as session:
        create_specialist(session, me(session), HR)
        second = add_version(session, me(session), replace(HR, instructions="Be brief."))
    with with_source.reading() as session:
        assert (second.version, second.instructions) == (2, "Be brief.")
        assert specialist(session, me(session), "hr") == second
        assert specialist(session, me(session), "hr", 1) == replace(HR, version=1)
        assert versions(session, me(session), "hr") == [replace(HR, version=1), second]


def test_rollback_promotes_an_older_version_and_the_next_version_gets_a_new_number(with_source):
    with with_source.transaction() as session:
        create_specialist(session, me(session), HR)
        add_version(session, me(session), replace(HR, top_k=9))
        assert promote(session, me(session), "hr", 1).top_k == 5
        assert specialist(session, me(session), "hr").version == 1
        assert add_version(session, me(session), HR).version == 3


def test_deleted_specialist_is_not_found_and_its_name_is_free(with_source):
    with with_source.transaction() as session:
        create_specialist(session, me(session), HR)
        delete_specialist(session, me(session), "hr")
        with pytest.raises(NotFound, match="hr"):
            specialist(session, me(session), "hr")
        assert create_specialist(session, me(session), HR).version == 1


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
        create_specialist(session, me(session), wanted)


@pytest.mark.parametrize("name", ["hr", "metier"])
def test_taken_name_is_a_conflict(with_source, name):
    with with_source.transaction() as session:
        create_specialist(session, me(session), HR)
    with with_source.transaction() as session, pytest.raises(Conflict, match=name):
        create_specialist(session, me(session), replace(HR, name=name))


def test_built_in_specialist_cannot_be_changed_or_deleted(catalog):
    with catalog.transaction() as session:
        for change in (
            lambda: add_version(session, me(session), Specialist("metier")),
            lambda: delete_specialist(session, me(session), "metier"),
            lambda: promote(session, me(session), "metier", 1),
        ):
            with pytest.raises(Conflict, match="built in"):
                change()


def test_unknown_name_or_version_is_not_found(with_source):
    with with_source.transaction() as session:
        create_specialist(session, me(session), HR)
        for look in (
            lambda: specialist(session, me(session), "law"),
            lambda: specialist(session, me(session), "hr", 2),
            lambda: specialist(session, me(session), "metier", 2),
            lambda: versions(session, me(session), "law"),
            lambda: add_version(session, me(session), replace(HR, name="law")),
            lambda: promote(session, me(session), "hr", 7),
            lambda: delete_specialist(session, me(session), "law"),
        ):
            with pytest.raises(NotFound):
                look()
