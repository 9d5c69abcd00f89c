"""What is posted to Slack: the real SDK on a Slack of our own, over real sockets."""

from __future__ import annotations

import time
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import SlackError
from app.events import Citation
from app.slack import deliver
from app.slack.blocks import AnswerView, answer_end, answer_message, notice
from app.slack.bot import Bot
from app.slack.client import Slack
from app.slack.records import Message, Place, Visibility, Workspace
from app.testing.slack import FakeSlack
from app.testing.slack_blocks import strings

pytestmark = pytest.mark.network

CITED = Citation(1, 1, 5, "hr", "hr/leave.md", "Leave policy", 3, "25 days", 10, 20)
TEXT = "People get 25 days [1]. They ask their manager [1]."


@pytest.fixture
def slack():
    with FakeSlack() as found:
        yield found


@pytest.fixture
def bot(slack):
    workspace = Workspace(
        slack.team_id,
        "Example",
        slack.app_id,
        slack.bot_user_id,
        slack.api_url,
        "socket",
        "b",
        "a",
        None,
        (),
        "nothing",
    )
    nothing: Any = SimpleNamespace()
    return Bot(nothing, nothing, workspace, Slack(slack.bot_token, slack.api_url))


@pytest.fixture
def ann(slack):
    return slack.add_user("ann", "ann@example.com")


@pytest.fixture
def eve(slack):
    return slack.add_user("eve", "eve@example.com")


@pytest.fixture
def channel(slack, ann, eve):
    return slack.add_channel("general", [ann, eve])


@pytest.fixture
def place(slack, ann, channel):
    """Where a question was asked in a channel."""
    ts = slack.say(ann, channel, "How many days?")
    return Place(channel, ann, slack.team_id, thread_ts=ts, question_ts=ts)


@pytest.fixture
def private(slack, ann):
    """Where a question was asked in a direct message."""
    ts = slack.say(ann, slack.direct(ann), "How many days?")
    return Place(slack.direct(ann), ann, slack.team_id, thread_ts=ts, question_ts=ts)


def view(text=TEXT):
    return AnswerView("a1", text, (CITED,))


def whole(text=TEXT, visibility=Visibility.CHANNEL):
    return answer_message(view(text), "en", visibility=visibility, public_url=None)


def end(text=TEXT, visibility=Visibility.CHANNEL):
    return answer_end(view(text), "en", visibility=visibility, public_url=None)


def read(message):
    return "\n".join([message.text, *strings(list(message.blocks))])


def calls(slack):
    return [each.method for each in slack.calls]


def begin(bot, place, begun=None, visibility=Visibility.CHANNEL):
    return deliver.begin(bot, place, visibility, on_begun=(begun if begun is not None else []).append)


# --- whole messages -------------------------------------------------------------------------------------------


def test_an_answer_in_a_channel_stands_in_the_thread_and_nothing_unfurls(slack, bot, place):
    ts = deliver.deliver(bot, place, whole(), Visibility.CHANNEL)

    (posted,) = slack.replies(place.channel_id, place.thread_ts)
    assert posted.ts == ts
    assert posted.thread_ts == place.thread_ts
    assert (posted.unfurl_links, posted.unfurl_media) == (False, False)
    assert posted.metadata["event_payload"] == {"answer_id": "a1", "question": place.question_ts}


def test_what_is_for_one_person_is_never_in_the_channel(slack, bot, place, ann, eve):
    deliver.deliver(bot, place, whole(visibility=Visibility.EPHEMERAL), Visibility.EPHEMERAL)
    stream = begin(bot, place, visibility=Visibility.EPHEMERAL)
    stream.add("People get ")
    stream.add("25 days [1].")
    stream.stop(end(visibility=Visibility.EPHEMERAL))
    deliver.replace(bot, place, "1.2", whole(visibility=Visibility.EPHEMERAL), Visibility.EPHEMERAL)
    deliver.finish_begun(bot, place, "1.2", whole(visibility=Visibility.EPHEMERAL), Visibility.EPHEMERAL)

    assert len(slack.ephemerals(ann)) == 4
    assert slack.replies(place.channel_id) == []
    assert slack.seen_by(eve, from_app=True) == []


def test_a_command_is_answered_through_its_own_address_to_who_asked(slack, bot, channel, ann, eve):
    url = slack.web.base_url + "/response/" + slack.world.reply_token(channel, ann, None, None)
    place = Place(channel, ann, slack.team_id, response_url=url)

    assert deliver.deliver(bot, place, notice("One moment"), Visibility.EPHEMERAL) == ""
    deliver.replace(bot, place, "", whole(visibility=Visibility.EPHEMERAL), Visibility.EPHEMERAL)

    (shown,) = slack.ephemerals(ann)
    assert "One moment" not in read(shown)
    assert "Leave policy" in read(shown)
    assert slack.seen_by(eve, from_app=True) == []
    assert calls(slack) == []


