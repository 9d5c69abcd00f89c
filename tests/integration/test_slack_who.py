"""Who somebody in Slack is: by which link, in which state of theirs, of the principal's, and of Slack itself."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select, update

from app import audit, personal
from app.errors import SlackError
from app.slack import store_people, who
from app.slack.client import Slack
from app.slack.who import owned, person, principals_of, refresh
from app.tables_slack import SlackUserRow
from app.testing.slack import FakeSlack
from indexing import principals
from indexing.access import authorise
from tests.slack_told import OTHER_TEAM, Told, bot_of, changed, later
from tests.slacks import TEAM

MAIL = "ann@corp.example"
OWNED = ("corp.example", "corp.fr")


@dataclass
class Held:
    """The catalog, as the parts that the bot needs."""

    catalog: Any


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def bot(catalog, told):
    """A bot, and the principals ann (called by her address) and bob, an operator."""
    with catalog.transaction() as session:
        principals.add_principal(session, "user", MAIL)
        principals.add_principal(session, "user", "bob", role="operator")
    return bot_of(Held(catalog), told, domains=OWNED)


def named(bot, name):
    with bot.parts.catalog.reading() as session:
        found = principals.principal_named(session, name)
    assert found is not None
    return found.id


def linked(bot, user_id, name, how):
    with bot.parts.catalog.transaction() as session:
        store_people.link(session, TEAM, user_id, named(bot, name), how)


def forget_user(bot, user_id):
    """Do what is done when Slack says that somebody has changed."""
    with bot.parts.catalog.transaction() as session:
        store_people.forget(session, bot.workspace.team_id, user_id)


def seen(bot, user_id, team_id=TEAM):
    """(principal, whether an outsider)."""
    found = person(bot, user_id, team_id)
    return found.principal_id, found.outsider


MEMBER: dict[str, Any] = {}
GUEST, ULTRA = {"is_restricted": True}, {"is_restricted": True, "is_ultra_restricted": True}
#: A state in Slack → what Slack says, and whether it is a full member's.
STATES: dict[str, tuple[dict[str, Any], bool]] = {
    "full member": (MEMBER, True),
    "guest": (GUEST, False),
    "single-channel guest": (ULTRA, False),
    "only ultra-restricted": ({"is_ultra_restricted": True}, False),
    "nothing said of guests": ({"is_restricted": None, "is_ultra_restricted": None}, False),
    "of another team": ({"team_id": OTHER_TEAM}, False),
    "of another team and not called a stranger": ({"team_id": OTHER_TEAM, "is_stranger": False}, False),
    "stranger": ({"is_stranger": True}, False),
    "bot": ({"is_bot": True}, False),
    "workflow": ({"is_workflow_bot": True}, False),
    "invited only": ({"is_invited_user": True}, False),
    "deleted": ({"deleted": True}, False),
    "nothing said of deleted": ({"deleted": None}, False),
    "of no team": ({"team_id": None}, False),
    "of our workspace in a grid": ({"team_id": "E0001", "enterprise_user": {"teams": [TEAM, OTHER_TEAM]}}, True),
    "of another workspace in a grid": ({"team_id": "E0001", "enterprise_user": {"teams": [OTHER_TEAM]}}, False),
}
LINKS = ("sign_in", "admin", "domain", "none")


def test_a_link_counts_for_full_members_however_it_was_made_and_for_nobody_else(bot, told):
    for number, (state, how) in enumerate(itertools.product(STATES, LINKS)):
        said, member = STATES[state]
        user_id = told.user(f"U{number}", MAIL if how == "domain" else None, **said)
        if how in ("sign_in", "admin"):
            linked(bot, user_id, "bob", how)

        expected = {"domain": named(bot, MAIL), "none": None}.get(how, named(bot, "bob"))
        assert seen(bot, user_id) == (expected if member else None, not member), (state, how)
        assert person(bot, user_id).admin == (member and how in ("sign_in", "admin"))


def test_who_comes_from_another_team_is_an_outsider_whatever_the_profile_says(bot, told):
    told.user("U1", MAIL)
    linked(bot, "U1", "bob", "admin")

    assert seen(bot, "U1", OTHER_TEAM) == (None, True)
    assert told.asked == []
    assert seen(bot, "U1", "") == (named(bot, "bob"), False)


@pytest.mark.parametrize("how", ["sign_in", "admin", "domain"])
def test_a_link_rests_while_somebody_is_a_guest_or_deleted(bot, told, how):
    if how != "domain":
        linked(bot, "U1", MAIL, how)
    member, guest, deleted = "full member", "guest", "deleted"
    for state in (guest, member, deleted, member, guest, deleted, guest, member):
        said, is_member = STATES[state]
        told.user("U1", MAIL, **said)
        later(bot, 61)

        assert seen(bot, "U1") == (named(bot, MAIL) if is_member else None, not is_member)


# --- by address -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("email", "domains", "yes"),
    [
        ("ann@corp.example", ("corp.example",), True),
        ("Ann@CORP.example", ("corp.example",), True),
        ("ann@corp.example", ("CORP.Example",), True),
        ("ann@evilcorp.example", ("corp.example",), False),
        ("ann@sub.corp.example", ("corp.example",), False),
        ("ann@corp.example.evil.example", ("corp.example",), False),
        ("ann@corp.exampl", ("corp.example",), False),
        ("ann@corp.example@evil.example", ("corp.example",), False),
        ('"ann@evil.example"@corp.example', ("corp.example",), False),
        ("@corp.example", ("corp.example",), False),
        ("corp.example", ("corp.example",), False),
        ("ann@", ("corp.example", ""), False),
        ("ann@corp.example", (), False),
        ("ann@\u212aorp.example", ("korp.example",), False),  # the Kelvin sign
        ("\u0430nn@corp.example", ("corp.example",), False),  # a Cyrillic a
        (None, ("corp.example",), False),
    ],
)
def test_an_address_is_of_exactly_an_owned_domain(email, domains, yes):
    assert owned(email, domains) is yes


def test_who_has_no_confirmed_address_of_a_user_in_an_owned_domain_is_a_member_without_a_link(bot, told):
    cases: list[tuple[str | None, dict[str, Any]]] = [
        ("ann@evilcorp.example", {}),
        ("ann@sub.corp.example", {}),
        (MAIL, {"is_email_confirmed": False}),
        (MAIL, {"is_email_confirmed": None}),
        (MAIL, {"is_email_confirmed": "true"}),
        (None, {}),
        ("zoe@corp.example", {}),  # nobody here
        ("staff@corp.example", {}),  # a group
        ("robot@corp.example", {}),  # a service
    ]
    with bot.parts.catalog.transaction() as session:
        principals.add_principal(session, "group", "staff@corp.example")
        principals.add_principal(session, "service", "robot@corp.example")
        for name in ("ann@evilcorp.example", "ann@sub.corp.example"):
            principals.add_principal(session, "user", name)
        principals.add_principal(session, "user", "zoe@corp.example", issuer="https://id.example.com")
    for number, (email, said) in enumerate(cases):
        assert seen(bot, told.user(f"U{number}", email, **said)) == (None, False), (email, said)


def test_the_link_follows_the_address(bot, told):
    with bot.parts.catalog.transaction() as session:
        principals.add_principal(session, "user", "new@corp.fr")
    for email, name in ((MAIL, MAIL), ("new@corp.fr", "new@corp.fr"), ("gone@corp.fr", None), (MAIL, MAIL)):
        told.user("U1", email)
        later(bot, 61)
        assert seen(bot, "U1") == (None if name is None else named(bot, name), False)

    with bot.parts.catalog.reading() as session:
        told_of = [(line.action, line.about) for line in audit.lines(session) if line.action.startswith("slack.")]
    link, unlink = "slack.link", "slack.unlink"
    assert told_of == [(link, MAIL), (unlink, MAIL), (link, "new@corp.fr"), (unlink, "new@corp.fr"), (link, MAIL)]


def test_a_domain_that_is_taken_away_ends_its_links_at_once_and_no_others(bot, told):
    told.user("U1", MAIL)
    told.user("U2")
    linked(bot, "U2", "bob", "sign_in")
    assert seen(bot, "U1") == (named(bot, MAIL), False)

    without = changed(bot, domains=("corp.fr",))

    assert seen(without, "U1") == (None, False)
    assert seen(without, "U2") == (named(bot, "bob"), False)
    later(bot, 61)
    assert seen(without, "U1") == (None, False)


def test_only_addresses_of_owned_domains_are_kept(bot, told):
    told.user("U1", MAIL)
    told.user("U2", "private@elsewhere.example")
    for user_id in ("U1", "U2"):
        person(bot, user_id)

    with bot.parts.catalog.reading() as session:
        kept = dict(session.execute(select(SlackUserRow.user_id, SlackUserRow.email)).all())
    assert kept == {"U1": MAIL, "U2": None}


# --- the principal ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sign_in", "admin", "domain"])
def test_who_is_suspended_here_is_an_outsider_in_slack_and_would_read_nothing_anyway(bot, told, how):
    told.user("U1", MAIL)
    if how != "domain":
        linked(bot, "U1", MAIL, how)
    mine = named(bot, MAIL)
    assert seen(bot, "U1") == (mine, False)

    with bot.parts.catalog.transaction() as session:
        principals.set_state(session, mine, "suspended")
    assert seen(bot, "U1") == (None, True)
    with bot.parts.catalog.transaction() as session:
        assert authorise(session, mine).acl_ids == frozenset()
        principals.set_state(session, mine, "active")
    assert seen(bot, "U1") == (mine, False)


@pytest.mark.parametrize("how", ["sign_in", "domain"])
def test_who_is_erased_here_is_nobody_in_slack_and_nothing_of_them_is_kept(bot, told, how):
    told.user("U1", MAIL)
    if how != "domain":
        linked(bot, "U1", MAIL, how)
    mine = named(bot, MAIL)
    assert seen(bot, "U1") == (mine, False)
    with bot.parts.catalog.transaction() as session:
        erased = principals.principal_with_id(session, mine)
        assert erased is not None
        exported = personal.export_person(session, erased)["kept"]["slack_user"]
        receipt = personal.erase_person(session, erased)

    assert [row["user_id"] for row in exported] == ["U1"]
    assert receipt.deleted["slack_user"] == 1
    assert seen(bot, "U1") == (None, False)
    with bot.parts.catalog.reading() as session:
        assert authorise(session, mine).acl_ids == frozenset()


def test_language_and_role_are_those_of_now(bot, told):
    told.user("U1", locale="fr-FR")
    linked(bot, "U1", "bob", "admin")
    assert (person(bot, "U1").language, person(bot, "U1").admin) == ("fr", True)

    with bot.parts.catalog.transaction() as session:
        principals.set_role(session, named(bot, "bob"), "reader")

    assert not person(bot, "U1").admin


# --- Slack ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["", "ratelimited"])
def test_what_slack_said_is_believed_for_an_hour_and_then_whoever_it_is_silent_about_is_nobody(
    bot, told, code, log_lines
):
    told.user("U1", MAIL)
    person(bot, "U1")
    told.refuses["users.info"] = code
    later(bot, 59)
    assert seen(bot, "U1") == (named(bot, MAIL), False)
    assert told.asked == [("users.info", "U1")]

    later(bot, 1)

    assert seen(bot, "U1") == (None, True)
    assert [line["code"] for line in log_lines() if line.get("action") == "slack_user_unknown"] == [code]
    told.refuses.clear()
    assert seen(bot, "U1") == (named(bot, MAIL), False)


def test_a_moment_that_lies_ahead_is_not_believed(bot, told):
    told.user("U1", MAIL)
    person(bot, "U1")
    later(bot, -90)
    told.user("U1", MAIL, deleted=True)

    assert seen(bot, "U1") == (None, True)


def test_somebody_slack_does_not_know_is_an_outsider_and_so_is_another_than_was_asked_for(bot, told):
    assert seen(bot, "U9") == (None, True)
    told.user("U1", MAIL, id="U2")
    assert seen(bot, "U1") == (None, True)
    told.users["U3"] = {}
    assert seen(bot, "U3") == (None, True)


def test_a_change_that_slack_tells_of_holds_at_once(bot, told):
    told.user("U1", MAIL)
    assert seen(bot, "U1") == (named(bot, MAIL), False)
    told.user("U1", MAIL, deleted=True)
    assert seen(bot, "U1") == (named(bot, MAIL), False)

    forget_user(bot, "U1")

    assert seen(bot, "U1") == (None, True)


def test_an_answer_of_before_a_change_is_not_kept_over_it(bot, told):
    told.user("U1", MAIL)
    person(bot, "U1")
    later(bot, 61)

    def deleted_meanwhile():
        told.meanwhile = None
        told.user("U1", MAIL, deleted=True)
        forget_user(bot, "U1")

    told.meanwhile = deleted_meanwhile

    assert seen(bot, "U1") == (None, True)


def test_whose_profile_never_stands_still_is_nobody_meanwhile(bot, told):
    told.user("U1", MAIL)
    person(bot, "U1")
    forget_user(bot, "U1")
    told.meanwhile = lambda: forget_user(bot, "U1")

    assert seen(bot, "U1") == (None, True)


def test_a_link_that_is_made_while_slack_is_asked_is_not_lost(bot, told):
    told.user("U1")
    person(bot, "U1")
    later(bot, 61)
    told.meanwhile = lambda: linked(bot, "U1", "bob", "sign_in")

    assert seen(bot, "U1") == (named(bot, "bob"), False)


# --- many -------------------------------------------------------------------------------------------------------


def test_principals_of_several_are_known_only_if_each_is_linked(bot, told):
    told.user("U1", MAIL)
    told.user("U2")
    linked(bot, "U2", "bob", "admin")
    told.user("U3")

    assert principals_of(bot, {"U1", "U2"}) == frozenset((named(bot, MAIL), named(bot, "bob")))
    assert principals_of(bot, {"U1", "U2", "U3"}) is None
    told.asked.clear()
    assert principals_of(bot, {f"U{number}" for number in range(1, 100)}) is None
    assert told.asked == []  # one who is known to be nobody is enough


def test_one_of_several_who_is_suspended_or_whose_domain_was_taken_away_makes_them_unknown(bot, told):
    told.user("U1", MAIL)
    told.user("U2")
    linked(bot, "U2", "bob", "admin")
    assert principals_of(bot, {"U1", "U2"}) is not None
    with bot.parts.catalog.transaction() as session:
        principals.set_state(session, named(bot, "bob"), "suspended")
    assert principals_of(bot, {"U1", "U2"}) is None
    with bot.parts.catalog.transaction() as session:
        principals.set_state(session, named(bot, "bob"), "active")
    assert principals_of(bot, {"U1", "U2"}) is not None
    assert principals_of(changed(bot, domains=()), {"U1", "U2"}) is None


# --- before it is needed ------------------------------------------------------------------------------------------


def test_linked_people_are_asked_for_before_they_are_believed_no_longer(bot, told):
    told.user("U1", MAIL)
    told.user("U2")  # whom nobody linked
    for user in ("U1", "U2"):
        person(bot, user)
    told.asked.clear()
    refresh(bot)
    assert told.asked == []  # all that is known is fresh
    later(bot, 51)
    refresh(bot)
    assert told.asked == [("users.info", "U1")]
    refresh(bot)
    assert told.asked == [("users.info", "U1")]
    later(bot, 51)
    told.refuses["users.info"] = "internal_error"
    with pytest.raises(SlackError):
        refresh(bot)
    assert seen(bot, "U1") == (named(bot, MAIL), False)  # until the hour is over


def test_a_guest_is_found_out_without_a_question(bot, told):
    told.user("U1", MAIL)
    person(bot, "U1")
    told.user("U1", MAIL, is_restricted=True)
    later(bot, 51)
    refresh(bot)
    told.asked.clear()

    assert seen(bot, "U1") == (None, True)
    assert told.asked == []


# --- over a socket ----------------------------------------------------------------------------------------------


@pytest.mark.network
def test_the_fake_workspace_says_the_same(catalog):
    with FakeSlack() as slack, contextlib.closing(catalog):
        with catalog.transaction() as session:
            principals.add_principal(session, "user", MAIL)
        fields = {"team_id": slack.team_id, "api_url": slack.api_url, "bot_user_id": slack.bot_user_id}
        bot = bot_of(Held(catalog), Slack(slack.bot_token, slack.api_url), domains=OWNED, **fields)
        mine = named(bot, MAIL)
        ann = slack.add_user("ann", MAIL, locale="fr-FR")
        guest = slack.add_user("guest", MAIL, restricted=True)
        stranger = slack.add_user("stranger", MAIL, stranger_team=OTHER_TEAM)
        robot = slack.add_user("robot", MAIL, is_bot=True)
        slack.rate_limit("users.info", 0, times=2)

        found = person(bot, ann)
        assert (found.principal_id, found.outsider, found.language) == (mine, False, "fr")
        for other in (guest, stranger, robot, slack.bot_user_id, "U0NOBODY"):
            assert seen(bot, other, "") == (None, True)
        slack.deactivate(ann)
        assert seen(bot, ann, "") == (mine, False)
        forget_user(bot, ann)
        assert seen(bot, ann, "") == (None, True)
        slack.change_user(ann, deleted=False)
        slack.fail("users.info", "internal_error")
        forget_user(bot, ann)
        assert seen(bot, ann, "") == (None, True)
        assert seen(bot, ann, "") == (mine, False)


def test_a_profile_of_nonsense_is_nobody(bot, told):
    nonsense: tuple[dict[str, Any], ...] = (
        {"profile": None},
        {"profile": "x"},
        {"enterprise_user": 7},
        {"locale": 5},
        {"profile": {"email": 5}},
    )
    for number, said in enumerate(nonsense):
        told.user(f"U{number}", **said)
        assert person(bot, f"U{number}").principal_id is None
    assert who.profile(bot.slack, bot.workspace, "U4").email is None
    with bot.parts.catalog.transaction() as session:
        session.execute(update(SlackUserRow).values(how="domain", principal_id=named(bot, MAIL), email=None))
    assert seen(bot, "U0") == (None, False)
