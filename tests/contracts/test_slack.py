"""The fake Slack does what Slack does: Slack's own libraries talk to it, unpatched, over real sockets."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import urllib.request
import warnings
from typing import Any

import pytest
import uvicorn
from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.request import BoltRequest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.signature import SignatureVerifier
from slack_sdk.webhook import WebhookClient
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from app.testing.slack import FakeSlack

pytestmark = pytest.mark.network

MANIFEST: dict[str, Any] = {
    "features": {
        "bot_user": {"display_name": "Métier"},
        "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True, "messages_tab_read_only_enabled": False},
        "slash_commands": [{"command": "/ask", "description": "Ask"}],
        "shortcuts": [{"name": "Ask", "type": "message", "callback_id": "ask", "description": "Ask"}],
    },
    "oauth_config": {"scopes": {"bot": ["chat:write", "app_mentions:read", "users:read"]}},
    "settings": {"event_subscriptions": {"bot_events": ["app_mention"]}, "socket_mode_enabled": True},
}
BUTTON = {"type": "button", "action_id": "more", "text": {"type": "plain_text", "text": "More"}, "value": "1"}
FEEDBACK = {
    "type": "feedback_buttons",
    "action_id": "rate",
    "positive_button": {"text": {"type": "plain_text", "text": "Good"}, "value": "good"},
    "negative_button": {"text": {"type": "plain_text", "text": "Bad"}, "value": "bad"},
}
FORM = {
    "type": "modal",
    "callback_id": "form",
    "title": {"type": "plain_text", "text": "Why"},
    "submit": {"type": "plain_text", "text": "Send"},
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Why"},
            "element": {"type": "plain_text_input", "action_id": "text"},
        }
    ],
}


@pytest.fixture
def slack():
    with FakeSlack(ack_within_s=0.4, pauses_s=(0.0, 0.05, 0.05)) as found:
        yield found


@pytest.fixture(scope="module")
def still():
    """A workspace with no app connected, for many tests."""
    with FakeSlack() as found:
        yield found


@pytest.fixture
def someone(still):
    return still.add_user("someone")


@pytest.fixture
def room(still, someone):
    return still.add_channel("room", [someone])


@pytest.fixture
def ann(slack):
    return slack.add_user("ann", "ann@example.com")


@pytest.fixture
def channel(slack, ann):
    return slack.add_channel("general", [ann])


def client(slack, **more):
    return WebClient(token=slack.bot_token, base_url=slack.api_url, **more)


def bolt(slack, **more):
    quiet = logging.getLogger("bolt-of-tests")
    quiet.setLevel(logging.CRITICAL)
    return App(client=client(slack), signing_secret=slack.signing_secret, logger=quiet, **more)


@contextlib.contextmanager
def connected(slack, app, n=1):
    """Connect Bolt's own Socket Mode client, *n* times."""
    before = slack.connections
    ends = [SocketModeHandler(app, slack.app_token, ping_interval=0.2) for _ in range(n)]
    for each in ends:
        each.connect()
    slack.wait(lambda: slack.connections == before + n)
    try:
        yield ends
    finally:
        for each in ends:
            each.client.auto_reconnect_enabled = each.client.default_auto_reconnect_enabled = False
        # Slack's client never ends where it is closed while it changes its connection: let it settle first.
        slack.wait(lambda: all(settled(each.client) for each in ends))
        slack.cut()  # closing would wait three seconds for the other side, and one for the next message
        for each in ends:
            each.client.closed = True
            each.client.enqueue_message("")
            each.close()


def settled(end):
    """Return whether Slack's client *end* is neither changing its connection nor about to."""
    return end.message_queue.empty() and not end.connect_operation_lock.locked()


def heard(app, *kinds):
    """Return the list of bodies of the events that *app* hears."""
    found = []
    for kind in kinds:
        app.event(kind)(lambda body: found.append(body))  # noqa: PLW0108 -- Bolt reads the name of the argument
    return found


