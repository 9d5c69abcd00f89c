"""An answer that several get to see is made from what each of them may read, to its last word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app import people
from app.answer import answer
from app.events import Abstained, Citations, Failed, Sources
from app.specialists import DEFAULT
from app.testing import WordReader
from app.wiring import build, close
from indexing import grants, principals, store, store_lists
from indexing.access import authorise, authorised_again
from indexing.testing import FakeParsers, HashEmbedder
from tests.catalogs import put
from tests.searching import Company

QUESTION = "How many days of paid leave does every employee have?"
BOLD = replace(DEFAULT, threshold=0.0)
USERS = ("ann", "bob", "eve")


class Interrupted:
    """A generator during whose answer something happens."""

    name = "interrupted"

    def __init__(self):
        self.happens: Any = lambda: None

    def generate(self, request):
        yield "Every employee of staff has 25 days "
        self.happens()
        yield "of paid leave [1]."
        return "stop"


@pytest.fixture
def office(catalog, catalog_url, settings):
    """Users ann, bob and eve, all in the group staff, and a source that staff reads, ann besides."""
    chosen = settings() if catalog_url.startswith("sqlite") else settings(database_url=catalog_url)
    fakes: dict[str, Any] = {"embedder": HashEmbedder(64), "parsers": FakeParsers(), "reads": WordReader()}
    parts = build(chosen, generator=Interrupted(), **fakes)
    with catalog.transaction() as session:
        ids = {name: principals.add_principal(session, "user", name).id for name in USERS}
        staff = principals.add_principal(session, "group", "staff")
        for name in USERS:
            principals.join_group(session, staff, people.principal(session, name))
    company = Company(catalog, chosen, fakes["embedder"])
    with catalog.transaction() as session:
        source = store.source_named(session, "handbook")
        assert source is not None
        people.revoke(session, source, ["local"])
        people.grant(session, source, ["staff", "ann"])
    company.put("staff/leave", "Every employee of staff has 25 days of paid leave a year.", acl_id=None)
    yield parts, ids, source
    close(parts)


def lists(session, who, *others, **more):
    return authorise(session, who, together=frozenset(others), **more).acl_ids


def test_a_scope_for_several_holds_what_each_of_them_may_read(catalog):
    with catalog.transaction() as session:
        ids = {name: principals.add_principal(session, "user", name).id for name in USERS}
        group = principals.add_principal(session, "group", "group")
        principals.join_group(session, group, people.principal(session, "ann"))
        principals.join_group(session, group, people.principal(session, "bob"))
        readers = {"all": ("everyone",), "group": ("group",), "ann": ("ann",), "bob": ("bob",), "nobody": ()}
        documents = {}
        for name, listed in readers.items():
            source = store.add_source(session, name, "push", "")
            people.revoke(session, source, ["local"])
            people.grant(session, source, listed)
            documents[name] = put(
                session, source.id, f"{name}.md", name, acl_id=store_lists.list_for(session, source.id)
            )
        # A document with a list of its own, in a source that the group reads: both must let each of them in.
        of_group = store.source_named(session, "group")
        assert of_group is not None
        own = grants.interned(session, {ids["ann"], ids["eve"]})
        documents["own"] = put(
            session, of_group.id, "own.md", "own", acl_id=store_lists.list_for(session, of_group.id, own)
        )

        def read(who, *others, **more):
            scope = authorise(session, ids[who], together=frozenset(ids[each] for each in others), **more)
            assert authorised_again(session, scope) == scope
            return {n for n, d in documents.items() if store.document_text(session, scope, d) is not None}

        assert read("ann") == {"all", "group", "ann", "own"}
        assert read("ann", "ann") == {"all", "group", "ann", "own"}
        assert read("ann", "bob") == read("bob", "ann") == read("ann", "ann", "bob") == {"all", "group"}
        assert read("ann", "bob", "eve") == {"all"}
        assert read("eve", "ann") == {"all"}
        assert read("ann", "bob", only_public=True) == {"all"}
        assert lists(session, ids["ann"], 4711) == frozenset()
        assert lists(session, 4711, ids["ann"]) == frozenset()
        principals.set_state(session, ids["bob"], "suspended")
        assert read("ann", "bob") == read("bob", "ann") == set()
        assert read("ann") == {"all", "group", "ann", "own"}


@pytest.mark.parametrize("what", ["suspended", "left the group", "erased", "source revoked", "nothing"])
def test_one_of_the_audience_who_may_no_longer_read_takes_the_answer_back(office, what):
    parts, ids, source = office
    with parts.catalog.reading() as session:
        scope = authorise(session, ids["ann"], together=frozenset(ids.values()))

    def happens():
        with parts.catalog.transaction() as session:
            match what:
                case "suspended":
                    principals.set_state(session, ids["eve"], "suspended")
                case "left the group":
                    principals.leave_group(session, people.principal(session, "staff").id, ids["eve"])
                case "erased":
                    principals.erase_principal(session, ids["eve"])
                case "source revoked":
                    people.revoke(session, source, ["staff"])  # ann is still on its list

    parts.generator.happens = happens
    events = list(answer(QUESTION, scope, parts, specialist=BOLD))

    assert any(isinstance(each, Sources) and each.passages for each in events)
    ends = [each for each in events if isinstance(each, Failed | Citations)]
    if what == "nothing":
        assert isinstance(ends[-1], Citations)
    else:
        assert [getattr(each, "error", "") for each in ends] == ["AnswerWithdrawn"]
    with parts.catalog.reading() as session:
        assert authorise(session, ids["ann"]).acl_ids  # the asker alone may still read it


@pytest.mark.parametrize("audience", ["asker", "public"])
def test_what_one_of_them_may_not_read_is_not_searched_and_the_answer_says_so(office, audience):
    parts, ids, _ = office
    with parts.catalog.transaction() as session:
        principals.leave_group(session, people.principal(session, "staff").id, ids["eve"])
        scope = authorise(session, ids["ann"], together=frozenset(ids.values()))
    events = list(answer(QUESTION, scope, parts, specialist=replace(BOLD, audience=audience)))

    found = [each for each in events if isinstance(each, Sources)]
    assert [each.passages for each in found] == [()]
    abstained = next(each for each in events if isinstance(each, Abstained))
    assert ("everyone here may read" in abstained.message) == (audience == "asker")
    assert ("that everyone may read" in abstained.message) == (audience == "public")
