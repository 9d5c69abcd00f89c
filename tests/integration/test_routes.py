"""Every route: who may use it, and that its description is the one in docs/openapi.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from app import keys, specialists_access
from app.auth import HOOK_ROUTE, OPEN_ROUTES, PERMISSIONS, ROLES, SLACK_ROUTE
from app.server import create_app, openapi_document
from app.specialists import Asker
from app.tables import ApiKeyRow
from indexing import principals
from indexing.access import authorise
from indexing.tables import LOCAL_PRINCIPAL_ID, utc_now
from tests.faces import face

ROOT = Path(__file__).parent.parent.parent


def routes_of(router):
    """Every route, also of the routers that were included."""
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from routes_of(included)


def permissions_of(dependant):
    own = getattr(dependant.call, "permission", None)
    return ({own} if own else set()).union(*(permissions_of(d) for d in dependant.dependencies))


def described():
    """(method, path with ids filled in) of every operation in the description."""
    return [
        (method.upper(), path.replace("{source_id}", "1").replace("{uri}", "x.md").format_map(Filler()))
        for path, operations in openapi_document()["paths"].items()
        for method in operations
    ]


class Filler(dict):  # type: ignore[type-arg]
    def __missing__(self, key):
        return SPECIALIST if key == "name" else "1"


@pytest.fixture
def guarded(settings, sqlite_url):
    with face(settings(api_token="right-token")) as found:
        found.http.headers.pop("Authorization")
        yield found


def test_every_route_declares_a_permission_or_is_one_of_the_open_ones(settings, sqlite_url):
    with face(settings()) as found:
        declared = {r.path: permissions_of(r.dependant) for r in routes_of(create_app(found.parts).router)}

    without = {path for path, permissions in declared.items() if not permissions}
    assert without == OPEN_ROUTES
    assert set().union(*declared.values()) == PERMISSIONS
    assert len(declared) > 20


def test_every_route_but_the_open_ones_refuses_who_sends_no_token_or_a_wrong_one(guarded):
    for method, path in [*described(), ("GET", "/openapi.json")]:
        if path in OPEN_ROUTES:
            assert guarded.http.request(method, path).status_code in OPEN
            continue
        for header in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic right-token"},
            {"Authorization": "Bearer "},
            {"Authorization": "Bearer rïght-token".encode()},
        ):
            response = guarded.http.request(method, path, headers=header)
            assert response.status_code == 401, (method, path, header)
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert "right-token" not in response.text


#: Identity → its role, and the permissions that its key was given; no role: it has no key.
IDENTITIES: dict[str, tuple[str | None, frozenset[str]]] = {
    "anonymous": (None, frozenset()),
    "wrong token": (None, frozenset()),
    "suspended": ("reader", PERMISSIONS),
    "revoked": ("reader", PERMISSIONS),
    "expired": ("reader", PERMISSIONS),
    "operator with a key for metrics": ("operator", frozenset({"observe"})),
    "reader with a key to read": ("reader", ROLES["reader"]),
    "reader with a key for everything": ("reader", PERMISSIONS),
    "curator of it": ("reader", PERMISSIONS),
    "curator of it with a key to read": ("reader", frozenset({"ask", "read"})),
    "curator of another": ("reader", PERMISSIONS),
    "operator": ("operator", PERMISSIONS),
    "admin": ("admin", PERMISSIONS),
}
#: The specialist in the paths below, and who may ask and change it; operators may too.
SPECIALIST = "sales"
MAY_ASK = {"curator of it", "curator of it with a key to read", "operator", "admin"}
MAY_CURATE = {"curator of it", "operator", "admin"}
MASTER = {"Authorization": "Bearer right-token"}
#: Without a body these would be refused before anybody looks at who asks for which specialist.
BODIES = {
    ("POST", "/v1/specialists/{name}/versions"): {"instructions": "Be brief."},
    ("PUT", "/v1/specialists/{name}/access"): {"askers": []},
}
#: What an open route answers: it is up, or not yet; and without an identity provider there is no signing in.
OPEN = {200, 503, 404}
REFUSED = {"anonymous", "wrong token", "suspended", "revoked", "expired"}


def headers_of(catalog):
    """The headers of each identity."""
    found = {"anonymous": {}, "wrong token": {"Authorization": "Bearer wrong"}}
    with catalog.transaction() as session:
        for name, (role, given) in IDENTITIES.items():
            if role is None:
                continue
            owner = principals.add_principal(session, "user", name, role=role)
            record, text = keys.create_key(session, owner, given)
            found[name] = {"Authorization": f"Bearer {text}"}
            if name == "revoked":
                keys.revoke_key(session, record.public_id)
            elif name == "expired":
                past = update(ApiKeyRow).where(ApiKeyRow.public_id == record.public_id).values(expires_at=utc_now())
                session.execute(past)
            elif name == "suspended":
                principals.set_state(session, owner.id, "suspended")
    return found


def make_specialists(guarded):
    """Make the specialist of the paths, and another with another curator, unless they are there; and a golden set."""
    for name, curators in ((SPECIALIST, ["curator of it", "curator of it with a key to read"]), ("other", [])):
        if guarded.http.post("/v1/specialists", json={"name": name}, headers=MASTER).status_code != 201:
            continue
        with guarded.parts.catalog.transaction() as session:
            me = Asker(authorise(session, LOCAL_PRINCIPAL_ID), every=True)
            listed = curators or ["curator of another"]
            specialists_access.put_on_list(session, me, name, "curators", listed)
    golden = {"questions": [{"question": "Why?", "answers": ["So."]}]}
    assert guarded.http.put(f"/v1/specialists/{SPECIALIST}/golden", json=golden, headers=MASTER).status_code == 200


def expected_of(template, permissions, identity, status):
    """Whether the status is right for this identity at this route."""
    role, given = IDENTITIES[identity]
    if template in {HOOK_ROUTE, SLACK_ROUTE}:  # nobody's key opens them
        return status == 401
    if template in OPEN_ROUTES:
        return status in OPEN
    if identity in REFUSED or role is None:
        return status == 401
    if not permissions <= ROLES[role] & given:
        return status == 403
    if "{name}" not in template:
        return status not in {401, 403}
    allowed = MAY_ASK if permissions == {"read"} else MAY_CURATE
    return (status not in {401, 403, 404}) if identity in allowed else status == 404


def test_every_route_lets_in_who_has_its_permission_and_nobody_else(guarded):
    """The table of routes and identities, made of the routes that there are: no wrong allow, no wrong deny."""
    headers = headers_of(guarded.parts.catalog)
    make_specialists(guarded)
    needed = {
        (method, route.path): permissions_of(route.dependant)
        for route in routes_of(create_app(guarded.parts).router)
        for method in route.methods
    }
    wrong = []
    for (method, template), permissions in sorted(needed.items()):
        path = template.replace("{source_id}", "1").replace("{uri:path}", "x.md").format_map(Filler())
        for identity in IDENTITIES:
            body = BODIES.get((method, template))
            status = guarded.http.request(method, path, json=body, headers=headers[identity]).status_code
            if method == "DELETE" and template.startswith("/v1/specialists/{name}"):
                make_specialists(guarded)
            if not expected_of(template, permissions, identity, status):
                wrong.append((method, template, identity, status))

    assert wrong == []
    assert len(needed) * len(IDENTITIES) > 300


def test_the_right_token_lets_in(guarded):
    response = guarded.http.get("/v1/sources", headers={"Authorization": "Bearer right-token"})

    assert response.status_code == 200


def test_the_openai_routes_refuse_a_wrong_key_in_openai_s_shape(guarded):
    error = guarded.http.get("/v1/models", headers={"Authorization": "Bearer wrong"}).json()["error"]

    assert error["code"] == "not_allowed"


def test_the_description_in_docs_is_what_the_program_serves():
    stored = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))

    assert stored == openapi_document(), "run: metier openapi > docs/openapi.json"


def test_operations_have_neat_ids_and_summaries_and_bodies_have_examples():
    document = openapi_document()
    operations = [o for methods in document["paths"].values() for o in methods.values()]
    ids = [o["operationId"] for o in operations]

    assert len(set(ids)) == len(ids)
    assert all(i.isidentifier() and i == i.lower() for i in ids)
    assert all(o.get("summary") and o.get("description") and o.get("tags") for o in operations)
    bodies = {
        reference.rpartition("/")[2]
        for o in operations
        for content in [o.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})]
        for reference in [content.get("$ref") or next((a["$ref"] for a in content.get("anyOf", []) if "$ref" in a), "")]
        if reference
    }
    schemas = document["components"]["schemas"]
    assert {b for b in bodies if not schemas[b].get("examples")} == set()


def test_request_bodies_refuse_unknown_fields_except_those_of_openai_clients():
    schemas = openapi_document()["components"]["schemas"]
    open_ones = {
        name for name, s in schemas.items() if name.endswith("In") and s.get("additionalProperties") is not False
    }

    assert open_ones == {"ChatIn"}