@contextlib.contextmanager
def listening(answer):
    """Serve ``answer(request)`` at /slack/events, on loopback."""
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[Route("/slack/events", answer, methods=["POST"])]),
            port=0,
            log_config=None,
            lifespan="off",
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/slack/events"
    finally:
        server.should_exit = True
        thread.join(10)


def over_http(app):
    """Return a route that hands requests to Bolt as they are; ``requests`` collects them."""
    requests = []

    async def answer(request):
        raw = (await request.body()).decode()
        requests.append((raw, dict(request.headers)))
        bolt_request = BoltRequest(body=raw, headers=dict(request.headers), query="")
        done = await run_in_threadpool(app.dispatch, bolt_request)
        return Response(done.body, done.status, headers=done.first_headers_without_set_cookie())

    return answer, requests


def error_of(call, **args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the SDK's own about messages without a text
        with pytest.raises(SlackApiError) as caught:
            call(**args)
    return caught.value.response["error"]


def plain(text):
    return {"type": "plain_text", "text": text}


def section(text="x" * 10, **more):
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}} | more


# --- events over Socket Mode ------------------------------------------------------------------------------------


def test_a_mention_comes_as_two_events_with_two_ids(slack, ann, channel):
    app = bolt(slack)
    bodies = heard(app, "message", "app_mention")
    with connected(slack, app):
        ts = slack.say(ann, channel, f"<@{slack.bot_user_id}> how many days?")
        slack.wait(lambda: len(bodies) == 2)

    assert {each["event"]["type"] for each in bodies} == {"message", "app_mention"}
    assert {each["event"]["ts"] for each in bodies} == {ts}
    assert len({each["event_id"] for each in bodies}) == 2


def test_a_direct_message_is_no_mention(slack, ann):
    app = bolt(slack)
    bodies = heard(app, "message", "app_mention")
    with connected(slack, app):
        slack.say(ann, slack.direct(ann), f"<@{slack.bot_user_id}> hello")
        slack.wait(lambda: slack.acks)

    assert [(each["event"]["type"], each["event"]["channel_type"]) for each in bodies] == [("message", "im")]


def test_an_event_that_is_not_acknowledged_comes_again_three_times_with_its_id(slack, ann, channel):
    app = bolt(slack)  # hears nothing, so that it acknowledges nothing
    with connected(slack, app):
        slack.say(ann, channel, "hello")
        slack.wait(lambda: slack.lost)

    assert [each.attempt for each in slack.deliveries] == [0, 1, 2, 3]
    assert len({each.event_id for each in slack.deliveries}) == 1
    assert len({each.envelope_id for each in slack.deliveries}) == 4
    assert slack.acks == []


def test_a_retry_says_that_it_is_one_and_goes_to_another_connection(slack, ann, channel):
    app = bolt(slack)
    with connected(slack, app, n=2):
        slack.say(ann, channel, "hello")
        slack.wait(lambda: len(slack.deliveries) > 1)
        bodies = heard(app, "message")
        slack.wait(lambda: slack.acks)

    assert slack.deliveries[-1].acked
    assert len(bodies) == 1
    assert {slack.deliveries[0].line, slack.deliveries[1].line} == {1, 2}


def test_each_event_goes_to_one_connection_only_and_duplicates_to_different_ones(slack, ann, channel):
    app = bolt(slack)
    bodies = heard(app, "message")
    with connected(slack, app, n=2):
        slack.say(ann, channel, "once")
        slack.wait(lambda: slack.acks)
        slack.duplicate(2)
        slack.say(ann, channel, "twice")
        slack.wait(lambda: len(slack.acks) == 3)

    assert [each["event"]["text"] for each in bodies] == ["once", "twice", "twice"]
    assert {each.line for each in slack.deliveries[1:]} == {1, 2}
    assert len({each.event_id for each in slack.deliveries}) == 2


