"""What Slack sends becomes what somebody did; and who signs a request for Slack without its secret is not believed."""

from __future__ import annotations

import os
import random
import time

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given

from app.errors import BadRequest
from app.slack import connecting, signed
from app.slack.incoming import plain, read
from tests import slacks
from tests.slacks import ANN, BOT, CHANNEL, SIGNING, TEAM, mention, message

EXAMPLES = int(os.environ.get("METIER_TEST_EXAMPLES") or 2000)
TS = "1700000000.000100"


def test_a_mention_and_the_message_it_is_in_mean_the_same_and_say_the_same():
    text = f"<@{BOT}> How long is the leave?"

    one, other = read(mention(text, ts=TS), BOT), read(message(text, ts=TS), BOT)

    assert one is not None
    assert other is not None
    assert one.meaning == other.meaning == f"{TEAM}:ask:{CHANNEL}:{TS}"
    assert (one.kind, one.text) == (other.kind, other.text) == ("mention", "How long is the leave?")
    assert one.lane == "answer"


def test_a_broadcast_of_a_reply_is_the_reply_itself():
    reply = read(message(ts=TS, thread_ts="1.1"), BOT)
    broadcast = read(message(ts=TS, thread_ts="1.1", subtype="thread_broadcast"), BOT)

    assert reply is not None
    assert broadcast is not None
    assert broadcast.meaning == reply.meaning


@pytest.mark.parametrize(
    "body",
    [
        message(bot_id="B1"),
        message(bot_profile={"id": "B1"}),
        message(subtype="bot_message", bot_id="B1", user=None),
        message(workflow_id="Wf1"),
        message(user=BOT),
        message(user="USLACKBOT"),
        message(user=None),
        message(subtype="message_changed", message={"text": "x", "user": ANN}, hidden=True),
        message(subtype="message_deleted", hidden=True),
        message(subtype="message_replied"),
        message(subtype="channel_join"),
        message(subtype="channel_topic"),
        message(subtype="pinned_item"),
        message(hidden=True),
        message(""),
        message(" \n\t"),
        mention(f"<@{BOT}>"),
        mention(bot_id="B1"),
        message("", channel_type="channel", files=[{"id": "F1"}]),
        message(ts=None),
        message(channel=None),
        message(channel=["C1"]),
        message(user={"id": "U1"}),
        message(type="reaction_added"),
        {"type": "event_callback"},
        {"type": "event_callback", "event": "message"},
        {"type": "view_closed", "view": {}, "user": {"id": ANN, "team_id": TEAM}},
        {"type": "block_suggestion"},
        {"type": "block_actions", "actions": [], "user": {"id": ANN, "team_id": TEAM}, "trigger_id": "1.2"},
        {"type": "block_actions", "actions": [{}], "user": {"id": ANN, "team_id": TEAM}},
        {"type": "url_verification"},
        {"type": ["message"]},
        {},
    ],
    ids=str,
)
def test_what_nobody_asks_is_no_question(body):
    assert read(body, BOT) is None


def test_a_direct_message_may_be_nothing_but_files():
    file = {
        "id": "F1",
        "name": "plan.pdf",
        "mimetype": "application/pdf",
        "url_private": "https://x",
        "preview": "secret",
    }

    found = read(message("", channel="D1", channel_type="im", subtype="file_share", files=[file]), BOT)

    assert found is not None
    assert (found.kind, found.channel_type) == ("direct", "im")
    assert found.payload["files"] == [{name: file[name] for name in ("id", "name", "mimetype", "url_private")}]


def test_who_writes_from_another_company_is_known_by_their_own_team():
    found = read(message(team=None, user_team="T0OTHER", source_team="T0OTHER"), BOT)

    assert found is not None
    assert (found.team_id, found.user_team_id) == (TEAM, "T0OTHER")


def test_an_event_of_a_shared_channel_is_for_the_workspace_that_the_app_is_installed_in():
    found = read(message() | {"team_id": "T0OTHER"}, BOT)

    assert found is not None
    assert found.team_id == TEAM


def test_text_is_what_a_person_typed():
    assert plain("<@U0BOT|metier>  a &lt;b&gt; &amp;amp; <https://x.y/z|the page>", BOT) == "a <b> &amp; the page"
    assert plain("see <https://x.y/z> and <@U2>") == "see https://x.y/z and <@U2>"
    assert plain("a\x00b\ud800") == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("said", "word", "text"),
    [
        ("", "help", ""),
        ("help", "help", ""),
        (" Aide ", "help", ""),
        ("WHY?", "why", ""),
        ("pourquoi", "why", ""),
        ("forget", "forget", ""),
        ("why is the leave so short?", "", "why is the leave so short?"),
        ("help\nme", "", "help\nme"),
        ("status of the project", "", "status of the project"),
    ],
)
def test_a_word_of_the_command_stands_alone_all_else_is_a_question(said, word, text):
    body = command(text=said)

    found = read(body, BOT)

    assert found is not None
    assert (found.payload["word"], found.text) == (word, text)
    assert found.lane == ("quick" if word else "answer")
    assert found.meaning == f"{TEAM}:command:{body['trigger_id']}"


