"""Who may ask a specialist and who may change it; and answers for everybody from what everybody may read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import keys, people, specialists, specialists_access
from app.auth import ROLES
from app.errors import BadRequest, Forbidden, NotFound
from app.specialists import Asker, Specialist
from indexing import db, principals, store
from indexing.access import authorise
from indexing.tables import LOCAL_PRINCIPAL_ID
from tests.faces import QUESTION, face, sse_events
from tests.integration.test_access import Interrupted

SALES = Specialist("sales", instructions="Be kind.")


@pytest.fixture
def known(sqlite_catalog):
    """Users ann, bob and cid; ann is in board, which is in staff; the specialist sales, made by the local user."""
    with sqlite_catalog.transaction() as session:
        made = {name: principals.add_principal(session, "user", name) for name in ("ann", "bob", "cid")}
        made |= {name: principals.add_principal(session, "group", name) for name in ("staff", "board")}
        principals.join_group(session, made["staff"], made["board"])
        principals.join_group(session, made["board"], made["ann"])
        specialists.create_specialist(session, operator(session), SALES)
    return made


def operator(session):
    return Asker(authorise(session, LOCAL_PRINCIPAL_ID), every=True)


def reader(session, who):
    return Asker(authorise(session, who.id), every=False)


def may(session, who):
    """What a reader may do with sales: nothing, ask it, or change it too."""
    asker, done = reader(session, who), []
    for what, attempt in (
        ("ask", lambda: specialists.specialist(session, asker, "sales")),
        ("change", lambda: specialists.row_to_change(session, asker, "sales")),
    ):
        try:
            attempt()
        except NotFound:
            continue
        done.append(what)
    listed = "sales" in [each.name for each in specialists.specialists(session, asker)]
    assert listed == ("ask" in done)
    return " ".join(done)


# --- the two lists --------------------------------------------------------------------------------------------


def test_a_new_specialist_is_for_its_maker_and_who_was_named_until_others_are_granted(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        maker = Asker(authorise(session, known["cid"].id), every=True)
        specialists.create_specialist(session, maker, Specialist("law"), [known["bob"].id])
        for name, expected in (("cid", True), ("bob", True), ("ann", False)):
            found = specialists.specialists(session, reader(session, known[name]))
            assert ("law" in [each.name for each in found]) is expected, name


def test_a_grant_to_a_group_holds_for_groups_within_it_and_leaving_ends_it(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        assert may(session, known["ann"]) == ""
        specialists_access.put_on_list(session, operator(session), "sales", "askers", ["staff"])
        assert (may(session, known["ann"]), may(session, known["bob"])) == ("ask", "")
        principals.leave_group(session, known["board"].id, known["ann"].id)
        assert may(session, known["ann"]) == ""


@pytest.mark.parametrize("name", ["ann", "board", "staff"])
def test_who_is_suspended_asks_none_and_a_suspended_group_leads_nowhere(sqlite_catalog, known, name):
    with sqlite_catalog.transaction() as session:
        for which in ("askers", "curators"):
            specialists_access.put_on_list(session, operator(session), "sales", which, ["staff"])
        assert may(session, known["ann"]) == "ask change"
        principals.set_state(session, known[name].id, "suspended")
        assert may(session, known["ann"]) == ""


def test_everyone_on_the_list_is_whoever_is_known(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        specialists_access.put_on_list(session, operator(session), "sales", "askers", ["everyone"])
        assert may(session, known["bob"]) == "ask"
        specialists_access.take_off_list(session, operator(session), "sales", "askers", ["everyone"])
        assert may(session, known["bob"]) == ""


def test_a_curator_may_change_and_ask_its_specialist_and_no_other(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        specialists.create_specialist(session, operator(session), Specialist("law"))
        specialists_access.put_on_list(session, operator(session), "sales", "curators", ["staff"])
        ann = reader(session, known["ann"])

        assert may(session, known["ann"]) == "ask change"
        assert specialists.add_version(session, ann, replace(SALES, instructions="Be brief.")).version == 2
        assert specialists.promote(session, ann, "sales", 1).instructions == "Be kind."
        for attempt in (
            lambda: specialists.add_version(session, ann, Specialist("law")),
            lambda: specialists.promote(session, ann, "law", 1),
            lambda: specialists.delete_specialist(session, ann, "law"),
            lambda: specialists.versions(session, ann, "law"),
            lambda: specialists_access.access(session, ann, "law"),
            lambda: specialists_access.change_access(session, ann, "law", askers=["ann"]),
        ):
            with pytest.raises(NotFound):
                attempt()


def test_a_curator_says_who_may_ask_but_not_who_curates_nor_who_sees_the_answers(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        specialists_access.put_on_list(session, operator(session), "sales", "curators", ["ann"])
        ann = reader(session, known["ann"])

        changed = specialists_access.change_access(
            session, ann, "sales", askers=["bob", "staff"], curators=["ann"], audience="asker"
        )
        assert (changed.askers, changed.curators) == (("bob", "staff"), ("ann",))
        assert may(session, known["bob"]) == "ask"
    for change in ({"curators": ["ann", "bob"]}, {"audience": "public"}):
        with sqlite_catalog.transaction() as session, pytest.raises(Forbidden, match="operator"):
            specialists_access.change_access(session, reader(session, known["ann"]), "sales", **change)


def test_a_name_of_nobody_and_an_audience_of_none_are_refused(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        me = operator(session)
        with pytest.raises(BadRequest, match="nobody called zoe"):
            specialists_access.change_access(session, me, "sales", askers=["zoe"])
        with pytest.raises(BadRequest, match="'all'"):
            specialists_access.change_access(session, me, "sales", audience="all")
        with pytest.raises(BadRequest, match="Not on the list: ann"):
            specialists_access.take_off_list(session, me, "sales", "askers", ["ann"])


def test_explain_tells_the_entries_and_the_role_that_count(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        specialists_access.put_on_list(session, operator(session), "sales", "askers", ["staff"])
        specialists_access.put_on_list(session, operator(session), "sales", "curators", ["bob"])
        principals.set_role(session, known["cid"].id, "operator")
        principals.add_principal(session, "user", "eve")
        told = {}
        for name in ("ann", "bob", "cid", "eve"):
            found = specialists_access.explain(session, people.principal(session, name), "sales")
            told[name] = (found.may_ask, found.may_change, found.through)
        principals.set_state(session, known["bob"].id, "suspended")
        suspended = specialists_access.explain(session, people.principal(session, "bob"), "sales")

        assert told == {
            "ann": (True, False, ("staff",)),
            "bob": (True, True, ("bob",)),
            "cid": (True, True, ("the role operator",)),
            "eve": (False, False, ()),
        }
        assert (suspended.may_ask, suspended.through, suspended.suspended) == (False, (), True)
        assert specialists_access.explain(session, known["ann"], "metier").through == ("everyone",)
        with pytest.raises(NotFound):
            specialists_access.explain(session, known["ann"], "law")


# --- sources that a curator may not read ----------------------------------------------------------------------


def test_a_curator_names_only_sources_that_they_may_read_and_takes_away_no_other(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        shown, hidden = (store.add_source(session, name, "push", "") for name in ("open", "closed"))
        people.grant(session, shown, ["ann"])
        specialists.add_version(session, operator(session), replace(SALES, sources=("closed", "open")))
        specialists_access.put_on_list(session, operator(session), "sales", "curators", ["ann"])
        ann = reader(session, known["ann"])

        refusals = set()
        for name in (hidden.name, "absent"):
            with pytest.raises(BadRequest) as caught:
                specialists.add_version(session, ann, replace(SALES, sources=(name,)))
            refusals.add(str(caught.value).replace(name, "…"))
        assert len(refusals) == 1
        found = specialists.specialist(session, ann, "sales")
        assert specialists.shown_to(session, ann, [found])[0].sources == ("open",)
        added = specialists.add_version(session, ann, replace(SALES, sources=(), instructions="Be brief."))
        assert added.sources == ("closed",)
        assert specialists.shown_to(session, ann, [added])[0].sources == ()


# --- at the doors ---------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(settings, sqlite_url):
    with face(settings(api_token="master")) as found:
        yield found


def key_of(found, name, permissions, role="reader"):
    with found.parts.catalog.transaction() as session:
        owner = principals.principal_named(session, name) or principals.add_principal(session, "user", name, role=role)
        return {"Authorization": f"Bearer {keys.create_key(session, owner, permissions)[1]}"}


def doors(name):
    """Every request that names a specialist."""
    chat = {"model": name, "messages": [{"role": "user", "content": QUESTION}]}
    return [
        ("POST", "/v1/ask", {"question": QUESTION, "specialist": name}),
        ("POST", "/v1/ask", {"question": QUESTION, "specialist": name, "stream": True}),
        ("POST", "/v1/chat/completions", chat),
        ("POST", "/v1/chat/completions", chat | {"stream": True}),
        ("GET", f"/v1/models/{name}", None),
        ("GET", f"/v1/specialists/{name}", None),
        ("GET", f"/v1/specialists/{name}/versions", None),
        ("POST", f"/v1/specialists/{name}/versions", {"instructions": "Obey me."}),
        ("POST", f"/v1/specialists/{name}/versions/1/promote", None),
        ("GET", f"/v1/specialists/{name}/access", None),
        ("PUT", f"/v1/specialists/{name}/access", {"askers": ["everyone"]}),
    ]


def answer_of(found, request, headers, name):
    """What came back, without the name that was sent and what is never the same twice."""
    method, path, body = request
    response = found.http.request(method, path, json=body, headers=headers)
    kept = {k: v for k, v in response.headers.items() if k not in {"x-request-id", "date"}}
    return response.status_code, response.text.replace(name, "NAME"), kept


def test_a_specialist_that_one_may_not_ask_looks_at_every_door_like_one_that_is_not_there(guarded):
    guarded.filled()
    guarded.http.post("/v1/specialists", json={"name": "qvsecretzk", "instructions": "qvinstructzk", "threshold": 0})
    eve = key_of(guarded, "eve", ROLES["reader"])

    for there, absent in zip(doors("qvsecretzk"), doors("qvabsentzk"), strict=True):
        seen = answer_of(guarded, there, eve, "qvsecretzk")
        assert seen == answer_of(guarded, absent, eve, "qvabsentzk"), there
        assert seen[0] == 404, there
    for path in ("/v1/specialists", "/v1/models"):
        assert "qv" not in guarded.http.get(path, headers=eve).text
    assert guarded.http.get("/v1/models/qvsecretzk", headers=eve).json()["error"]["code"] == "model_not_found"


def test_whoever_is_granted_asks_at_every_door_from_the_next_question_on(guarded):
    source_id = guarded.filled()
    assert source_id
    guarded.http.post("/v1/specialists", json={"name": "sales", "threshold": 0})
    eve = key_of(guarded, "eve", ROLES["reader"])
    granted = guarded.http.put("/v1/specialists/sales/access", json={"askers": ["eve"]})

    assert granted.json() == {"askers": ["eve"], "curators": [], "audience": "asker"}
    statuses = [guarded.http.request(m, p, json=b, headers=eve).status_code for m, p, b in doors("sales")]
    # eve may read no document: her questions find that nothing is indexed (409); the streams have begun by then.
    assert statuses == [409, 200, 409, 200, 200, 200, 200, 404, 404, 404, 404]
    assert "sales" in guarded.http.get("/v1/models", headers=eve).text


def test_a_key_without_the_permission_curates_nothing_and_asks_all_the_same(guarded):
    guarded.http.post("/v1/specialists", json={"name": "sales"})
    narrow, wide = (key_of(guarded, "ann", each) for each in ({"ask", "read"}, {"ask", "read", "curate"}))
    guarded.http.put("/v1/specialists/sales/access", json={"curators": ["ann"]})
    version = {"instructions": "Be brief."}

    assert guarded.http.get("/v1/specialists/sales", headers=narrow).status_code == 200
    assert guarded.http.post("/v1/specialists/sales/versions", json=version, headers=narrow).status_code == 403
    assert guarded.http.post("/v1/specialists/sales/versions", json=version, headers=wide).status_code == 201
    assert guarded.http.delete("/v1/specialists/sales", headers=wide).status_code == 403
    refused = guarded.http.put("/v1/specialists/sales/access", json={"audience": "public"}, headers=wide)
    assert (refused.status_code, "operator" in refused.text) == (403, True)


def test_an_operator_s_key_that_may_not_operate_goes_by_the_lists(guarded):
    guarded.http.post("/v1/specialists", json={"name": "sales"})
    for permissions, status in (({"ask", "read", "curate"}, 404), (ROLES["operator"], 200)):
        headers = key_of(guarded, "olga", permissions, role="operator")
        for path in ("", "/versions", "/access"):
            assert guarded.http.get(f"/v1/specialists/sales{path}", headers=headers).status_code == status


def test_no_reply_to_a_curator_names_a_source_that_they_may_not_read(guarded):
    guarded.add_source("closed")
    guarded.http.post("/v1/specialists", json={"name": "sales", "sources": ["closed"]})
    guarded.http.put("/v1/specialists/sales/access", json={"curators": ["everyone"]})
    ann = key_of(guarded, "ann", ROLES["reader"])

    for method, path, body in doors("sales"):
        assert "closed" not in guarded.http.request(method, path, json=body, headers=ann).text, (method, path)
    assert guarded.http.get("/v1/specialists/sales").json()["sources"] == ["closed"]


# --- public answers -------------------------------------------------------------------------------------------

PRIVATE = "# Paid leave of every employee\n\nEvery employee has 25 days of paid leave qvprivatezk."
PUBLIC = "# Notice\n\nEvery employee has 25 days of paid leave, says the qvpublicwzk notice on the board in the hall."


@pytest.fixture
def two_worlds(guarded):
    """A source for everyone and one for ann; the same specialist for who asks and for everybody; ann's headers."""
    made = {name: guarded.add_source(name) for name in ("notices", "lists")}
    assert guarded.push(made["notices"], "notice.md", PUBLIC).status_code == 201
    assert guarded.push(made["lists"], "list.md", PRIVATE).status_code == 201
    for name, audience in (("mine", "asker"), ("ours", "public")):
        body = {"name": name, "threshold": 0, "audience": audience, "askers": ["everyone"]}
        assert guarded.http.post("/v1/specialists", json=body).status_code == 201
    headers = key_of(guarded, "ann", ROLES["reader"])
    grant(guarded, "notices", "everyone")
    grant(guarded, "lists", "ann")
    return headers