def test_nothing_is_lost_when_slack_refreshes_the_connection(slack, ann, channel):
    app = bolt(slack)
    bodies = heard(app, "message")
    with connected(slack, app):
        for n in range(10):
            if n % 4 == 1:
                slack.disconnect("refresh_requested")
            slack.say(ann, channel, f"number {n}")
            time.sleep(0.05)
        slack.wait(lambda: len({each["event_id"] for each in bodies}) == 10)
        slack.wait(lambda: slack.connections == 1)  # the one that was asked to go has gone
        opened = [each for each in slack.calls if each.method == "apps.connections.open"]

    assert len(opened) >= 3
    assert slack.lost == []


def test_no_connection_opens_after_the_link_was_disabled(slack):
    slack.disconnect("link_disabled")

    assert error_of(client(slack).apps_connections_open, app_token=slack.app_token) == "access_denied"


def test_a_silent_connection_answers_no_ping_and_its_event_comes_over_another(slack, ann, channel):
    app = bolt(slack)
    bodies = heard(app, "message")
    with connected(slack, app) as (end,):
        slack.wait(lambda: end.client.current_session.last_ping_pong_time)
        slack.silence()
        time.sleep(0.05)
        last = end.client.current_session.last_ping_pong_time
        slack.say(ann, channel, "is anybody there?")
        time.sleep(0.45)
        pongs = end.client.current_session.last_ping_pong_time
        with connected(slack, app):
            slack.wait(lambda: slack.acks)

    assert pongs == last
    assert len(bodies) == 1
    assert slack.deliveries[0].acked is False
    assert slack.deliveries[-1].acked


def test_the_app_hears_of_channels_that_it_is_in_only(slack, ann):
    app = bolt(slack)
    bodies = heard(app, "message", "app_mention")
    private = slack.add_channel("board", [ann], private=True, with_bot=False)
    with connected(slack, app):
        slack.say(ann, private, f"<@{slack.bot_user_id}> secret")
        slack.say(ann, slack.direct(ann), "open")
        slack.wait(lambda: bodies)

    assert [each["event"]["text"] for each in bodies] == ["open"]


def test_an_edit_is_a_changed_message_and_a_mention_only_where_it_adds_one(slack, ann, channel):
    app = bolt(slack)
    bodies = heard(
        app, {"type": "message", "subtype": "message_changed"}, {"type": "message", "subtype": None}, "app_mention"
    )
    with connected(slack, app):
        ts = slack.say(ann, channel, "hello")
        slack.edit(ann, channel, ts, f"<@{slack.bot_user_id}> hello")
        slack.edit(ann, channel, ts, f"<@{slack.bot_user_id}> hello again")
        slack.wait(lambda: len(slack.acks) == 4)

    kinds = [(each["event"]["type"], each["event"].get("subtype")) for each in bodies]
    assert sorted(kinds, key=str) == [
        ("app_mention", None),
        ("message", "message_changed"),
        ("message", "message_changed"),
        ("message", None),
    ]


# --- the manifest -------------------------------------------------------------------------------------------------


def test_the_manifest_decides_on_events_scopes_commands_and_connections():
    with FakeSlack(MANIFEST) as slack:
        ann = slack.add_user("ann", "ann@example.com")
        channel = slack.add_channel("general", [ann])
        app = bolt(slack)
        bodies = heard(app, "app_mention", "message")
        with connected(slack, app):
            slack.say(ann, channel, f"<@{slack.bot_user_id}> hello")
            slack.wait(lambda: slack.acks)
        with pytest.raises(SlackApiError) as caught:
            app.client.users_lookupByEmail(email="ann@example.com")

        assert [each["event"]["type"] for each in bodies] == ["app_mention"]
        assert caught.value.response["error"] == "missing_scope"
        assert caught.value.response["needed"] == "users:read.email"
        assert "email" not in app.client.users_info(user=ann)["user"]["profile"]
        with pytest.raises(LookupError):
            slack.command(ann, channel, "/other", "")