def test_an_address_that_is_used_up_does_not_make_it_public(slack, bot, channel, ann, eve):
    url = slack.web.base_url + "/response/" + slack.world.reply_token(channel, ann, None, None)
    place = Place(channel, ann, slack.team_id, response_url=url)
    for _ in range(7):
        deliver.deliver(bot, place, notice("Only you"), Visibility.EPHEMERAL)

    assert len(slack.ephemerals(ann)) == 7
    assert slack.seen_by(eve, from_app=True) == []


def test_an_address_elsewhere_is_not_asked(slack, bot, channel, ann):
    place = Place(channel, ann, slack.team_id, response_url="https://evil.example/response/x")
    deliver.deliver(bot, place, notice("Only you"), Visibility.EPHEMERAL)

    assert len(slack.ephemerals(ann)) == 1
    with pytest.raises(SlackError) as refused:
        bot.slack.respond(place.response_url, {})
    assert refused.value.code == "not_slack"


def test_a_direct_answer_is_not_posted_in_a_channel(slack, bot, place):
    for post in (
        lambda: deliver.deliver(bot, place, whole(), Visibility.DIRECT),
        lambda: deliver.replace(bot, place, "1.2", whole(), Visibility.DIRECT),
        lambda: begin(bot, place, visibility=Visibility.DIRECT),
    ):
        with pytest.raises(SlackError) as refused:
            post()
        assert refused.value.code == "not_private"
    assert calls(slack) == []


def test_a_message_is_replaced_where_it_is(slack, bot, private):
    ts = deliver.deliver(bot, private, notice("First"), Visibility.DIRECT)
    deliver.replace(bot, private, ts, whole(visibility=Visibility.DIRECT), Visibility.DIRECT)

    (posted,) = slack.replies(private.channel_id)
    assert "25 days" in read(posted)


# --- streams --------------------------------------------------------------------------------------------------


def test_an_answer_is_streamed_and_ends_with_its_sources(slack, bot, place):
    begun: list[str] = []
    stream = begin(bot, place, begun)
    stream.add("People get 25 days [1].")
    (posted,) = slack.replies(place.channel_id, place.thread_ts)
    assert posted.streaming
    assert begun == [posted.ts] == [stream.ts]

    stream.add(" They ask their manager [1].")
    assert stream.stop(end()) == posted.ts

    (posted,) = slack.replies(place.channel_id, place.thread_ts)
    assert not posted.streaming
    assert posted.streamed == TEXT
    assert "Leave policy" in read(posted)
    assert posted.metadata["event_payload"] == {"answer_id": "a1", "question": place.question_ts}
    assert calls(slack) == ["chat.startStream", "chat.stopStream"]
    assert slack.calls[0].args["recipient_user_id"] == place.user_id
    assert slack.calls[0].args["recipient_team_id"] == slack.team_id


def test_a_direct_answer_is_streamed_without_saying_for_whom(slack, bot, private):
    stream = begin(bot, private, visibility=Visibility.DIRECT)
    stream.add(TEXT)
    stream.stop(end(visibility=Visibility.DIRECT))

    assert calls(slack) == ["chat.startStream", "chat.stopStream"]
    assert "recipient_user_id" not in slack.calls[0].args


def test_pieces_are_sent_at_most_every_so_often(slack, bot, place):
    stream = begin(bot, place)
    began = time.monotonic()
    while time.monotonic() - began < 2.0:
        stream.add("Word. ")
        time.sleep(0.02)
    stream.stop(end())

    assert calls(slack)[:1] == ["chat.startStream"]
    assert calls(slack).count("chat.appendStream") == 2
    at = [each.at for each in slack.calls if each.method != "chat.stopStream"]
    assert min(b - a for a, b in pairwise(at)) >= deliver.APPEND_EVERY_S - 0.05


def test_nothing_that_a_document_says_is_live_in_a_stream(slack, bot, place):
    stream = begin(bot, place)
    for piece in ("<", "!chan", "nel> ht", "tp://ev", "il.exa", "mple/ :ta", "da: **b", "** & ", "[x", "](y)"):
        stream.add(piece)
    stream.stop(end())

    (posted,) = slack.replies(place.channel_id)
    assert posted.streamed == "‹!channel&gt; evil․example/ ：tada: ＊＊b＊＊ &amp; [x] (y)"