def grant(found, source, name, change=people.grant):
    with found.parts.catalog.transaction() as session:
        record = store.source_named(session, source)
        assert record is not None
        change(session, record, [name])


def test_public_answers_hold_no_word_of_what_only_the_asker_may_read(guarded, two_worlds):
    for name, private in (("mine", True), ("ours", False)):
        for method, path, body in doors(name)[:4]:
            text = guarded.http.request(method, path, json=body, headers=two_worlds).text
            assert ("qvprivatezk" in text or "list.md" in text) == private, (name, path, text)
            assert private or "qvpublicwzk" in text or "notice.md" in text


def test_whoever_asks_a_public_specialist_is_told_the_same(guarded, two_worlds):
    bob = key_of(guarded, "bob", {"ask"})

    told = [guarded.http.request(*doors("ours")[0][:2], json=doors("ours")[0][2], headers=h) for h in (two_worlds, bob)]
    varying = {"answer_id", "seconds"}
    assert len({str({k: v for k, v in each.json().items() if k not in varying}) for each in told}) == 1


@pytest.mark.parametrize(
    ("question", "said"),
    [(QUESTION, "that everyone may read"), ("Combien de jours de congés payés avons-nous ?", "que tous peuvent lire")],
)
def test_where_nothing_is_public_the_abstention_says_that_it_looked_no_further(guarded, two_worlds, question, said):
    grant(guarded, "notices", "everyone", people.revoke)
    answered = guarded.http.post("/v1/ask", json={"question": question, "specialist": "ours"}, headers=two_worlds)

    assert answered.json()["abstained"]["reason"] == "nothing_found"
    assert said in answered.json()["abstained"]["message"]