@pytest.mark.parametrize("events", [["message.im"], ["message.mpim"]])
def test_a_direct_message_of_several_people_is_a_kind_of_its_own(events):
    scopes = {"scopes": {"bot": ["chat:write", "mpim:history", "mpim:read"]}}
    asked_for = MANIFEST["settings"] | {"event_subscriptions": {"bot_events": [*events, "user_change"]}}
    with FakeSlack(MANIFEST | {"oauth_config": scopes, "settings": asked_for}) as slack:
        ann, bob, eve = (slack.add_user(name) for name in ("ann", "bob", "eve"))
        group = slack.add_group_message(ann, bob)
        app = bolt(slack)
        bodies = heard(app, "message", "user_change")
        with connected(slack, app):
            slack.say(ann, group, "hello both")
            slack.change_user(eve, restricted=True)
            slack.wait(lambda: any(each["event"]["type"] == "user_change" for each in bodies))
        described = app.client.conversations_info(channel=group)["channel"]

        assert (described["is_mpim"], described["is_private"], described["is_channel"]) == (True, True, False)
        assert set(app.client.conversations_members(channel=group)["members"]) == {ann, bob, slack.bot_user_id}
        assert not slack.world.may_read(eve, slack.world.channels[group])
        said = [each["event"]["channel_type"] for each in bodies if each["event"]["type"] == "message"]
        assert said == (["mpim"] if events == ["message.mpim"] else [])


def test_without_socket_mode_in_the_manifest_no_connection_opens():
    settings = MANIFEST["settings"] | {"socket_mode_enabled": False}
    with FakeSlack(MANIFEST | {"settings": settings}) as slack:
        assert error_of(client(slack).apps_connections_open, app_token=slack.app_token) == "access_denied"


# --- signed requests ----------------------------------------------------------------------------------------------


def test_requests_are_signed_as_slacks_own_verifier_checks_them(slack, ann, channel):
    app = bolt(slack)
    bodies = heard(app, "message")
    answer, requests = over_http(app)
    with listening(answer) as url:
        slack.deliver_to(url, url, url)
        slack.say(ann, channel, "hello")
        slack.wait(lambda: slack.acks)
        verified = slack.verify_url(url)
    raw, headers = requests[0]

    assert len(bodies) == 1
    assert SignatureVerifier(slack.signing_secret).is_valid_request(raw, headers)
    assert not SignatureVerifier(slack.signing_secret).is_valid_request(raw + " ", headers)
    assert verified


@pytest.mark.parametrize(("headers", "tries"), [({}, 4), ({"X-Slack-No-Retry": "1"}, 1)])
def test_a_refused_request_comes_again_unless_the_app_says_no(slack, ann, channel, headers, tries):
    asked = []

    async def refuse(request):
        asked.append(dict(request.headers))
        return Response(status_code=500, headers=headers)

    with listening(refuse) as url:
        slack.deliver_to(url)
        slack.say(ann, channel, "hello")
        slack.wait(lambda: slack.lost)

    assert [each.get("x-slack-retry-num") for each in asked] == [None, "1", "2", "3"][:tries]
    assert {each.get("x-slack-retry-reason") for each in asked[1:]} <= {"http_error"}


def test_commands_and_clicks_come_as_signed_forms(slack, ann, channel):
    app = bolt(slack)
    done = []

    @app.command("/ask")
    def asked(ack, body):
        done.append(body["text"])
        ack(f"asked {body['text']}")

    @app.action("more")
    def more(ack, body):
        done.append(body["actions"][0]["value"])
        ack()

    answer, _ = over_http(app)
    with listening(answer) as url:
        slack.deliver_to(url, url, url)
        slack.command(ann, channel, "/ask", "how many?").wait()
        ts = app.client.chat_postMessage(channel=channel, text="x", blocks=[section(accessory=BUTTON)])["ts"]
        slack.click(ann, channel, ts, "more").wait()

    assert done == ["how many?", "1"]
    assert [each.text for each in slack.ephemerals(ann)] == ["asked how many?"]


