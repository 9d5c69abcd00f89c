"""A question in Slack gets exactly one answer, made from what those who see it may read."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from app.errors import GeneratorOverloaded, SlackError
from app.reader import Reader
from app.slack.client import Slack
from app.slack.handle import handle
from app.tables import AnswerRow
from app.tables_slack import SlackPostRow
from app.testing import ScriptedGenerator
from indexing import grants
from tests.slack_bots import ABOUT_SECRET, QUESTION, UNKNOWN, said, town

pytestmark = pytest.mark.network

ANSWER = "25 days"


@pytest.fixture
def place(settings, sqlite_url):
    with town(settings()) as found:
        yield found


@pytest.fixture
def plain(settings, sqlite_url):
    """The same with the built-in reader, whose answer is the documents' own sentences."""
    with town(settings(), generator=Reader()) as found:
        yield found


def rows(place, column):
    with place.bot.parts.catalog.reading() as session:
        return list(session.scalars(select(column)))


def test_a_mention_is_answered_in_its_thread_with_its_sources(place):
    ts = place.mention(place.bob, QUESTION)

    [reply] = place.replies()
    assert reply.thread_ts == ts
    assert ANSWER in said(reply)
    assert "Sources" in said(reply)
    assert not reply.streaming
    assert rows(place, SlackPostRow.ts) == [reply.ts]
    assert place.slack.statuses[0].status


def test_a_message_that_nobody_put_to_the_bot_gets_nothing_at_all(place):
    place.say(place.bob, QUESTION)

    assert place.replies() == []
    assert not place.slack.statuses
    assert rows(place, AnswerRow.id) == []


def test_a_direct_message_is_answered_with_the_rights_of_who_asks(plain):
    plain.direct(plain.ann, ABOUT_SECRET)
    plain.direct(plain.bob, ABOUT_SECRET)

    assert any("123456" in text for text in plain.slack.seen_by(plain.ann, from_app=True))
    assert not any("123456" in text for text in plain.slack.seen_by(plain.bob, from_app=True))


def test_an_answer_in_a_channel_holds_nothing_that_only_the_asker_may_read(plain):
    plain.mention(plain.ann, ABOUT_SECRET)

    assert len(plain.replies()) == 1
    assert not any("123456" in text for text in plain.slack.seen_by(plain.bob))


def test_the_quick_answer_is_streamed_and_the_generators_stands_at_the_end(place):
    place.mention(place.bob, QUESTION)

    [reply] = place.replies()
    assert "The documents say" in reply.streamed
    assert "The documents say" not in reply.text
    assert "Every employee has 25 days of paid leave" in said(reply)


def test_the_quick_answer_stands_when_the_generators_is_not_supported(settings, sqlite_url):
    with town(settings(), pieces=("Penguins run the leave office of this company today [1].",)) as place:
        place.mention(place.bob, QUESTION)

        [reply] = place.replies()
        assert "The documents say" in said(reply)
        assert "Penguins" not in said(reply)


def test_what_was_streamed_is_taken_off_when_a_document_may_no_longer_be_read(settings, sqlite_url):
    class Revoking(ScriptedGenerator):
        def generate(self, request):
            with here.bot.parts.catalog.transaction() as session:
                grants.set_readers(session, request.passages[0].source_id, set())
            return (yield from super().generate(request))

    generator = Revoking(("Every employee has 25 days of paid leave [1].",))
    with town(settings(), generator=generator) as here:
        here.mention(here.bob, QUESTION)

        [reply] = here.replies()
        assert ANSWER in reply.streamed
        assert ANSWER not in said(reply)
        assert "ask again" in said(reply)


def test_nobody_is_left_without_a_word_when_the_generator_fails(settings, sqlite_url):
    generator = ScriptedGenerator((), fails_at=0, error=GeneratorOverloaded())
    with town(settings(), generator=generator) as place:
        place.mention(place.bob, UNKNOWN)

        assert len(place.replies()) == 1


def test_a_silent_channel_hears_nothing_of_what_the_bot_does_not_know(place):
    place.policy(specialist=None, answers="all", unknown="silent")

    place.say(place.bob, UNKNOWN)

    assert place.replies() == []
    assert not place.slack.statuses