def test_a_public_answer_whose_document_is_public_no_more_is_withdrawn_though_the_asker_may_read_it(
    settings, sqlite_url
):
    generator = Interrupted()
    with face(settings(api_token="master"), generator=generator) as found:
        found.filled()
        found.http.put("/v1/specialists/bold/access", json={"audience": "public"})
        ann = key_of(found, "ann", ROLES["reader"])
        for name in ("everyone", "ann"):
            grant(found, "handbook", name)
        body = {"question": QUESTION, "specialist": "bold", "stream": True}
        assert "citations" in [name for name, _ in sse_events(found.http.post("/v1/ask", json=body, headers=ann).text)]

        generator.happens = lambda: grant(found, "handbook", "everyone", people.revoke)
        withdrawn = found.http.post("/v1/ask", json=body, headers=ann).text

    assert "AnswerWithdrawn" in withdrawn
    assert "citations" not in [name for name, _ in sse_events(withdrawn)]


def test_the_audience_holds_whichever_version_answers(sqlite_catalog, known):
    with sqlite_catalog.transaction() as session:
        me = operator(session)
        specialists_access.change_access(session, me, "sales", audience="public")
        specialists.add_version(session, me, replace(SALES, top_k=3))

        assert {each.audience for each in specialists.versions(session, me, "sales")} == {"public"}
        assert specialists.promote(session, me, "sales", 1).audience == "public"


# --- a catalog of before --------------------------------------------------------------------------------------


def test_specialists_of_an_older_catalog_stay_askable_by_everyone_and_keys_that_changed_them_still_do(catalog_url):
    catalog = db.open_catalog(catalog_url)
    with catalog.transaction() as session:
        ann = principals.add_principal(session, "user", "ann", role="operator")
        given = {name: keys.create_key(session, ann, {name, "read"})[1] for name in ("operate", "ask")}
        specialists.create_specialist(session, operator(session), SALES)
    catalog.close()

    db.downgrade(catalog_url, "0002")
    db.migrate(catalog_url)

    catalog = db.open_catalog(catalog_url)
    with catalog.reading() as session:
        assert specialists.specialist(session, reader(session, ann), "sales") == replace(SALES, version=1)
        assert specialists_access.access(session, operator(session), "sales").askers == ("everyone",)
        assert specialists_access.access(session, operator(session), "sales").curators == ()
        held = {name: keys.bearer(session, text) for name, text in given.items()}
        assert [name for name, bearer in held.items() if bearer and "curate" in bearer.permissions] == ["operate"]
    catalog.close()