# --- the Web API --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"text": ""}, "no_text"),
        ({"text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [section("x" * 3001)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section(""), section()]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section(block_id="a"), section(block_id="a")]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section(block_id="a" * 256)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "marquee"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "markdown", "text": "x" * 6001}] * 2}, "msg_blocks_too_long"),
        ({"text": "x", "blocks": [{"type": "header", "text": plain("x" * 151)}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "context", "elements": [plain("x")] * 11}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "actions", "elements": [BUTTON, BUTTON]}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "actions", "elements": [{"type": "feedback_buttons"}]}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section(accessory=BUTTON | {"value": "x" * 2001})]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section(accessory=BUTTON | {"action_id": "x" * 256})]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section(accessory=BUTTON | {"url": "https://e" + "x" * 3000})]}, "invalid_blocks"),
        ({"text": "x", "blocks": [section(accessory=BUTTON | {"text": plain("x" * 76)})]}, "invalid_blocks"),
    ],
)  # fmt: skip
def test_what_is_over_the_documented_limits_is_refused(still, args, error):
    channel = still.add_channel("general")

    assert error_of(client(still).chat_postMessage, channel=channel, **args) == error
    assert still.messages(channel) == []


def test_what_an_app_asks_about_unfurling_is_kept(still, room):
    client(still).chat_postMessage(channel=room, text="https://e.example", unfurl_links=False, unfurl_media=False)
    client(still).chat_postMessage(channel=room, text="https://e.example")

    kept = [(each.unfurl_links, each.unfurl_media) for each in still.messages(room)]
    assert kept == [(False, False), (None, None)]


def test_blocks_that_are_refused_come_with_the_reason(still, room):
    with pytest.raises(SlackApiError) as caught:
        client(still).chat_postMessage(channel=room, text="x", blocks=[section("x" * 3001)])

    assert "json-pointer:/blocks/0/text" in caught.value.response["response_metadata"]["messages"][0]


def test_429_makes_the_sdks_retry_handler_wait(slack, channel):
    slack.rate_limit("chat.postMessage", 1)
    started = time.monotonic()

    client(slack, retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=1)]).chat_postMessage(
        channel=channel, text="x"
    )

    assert time.monotonic() - started >= 1
    assert [each.error for each in slack.calls] == ["ratelimited", ""]
    slack.rate_limit("chat.postMessage", 7)
    with pytest.raises(SlackApiError) as caught:
        client(slack).chat_postMessage(channel=channel, text="x")
    assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (429, "7")


def test_lists_come_in_pages(still, someone, room):
    for n in range(7):
        still.say(someone, room, f"number {n}")

    first = client(still).conversations_history(channel=room, limit=100)
    every = [each["text"] for page in client(still).conversations_history(channel=room) for each in page["messages"]]

    assert len(first["messages"]) == 3
    assert first["has_more"]
    assert every == [f"number {n}" for n in reversed(range(7))]


def test_an_unknown_method_fails_the_test_that_called_it():
    with pytest.raises(AssertionError, match=r"chat\.postMesage"), FakeSlack() as slack:
        assert error_of(client(slack).api_call, api_method="chat.postMesage") == "unknown_method"


def test_a_revoked_token_is_good_for_nothing(slack, channel):
    slack.revoke()

    assert error_of(client(slack).chat_postMessage, channel=channel, text="x") == "token_revoked"
    assert error_of(client(slack).apps_connections_open, app_token=slack.app_token) == "invalid_auth"


def test_a_broken_slack_answers_no_json_and_is_mended(slack):
    slack.break_http(503)
    with pytest.raises(SlackApiError):
        client(slack).auth_test()
    slack.break_http(None)

    assert client(slack).auth_test()["user_id"] == slack.bot_user_id


