"""How a channel's policy is set: by a form for who may, and by the command line; by id, never by name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from app import audit, specialists
from app.errors import BadRequest
from app.slack import settings_modal, store_channels, store_workspaces
from app.slack.records import Policy
from app.specialists import Asker, Specialist
from indexing import grants, principals, store
from indexing.access import authorise
from indexing.tables import LOCAL_PRINCIPAL_ID
from tests.commands import commands
from tests.slack_rooms import room, text_of
from tests.slacks import CHANNEL, TEAM, workspace

pytestmark = pytest.mark.network

CHOSEN = Policy("questions", "silent", "hr", ("handbook",), recall=True, editors="members")


@pytest.fixture
def slack(settings, sqlite_url):  # the catalog that the settings find
    with room(settings) as opened:
        yield opened


def policy_of(slack, channel):
    with slack.parts.catalog.reading() as session:
        return store_channels.policy(session, slack.slack.team_id, channel)


def set_policy(slack, channel, **fields):
    with slack.parts.catalog.transaction() as session:
        store_channels.set_policy(session, slack.slack.team_id, channel, Policy(**fields), None)


def add_source(slack, name, *users):
    with slack.parts.catalog.transaction() as session:
        readers = grants.interned(session, {slack.principals[user] for user in users})
        store.add_source(session, name, "push", "", readers)


def open_settings(slack, user, channel):
    settings_modal.settings(slack.bot, slack.command(user, channel, "settings"))
    return slack.modal(user)


# --- the catalog ----------------------------------------------------------------------------------------------


def test_a_policy_is_kept_by_channel_and_workspace_and_taken_away_again(catalog):
    with catalog.transaction() as session:
        assert store_channels.policy(session, TEAM, CHANNEL) == Policy()
        store_channels.set_policy(session, TEAM, CHANNEL, CHOSEN, "U1")
        store_channels.set_policy(session, TEAM, CHANNEL, replace(CHOSEN, answers="all"), None)
        assert store_channels.policies(session, TEAM) == {CHANNEL: replace(CHOSEN, answers="all")}
        assert store_channels.policies(session, "T9") == {}
        assert store_channels.policy(session, "T9", CHANNEL) == Policy()
        assert store_channels.remove_policy(session, TEAM, CHANNEL)
        assert not store_channels.remove_policy(session, TEAM, CHANNEL)
        with pytest.raises(BadRequest):
            store_channels.set_policy(session, TEAM, CHANNEL, Policy(answers="never"), None)
        assert store_channels.policies(session, TEAM) == {}


def test_the_policy_stays_when_the_channel_is_called_otherwise(slack):
    boss = slack.member("boss", role="operator")
    channel = slack.slack.add_channel("hr", [boss])
    set_policy(slack, channel, answers="all")

    slack.slack.rename(channel, "people")

    assert policy_of(slack, channel).answers == "all"
    assert '"value": "all"' in text_of(open_settings(slack, boss, channel))


# --- the form -------------------------------------------------------------------------------------------------


def test_an_operator_sets_the_policy_and_the_channel_is_told_by_whom(slack):
    boss = slack.member("boss", role="operator")
    channel = slack.slack.add_channel("hr", [boss])
    add_source(slack, "handbook", boss)
    with slack.parts.catalog.transaction() as session:
        scope = authorise(session, slack.principals[boss])
        specialists.create_specialist(session, Asker(scope, every=True), Specialist("hr"))

    open_settings(slack, boss, channel)
    chosen = {"answers": "questions", "unknown": "silent", "specialist": "hr", "sources": ["handbook"]}
    slack.submit(boss, chosen | {"recall": ["on"], "editors": "members"})

    assert policy_of(slack, channel) == CHOSEN
    [note] = slack.slack.replies(channel)
    assert f"<@{boss}> changed how I answer here" in note.text
    assert "handbook" not in json.dumps(note.blocks) + note.text  # its name is not for all who see the note
    with slack.parts.catalog.reading() as session:
        *_, line = audit.lines(session, audit.Wanted(action="slack_channel"))
    assert (line.action, line.object, line.principal_id) == ("slack_channel.change", channel, slack.principals[boss])


def test_the_form_shows_the_policy_of_now_and_what_is_sent_unchanged_changes_nothing(slack):
    boss = slack.member("boss", role="operator", locale="fr-FR")
    channel = slack.slack.add_channel("hr", [boss])
    add_source(slack, "handbook", boss)
    set_policy(slack, channel, answers="off", sources=("handbook",), recall=True)

    view = open_settings(slack, boss, channel)
    slack.submit(boss, {})

    assert "Mes réponses ici" in text_of(view)
    assert policy_of(slack, channel) == Policy("off", sources=("handbook",), recall=True)
    assert slack.slack.replies(channel) == []
    assert "Rien n’a été changé" in slack.shown_to(boss)


@pytest.mark.parametrize(
    ("who", "editors", "may"),
    [
        ("operator", "admins", True),
        ("slack admin", "admins", True),
        ("member", "admins", False),
        ("member", "members", True),
        ("not in the channel", "members", False),
        ("not linked", "members", False),
        ("guest", "members", False),
        ("unlinked slack admin", "members", False),
        ("suspended", "members", False),
    ],
)
def test_only_who_the_policy_lets_may_open_the_form_and_send_it(slack, who, editors, may):
    people: dict[str, dict[str, Any]] = {
        "operator": {"role": "operator"},
        "slack admin": {"is_admin": True},
        "not linked": {"linked": False},
        "guest": {"restricted": True},
        "unlinked slack admin": {"linked": False, "is_admin": True},
    }
    user = slack.member("ann", **people.get(who, {}))
    boss = slack.member("boss", role="operator")
    channel = slack.slack.add_channel("hr", [boss, user])
    set_policy(slack, channel, editors=editors)
    if who == "suspended":
        with slack.parts.catalog.transaction() as session:
            principals.set_state(session, slack.principals[user], "suspended")

    asked = slack.command(user, channel, "settings")
    if who == "not in the channel":  # any more; who reads a public channel may run commands in it
        slack.slack.leave(user, channel)
    settings_modal.settings(slack.bot, asked)
    offered = '"submit"' in text_of(slack.modal(user))

    open_settings(slack, boss, channel)  # the same form, sent in another one's name
    sent = slack.slack.submit(slack.modal(boss).id, {"answers": "all"}, within_s=0).payload
    sent["user"] = {**sent["user"], "id": user}
    settings_modal.save(slack.bot, slack.job(slack.read(sent)))

    assert offered is may
    assert (policy_of(slack, channel).answers == "all") is may
    assert ("may change how I answer" in slack.shown_to(user)) is not may


def test_what_somebody_may_not_read_is_neither_shown_to_them_nor_taken_away(slack):
    boss = slack.member("boss", role="operator")
    ann = slack.member("ann")
    channel = slack.slack.add_channel("hr", [boss, ann])
    add_source(slack, "handbook", ann)
    add_source(slack, "salaries", boss)
    with slack.parts.catalog.transaction() as session:
        asker = Asker(authorise(session, slack.principals[boss]), every=True)
        specialists.create_specialist(session, asker, Specialist("board"))
    set_policy(slack, channel, specialist="board", sources=("salaries",), editors="members")

    view = open_settings(slack, ann, channel)
    slack.submit(ann, {"sources": ["handbook"], "answers": "all"})

    assert not {"salaries", "board"} & set(text_of(view).replace('"', " ").split())
    assert policy_of(slack, channel) == Policy("all", "say", "board", ("handbook", "salaries"), editors="members")
    assert "salaries" not in slack.shown_to(ann)


def test_a_choice_that_was_not_offered_is_refused(slack):
    boss, ann = slack.member("boss", role="operator"), slack.member("ann")
    channel = slack.slack.add_channel("hr", [boss, ann])
    add_source(slack, "handbook", ann)
    add_source(slack, "salaries", boss)
    set_policy(slack, channel, editors="members")
    open_settings(slack, ann, channel)
    sent = slack.slack.submit(slack.modal(ann).id, {"sources": ["handbook"]}, within_s=0).payload
    sent["view"]["state"]["values"]["sources"]["sources"]["selected_options"][0]["value"] = "salaries"

    settings_modal.save(slack.bot, slack.job(slack.read(sent)))

    assert policy_of(slack, channel).sources == ()
    assert "Nothing was changed" in slack.shown_to(ann)


def test_settings_are_those_of_a_channel_and_who_is_too_late_is_told(slack):
    boss = slack.member("boss", role="operator")
    assert "Settings are those of a channel" in text_of(open_settings(slack, boss, slack.slack.direct(boss)))

    channel = slack.slack.add_channel("hr", [boss])
    slack.slack.fail("views.open", "expired_trigger_id")
    settings_modal.settings(slack.bot, slack.command(boss, channel, "settings"))

    assert "Please try again" in slack.shown_to(boss)


def test_a_channel_that_the_bot_is_not_in_gets_its_policy_without_a_note(slack):
    boss = slack.member("boss", role="operator")
    channel = slack.slack.add_channel("secret", [boss], private=True, with_bot=False)
    open_settings(slack, boss, channel)

    slack.submit(boss, {"answers": "off"})

    assert policy_of(slack, channel).answers == "off"
    assert slack.slack.replies(channel) == []


# --- the command line -----------------------------------------------------------------------------------------


@pytest.fixture
def metier(tmp_path, monkeypatch, capsys, sqlite_catalog):
    with sqlite_catalog.transaction() as session:
        store_workspaces.connect(session, workspace())
        store.add_source(session, "handbook", "push", "")
        asker = Asker(authorise(session, LOCAL_PRINCIPAL_ID), every=True)
        specialists.create_specialist(session, asker, Specialist("hr"))
    return commands(tmp_path, monkeypatch, capsys)


def listed(metier):
    return json.loads(metier("slack", "channel", "list", "--json")[1])


def test_the_command_line_sets_lists_and_resets_a_policy(metier, sqlite_catalog):
    channel = "C0123456789"
    given = ("--answers", "questions", "--unknown", "silent", "--specialist", "hr", "--source", "handbook")
    assert metier("slack", "channel", "set", channel, *given, "--recall", "--editors", "members")[0] == 0
    assert metier("slack", "channel", "set", channel, "--no-recall")[0] == 0

    [found] = listed(metier)
    assert found == {
        "team": TEAM, "channel": channel, "answers": "questions", "unknown": "silent", "specialist": "hr",
        "sources": ["handbook"], "recall": False, "editors": "members",
    }  # fmt: skip
    assert "questions" in metier("slack", "channel", "list")[1]
    assert metier("slack", "channel", "set", channel, "--all-sources", "--specialist", "metier")[0] == 0
    assert (listed(metier)[0]["sources"], listed(metier)[0]["specialist"]) == ([], None)

    assert metier("slack", "channel", "reset", channel)[0] == 0
    assert listed(metier) == []
    with sqlite_catalog.reading() as session:
        lines = [line.principal_id for line in audit.lines(session, audit.Wanted(action="slack_channel"))]
    assert lines == [LOCAL_PRINCIPAL_ID] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        ("set", "general"),
        ("set", "#general"),
        ("set", "C0123456789", "--answers", "never"),
        ("set", "C0123456789", "--source", "nowhere"),
        ("set", "C0123456789", "--specialist", "nobody"),
        ("set", "C0123456789", "--source", "handbook", "--all-sources"),
        ("set", "C0123456789", "--team", "T9"),
        ("reset", "C0123456789"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(metier, wrong):
    code, _, err = metier("slack", "channel", *wrong)

    assert code == 1
    assert err.count("\n") == 1
    assert listed(metier) == []
