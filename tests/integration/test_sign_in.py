"""Signing in with the company's identity provider: the way in, every forged way in, sessions, and the first admin."""

from __future__ import annotations

import hmac
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import select, update

from app import audit, sessions, sign_in
from app.cli_serve import first_admin_token
from app.identity_provider import IdentityProvider
from app.tables import SessionRow
from indexing import principals
from indexing.errors import SettingsError
from indexing.tables import utc_now
from tests.faces import face
from tests.identity_provider import CLIENT, ISSUER, PUBLIC, SECRET, SETTINGS, Provider, by_hand

COOKIE = "__Host-metier"


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def company(settings, sqlite_url, provider):
    with face(settings(**SETTINGS)) as found:
        found.http.base_url = PUBLIC
        registered = found.parts.settings.registration
        assert registered is not None
        application: Any = found.http.app
        application.state.identity_provider = IdentityProvider(registered, PUBLIC, provider.transport)
        yield found


def sign_in_as(company, provider, subject="u1", **claims):
    """Go the whole way and return the last response."""
    provider.claims = {"sub": subject, "name": subject.upper()} | claims
    sent = company.http.get("/v1/sign-in?return_to=/hello", follow_redirects=False)
    assert sent.status_code == 303, sent.text
    return company.http.get(provider.authorise(sent.headers["location"]), follow_redirects=False)


def known(company):
    with company.parts.catalog.reading() as session:
        return {p.name: p for p in principals.principals(session) if p.issuer == ISSUER}


def recorded(company):
    """The actions in the audit log of those who signed in."""
    with company.parts.catalog.reading() as session:
        ours = {p.id for p in known(company).values()}
        return [line.action for line in audit.lines(session) if line.principal_id in ours]


def csrf(company):
    return {"X-CSRF-Token": company.http.get("/v1/session").json()["csrf_token"]}


# --- the way in -------------------------------------------------------------------------------------------------


def test_who_signs_in_is_a_reader_by_issuer_and_subject_and_comes_back_to_where_they_were(company, provider):
    response = sign_in_as(company, provider, "u1", email="ann@example.com")

    assert (response.status_code, response.headers["location"]) == (303, "/hello")
    me = company.http.get("/v1/session").json()
    assert (me["issuer"], me["name"], me["display"], me["role"]) == (ISSUER, "u1", "U1", "reader")
    assert me["permissions"] == ["ask", "curate", "read"]
    assert company.http.get("/v1/sources").json() == {"sources": []}


def test_the_cookie_is_for_this_host_over_https_and_out_of_reach_of_scripts(company, provider):
    cookies = sign_in_as(company, provider).headers.get_list("set-cookie")
    session = next(c for c in cookies if c.startswith(COOKIE))

    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(session.split("; "))
    assert "Domain" not in session


def test_the_same_subject_is_the_same_person_whatever_the_name_and_the_mail_say(company, provider):
    sign_in_as(company, provider, "u1", name="Ann", email="a@example.com")
    sign_in_as(company, provider, "u2", name="Ann", email="a@example.com")
    sign_in_as(company, provider, "u1", name="Ann Martin", email="b@example.com")

    assert {name: p.display for name, p in known(company).items()} == {"u1": "Ann Martin", "u2": "Ann"}


def test_groups_of_the_provider_are_followed_and_others_left_alone(company, provider):
    sign_in_as(company, provider, groups=["staff", "board"])
    with company.parts.catalog.transaction() as session:
        ours = principals.add_principal(session, "group", "ours")
        principals.join_group(session, ours, known(company)["u1"])

    def groups():
        with company.parts.catalog.reading() as session:
            return [g.display for g in principals.groups_of(session, known(company)["u1"].id)]

    assert sorted(groups()) == ["board", "ours", "staff"]
    sign_in_as(company, provider, groups=["board"])
    assert sorted(groups()) == ["board", "ours"]
    sign_in_as(company, provider)  # it says nothing about groups
    assert sorted(groups()) == ["board", "ours"]


def test_a_person_who_is_called_like_a_group_is_not_that_group(company, provider):
    sign_in_as(company, provider, "u1", groups=["staff"])
    sign_in_as(company, provider, "group:staff")

    assert known(company)["group:staff"].kind == "group"
    assert company.http.get("/v1/session").json()["name"] == "u1"  # nobody new has come in


def test_nothing_is_fetched_before_somebody_signs_in_and_keys_are_kept(company, provider):
    company.http.get("/v1/sources")
    assert provider.requests == []

    for subject in ("u1", "u2", "u3"):
        sign_in_as(company, provider, subject)

    assert provider.requests.count("/keys") == 1