def test_people_of_other_teams_are_told_apart_by_their_team_only(slack, ann):
    eve = slack.add_user("eve", "ann@example.com", stranger_team="T0OTHER0000")
    slack.add_channel("with-partner", [ann, eve], shared=True)
    users = [each for page in client(slack).users_list() for each in page["members"]]
    found = next(each for each in users if each["id"] == eve)

    assert found["is_stranger"] is False  # as documented: they share a channel with the app
    assert found["team_id"] != slack.team_id
    assert client(slack).users_lookupByEmail(email="ann@example.com")["user"]["id"] == ann


# --- streams ------------------------------------------------------------------------------------------------------


def test_the_sdks_stream_becomes_one_message_with_blocks_and_metadata(still, someone, room):
    ts = still.say(someone, room, "how many?")
    to = {"recipient_user_id": someone, "recipient_team_id": still.team_id}
    stream = client(still).chat_stream(channel=room, thread_ts=ts, buffer_size=4, **to)
    for text in ("twenty", "-five", " days"):
        stream.append(markdown_text=text)
    streaming = still.replies(room)[0].streaming
    stream.stop(
        blocks=[{"type": "context_actions", "elements": [FEEDBACK]}],
        metadata={"event_type": "answer", "event_payload": {"id": "1"}},
    )
    (message,) = still.replies(room, ts)

    assert streaming
    assert message.text == message.streamed == "twenty-five days"
    assert message.history == ("twenty", "twenty-five", "twenty-five days")
    assert message.blocks[0]["elements"] == [FEEDBACK]
    assert message.metadata == {"event_type": "answer", "event_payload": {"id": "1"}}
    assert not message.streaming


def test_a_stream_in_a_channel_says_for_whom_and_ends_once(still, someone, room):
    web, ts = client(still), still.say(someone, room, "how many?")
    to = {"recipient_user_id": someone, "recipient_team_id": still.team_id}
    place = {"channel": room, "thread_ts": ts}

    assert error_of(web.chat_startStream, **place) == "missing_recipient_user_id"
    assert error_of(web.chat_startStream, **place, recipient_user_id=someone) == "missing_recipient_team_id"
    assert error_of(web.chat_startStream, **place, **to, markdown_text="x" * 12_001) == "msg_too_long"
    stream = web.chat_startStream(**place, **to)["ts"]
    web.chat_stopStream(channel=room, ts=stream)
    ended = error_of(web.chat_appendStream, channel=room, ts=stream, markdown_text="x")
    assert ended == "message_not_in_streaming_state"
    assert error_of(web.chat_stopStream, channel=room, ts=stream) == "message_not_in_streaming_state"


def test_an_open_stream_is_not_changed_otherwise_and_one_that_slack_ended_takes_no_more(still, someone):
    web, direct = client(still), still.direct(someone)
    ts = web.chat_startStream(channel=direct, thread_ts=still.say(someone, direct, "how many?"))["ts"]

    assert error_of(web.chat_update, channel=direct, ts=ts, text="x") == "streaming_state_conflict"
    assert error_of(web.chat_delete, channel=direct, ts=ts) == "cant_delete_message"
    still.end_streams()
    ended = error_of(web.chat_stopStream, channel=direct, ts=ts, markdown_text="x")
    assert ended == "message_not_in_streaming_state"
    web.chat_update(channel=direct, ts=ts, text="25")
    assert [each.text for each in still.replies(direct)] == ["25"]


def test_an_update_keeps_the_blocks_that_it_does_not_name_and_is_shorter(still, room):
    web = client(still)
    ts = web.chat_postMessage(channel=room, text="old", blocks=[section("old")])["ts"]

    assert error_of(web.chat_update, channel=room, ts=ts, text="é" * 2001) == "msg_too_long"
    assert error_of(web.chat_update, channel=room, ts=ts, text="&" * 801) == "msg_too_long"
    web.chat_update(channel=room, ts=ts, text="new")
    kept = still.messages(room)[-1].blocks
    web.chat_update(channel=room, ts=ts, text="new", blocks=[])
    assert (len(kept), still.messages(room)[-1].blocks) == (1, ())