def test_a_mention_gets_an_answer_also_in_a_silent_channel(place):
    place.policy(specialist=None, answers="all", unknown="silent")

    place.mention(place.bob, UNKNOWN)

    [reply] = place.replies()
    assert "I don't know" in said(reply)


def test_a_channel_that_is_switched_off_hears_nothing(place):
    place.policy(answers="off")

    place.mention(place.bob, QUESTION)

    assert place.replies() == []


def test_the_channels_sources_are_all_that_is_searched(place):
    place.policy(sources=("pay",))

    place.mention(place.bob, QUESTION)

    [reply] = place.replies()
    assert ANSWER not in said(reply)


def test_who_gets_no_answer_to_a_command_reads_that_in_place_of_the_sign(place):
    guest = place.member("guest", linked=False, restricted=True)
    place.slack.join(guest, place.channel)

    place.ask(guest, QUESTION)

    assert len([each for each in place.slack.ephemerals(guest) if not each.deleted]) == 1


def test_a_guest_is_told_privately_that_there_is_nothing_for_them(place):
    guest = place.member("guest", linked=False, restricted=True)
    place.slack.join(guest, place.channel)

    place.mention(guest, QUESTION)

    assert place.replies() == []
    [told] = place.slack.ephemerals(guest)
    assert "members of this workspace" in told.text


def test_who_asks_too_much_is_told_so_privately(place):
    place.limited(requests=1)

    place.mention(place.bob, QUESTION)
    place.mention(place.bob, QUESTION)

    assert len(place.replies()) == 1
    [told] = place.slack.ephemerals(place.bob)
    assert "Too many questions" in told.text


def test_the_limit_of_one_person_does_not_stop_another(place):
    place.limited(requests=1)
    carl, dora = place.member("carl", linked=False), place.member("dora", linked=False)

    place.mention(carl, QUESTION)
    place.mention(dora, QUESTION)

    assert len(place.replies()) == 2


def test_a_question_that_is_too_long_is_refused_privately(place):
    place.mention(place.bob, "why " * 2000)

    assert place.replies() == []
    [told] = place.slack.ephemerals(place.bob)
    assert "too long" in told.text


def test_the_answer_to_a_command_is_for_the_asker_alone(plain):
    plain.ask(plain.ann, ABOUT_SECRET)

    assert any("123456" in said(each) for each in plain.slack.ephemerals(plain.ann))
    assert plain.replies() == []
    assert not any("123456" in text for text in plain.slack.seen_by(plain.bob))


def test_nothing_that_is_posted_unfurls(place):
    place.mention(place.bob, QUESTION)
    place.ask(place.bob, QUESTION)

    for each in [*place.replies(), *place.slack.ephemerals(place.bob)]:
        assert each.unfurl_links is not True
        assert each.unfurl_media is not True


# --- exactly one answer -----------------------------------------------------------------------------------------


class Died(BaseException):
    """The process is killed: nothing after it is run, no boundary of ours catches it."""


class MortalSlack(Slack):
    """Lets the process die in a call of *dies_in*: before Slack hears of it, or after."""

    dies_in, after = "", False

    def call(self, method, **arguments):
        if method != self.dies_in:
            return super().call(method, **arguments)
        if self.after:
            super().call(method, **arguments)
        raise Died


class MortalCatalog:
    """Lets the process die in the transaction number *dies_in*: before it is written, or after."""

    def __init__(self, catalog, dies_in, *, after):
        self.catalog, self.left, self.after = catalog, dies_in, after

    def __getattr__(self, name):
        return getattr(self.catalog, name)

    @contextlib.contextmanager
    def transaction(self):
        self.left -= 1
        if self.left != 0:
            with self.catalog.transaction() as session:
                yield session
            return
        if self.after:
            with self.catalog.transaction() as session:
                yield session
        raise Died