def command(**fields):
    values = {
        "command": "/ask",
        "text": "x",
        "team_id": TEAM,
        "channel_id": CHANNEL,
        "channel_name": "privategroup",
        "user_id": ANN,
        "trigger_id": "12.34.ab",
        "response_url": "https://hooks.slack.com/1",
    }
    return values | fields


def test_a_click_carries_what_was_clicked_and_where():
    body = {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": ANN, "team_id": "T0OTHER"},
        "trigger_id": "1.2.x",
        "response_url": "https://r",
        "container": {"type": "message", "message_ts": TS, "channel_id": CHANNEL, "is_ephemeral": True},
        "channel": {"id": CHANNEL},
        "actions": [{"action_id": "share:", "value": "a1"}],
    }

    found = read(body, BOT)

    assert found is not None
    assert (found.kind, found.lane, found.channel_id, found.ts) == ("action", "quick", CHANNEL, TS)
    assert (found.team_id, found.user_team_id) == (TEAM, "T0OTHER")
    assert found.payload["action"] == {"action_id": "share:", "value": "a1"}
    assert found.payload["is_ephemeral"] is True
    assert found.meaning == f"{TEAM}:action:1.2.x"


def test_a_view_that_is_sent_in_carries_its_values():
    view = {
        "id": "V1",
        "hash": "h",
        "callback_id": "policy",
        "private_metadata": "C1",
        "state": {"values": {"a": {"b": 1}}},
    }

    found = read({"type": "view_submission", "team": {"id": TEAM}, "user": {"id": ANN}, "view": view}, BOT)

    assert found is not None
    assert found.meaning == f"{TEAM}:view:V1:h"
    assert found.payload == {
        "callback_id": "policy", "private_metadata": "C1", "values": {"a": {"b": 1}}, "trigger_id": "",
    }  # fmt: skip


def test_a_shortcut_carries_the_message_it_is_about():
    body = {
        "type": "message_action",
        "callback_id": "ask_about",
        "team": {"id": TEAM},
        "user": {"id": ANN, "team_id": TEAM},
        "channel": {"id": CHANNEL},
        "trigger_id": "9.9",
        "message": {"text": "How &lt;long&gt;?", "ts": TS, "user": "U2"},
    }

    found = read(body, BOT)

    assert found is not None
    assert found.payload["message"] == {"ts": TS, "thread_ts": "", "user": "U2", "text": "How <long>?"}
    assert (found.kind, found.text, found.ts) == ("shortcut", "How <long>?", TS)


def test_the_home_tab_and_members_of_channels_are_told_of():
    home = read(message(type="app_home_opened", tab="messages", channel="D1", ts=None), BOT)
    joined = read(message(type="member_joined_channel", channel_type="G", event_ts="5.5"), BOT)

    assert home is not None
    assert (home.kind, home.payload) == ("home", {"tab": "messages"})
    assert joined is not None
    assert (joined.kind, joined.channel_type) == ("member", "group")
    assert joined.payload == {"event": "member_joined_channel", "user": ANN}


def test_of_who_has_changed_nothing_is_taken_but_who_it_is():
    said = {"id": ANN, "name": "ann", "is_restricted": True, "profile": {"email": "ann@corp.example"}}
    changed = read(message(type="user_change", user=said, channel=None, ts=None, event_ts="5.5"), BOT)

    assert changed is not None
    assert (changed.kind, changed.user_id, changed.payload, changed.lane) == ("user", ANN, {}, "quick")
    assert read(message(type="user_change", user=ANN), BOT) is None


