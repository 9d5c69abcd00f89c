"""Who may read what: groups, lists of sources, revocation, and why somebody sees something."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from app import keys, people
from app.errors import BadRequest, Conflict, NotFound
from indexing import grants, principals, store
from indexing.access import authorise
from indexing.errors import CatalogError
from indexing.tables import LOCAL_PRINCIPAL_ID
from tests.catalogs import put
from tests.faces import LEAVE, QUESTION, face, sse_events
from tests.worlds import World


@pytest.fixture
def known(catalog):
    """Users ann and bob, the group board within staff, and a source with one document."""
    with catalog.transaction() as session:
        made = {name: principals.add_principal(session, "user", name) for name in ("ann", "bob")}
        made |= {name: principals.add_principal(session, "group", name) for name in ("staff", "board")}
        source = store.add_source(session, "hr", "push", "")
        document = put(session, source.id, "leave.md", "Twenty-five days.")
        principals.join_group(session, made["staff"], made["board"])
        principals.join_group(session, made["board"], made["ann"])
    return made | {"source": source, "document": document}


def reads(session, known, name):
    scope = authorise(session, known[name].id)
    return store.document_text(session, scope, known["document"]) is not None


def test_nobody_but_the_local_user_reads_a_source_before_a_grant(catalog, known):
    with catalog.reading() as session:
        assert not reads(session, known, "ann")
        assert authorise(session, LOCAL_PRINCIPAL_ID).acl_ids


def test_a_grant_to_a_group_holds_for_members_of_groups_within_it(catalog, known):
    with catalog.transaction() as session:
        assert people.grant(session, known["source"], ["staff"]) == 1

        assert reads(session, known, "ann")
        assert not reads(session, known, "bob")


def test_leaving_a_group_holds_from_the_next_question_on(catalog, known):
    with catalog.transaction() as session:
        people.grant(session, known["source"], ["staff"])
        principals.leave_group(session, known["board"].id, known["ann"].id)

        assert not reads(session, known, "ann")


@pytest.mark.parametrize("name", ["ann", "board", "staff"])
def test_who_is_suspended_reads_nothing_and_a_suspended_group_leads_nowhere(catalog, known, name):
    with catalog.transaction() as session:
        people.grant(session, known["source"], ["staff"])
        principals.set_state(session, known[name].id, "suspended")

        assert not reads(session, known, "ann")


def test_everyone_is_who_is_known_and_active(catalog, known):
    with catalog.transaction() as session:
        people.grant(session, known["source"], ["everyone"])
        assert reads(session, known, "bob")
        assert authorise(session, 4711).acl_ids == frozenset()

        people.revoke(session, known["source"], ["everyone"])
        assert not reads(session, known, "bob")


def test_a_group_never_holds_itself(catalog, known):
    with catalog.transaction() as session:
        for group, member in (("board", "staff"), ("board", "board")):
            with pytest.raises(CatalogError, match="cannot hold itself"):
                principals.join_group(session, known[group], known[member])
        with pytest.raises(CatalogError, match="not a group"):
            principals.join_group(session, known["ann"], known["bob"])


def test_equal_lists_are_one_row_whatever_the_order(catalog, known):
    with catalog.transaction() as session:
        ids = [known["ann"].id, known["bob"].id]

        assert grants.interned(session, ids) == grants.interned(session, [*reversed(ids), ids[0]])
        assert grants.on_list(session, grants.interned(session, [])) == frozenset()


def test_a_name_of_another_issuer_is_another_principal(catalog, known):
    with catalog.transaction() as session:
        other = principals.add_principal(session, "user", "ann", issuer="https://login.example")

        assert people.principal(session, "https://login.example|ann").id == other.id != known["ann"].id
        with pytest.raises(CatalogError, match="already"):
            principals.add_principal(session, "group", "ann")
        with pytest.raises(CatalogError, match="already"):
            principals.add_principal(session, "group", "everyone")
        with pytest.raises(CatalogError, match="kind"):
            principals.add_principal(session, "public", "x")


def test_a_run_that_began_before_a_revocation_writes_with_the_list_of_after_it(sqlite_catalog, settings):
    """The "new enemy" (Zanzibar, 2019): an old access list on new content."""
    world = World(sqlite_catalog, settings())
    with sqlite_catalog.transaction() as session:
        ann = principals.add_principal(session, "user", "ann")
        people.grant(session, world.source, ["ann"])
        granted = store.source_named(session, "docs")
        assert granted is not None
        world.source = granted
    for uri in ("old.md", "new.md"):
        world.files.write(uri, "Twenty-five days.")

    def revoked_meanwhile(progress):
        if progress.stage == "list":
            with sqlite_catalog.transaction() as session:
                if ann.id in grants.readers(session, world.source.id):
                    people.revoke(session, world.source, ["ann"])

    world.sync(on_progress=revoked_meanwhile)

    with sqlite_catalog.reading() as session:
        assert set(store.known_documents(session, world.source.id)) == {"old.md", "new.md"}
        assert ann.id not in grants.readers(session, world.source.id)
        assert store.document_list(session, authorise(session, ann.id)) == []
        assert len(store.document_list(session, authorise(session, LOCAL_PRINCIPAL_ID))) == 2


def test_revoking_who_reads_through_a_group_says_so(catalog, known):
    with catalog.transaction() as session:
        people.grant(session, known["source"], ["staff"])

        with pytest.raises(BadRequest, match="Not on the list of hr: ann"):
            people.revoke(session, known["source"], ["ann"])


def test_explain_names_the_entries_that_count(catalog, known):
    with catalog.transaction() as session:
        people.grant(session, known["source"], ["staff", "bob"])
        ann, bob = (people.explain(session, known[name], known["document"]) for name in ("ann", "bob"))
        principals.set_state(session, known["bob"].id, "suspended")
        suspended = people.explain(session, people.principal(session, "bob"), known["document"])

        assert (ann.allowed, ann.through) == (True, ("staff",))
        assert (bob.allowed, bob.through) == (True, ("bob",))
        assert (suspended.allowed, suspended.through, suspended.suspended) == (False, (), True)
        assert set(ann.on_list) == {"local", "staff", "bob"}
        with pytest.raises(NotFound):
            people.explain(session, known["ann"], 4711)


def test_an_import_makes_groups_exactly_what_the_file_says(catalog, known, tmp_path):
    file = tmp_path / "groups.csv"
    file.write_text("\ufeffgroup,member\nboard,bob\nboard,zoe\nstaff,board\n", encoding="utf-8")
    with catalog.transaction() as session:
        with pytest.raises(Conflict, match="1 of 2 memberships would go"):
            people.import_groups(session, people.read_groups(file))

        done = people.import_groups(session, people.read_groups(file), confirmed=True)

        assert (done.users, done.groups, done.joined, done.left) == (1, 0, 2, 1)
        assert [m.name for m in principals.members(session, known["board"].id)] == ["bob", "zoe"]
        assert people.import_groups(session, people.read_groups(file)) == people.Imported(0, 0, 0, 0)


@pytest.mark.parametrize("content", [b"", b"group;member\na;b\n", b"group,member\na,\n", b"group,member\na,\xff\n"])
def test_an_import_that_is_half_understood_is_refused(tmp_path, content):
    file = tmp_path / "groups.csv"
    file.write_bytes(content)

    with pytest.raises(BadRequest):
        people.read_groups(file)


class Interrupted:
    """A generator during whose answer something happens."""

    name = "interrupted"

    def __init__(self):
        self.happens = lambda: None

    def generate(self, request):
        yield "Every employee has 25 days "
        self.happens()
        yield "of paid leave [1]."
        return "stop"


@pytest.mark.parametrize("what", ["revoked", "suspended", "deleted", "left the group"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_whose_citations_may_no_longer_be_read_is_withdrawn(settings, sqlite_url, what, stream):
    generator = Interrupted()
    with face(settings(api_token="master"), generator=generator) as found:
        source_id = found.filled()
        catalog = found.parts.catalog
        with catalog.transaction() as session:
            ann = principals.add_principal(session, "user", "ann")
            staff = principals.add_principal(session, "group", "staff")
            principals.join_group(session, staff, ann)
            source = store.source_named(session, "handbook")
            assert source is not None
            people.grant(session, source, ["staff"])
            mine = {"Authorization": f"Bearer {keys.create_key(session, ann, {'ask'})[1]}"}
        body = {"question": QUESTION, "specialist": "bold", "stream": stream}
        assert "25 days" in found.http.post("/v1/ask", json=body, headers=mine).text

        def happens():
            if what == "deleted":
                return found.http.delete(f"/v1/sources/{source_id}/documents/hr/leave.md")
            with catalog.transaction() as session:
                if what == "revoked":
                    people.revoke(session, source, ["staff"])
                elif what == "suspended":
                    principals.set_state(session, ann.id, "suspended")
                else:
                    principals.leave_group(session, staff.id, ann.id)
            return None

        generator.happens = happens
        response = found.http.post("/v1/ask", json=body, headers=mine)

        if stream:
            names = [name for name, _ in sse_events(response.text)]
            assert names[-2:] == ["failed", "done"]
            assert "citations" not in names
            assert "AnswerWithdrawn" in response.text
        else:
            assert response.status_code == 409
            assert response.json()["sources"] == []
            assert LEAVE[:20] not in response.text
        with catalog.reading() as session:
            kept = session.execute(text("SELECT text, citations FROM answer ORDER BY asked_at")).all()[-1]
        assert (kept.text, kept.citations) == ("", "[]")
