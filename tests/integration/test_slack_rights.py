"""Whose rights an answer in Slack has: a table of channels, people and ways to answer, against a model of a few lines.

The model knows who may read which document and who sees a channel; it shares nothing with the program.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from app import people
from app.slack import store_people
from app.slack.client import Slack
from app.slack.records import Person, Place, Visibility
from app.slack.rights import REMEMBERED_S, audience, forget_channel, scope_for, specialist_asker
from app.slack.who import person
from app.testing.slack import FakeSlack
from indexing import grants, principals, store, store_lists
from indexing.access import authorise
from tests.catalogs import put
from tests.slack_told import OTHER_TEAM, Told, bot_of, changed
from tests.slacks import TEAM

CHANNEL, DIRECT, EPHEMERAL = Visibility
#: Document → who may read it; "all" is for everyone.
READERS = {
    "all": {"ann", "bob", "cy", "una"},
    "own": {"ann"},
    "group": {"ann", "bob", "cy"},
    "other": {"bob"},
    "listed": {"ann", "bob"},
    "nobody": set[str](),
}
#: Full members of the workspace, of whom una is not linked. gus is a guest, sam of another company, rob a bot.
LINKED, MEMBERS, OUTSIDERS = {"ann", "bob", "cy"}, {"ann", "bob", "cy", "una"}, {"gus", "sam", "rob"}
PRIVATE: dict[str, Any] = {"is_private": True}
MPIM: dict[str, Any] = {"is_private": True, "is_mpim": True, "is_group": True, "is_channel": False}
#: Channel → who is in it, and what Slack says of it.
CHANNELS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "Cpublic": (["ann", "bob", "cy"], {}),
    "Cprivate": (["ann", "bob", "cy"], PRIVATE),
    "Gold": (["ann", "bob"], {"is_group": True, "is_channel": False}),
    "Calone": (["ann"], PRIVATE),
    "Cunlinked": (["ann", "bob", "una"], PRIVATE),
    "Cguest": (["ann", "bob", "gus"], PRIVATE),
    "Cstranger": (["ann", "bob", "sam"], PRIVATE),
    "Crobot": (["ann", "bob", "rob"], PRIVATE),
    "Cgone": (["ann", "bob", "nobody"], PRIVATE),
    "Cleft": (["bob", "cy"], PRIVATE),
    "Gmpim": (["ann", "bob"], MPIM),
    "Gmpimguest": (["ann", "gus"], MPIM),
    "Cbig": (["ann", "bob", *(f"u{number}" for number in range(199))], PRIVATE),
    "Cunreadable": ([], PRIVATE),
    "Cshared": (["ann", "bob"], PRIVATE | {"is_shared": True}),
    "Cext": (["ann", "bob"], PRIVATE | {"is_ext_shared": True}),
    "Corg": (["ann", "bob"], PRIVATE | {"is_org_shared": True}),
    "Cpending": (["ann", "bob"], PRIVATE | {"is_pending_ext_shared": True}),
    "Cinvited": (["ann", "bob"], {"pending_shared": ["T9"]}),
    "Cconnected": (["ann", "bob"], PRIVATE | {"connected_team_ids": [OTHER_TEAM]}),
    "Cours": (["ann", "bob"], PRIVATE | {"shared_team_ids": [TEAM], "pending_shared": []}),
    "Gmpimshared": (["ann", "bob"], MPIM | {"is_ext_shared": True}),
    "Dann": ([], {"is_im": True, "is_channel": False, "user": "Uann"}),
    "Dbob": ([], {"is_im": True, "is_channel": False, "user": "Ubob"}),
    "Ckindless": (["ann", "bob"], {"is_channel": None}),
}
SHARED = {"Cshared", "Cext", "Corg", "Cpending", "Cinvited", "Cconnected", "Gmpimshared"}
UNKNOWN = {"Cnowhere", "Ckindless"}
TOO_MANY_OR_UNREADABLE = {"Cbig", "Cunreadable"}


def model(channel, who, visibility, outsiders):  # noqa: PLR0911 -- one line for each rule
    """Return the documents that an answer may be made from; None: there is no answer."""
    for_outsiders = {"all"} if outsiders == "public" else None
    mine = {name for name, readers in READERS.items() if who in readers}
    if who in OUTSIDERS:
        return for_outsiders
    if visibility is EPHEMERAL:
        return for_outsiders if channel in SHARED else mine
    if channel in UNKNOWN:
        return None
    if channel in SHARED:
        return for_outsiders
    if channel.startswith("D"):
        return mine if visibility is DIRECT or channel == f"D{who}" else for_outsiders
    seen_by = set(CHANNELS[channel][0])
    if channel == "Cpublic" or channel in TOO_MANY_OR_UNREADABLE or who not in seen_by or not seen_by <= LINKED:
        return {"all"}
    if len(seen_by) == 1:  # others may join and read it later
        return {"all"}
    return {name for name, readers in READERS.items() if seen_by <= readers}


@dataclass
class Held:
    """The catalog, as the parts that the bot needs."""

    catalog: Any


@pytest.fixture
def told():
    found = Told()
    for name in MEMBERS:
        found.user(f"U{name}")
    found.user("Ugus", is_restricted=True)
    found.user("Usam", team_id=OTHER_TEAM)
    found.user("Urob", is_bot=True)
    for channel, (members, flags) in CHANNELS.items():
        found.channel(channel, [f"U{name}" for name in members], **flags)
    del found.members["Cunreadable"]
    return found


def fill(session):
    """Make the people and the documents of the model; return the ids of the documents by name."""
    ids = {name: principals.add_principal(session, "user", name).id for name in sorted(LINKED)}
    staff = principals.add_principal(session, "group", "staff")
    for name in LINKED:
        principals.join_group(session, staff, people.principal(session, name))
    documents = {}
    listed = {"all": ["everyone"], "own": ["ann"], "group": ["staff"], "other": ["bob"], "listed": ["staff"]}
    for name in READERS:
        source = store.add_source(session, name, "push", "")
        people.revoke(session, source, ["local"])
        if name in listed:
            people.grant(session, source, listed[name])
        own = grants.interned(session, {ids["ann"], ids["bob"]}) if name == "listed" else None
        documents[name] = put(session, source.id, name, name, acl_id=store_lists.list_for(session, source.id, own))
    return documents


def link(session, *names):
    for name in names:
        store_people.link(session, TEAM, f"U{name}", people.principal(session, name).id, "admin")


@pytest.fixture
def office(catalog, told):
    """(bot, documents), with a link for each of LINKED, and one for each outsider, to somebody who reads most."""
    with catalog.transaction() as session:
        documents = fill(session)
        link(session, *LINKED)
        for name in ("Ugus", "Usam", "Urob"):
            store_people.link(session, TEAM, name, people.principal(session, "bob").id, "admin")
    return bot_of(Held(catalog), told), documents


def asked(bot, who, channel, visibility, channel_type=""):
    user_id, team = f"U{who}", OTHER_TEAM if who == "sam" else TEAM
    return scope_for(bot, person(bot, user_id, team), Place(channel, user_id, team), visibility, channel_type)


def read(session, documents, scope):
    if scope is None:
        return None
    return {name for name, each in documents.items() if store.document_text(session, scope, each) is not None}


@pytest.mark.parametrize("outsiders", ["nothing", "public"])
def test_every_answer_is_made_from_what_the_model_allows(office, outsiders):
    bot, documents = office
    bot = changed(bot, outsiders=outsiders)
    wrong, seen = [], set()
    for channel, who, visibility in itertools.product((*CHANNELS, "Cnowhere"), sorted(MEMBERS | OUTSIDERS), Visibility):
        scope = asked(bot, who, channel, visibility)
        with bot.parts.catalog.reading() as session:
            found = read(session, documents, scope)
            everyone = principals.principal_named(session, "everyone")
        expected = model(channel, who, visibility, outsiders)
        if found != expected:
            wrong.append((channel, who, visibility, found, expected))
        assert everyone is not None
        if scope is not None and who not in LINKED:
            assert scope.principal_id == everyone.id
        seen.add(None if found is None else frozenset(found))

    assert wrong == []
    assert len(seen) >= 6  # not all alike


def test_a_place_that_is_no_direct_message_is_not_taken_for_one(office):
    """Who says "direct" and means a channel does not show the channel what is for one person."""
    bot, documents = office
    for channel, channel_type in (("Cpublic", "im"), ("Cpublic", ""), ("Cprivate", "im"), ("Dann", "mpim")):
        scope = asked(bot, "ann", channel, DIRECT, channel_type)
        with bot.parts.catalog.reading() as session:
            assert read(session, documents, scope) == model(channel, "ann", CHANNEL, "nothing")


def test_the_scope_of_a_channel_names_all_who_see_it_and_follows_them(office):
    bot, documents = office
    scope = asked(bot, "ann", "Cprivate", CHANNEL)
    assert scope is not None
    with bot.parts.catalog.transaction() as session:
        ids = {name: people.principal(session, name).id for name in LINKED}
        assert scope.together == frozenset(ids.values())
        assert read(session, documents, scope) == {"all", "group"}
        principals.set_state(session, ids["cy"], "suspended")
        again = authorise(session, ids["ann"], together=scope.together)
        assert read(session, documents, again) == set()

    scope = asked(bot, "ann", "Cprivate", CHANNEL)  # cy is nobody now, so that it is not known who all may read
    with bot.parts.catalog.reading() as session:
        assert read(session, documents, scope) == {"all"}


# --- Slack is asked at most once a minute ------------------------------------------------------------------------


def test_an_audience_is_remembered_for_a_minute_and_not_longer(office, told):
    bot, _ = office
    assert audience(bot, "Cprivate", 1000.0) == audience(bot, "Cprivate", 1000.0 + REMEMBERED_S - 1)
    assert len(told.asked) == 2
    told.members["Cprivate"].append("Ugus")
    told.channels["Cprivate"]["is_ext_shared"] = True

    before = audience(bot, "Cprivate", 1000.0 + REMEMBERED_S - 1)
    after = audience(bot, "Cprivate", 1000.0 + REMEMBERED_S)

    assert before is not None
    assert after is not None
    assert (before.shared, after.shared) == (False, True)


@pytest.mark.parametrize("what", ["member", "shared"])
def test_a_change_that_slack_tells_of_holds_at_once(office, told, what):
    bot, documents = office
    with bot.parts.catalog.reading() as session:
        assert read(session, documents, asked(bot, "ann", "Cprivate", CHANNEL)) == {"all", "group"}
    if what == "member":
        told.members["Cprivate"].append("Uuna")
    else:
        told.channels["Cprivate"]["is_pending_ext_shared"] = True

    forget_channel(bot, "Cprivate")

    with bot.parts.catalog.reading() as session:
        found = read(session, documents, asked(bot, "ann", "Cprivate", CHANNEL))
    assert found == ({"all"} if what == "member" else None)


def test_what_slack_said_before_a_change_is_not_remembered_after_it(office, told):
    bot, _ = office
    pages = told.pages

    def changed_meanwhile(method, key, **arguments):
        found = list(pages(method, key, **arguments))
        forget_channel(bot, "Cprivate")
        told.members["Cprivate"].append("Uuna")
        return found

    told.pages = changed_meanwhile
    audience(bot, "Cprivate", 1000.0)
    told.pages = pages

    found = audience(bot, "Cprivate", 1000.0)
    assert found is not None
    assert found.members is not None
    assert "Uuna" in found.members


@pytest.mark.parametrize(
    ("method", "expected"), [("conversations.info", None), ("conversations.members", {"all"}), ("users.info", {"all"})]
)
def test_where_slack_is_silent_nobody_gets_more_than_everyone_may(office, told, method, expected, log_lines):
    bot, documents = office
    who = person(bot, "Uann")
    told.refuses[method] = "ratelimited"
    scope = scope_for(bot, who, Place("Cprivate", "Uann", TEAM), CHANNEL, "group")

    with bot.parts.catalog.reading() as session:
        assert read(session, documents, scope) == expected
    assert any(line.get("code") == "ratelimited" for line in log_lines())
    told.refuses.clear()
    scope = scope_for(bot, who, Place("Cprivate", "Uann", TEAM), CHANNEL, "group")
    if method == "conversations.info":
        assert scope is not None
        assert scope.together


# --- specialists ------------------------------------------------------------------------------------------------


def test_an_operator_asks_any_specialist_but_not_where_others_see_the_answer(office):
    bot, _ = office
    with bot.parts.catalog.transaction() as session:
        principals.set_role(session, people.principal(session, "ann").id, "operator")
    found = {}
    for who, (channel, visibility) in itertools.product(
        ("ann", "bob", "una"),
        (("Dann", DIRECT), ("Cpublic", EPHEMERAL), ("Cpublic", CHANNEL), ("Cprivate", CHANNEL), ("Calone", CHANNEL)),
    ):
        scope = asked(bot, who, channel, visibility)
        assert scope is not None
        found[who, channel, visibility] = specialist_asker(bot, person(bot, f"U{who}"), scope).every

    assert {key for key, every in found.items() if every} == {("ann", "Dann", DIRECT), ("ann", "Cpublic", EPHEMERAL)}


# --- drawn ------------------------------------------------------------------------------------------------------

numbers = itertools.count()
#: A user: in which groups, and what they are in Slack.
standing = st.sampled_from(["linked", "linked", "linked", "linked", "unlinked", "guest", "suspended"])
users = st.lists(st.tuples(st.sets(st.integers(0, 2)), standing), min_size=1, max_size=4)
#: A list: users by number, groups by number, whether everyone is on it.
lists = st.lists(
    st.tuples(st.sets(st.integers(0, 3)), st.sets(st.integers(0, 2)), st.booleans()), min_size=1, max_size=5
)


@given(drawn=users, on=lists, private=st.booleans(), seed=st.data())
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_a_channel_sees_is_within_what_each_member_and_the_asker_may_read(
    sqlite_catalog, drawn, on, private, seed
):
    catalog, told, n = sqlite_catalog, Told(), next(numbers)
    with catalog.transaction() as session:
        made = [principals.add_principal(session, "user", f"u{n}-{i}") for i in range(len(drawn))]
        groups = [principals.add_principal(session, "group", f"g{n}-{i}") for i in range(3)]
        for who, (inside, state) in zip(made, drawn, strict=True):
            for each in inside:
                principals.join_group(session, groups[each], who)
            if state != "unlinked":
                store_people.link(session, TEAM, f"U{who.id}", who.id, "admin")
            if state == "suspended":
                principals.set_state(session, who.id, "suspended")
            told.user(f"U{who.id}", is_restricted=state == "guest")
        everyone = principals.principal_named(session, "everyone")
        assert everyone is not None
        readers = {}  # list → which of the users may read it, by the model
        public = set()
        for some, in_groups, of_all in on:
            named = {made[i].id for i in some if i < len(made)} | {groups[i].id for i in in_groups}
            acl_id = grants.interned(session, named | ({everyone.id} if of_all else set()))
            readers[acl_id] = {
                i
                for i, (inside, state) in enumerate(drawn)
                if state != "suspended" and (of_all or i in some or inside & in_groups)
            }
            public |= {acl_id} if of_all else set()
    members = seed.draw(st.sets(st.integers(0, len(made) - 1)))
    asker = seed.draw(st.integers(0, len(made) - 1))
    channel = told.channel("C1", [f"U{made[i].id}" for i in members], is_private=private)
    bot = bot_of(Held(catalog), told, outsiders="public")

    user_id = f"U{made[asker].id}"
    scope = scope_for(bot, person(bot, user_id), Place(channel, user_id, TEAM), CHANNEL, "")

    assert scope is not None
    found = scope.acl_ids & readers.keys()
    all_linked = all(drawn[i][1] == "linked" for i in members)
    if private and asker in members and len(members) > 1 and all_linked:
        assert found == {acl_id for acl_id, may in readers.items() if members <= may}
    else:
        assert found == public
    active = {i for i in {*members, asker} if drawn[i][1] != "suspended"}
    assert all(active <= readers[acl_id] for acl_id in found)


# --- over a socket ----------------------------------------------------------------------------------------------


@pytest.mark.network
def test_the_fake_workspace_says_the_same(sqlite_catalog):
    with FakeSlack() as slack:
        with sqlite_catalog.transaction() as session:
            documents = fill(session)
        fields = {"team_id": slack.team_id, "api_url": slack.api_url, "bot_user_id": slack.bot_user_id}
        bot = bot_of(Held(sqlite_catalog), Slack(slack.bot_token, slack.api_url), **fields)
        users = {name: slack.add_user(name) for name in ("ann", "bob", "cy", "una")}
        with sqlite_catalog.transaction() as session:
            for name in LINKED:
                linked = people.principal(session, name).id
                store_people.link(session, slack.team_id, users[name], linked, "sign_in")
        sam = slack.add_user("sam", stranger_team=OTHER_TEAM)
        private = slack.add_channel("private", [users["ann"], users["bob"], users["cy"]], private=True)
        public = slack.add_channel("public", [users["ann"], users["bob"]])
        shared = slack.add_channel("shared", [users["ann"], sam], private=True, shared=True)

        def reads(channel, visibility=CHANNEL, user=users["ann"]):
            who = person(bot, user, "")
            scope = scope_for(bot, who, Place(channel, user, slack.team_id), visibility, "")
            with sqlite_catalog.reading() as session:
                return read(session, documents, scope)

        assert reads(private) == {"all", "group"}
        assert reads(public) == {"all"}
        assert reads(shared) is None
        assert reads(shared, EPHEMERAL) is None
        assert reads(slack.direct(users["ann"]), DIRECT) == {"all", "own", "group", "listed"}
        assert reads(slack.direct(users["ann"])) == {"all", "own", "group", "listed"}
        assert reads(shared, user=sam) is None
        slack.join(users["una"], private)
        forget_channel(bot, private)
        assert reads(private) == {"all"}
        slack.leave(users["una"], private)
        slack.leave(users["ann"], private)
        forget_channel(bot, private)
        assert reads(private) == {"all"}
        assert reads(private, user=users["bob"]) == {"all", "group"}


def test_a_person_of_whom_nothing_is_known_gets_nothing(office):
    bot, _ = office
    nobody = Person(TEAM, "U0", None, outsider=True, admin=False, language="en")

    for visibility in Visibility:
        assert scope_for(bot, nobody, Place("Dann", "U0", TEAM), visibility, "im") is None