def test_more_than_slack_takes_at_once_is_sent_in_pieces(slack, bot, place):
    text = "word " * 6000
    stream = begin(bot, place)
    stream.add(text)
    stream.stop(end(text))

    (posted,) = slack.replies(place.channel_id)
    assert posted.streamed.split() == text.split()
    assert max(len(each.args.get("markdown_text", "")) for each in slack.calls) <= 12_000


@pytest.mark.parametrize("refused", ["unknown_method", "missing_scope", "channel_type_not_supported"])
def test_where_nothing_can_be_streamed_a_message_is_updated(slack, bot, place, refused):
    slack.fail("chat.startStream", refused)
    begun: list[str] = []
    stream = begin(bot, place, begun)
    stream.add("People get 25 days [1].")
    (posted,) = slack.replies(place.channel_id, place.thread_ts)
    assert begun == [posted.ts]
    assert "25 days" in read(posted)
    assert (posted.unfurl_links, posted.unfurl_media) == (False, False)
    stream.add(" They ask their manager [1].")
    stream.stop(end())

    (posted,) = slack.replies(place.channel_id, place.thread_ts)
    assert TEXT in read(posted)
    assert "Leave policy" in read(posted)
    assert posted.metadata["event_type"] == "metier_answer"


def test_a_stream_that_slack_has_cut_ends_with_the_whole_answer(slack, bot, place):
    stream = begin(bot, place)
    stream.add("People get 25 days [1].")
    slack.world.find(place.channel_id, stream.ts).state = "streamed"
    stream.add(" They ask their manager [1].")
    stream.stop(end())

    (posted,) = slack.replies(place.channel_id)
    assert TEXT in read(posted)
    assert read(posted).count("Leave policy") == 1


def test_a_piece_that_fails_does_not_leave_a_hole(slack, bot, place):
    slack.fail("chat.appendStream", "internal_error")
    stream = begin(bot, place)
    stream.add("People get 25 days [1].")
    time.sleep(deliver.APPEND_EVERY_S)
    stream.add(" They ask their manager [1].")
    stream.add(" The end [1].")
    stream.stop(end())

    (posted,) = slack.replies(place.channel_id)
    assert TEXT + " The end [1]." in read(posted)
    assert posted.edited  # nobody knows whether the piece arrived: the whole was put there
    assert calls(slack).count("chat.appendStream") == 1


def test_what_does_not_stand_is_replaced_when_the_stream_stops(slack, bot, place):
    stream = begin(bot, place)
    stream.add("A quick answer that does not stand [1].")
    stream.replace(TEXT)
    stream.stop(end())

    (posted,) = slack.replies(place.channel_id)
    assert "does not stand" not in read(posted)
    assert TEXT in read(posted)
    assert not posted.streaming


def test_an_answer_without_text_is_posted_whole(slack, bot, place):
    begun: list[str] = []
    stream = begin(bot, place, begun)
    stream.add("")
    stream.add("  ")
    ts = stream.stop(notice("I do not know."))

    (posted,) = slack.replies(place.channel_id)
    assert posted.ts == ts
    assert begun == [ts]
    assert calls(slack) == ["chat.postMessage"]


def test_what_was_begun_for_a_job_that_is_somebody_elses_is_taken_back(slack, bot, place):
    def lost(_):
        raise LookupError

    stream = deliver.begin(bot, place, Visibility.CHANNEL, on_begun=lost)
    with pytest.raises(LookupError):
        stream.add(TEXT)

    assert slack.replies(place.channel_id) == []


# --- attempts that did not come to an end ---------------------------------------------------------------------


def test_what_an_earlier_attempt_began_is_found_and_finished(slack, bot, place):
    deliver.deliver(bot, place, notice("Four questions are ahead"), Visibility.CHANNEL)
    for n in range(5):
        slack.say(place.user_id, place.channel_id, f"anything {n}", thread_ts=place.thread_ts)
    stream = begin(bot, place)
    stream.add("People get 25")

    found = deliver.unfinished(bot, place, place.question_ts)
    assert found
    assert found == stream.ts
    assert deliver.unfinished(bot, place, place.question_ts, owned={stream.ts}) is None
    assert deliver.finish_begun(bot, place, found, whole(), Visibility.CHANNEL) == found

    *_, posted = slack.replies(place.channel_id)
    assert TEXT in read(posted)
    assert not posted.streaming
    assert deliver.unfinished(bot, place, place.question_ts) == found  # this question's answer: not another one


def test_a_finished_answer_to_another_question_is_not_touched(slack, bot, place):
    deliver.deliver(bot, place, whole(), Visibility.CHANNEL)
    later = slack.say(place.user_id, place.channel_id, "And in Leeds?", thread_ts=place.thread_ts)

    assert deliver.unfinished(bot, place, later) is None
    deliver.deliver(bot, place, whole(), Visibility.CHANNEL)
    assert deliver.unfinished(bot, place, later) is None