LETTERS = st.text(st.sampled_from("aé\x00\ud800<@>&|😀"), max_size=6)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | LETTERS | st.sampled_from([ANN, BOT, TEAM, CHANNEL, TS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=8,
)
OUTER = ("team", "team_id", "user", "view", "message", "actions", "trigger_id", "authorizations", "event_id")
KEYS = (
    "type",
    "subtype",
    "user",
    "text",
    "ts",
    "thread_ts",
    "channel",
    "channel_type",
    "bot_id",
    "files",
    "team",
    "tab",
)
BODIES = ("event_callback", "block_actions", "view_submission", "message_action", "shortcut")


@given(
    st.sampled_from(BODIES),
    st.dictionaries(st.sampled_from(OUTER), ANYTHING),
    st.dictionaries(st.sampled_from(KEYS), ANYTHING),
    st.sampled_from(("message", "app_mention", "app_home_opened", "member_joined_channel", "user_change")),
)
def test_no_body_makes_it_fail_and_what_it_returns_fits_the_catalog(kind, outer, inner, name):
    found = read({"team_id": TEAM} | outer | {"type": kind, "event": {"type": name} | inner}, BOT)

    if found is not None:
        assert 0 < len(found.meaning) <= 255
        assert found.meaning.isascii()
        ids = (found.team_id, found.user_id, found.user_team_id, found.channel_id, found.ts, found.thread_ts)
        assert all(len(each) <= 32 and each.isascii() for each in ids)
        assert "\x00" not in found.text
        found.text.encode()


# --- signatures -----------------------------------------------------------------------------------------------

BODY = b'{"type":"event_callback","text":"\xc3\xa9"}'
NOW = 1_700_000_000.0


def test_what_slack_signs_is_believed_for_five_minutes_around_its_time():
    headers = slacks.signature(BODY, NOW)

    accepted = {shift for shift in range(-400, 401) if signed.verified(SIGNING, headers, BODY, NOW + shift)}

    assert accepted == set(range(-300, 301))


def test_no_altered_request_is_believed():
    chance = random.Random(7)
    genuine = slacks.signature(BODY, NOW)
    good = other = 0
    for _ in range(EXAMPLES):
        body, headers, now, secret = altered(chance, dict(genuine))
        assert signed.verified(secret, headers, body, now) is None, (body, headers, now, secret)
        other += 1
        if chance.random() < 0.1:
            good += signed.verified(SIGNING, genuine, BODY, NOW) is not None
    assert other == EXAMPLES
    assert good > EXAMPLES / 20


def altered(chance, headers):
    """Return a request that is not the genuine one in one respect."""
    stamp, mark = headers["x-slack-request-timestamp"], headers["x-slack-signature"]
    place = chance.randrange(len(BODY))
    step = chance.choice(
        [
            lambda: (BODY[:place] + bytes([BODY[place] ^ (1 << chance.randrange(8))]) + BODY[place + 1 :], {}),
            lambda: (BODY + chance.choice([b" ", b"\x00", b"\n", b"\xff"]), {}),
            lambda: (BODY[:place], {}),
            lambda: (BODY, {"x-slack-signature": None}),
            lambda: (BODY, {"x-slack-request-timestamp": None}),
            lambda: (BODY, {"x-slack-signature": mark.upper()}),
            lambda: (BODY, {"x-slack-signature": mark[3:]}),
            lambda: (BODY, {"x-slack-signature": chance.choice(["v1=", "sha256=", "V0=", "", "v0:"]) + mark[3:]}),
            lambda: (BODY, {"x-slack-signature": mark[:-1] + chance.choice("ghé\u0660")}),
            lambda: (BODY, {"x-slack-signature": mark[: chance.randrange(len(mark))]}),
            lambda: (BODY, {"x-slack-signature": mark + chance.choice(["0", " ", ",", f",{mark}"])}),
            lambda: (BODY, {"x-slack-signature": "v0=" + chance.randbytes(32).hex()}),
            lambda: (BODY, {"x-slack-signature": "v0=" + "é" * 64}),
            lambda: (BODY, {"x-slack-request-timestamp": str(int(stamp) + chance.choice([-300, -1, 1, 299]))}),
            lambda: (
                BODY,
                {"x-slack-request-timestamp": chance.choice(["", "x", "-1", "1e9", "٤٢", "9" * 5000, "nan"])},
            ),
            lambda: (BODY, {"x-slack-request-timestamp": f"{stamp[:3]}_{stamp[3:]}"}),
            lambda: (BODY, {"x-slack-request-timestamp": chance.choice([f" {stamp}", f"+{stamp}", f"{stamp}.0"])}),
        ]
    )
    if chance.random() < 0.25:  # all is as it was, but the moment is not, or the secret
        late = NOW + chance.choice([-1, 1]) * (301 + chance.random() * chance.choice([1, 1e3, 1e9]))
        if chance.random() < 0.5:
            return BODY, headers, late, SIGNING
        return BODY, headers, NOW, chance.choice(["", " ", SIGNING[:-1], SIGNING + "0", SIGNING.upper()])
    body, changed = step()
    given_headers = {name: value for name, value in (headers | changed).items() if value is not None}
    return body, given_headers, NOW, SIGNING


# --- the manifest ---------------------------------------------------------------------------------------------


def test_the_manifest_asks_for_what_the_program_uses_over_either_transport():
    socket = yaml.safe_load(connecting.manifest())
    http = yaml.safe_load(connecting.manifest("http", "https://metier.corp.com/"))

    address = "https://metier.corp.com/slack/events"
    assert set(socket["oauth_config"]["scopes"]["bot"]) == connecting.SCOPES
    assert socket["settings"]["socket_mode_enabled"] is True
    assert socket["settings"]["token_rotation_enabled"] is False
    assert socket["features"]["shortcuts"][0]["callback_id"] == "ask_about"
    assert http["settings"].pop("socket_mode_enabled") is False
    assert http["settings"]["event_subscriptions"].pop("request_url") == address
    assert http["settings"]["interactivity"].pop("request_url") == address
    assert http["features"]["slash_commands"][0].pop("url") == address
    socket["settings"].pop("socket_mode_enabled")
    assert http == socket


@pytest.mark.parametrize("url", [None, "", "http://metier.corp.com", "metier.corp.com", "https://", 'https://x"\n: y'])
def test_there_is_no_manifest_for_http_without_an_https_address(url):
    with pytest.raises(BadRequest):
        connecting.manifest("http", url)


def test_a_signature_of_now_is_good_now():
    assert signed.verified(SIGNING, slacks.signature(BODY, time.time()), BODY, time.time()) is not None