def test_a_stream_of_the_sdk_that_has_ended_takes_no_more(still, someone):
    direct = still.direct(someone)
    stream = client(still).chat_stream(channel=direct, thread_ts=still.say(someone, direct, "how many?"))
    stream.stop(markdown_text="25")

    with pytest.raises(SlackRequestError):
        stream.append(markdown_text="26")
    assert [each.text for each in still.replies(direct)] == ["25"]


def test_the_status_goes_when_the_app_posts_in_that_thread(still, someone, room):
    web, ts = client(still), still.say(someone, room, "how many?")
    web.assistant_threads_setStatus(channel_id=room, thread_ts=ts, status="is reading", loading_messages=["Reading"])
    before = still.status(room, ts)
    web.chat_postMessage(channel=room, text="elsewhere")
    elsewhere = still.status(room, ts)
    web.chat_postMessage(channel=room, thread_ts=ts, text="25")

    assert (before, elsewhere, still.status(room, ts)) == ("is reading", "is reading", "")
    assert still.statuses[0].loading_messages == ("Reading",)


def test_prompts_without_a_thread_are_for_agents(still, room):
    prompts = [{"title": "Leave", "message": "How many days of leave?"}]
    client(still).assistant_threads_setSuggestedPrompts(channel_id=room, prompts=prompts)
    with FakeSlack(MANIFEST | {"oauth_config": {"scopes": {"bot": ["assistant:write"]}}}) as plain_app:
        direct = plain_app.direct(plain_app.add_user("ann"))
        set_prompts = client(plain_app).assistant_threads_setSuggestedPrompts

        assert error_of(set_prompts, channel_id=direct, prompts=prompts) == "invalid_arguments"
        set_prompts(channel_id=direct, prompts=prompts, thread_ts="1.000001")
    assert still.prompts[-1].prompts == tuple(prompts)
    assert error_of(client(still).assistant_threads_setSuggestedPrompts, channel_id=room, prompts=prompts * 5)


# --- clicks, forms, response URLs ---------------------------------------------------------------------------------


def test_feedback_opens_a_form_and_its_submission_comes_back(slack, ann, channel):
    app, done = bolt(slack), []

    @app.action("rate")
    def rate(ack, body, client):
        ack()
        done.append(body["actions"][0]["value"])
        client.views_open(trigger_id=body["trigger_id"], view=FORM)

    @app.view("form")
    def sent(ack, view):
        text = view["state"]["values"]["why"]["text"]["value"]
        done.append(text)
        if text == "bad":
            ack(response_action="errors", errors={"why": "no"})
        else:
            ack()

    blocks = [{"type": "context_actions", "elements": [FEEDBACK]}]
    with connected(slack, app):
        ts = app.client.chat_postMessage(channel=channel, text="25", blocks=blocks)["ts"]
        slack.click(ann, channel, ts, "rate", "bad").wait()
        (view,) = slack.wait(lambda: slack.views(ann))
        slack.submit(view.id, {"why": "bad"})
        still_open = bool(slack.views(ann))
        slack.submit(view.id, {"why": "it is old"})

    assert done == ["bad", "bad", "it is old"]
    assert still_open
    assert slack.views(ann) == []


def test_a_trigger_opens_one_view(still, someone, room):
    sent = still.command(someone, room, "/ask", "")

    client(still).views_open(trigger_id=sent.trigger_id, view=FORM)

    assert error_of(client(still).views_open, trigger_id=sent.trigger_id, view=FORM) == "exchanged_trigger_id"
    assert error_of(client(still).views_open, trigger_id="1.2.3", view=FORM) == "invalid_trigger_id"