def test_what_was_begun_and_then_deleted_is_posted_anew(slack, bot, place):
    ts = deliver.deliver(bot, place, notice("x"), Visibility.CHANNEL)
    bot.slack.call("chat.delete", channel=place.channel_id, ts=ts)

    assert deliver.finish_begun(bot, place, ts, whole(), Visibility.CHANNEL) != ts
    (posted,) = slack.replies(place.channel_id)
    assert TEXT in read(posted)


# --- status ---------------------------------------------------------------------------------------------------


def test_a_status_is_shown_and_goes_with_the_answer(slack, bot, private):
    deliver.status(bot, private, "is looking into the documents…")
    assert slack.status(private.channel_id, private.thread_ts) == "is looking into the documents…"
    deliver.deliver(bot, private, whole(), Visibility.DIRECT)

    assert slack.status(private.channel_id, private.thread_ts) == ""


def test_where_there_is_no_status_the_question_gets_a_mark(slack, bot, place):
    slack.fail("assistant.threads.setStatus", "channel_type_not_supported", times=2)
    deliver.status(bot, place, "is looking")
    (question,) = slack.messages(place.channel_id)
    assert question.reactions == (("eyes", slack.bot_user_id),)
    deliver.status(bot, place, "")

    (question,) = slack.messages(place.channel_id)
    assert question.reactions == ()


def test_a_status_never_stands_in_the_way(slack, bot, place):
    slack.revoke()
    deliver.status(bot, place, "is looking")
    slack.break_http(503)
    deliver.status(bot, Place("C1", "U1", "T1"), "is looking")


# --- when Slack refuses ---------------------------------------------------------------------------------------


def test_after_429_it_waits_as_long_as_slack_says(slack, bot, place):
    slack.rate_limit("chat.postMessage", 1)
    began = time.monotonic()
    deliver.deliver(bot, place, whole(), Visibility.CHANNEL)

    assert time.monotonic() - began >= 1.0
    assert len(slack.replies(place.channel_id)) == 1


def test_a_wait_that_is_too_long_fails_at_once_and_says_how_long(slack, bot, place):
    slack.rate_limit("chat.postMessage", 120)
    began = time.monotonic()
    for _ in range(2):
        with pytest.raises(SlackError) as refused:
            deliver.deliver(bot, place, whole(), Visibility.CHANNEL)
        assert (refused.value.code, refused.value.retry_after_s) in (("ratelimited", 120), ("ratelimited", 121))

    assert time.monotonic() - began < 5
    assert calls(slack) == ["chat.postMessage"]


def test_a_stream_that_is_too_fast_for_slack_loses_nothing(slack, bot, place):
    slack.rate_limit("chat.appendStream", 1)
    stream = begin(bot, place)
    stream.add("People get 25 days [1].")
    time.sleep(deliver.APPEND_EVERY_S)
    stream.add(" They ask their manager [1].")
    stream.stop(end())

    (posted,) = slack.replies(place.channel_id)
    assert posted.streamed == TEXT
    assert not posted.edited


def test_no_more_streams_are_begun_than_slack_allows_in_a_minute(slack, bot, place):
    for _ in range(21):
        begin(bot, place).add("People get 25 days [1]. ")

    assert calls(slack).count("chat.startStream") == 20
    assert calls(slack)[-1] == "chat.postMessage"


def test_a_revoked_token_is_an_error_with_slacks_word_for_it(slack, bot, place):
    slack.revoke()
    for post in (
        lambda: deliver.deliver(bot, place, whole(), Visibility.CHANNEL),
        lambda: begin(bot, place).add(TEXT),
        lambda: deliver.finish_begun(bot, place, "1.2", whole(), Visibility.CHANNEL),
    ):
        with pytest.raises(SlackError) as refused:
            post()
        assert refused.value.code == "token_revoked"


def test_what_may_have_been_posted_is_not_posted_twice(slack, bot, place):
    slack.break_http(503)
    with pytest.raises(SlackError) as refused:
        deliver.deliver(bot, place, whole(), Visibility.CHANNEL)
    assert refused.value.code == ""
    with pytest.raises(SlackError) as refused:
        begin(bot, place).add(TEXT)
    assert refused.value.code == ""
    slack.break_http(None)

    assert slack.replies(place.channel_id) == []


def test_a_slack_that_is_not_there_is_an_error(bot, place):
    nowhere = Bot(bot.parts, bot.metrics, bot.workspace, Slack("xoxb-1", "http://127.0.0.1:9/api/"))
    with pytest.raises(SlackError) as refused:
        deliver.deliver(nowhere, place, Message("x"), Visibility.CHANNEL)

    assert refused.value.code == ""
