"""API keys: shown once, kept as a hash, and good for nothing once anything about them is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text, update

from app import keys
from app.auth import ROLES
from app.errors import BadRequest, NotFound
from app.tables import ApiKeyRow
from indexing import principals
from indexing.tables import utc_now
from tests.faces import face


@pytest.fixture
def ann(catalog):
    with catalog.transaction() as session:
        return principals.add_principal(session, "user", "ann")


def make(session, owner, **options):
    return keys.create_key(session, owner, {"ask"}, **options)


def test_a_key_is_its_principal_s_and_only_its_hash_is_kept(catalog, ann):
    with catalog.transaction() as session:
        record, given = make(session, ann, label="report")

    with catalog.reading() as session:
        found = keys.bearer(session, given)
        stored = str(session.execute(text("SELECT * FROM api_key")).all())

    assert found is not None
    assert (found.principal.name, set(found.permissions)) == ("ann", {"ask"})
    secret = given.removeprefix(f"metier_{record.public_id}_")  # it may hold "_" itself
    assert len(secret) == 43
    assert secret not in stored
    assert record.public_id in stored
    assert len(given) == len("metier_") + 16 + 1 + 43


def test_a_key_with_any_character_changed_opens_nothing(catalog, ann):
    with catalog.transaction() as session:
        _, given = make(session, ann)
        changed = [
            given[:i] + c + given[i + 1 :] for i in range(len(given)) for c in ("x", "0", "é", "") if given[i] != c
        ]
        wrong = [*changed, given + "A", given.upper(), f" {given}", "", "metier_", "metier_" + "0" * 60, "\ud800"]

        assert [text for text in wrong if keys.bearer(session, text)] == []


@pytest.mark.parametrize("what", ["revoked", "expired", "suspended"])
def test_a_key_that_was_revoked_has_expired_or_is_of_a_suspended_principal_opens_nothing(catalog, ann, what):
    with catalog.transaction() as session:
        record, given = make(session, ann, expires_at=utc_now() + timedelta(days=1))
        assert keys.bearer(session, given)
        if what == "revoked":
            keys.revoke_key(session, record.public_id)
        elif what == "expired":
            session.execute(update(ApiKeyRow).values(expires_at=utc_now()))
        else:
            principals.set_state(session, ann.id, "suspended")

        assert keys.bearer(session, given) is None


def test_keys_that_make_no_sense_are_not_made(catalog, ann):
    with catalog.transaction() as session:
        group = principals.add_principal(session, "group", "staff")
        for options in ({"expires_at": utc_now()}, {"label": "x" * 101}):
            with pytest.raises(BadRequest):
                make(session, ann, **options)
        with pytest.raises(BadRequest, match="for users and services"):
            make(session, group)
        with pytest.raises(BadRequest, match="without a permission"):
            keys.create_key(session, ann, set())
        with pytest.raises(NotFound):
            keys.revoke_key(session, "0" * 16)


@pytest.mark.parametrize("role", ROLES)
def test_a_key_allows_what_it_was_given_and_its_role_allows(settings, sqlite_url, role):
    with face(settings(api_token="master")) as found:
        with found.parts.catalog.transaction() as session:
            owner = principals.add_principal(session, "service", "bot", role=role)
            _, narrow = keys.create_key(session, owner, {"read"})
            _, wide = keys.create_key(session, owner, ROLES["admin"])
        tried = {
            "read": lambda headers: found.http.get("/v1/documents", headers=headers),
            "observe": lambda headers: found.http.get("/metrics", headers=headers),
            "operate": lambda headers: found.http.post("/v1/specialists", json={"name": "x y"}, headers=headers),
            "admin": lambda headers: found.http.get("/v1/keys", headers=headers),
        }
        for key, allowed in ((narrow, ROLES[role] & {"read"}), (wide, ROLES[role])):
            for permission, request in tried.items():
                status = request({"Authorization": f"Bearer {key}"}).status_code
                assert (status != 403) == (permission in allowed), (role, permission, status)
                assert status != 401


def test_a_wrong_key_is_refused_also_where_the_server_is_open(settings, sqlite_url):
    with face(settings()) as found:
        assert found.http.get("/v1/documents").status_code == 200
        for header in ("Bearer metier_0000000000000000_" + "A" * 43, "Bearer metier_", "Basic metier_x"):
            assert found.http.get("/v1/documents", headers={"Authorization": header}).status_code == 401


def test_the_server_s_own_token_may_look_like_a_key(settings, sqlite_url):
    with face(settings(api_token="metier_of_our_own")) as found:
        assert found.http.get("/v1/documents").status_code == 200
        wrong = {"Authorization": "Bearer metier_of_others"}
        assert found.http.get("/v1/documents", headers=wrong).status_code == 401


def test_a_suspended_local_user_is_refused_with_the_token_too(settings, sqlite_url):
    with face(settings(api_token="master")) as found:
        with found.parts.catalog.transaction() as session:
            principals.set_state(session, 1, "suspended")

        assert found.http.get("/v1/documents").status_code == 401


def test_keys_are_made_listed_and_revoked_over_rest(settings, sqlite_url):
    with face(settings(api_token="master")) as found:
        with found.parts.catalog.transaction() as session:
            principals.add_principal(session, "service", "bot")
        made = found.http.post("/v1/keys", json={"principal": "bot", "label": "night"})
        given = made.json()["key"]
        mine = {"Authorization": f"Bearer {given}"}

        assert made.status_code == 201
        assert found.http.get("/v1/documents", headers=mine).json() == {"documents": [], "next_after": None}
        assert given not in found.http.get("/v1/keys").text
        assert found.http.delete(f"/v1/keys/{made.json()['id']}").status_code == 204
        assert found.http.get("/v1/documents", headers=mine).status_code == 401
        for body in ({"principal": "nobody"}, {"principal": "bot", "permissions": ["fly"]}):
            assert found.http.post("/v1/keys", json=body).status_code in {400, 404}