def test_a_key_that_the_provider_has_since_is_fetched(company, provider):
    sign_in_as(company, provider)
    identity = company.http.app.state.identity_provider
    provider.published = [provider.elliptic]
    provider.forge = lambda p, nonce: p.token(nonce, key=p.elliptic, header={"alg": "ES256", "kid": "k2"})
    assert sign_in_as(company, provider).status_code == 303

    provider.elliptic = type(provider.elliptic).generate_key("P-256", {"kid": "k3", "use": "sig"})
    provider.published = [provider.elliptic]
    provider.forge = lambda p, nonce: p.token(nonce, key=p.elliptic, header={"alg": "ES256", "kid": "k3"})
    assert sign_in_as(company, provider).status_code == 401  # it looked a moment ago
    identity._known = type(identity._known)(identity._known.metadata, identity._known.keys, time.monotonic() - 61)
    assert sign_in_as(company, provider).status_code == 303


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("/a?b=c#d", "/a?b=c#d"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("/é", "/"),
        ("", "/"),
    ],
)
def test_one_comes_back_to_a_path_of_ours_only(asked, expected):
    assert sign_in.new_visit(asked).return_to == expected


# --- forged ways in ---------------------------------------------------------------------------------------------


def unsigned(p, nonce, alg="none", signature=b""):
    return by_hand({"alg": alg, "kid": "k1"}, p.honest(nonce), lambda data: signature)


def signed_with_text(p, nonce, secret, name):
    return by_hand({"alg": f"HS{name[3:]}", "kid": "k1"}, p.honest(nonce), lambda data: hmac.digest(secret, data, name))


def own_key_in_header(p, nonce, **header):
    return p.token(nonce, key=p.foreign, header=header)


def nested(p, nonce):
    inner = p.token(nonce)
    return p.token(nonce, header={"cty": "JWT"}, sub=inner)


def now():
    return int(time.time())