def test_a_trigger_lasts_as_long_as_is_said():
    with FakeSlack(trigger_s=0) as slack:
        sent = slack.command(slack.add_user("ann"), slack.add_channel("general"), "/ask", "")

        assert error_of(client(slack).views_open, trigger_id=sent.trigger_id, view=FORM) == "expired_trigger_id"


def test_a_response_url_is_used_up_after_five_times(still, someone, room):
    hook = WebhookClient(still.command(someone, room, "/ask", "").response_url)

    codes = [hook.send(text=f"number {n}").status_code for n in range(6)]

    assert codes == [200] * 5 + [404]
    assert len(still.ephemerals(someone)) == 5


def test_a_response_url_replaces_and_deletes_what_only_one_person_saw(still, someone, room):
    web = client(still)
    ts = web.chat_postEphemeral(channel=room, user=someone, text="only you", blocks=[section(accessory=BUTTON)])[
        "message_ts"
    ]
    hook = WebhookClient(still.click(someone, room, ts, "more").response_url)
    hook.send(text="shared", replace_original=True)
    hook.send(text="for all", response_type="in_channel")
    hook.send(delete_original=True)

    assert still.ephemerals(someone)[0].history == ("only you", "shared")
    assert still.ephemerals(someone)[0].deleted
    assert [each.text for each in still.messages(room)] == ["for all"]


# --- who could have read what -------------------------------------------------------------------------------------


def test_an_ephemeral_message_is_seen_by_its_person_only(slack, ann, channel):
    bob = slack.add_user("bob")
    slack.join(bob, channel)
    client(slack).chat_postEphemeral(channel=channel, user=ann, text="only you", blocks=[section("in a block")])

    assert slack.seen_by(ann) == ["only you", "in a block"]
    assert slack.seen_by(bob) == []
    assert slack.messages(channel) == []


def test_guests_and_strangers_see_their_channels_only_and_members_all_public_ones(slack, ann):
    guest = slack.add_user("guest", restricted=True)
    eve = slack.add_user("eve", stranger_team="T0OTHER0000")
    bob = slack.add_user("bob")
    public, board = slack.add_channel("general", [ann]), slack.add_channel("board", [ann], private=True)
    shared = slack.add_channel("partner", [ann, eve, guest], shared=True)
    for place in (public, board, shared):
        client(slack).chat_postMessage(channel=place, text=place)

    assert slack.seen_by(ann) == [public, board, shared]
    assert slack.seen_by(bob) == [public, shared]
    assert slack.seen_by(guest) == slack.seen_by(eve) == [shared]


def test_what_was_replaced_was_seen_by_who_was_there_then(slack, ann):
    board, web = slack.add_channel("board", [ann], private=True), client(slack)
    ts = web.chat_postMessage(channel=board, text="secret")["ts"]
    web.chat_update(channel=board, ts=ts, text="taken back")
    bob = slack.add_user("bob")
    slack.join(bob, board)
    slack.leave(bob, board)
    web.chat_postMessage(channel=board, text="later")

    assert slack.seen_by(ann) == ["secret", "taken back", "later"]
    assert slack.seen_by(bob) == ["taken back"]


def test_a_file_is_served_to_the_bots_token_only(slack, ann):
    app = bolt(slack)
    bodies = heard(app, {"type": "message", "subtype": "file_share"}, "file_shared")
    with connected(slack, app):
        slack.upload(ann, slack.direct(ann), "leave.md", b"# Leave\n", "what is this?")
        slack.wait(lambda: len(slack.acks) == 2)
    event = next(each["event"] for each in bodies if each["event"]["type"] == "message")
    url = event["files"][0]["url_private_download"]
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {slack.bot_token}"})

    with urllib.request.urlopen(request) as allowed, urllib.request.urlopen(url) as denied:
        assert allowed.read() == b"# Leave\n"
        assert b"Sign in" in denied.read()
