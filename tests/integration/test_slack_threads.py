"""Follow-ups in Slack: the bot stays in threads that it joined, and knows what was said to those who see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from app import personal, retention
from app.tables_slack import SlackThreadRow, SlackTurnRow
from app.testing import ScriptedGenerator
from indexing import principals
from indexing.tables import utc_now
from tests.slack_bots import ABOUT_SECRET, QUESTION, said, town

pytestmark = pytest.mark.network

FOLLOW_UP = "And for contractors?"


@pytest.fixture
def place(settings, sqlite_url):
    with town(settings()) as found:
        yield found


def turns(place):
    with place.bot.parts.catalog.reading() as session:
        return list(session.scalars(select(SlackTurnRow.text).order_by(SlackTurnRow.id)))


def asked_for(place):
    """Return the turns that the generator was given with the last question."""
    return [turn.text for turn in place.face.generator.requests[-1].history]


def test_a_follow_up_in_a_joined_thread_is_answered_without_a_mention(place):
    ts = place.mention(place.bob, QUESTION)

    place.say(place.ann, FOLLOW_UP, ts)

    assert len(place.replies(ts)) == 2
    assert asked_for(place)[0] == QUESTION


def test_whoever_follows_up_while_the_answer_is_still_written_is_answered_too(settings, sqlite_url):
    class Watched(ScriptedGenerator):
        def generate(self, request):
            with here.bot.parts.catalog.reading() as session:
                joined.append(session.scalar(select(SlackThreadRow.muted)))
            return (yield from super().generate(request))

    joined: list[bool | None] = []
    with town(settings(), generator=Watched(("Every employee has 25 days of paid leave [1].",))) as here:
        here.mention(here.bob, QUESTION)

    assert joined == [False]


def test_the_bot_does_not_talk_in_threads_that_it_has_not_joined(place):
    ts = place.say(place.bob, "Lunch?")

    place.say(place.ann, QUESTION, ts)

    assert place.replies() == []


def test_a_reply_to_somebody_else_is_left_alone(place):
    ts = place.mention(place.bob, QUESTION)

    place.say(place.bob, f"<@{place.ann}> do you know how many days of paid leave contractors have?", ts)

    assert len(place.replies(ts)) == 1


@pytest.mark.parametrize("word", ["mute", "Chut !"])
def test_mute_makes_the_bot_leave_and_a_mention_brings_it_back(place, word):
    ts = place.mention(place.bob, QUESTION)

    place.say(place.ann, word, ts)
    place.say(place.bob, FOLLOW_UP, ts)
    assert len(place.replies(ts)) == 1
    assert len(place.slack.ephemerals(place.ann)) == 1

    place.mention(place.bob, QUESTION, ts)
    place.say(place.bob, FOLLOW_UP, ts)
    assert len(place.replies(ts)) == 3


def test_mute_with_a_mention_is_not_a_question(place):
    ts = place.mention(place.bob, QUESTION)

    place.mention(place.bob, "mute", ts)
    place.say(place.bob, FOLLOW_UP, ts)

    assert len(place.replies(ts)) == 1


def test_mute_by_command_holds_for_the_threads_of_the_channel(place):
    ts = place.mention(place.bob, QUESTION)

    place.ask(place.ann, "mute")
    place.say(place.bob, FOLLOW_UP, ts)
    assert len(place.replies(ts)) == 1

    place.ask(place.ann, "unmute")
    place.say(place.bob, FOLLOW_UP, ts)
    assert len(place.replies(ts)) == 2


def test_a_switched_off_channel_has_no_follow_ups(place):
    ts = place.mention(place.bob, QUESTION)
    place.policy(answers="off")

    place.say(place.bob, FOLLOW_UP, ts)

    assert len(place.replies(ts)) == 1


def test_what_one_person_was_told_alone_is_no_part_of_the_channels_conversation(place):
    ts = place.mention(place.bob, QUESTION)
    private = place.command(place.ann, ABOUT_SECRET)
    # As the shortcut asks about a message of the thread.
    place.do(replace(private, thread_ts=ts))
    place.mention(place.bob, FOLLOW_UP, ts)

    assert not any("salary" in text for text in asked_for(place))
    assert not any("salary" in text for text in turns(place))


def test_what_is_asked_privately_does_not_learn_from_the_channel(place):
    ts = place.mention(place.bob, QUESTION)
    private = place.command(place.ann, FOLLOW_UP)

    place.do(replace(private, thread_ts=ts))

    assert not any(each.history for each in place.face.generator.requests[1:])


def test_the_message_that_a_shortcut_was_used_on_is_what_the_question_is_about(place):
    private = place.command(place.ann, "And how many days?")
    payload = {**private.payload, "quoted": "Every employee has paid leave"}

    place.do(replace(private, payload=payload))

    assert asked_for(place) == ["Every employee has paid leave"]


def test_a_direct_conversation_goes_on_without_threads(place):
    place.direct(place.bob, QUESTION)
    place.direct(place.bob, FOLLOW_UP)

    assert asked_for(place)[0] == QUESTION


def test_a_direct_conversation_is_nobody_elses(place):
    place.direct(place.ann, QUESTION)
    place.direct(place.bob, FOLLOW_UP)

    assert not any(each.history for each in place.face.generator.requests[1:])


def test_nothing_is_asked_of_slack_about_what_others_wrote(place):
    ts = place.mention(place.bob, QUESTION)
    place.say(place.ann, FOLLOW_UP, ts)

    called = {each.method for each in place.slack.calls}
    assert not called & {"conversations.history", "conversations.replies"}


def test_turns_go_with_the_answers(place):
    place.mention(place.bob, QUESTION)
    assert len(turns(place)) == 2
    later = utc_now() + timedelta(days=400)

    retention.apply(place.bot.parts.catalog, place.bot.parts.settings, later)

    assert turns(place) == []
    with place.bot.parts.catalog.reading() as session:
        assert session.scalars(select(SlackThreadRow.thread_ts)).all() == []


def test_nothing_is_kept_where_answers_are_not(settings, sqlite_url):
    with town(settings(answers_kept_days=0)) as place:
        ts = place.mention(place.bob, QUESTION)
        place.say(place.bob, QUESTION, ts)

        assert len(place.replies(ts)) == 2
        assert turns(place) == []


def test_turns_are_erased_with_the_person(place):
    place.direct(place.bob, QUESTION)
    assert turns(place)

    with place.bot.parts.catalog.transaction() as session:
        who = principals.principal_named(session, "bob")
        assert who is not None
        assert len(personal.export_person(session, who)["kept"]["slack_turn"]) == 2
        personal.erase_person(session, who)

    assert turns(place) == []


def test_an_answer_in_a_thread_says_who_may_see_it_no_more_than_once(place):
    ts = place.mention(place.bob, QUESTION)

    [reply] = place.replies(ts)
    assert "Only you see this" not in said(reply)