#: What a forger sends in place of an ID token, by what is wrong with it.
FORGED = {
    "no token": lambda p, n: None,
    "empty": lambda p, n: "",
    "no dots": lambda p, n: "abc",
    "two parts": lambda p, n: ".".join(p.token(n).split(".")[:2]),
    "four parts": lambda p, n: p.token(n) + ".x",
    "not base64": lambda p, n: "a.ü.c",
    "a number": lambda p, n: 17,
    "a list": lambda p, n: [p.token(n)],
    "alg none": unsigned,
    "alg None": lambda p, n: unsigned(p, n, "None"),
    "alg NONE": lambda p, n: unsigned(p, n, "NONE"),
    "alg empty": lambda p, n: unsigned(p, n, ""),
    "alg null": lambda p, n: unsigned(p, n, None),
    "alg a list": lambda p, n: unsigned(p, n, ["RS256"]),
    "alg RS256 without signature": lambda p, n: unsigned(p, n, "RS256"),
    "alg unknown": lambda p, n: unsigned(p, n, "RS999", b"AAAA"),
    "HS256 with the public key": lambda p, n: signed_with_text(p, n, p.key.as_pem(private=False), "sha256"),
    "HS512 with the public key": lambda p, n: signed_with_text(p, n, p.key.as_pem(private=False), "sha512"),
    "HS256 with the client secret": lambda p, n: signed_with_text(p, n, SECRET.encode(), "sha256"),
    "another key of that id": lambda p, n: p.token(n, key=p.foreign),
    "another key of an unknown id": lambda p, n: p.token(n, key=p.foreign, header={"kid": "k9"}),
    "another key without id": lambda p, n: p.token(n, key=p.foreign, header={"kid": None}),
    "an id that is a path": lambda p, n: p.token(n, key=p.foreign, header={"kid": "../../dev/null"}),
    "an id that is SQL": lambda p, n: p.token(n, key=p.foreign, header={"kid": "k1' OR '1'='1"}),
    "its own key in jwk": lambda p, n: own_key_in_header(p, n, jwk=p.foreign.as_dict(private=False)),
    "its own key by jku": lambda p, n: own_key_in_header(p, n, jku="https://evil.example/keys"),
    "its own key by x5u": lambda p, n: own_key_in_header(p, n, x5u="https://evil.example/cert"),
    "its own key in x5c": lambda p, n: own_key_in_header(p, n, x5c=["MIIB"]),
    "the elliptic key's id, signed by RSA": lambda p, n: p.token(n, header={"kid": "k2"}),
    "an unknown critical header": lambda p, n: p.token(n, header={"crit": ["evil"], "evil": True}),
    "signature cut": lambda p, n: p.token(n)[:-8],
    "signature of another token": lambda p, n: p.token(n, sub="x").rpartition(".")[0] + "." + p.token(n).split(".")[2],
    "claims of another token": lambda p, n: ".".join(
        (p.token(n).split(".")[0], p.token(n, sub="x").split(".")[1], p.token(n).split(".")[2])
    ),
    "header of another token": lambda p, n: unsigned(p, n, "RS512").split(".")[0] + "." + p.token(n).split(".", 1)[1],
    "an access token": lambda p, n: p.token(n, header={"typ": "at+jwt"}),
    "a logout token": lambda p, n: p.token(n, header={"typ": "logout+jwt"}),
    "iss of another": lambda p, n: p.token(n, iss="https://evil.example"),
    "iss with a slash": lambda p, n: p.token(n, iss=ISSUER + "/"),
    "iss in capitals": lambda p, n: p.token(n, iss=ISSUER.upper()),
    "iss as a list": lambda p, n: p.token(n, iss=[ISSUER]),
    "iss empty": lambda p, n: p.token(n, iss=""),
    "no iss": lambda p, n: p.token(n, without=["iss"]),
    "aud of another": lambda p, n: p.token(n, aud="another"),
    "aud empty": lambda p, n: p.token(n, aud=[]),
    "aud null": lambda p, n: p.token(n, aud=None),
    "aud that begins like ours": lambda p, n: p.token(n, aud=CLIENT + "x"),
    "aud several without azp": lambda p, n: p.token(n, aud=[CLIENT, "another"]),
    "aud several with azp of another": lambda p, n: p.token(n, aud=[CLIENT, "another"], azp="another"),
    "no aud": lambda p, n: p.token(n, without=["aud"]),
    "azp of another": lambda p, n: p.token(n, azp="another"),
    "azp empty": lambda p, n: p.token(n, azp=""),
    "nonce of another": lambda p, n: p.token("another"),
    "nonce empty": lambda p, n: p.token(""),
    "no nonce": lambda p, n: p.token(n, without=["nonce"]),
    "nonce as a list": lambda p, n: p.token([n]),
    "expired": lambda p, n: p.token(n, exp=now() - 120),
    "exp as text": lambda p, n: p.token(n, exp="tomorrow"),
    "no exp": lambda p, n: p.token(n, without=["exp"]),
    "not yet": lambda p, n: p.token(n, nbf=now() + 600),
    "from the future": lambda p, n: p.token(n, iat=now() + 3600),
    "no iat": lambda p, n: p.token(n, without=["iat"]),
    "no sub": lambda p, n: p.token(n, without=["sub"]),
    "sub empty": lambda p, n: p.token(n, sub=""),
    "sub a number": lambda p, n: p.token(n, sub=1),
    "sub a list": lambda p, n: p.token(n, sub=["u1"]),
    "sub null": lambda p, n: p.token(n, sub=None),
    "sub too long": lambda p, n: p.token(n, sub="x" * 256),
    "sub with NUL": lambda p, n: p.token(n, sub="u1\x00"),
    "sub with a line end": lambda p, n: p.token(n, sub="u1\n"),
    "nested": nested,
    "groups as text": lambda p, n: p.token(n, groups="admins"),
    "groups of numbers": lambda p, n: p.token(n, groups=[1]),
    "a group too long to keep": lambda p, n: p.token(n, groups=["x" * 241]),
    "groups without end": lambda p, n: p.token(n, groups=[str(i) for i in range(2001)]),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_a_forged_token_lets_nobody_in(company, provider, forgery):
    provider.forge = FORGED[forgery]

    response = sign_in_as(company, provider)

    assert response.status_code == 401, response.text
    assert COOKIE not in response.cookies
    assert known(company) == {}
    assert company.http.get("/v1/session").status_code == 401


def test_there_are_sixty_forged_tokens_and_the_honest_one_is_let_in(company, provider):
    assert len(FORGED) >= 60
    provider.forge = lambda p, nonce: p.token(nonce)
    assert sign_in_as(company, provider).status_code == 303


def callback(company, provider, change):
    """Begin honestly, and come back with the callback's query changed."""
    sent = company.http.get("/v1/sign-in", follow_redirects=False)
    path, _, query = provider.authorise(sent.headers["location"]).partition("?")
    fields = dict(each.split("=") for each in query.split("&"))
    change(fields)
    return company.http.get(path, params=fields, follow_redirects=False)


CHANGES = {
    "state of another": lambda f: f.update(state="another"),
    "state empty": lambda f: f.update(state=""),
    "no state": lambda f: f.pop("state"),
    "state longer": lambda f: f.update(state=f["state"] + "x"),
    "another code": lambda f: f.update(code="another"),
    "no code": lambda f: f.pop("code"),
    "another issuer (RFC 9207)": lambda f: f.update(iss="https://evil.example"),
    "an error": lambda f: (f.pop("code"), f.update(error="access_denied")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_way_back_lets_nobody_in(company, provider, change):
    assert callback(company, provider, CHANGES[change]).status_code == 401
    assert known(company) == {}


def test_the_answer_to_another_browser_lets_nobody_in(company, provider):
    sent = company.http.get("/v1/sign-in", follow_redirects=False)
    company.http.cookies.clear()
    assert company.http.get(provider.authorise(sent.headers["location"]), follow_redirects=False).status_code == 401

    company.http.get("/v1/sign-in", follow_redirects=False)  # this browser's own
    assert company.http.get(provider.authorise(sent.headers["location"]), follow_redirects=False).status_code == 401


def test_a_code_is_good_once_and_a_visit_for_ten_minutes(company, provider):
    sent = company.http.get("/v1/sign-in", follow_redirects=False)
    cookie = company.http.cookies["metier_sign_in"]
    back = provider.authorise(sent.headers["location"])
    assert company.http.get(back, follow_redirects=False).status_code == 303
    company.http.cookies.set("metier_sign_in", cookie, path="/v1/sign-in")
    assert company.http.get(back, follow_redirects=False).status_code == 401

    secret = SECRET
    old = jwt.encode(
        {"alg": "HS256"},
        {"s": "s", "n": "n", "v": "v", "r": "/", "exp": now() - 1},
        OctKey.import_key(sign_in._key(secret)),
    )
    for forged in (old, old[:-2], "", jwt.encode({"alg": "HS256"}, {"s": "s"}, OctKey.import_key("guessed" * 5))):
        company.http.cookies.set("metier_sign_in", forged, path="/v1/sign-in")
        assert company.http.get("/v1/sign-in/callback?code=x&state=s", follow_redirects=False).status_code == 401


def test_a_provider_that_is_away_or_calls_itself_otherwise_is_told(company, provider):
    provider.metadata["issuer"] = "https://another.example"
    response = company.http.get("/v1/sign-in", follow_redirects=False)

    assert response.status_code == 502
    assert "METIER_IDENTITY_PROVIDER" in response.json()["remedy"]


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_an_address_of_the_provider_that_anybody_can_read_along_is_not_used(company, provider, name):
    provider.metadata[name] = provider.metadata[name].replace("https", "http")
    provider.claims = {"sub": "u1"}
    response = company.http.get("/v1/sign-in", follow_redirects=False)
    if response.status_code == 303:
        response = company.http.get(provider.authorise(response.headers["location"]), follow_redirects=False)

    assert response.status_code == 502
    assert known(company) == {}


# --- sessions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),  # without the token
        ({"X-CSRF-Token": "wrong"}, 403),
        ({"X-CSRF-Token": ""}, 403),
        ({"X-CSRF-Token": "é".encode("latin-1")}, 403),
        ({"X-CSRF-Token": "right"}, 200),
        ({"X-CSRF-Token": "right", "Origin": PUBLIC}, 200),
        ({"X-CSRF-Token": "right", "Origin": "https://evil.example"}, 403),
        ({"X-CSRF-Token": "right", "Origin": "null"}, 403),
        ({"X-CSRF-Token": "right", "Origin": PUBLIC + ".evil.example"}, 403),
        ({"X-CSRF-Token": "right", "Origin": PUBLIC.replace("https", "http")}, 403),
        ({"X-CSRF-Token": "right", "Authorization": "Bearer wrong"}, 401),  # a credential that is sent counts alone
    ],
)
def test_a_change_in_a_session_comes_from_a_page_of_ours(company, provider, headers, status):
    sign_in_as(company, provider)
    right = csrf(company)["X-CSRF-Token"]
    sent = {name: right if value == "right" else value for name, value in headers.items()}

    response = company.http.post("/v1/search", json={"question": "How many days?"}, headers=sent)

    assert response.status_code == status, response.text


def test_the_token_of_another_session_is_not_good(company, provider):
    sign_in_as(company, provider, "u1")
    other = csrf(company)
    sign_in_as(company, provider, "u2")

    assert company.http.post("/v1/search", json={"question": "How many?"}, headers=other).status_code == 403


def test_who_signs_out_is_out_and_the_cookie_opens_nothing_more(company, provider):
    sign_in_as(company, provider)
    cookie = company.http.cookies[COOKIE]
    assert company.http.delete("/v1/session").status_code == 403
    assert company.http.delete("/v1/session", headers=csrf(company)).status_code == 204

    company.http.cookies.set(COOKIE, cookie)
    assert company.http.get("/v1/sources").status_code == 401
    assert recorded(company) == ["session.begin", "session.end"]


@pytest.mark.parametrize(
    "column", [{"expires_at": utc_now()}, {"seen_at": utc_now() - sessions.IDLE}], ids=["after a week", "idle"]
)
def test_a_session_ends_by_itself(company, provider, column):
    sign_in_as(company, provider)
    assert company.http.get("/v1/sources").status_code == 200
    with company.parts.catalog.transaction() as session:
        session.execute(update(SessionRow).values(**column))

    assert company.http.get("/v1/sources").status_code == 401


def test_use_keeps_a_session_from_being_idle(company, provider):
    sign_in_as(company, provider)
    with company.parts.catalog.transaction() as session:
        session.execute(update(SessionRow).values(seen_at=utc_now() - sessions.IDLE / 2))
    company.http.get("/v1/sources")

    with company.parts.catalog.reading() as session:
        assert utc_now() - session.scalars(select(SessionRow.seen_at)).one() < sessions.IDLE / 100


def test_who_is_suspended_is_out_at_once_and_cannot_come_back(company, provider):
    sign_in_as(company, provider)
    with company.parts.catalog.transaction() as session:
        principals.set_state(session, known(company)["u1"].id, "suspended")

    assert company.http.get("/v1/sources").status_code == 401
    assert sign_in_as(company, provider).status_code == 401


def test_with_an_identity_provider_nobody_is_the_local_user(company):
    assert company.http.get("/v1/sources").status_code == 401
    company.http.cookies.set(COOKIE, "guessed")
    assert company.http.get("/v1/sources").status_code == 401


def test_without_one_a_cookie_means_nothing(settings, sqlite_url):
    with face(settings()) as found:
        found.http.cookies.set(COOKIE, "guessed")
        found.http.cookies.set("metier_session", "guessed")
        assert found.http.get("/v1/sources").status_code == 200
        assert found.http.get("/v1/sign-in", follow_redirects=False).status_code == 404


def test_the_catalog_holds_no_secret_of_a_session(company, provider, tmp_path):
    sign_in_as(company, provider)
    secret = company.http.cookies[COOKIE]
    company.parts.catalog.close()

    held = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"u1" in held
    assert secret.encode() not in held
    assert sessions.csrf_token(secret).encode() not in held


# --- the first admin --------------------------------------------------------------------------------------------


def test_the_first_admin_is_who_signed_in_and_has_the_servers_token_and_nobody_after(company, provider):
    token = first_admin_token(company.parts)
    sign_in_as(company, provider, "u1")
    assert company.http.post("/v1/first-admin", json={"token": "x"}, headers=csrf(company)).status_code == 403
    assert company.http.post("/v1/first-admin", json={"token": token}, headers=csrf(company)).status_code == 204
    assert company.http.get("/v1/session").json()["role"] == "admin"
    assert recorded(company) == ["session.begin", "principal.role"]

    assert first_admin_token(company.parts) is None
    sign_in_as(company, provider, "u2")
    assert company.http.post("/v1/first-admin", json={"token": token}, headers=csrf(company)).status_code == 403


def test_an_older_token_of_the_server_is_not_good(company, provider):
    older, newer = first_admin_token(company.parts), first_admin_token(company.parts)
    sign_in_as(company, provider, "u1")

    assert company.http.post("/v1/first-admin", json={"token": older}, headers=csrf(company)).status_code == 403
    assert company.http.post("/v1/first-admin", json={"token": newer}, headers=csrf(company)).status_code == 204


# --- settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"identity_provider": "https://id.example.com"},
        {"identity_provider": "https://metier@id.example.com"},
        {"identity_provider": "http://metier:secret@id.example.com"},
        {"identity_provider": "metier:secret@id.example.com"},
        {"public_url": None},
        {"public_url": "http://metier.example.com"},
        {"public_url": "metier.example.com"},
    ],
)
def test_an_identity_provider_that_is_half_set_up_stops_the_program(settings, changed):
    with pytest.raises(SettingsError):
        settings(**(SETTINGS | changed))


def test_with_an_identity_provider_it_may_listen_elsewhere(settings):
    assert settings(host="0.0.0.0", **SETTINGS).host == "0.0.0.0"
    with pytest.raises(SettingsError):
        settings(host="0.0.0.0")