def mortal(place, dies_in, *, after):
    """Return the bot in a process that dies in that call, or in the transaction of that number."""
    if isinstance(dies_in, int):
        parts = place.bot.parts
        return replace(place.bot, parts=replace(parts, catalog=MortalCatalog(parts.catalog, dies_in, after=after)))
    slack = MortalSlack(place.slack.bot_token, place.slack.api_url)
    slack.dies_in, slack.after = dies_in, after
    return replace(place.bot, slack=slack)


def mentioned(place):
    return place.message(place.bob, place.channel, f"<@{place.slack.bot_user_id}> {QUESTION}")


#: An answer takes seven transactions: a claim renewed (3), the message noted, the answer recorded, the post kept.
DEATHS = ["chat.startStream", "chat.stopStream", "chat.update", 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("dies_in", DEATHS)
def test_a_process_that_is_killed_at_any_step_leaves_one_answer(place, dies_in, after):
    incoming = mentioned(place)
    place.accept(incoming)
    job = place.claim()

    with contextlib.suppress(Died):
        handle(mortal(place, dies_in, after=after), job)
    place.done(place.again(job))

    [reply] = place.replies(incoming.ts)
    assert "Every employee has 25 days of paid leave" in said(reply)
    assert not reply.streaming
    assert rows(place, SlackPostRow.ts) == [reply.ts]


def test_a_job_that_was_answered_and_not_ended_is_not_answered_again(place):
    incoming = mentioned(place)
    place.accept(incoming)
    job = place.claim()
    handle(place.bot, job)
    [before] = place.replies()

    place.done(place.again(job))

    [after] = place.replies()
    assert after.history == before.history
    assert len(rows(place, AnswerRow.id)) == 1


def test_an_answer_for_one_person_is_shown_once_when_the_job_begins_again(place):
    incoming = place.command(place.ann, QUESTION)
    place.accept(incoming)
    job = place.claim()
    handle(place.bot, job)

    place.done(place.again(job))

    assert len(place.slack.ephemerals(place.ann)) == 1


def test_a_message_of_another_question_in_the_thread_is_not_taken_for_ones_own(place):
    first = mentioned(place)
    place.accept(first)
    job = place.claim()
    with pytest.raises(Died):
        handle(mortal(place, "chat.startStream", after=False), job)
    second = place.message(place.ann, place.channel, f"<@{place.slack.bot_user_id}> {QUESTION}", first.ts)
    place.accept(second)
    other = place.claim()
    with pytest.raises(Died):  # it is on the screen, and not finished
        handle(mortal(place, "chat.stopStream", after=False), other)

    place.done(place.again(job))
    place.done(place.again(other))

    replies = place.replies(first.ts)
    assert len(replies) == 2
    assert all("Every employee has 25 days" in said(each) and not each.streaming for each in replies)


def test_who_lost_the_job_posts_nothing(place):
    incoming = mentioned(place)
    place.accept(incoming)
    stale = place.claim()
    fresh = place.again(stale)

    handle(place.bot, stale)
    assert place.replies() == []

    place.done(fresh)
    assert len(place.replies()) == 1


def test_who_loses_the_job_in_the_middle_says_nothing_more(settings, sqlite_url):
    class Losing(ScriptedGenerator):
        def generate(self, request):
            if stale and not fresh:
                fresh.append(place.again(stale[0]))
            return (yield from super().generate(request))

    stale: list[Any] = []
    fresh: list[Any] = []
    generator = Losing(("Every employee has 25 days ", "of paid leave [1]."))
    with town(settings(), generator=generator) as place:
        incoming = mentioned(place)
        place.accept(incoming)
        stale.append(place.claim())
        handle(place.bot, stale[0])
        [begun] = place.replies()
        assert begun.streaming

        place.done(fresh[0])

        [reply] = place.replies()
        assert reply.ts == begun.ts
        assert not reply.streaming


def test_slack_that_takes_nothing_for_a_while_gets_the_answer_later(place):
    incoming = mentioned(place)
    place.accept(incoming)
    job = place.claim()
    place.slack.break_http(503)
    with pytest.raises(SlackError):
        handle(place.bot, job)
    place.slack.break_http(None)

    place.done(place.again(job))

    assert len(place.replies()) == 1
