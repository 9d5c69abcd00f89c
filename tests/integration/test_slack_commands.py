"""``/ask`` and its words, Share, and the agent's tab: each tells its asker what is theirs to know, and nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select, update

from app import audit
from app.reader import Reader
from app.slack.records import Incoming
from app.tables import AnswerRow
from app.tables_slack import SlackJobRow, SlackPostRow, SlackTurnRow
from tests.slack_bots import ABOUT_SECRET, QUESTION, UNKNOWN, said, town

pytestmark = pytest.mark.network


@pytest.fixture
def place(settings, sqlite_url):
    with town(settings(), generator=Reader()) as found:
        yield found


def last(place, user):
    return said(place.slack.ephemerals(user)[-1])


def count(place, row):
    with place.bot.parts.catalog.reading() as session:
        return session.scalar(select(func.count()).select_from(row))


@pytest.mark.parametrize("word", ["help", "status", "why", "forget", "mute"])
def test_what_a_command_tells_is_for_its_asker_alone(place, word):
    place.ask(place.ann, word)

    assert len(place.slack.ephemerals(place.ann)) == 1
    assert place.replies() == []
    assert place.slack.ephemerals(place.bob) == []


def test_a_word_that_is_no_command_is_a_question(place):
    place.ask(place.bob, "leave")

    [answer] = place.slack.ephemerals(place.bob)
    assert "days of paid leave" in said(answer) or "I don't know" in said(answer)


def test_help_is_in_the_language_of_who_asks(place):
    claire = place.member("claire", locale="fr-FR")
    place.slack.join(claire, place.channel)

    place.ask(claire, "help")

    assert "Comment demander" in last(place, claire)


def test_status_tells_what_the_asker_may_read_and_nothing_of_the_rest(place):
    place.ask(place.ann, "status")
    place.ask(place.bob, "status")

    assert "2 documents" in last(place, place.ann)
    assert "pay: 1 documents" in last(place, place.ann)
    assert "You may read 1 documents" in last(place, place.bob)
    assert "pay" not in last(place, place.bob)


def test_status_gives_who_is_not_known_a_way_to_sign_in_that_only_they_see(settings, sqlite_url):
    ours = {
        "public_url": "https://metier.example",
        "identity_provider": "https://id:secret@sso.example",
        "api_token": "t",
    }
    with town(settings(**ours), generator=Reader()) as place:
        stranger = place.slack.add_user("zoe")
        place.slack.join(stranger, place.channel)
        place.ask(stranger, "status")
        place.ask(place.ann, "status")

        assert "https://metier.example/slack/link?token=" in str(place.slack.ephemerals(stranger)[-1].blocks)
        assert "/slack/link" not in str(place.slack.seen_by(place.ann))


def test_why_tells_how_ones_own_last_answer_came_about(place):
    place.ask(place.ann, ABOUT_SECRET)
    place.ask(place.ann, "why")

    told = last(place, place.ann)
    assert ABOUT_SECRET in told
    assert "123456" in told
    assert "everything that you may read" in told
    assert "2 documents" in told


def test_why_tells_of_a_channels_answer_whose_rights_were_used(place):
    place.mention(place.bob, QUESTION)
    place.ask(place.bob, "why")

    assert "what everyone in this channel may read" in last(place, place.bob)


def test_why_tells_nothing_of_somebody_elses_answer(place):
    place.ask(place.ann, ABOUT_SECRET)
    place.ask(place.bob, "why")

    assert "no answer of mine" in last(place, place.bob)


def test_why_shows_no_passage_that_may_no_longer_be_read(place):
    place.ask(place.ann, ABOUT_SECRET)
    with place.bot.parts.catalog.transaction() as session:
        from indexing import grants, store

        source = store.source_named(session, "pay")
        assert source is not None
        grants.set_readers(session, source.id, set())

    place.ask(place.ann, "why")

    assert "123456" not in last(place, place.ann)


def test_forget_deletes_what_one_asked_and_leaves_what_others_did(place):
    place.mention(place.ann, QUESTION)
    place.ask(place.ann, QUESTION)
    place.mention(place.bob, QUESTION)
    assert (count(place, AnswerRow), count(place, SlackPostRow), count(place, SlackTurnRow)) == (3, 3, 4)

    place.ask(place.ann, "forget")

    assert "2 answers" in last(place, place.ann)
    assert (count(place, AnswerRow), count(place, SlackPostRow), count(place, SlackTurnRow)) == (1, 1, 2)
    with place.bot.parts.catalog.reading() as session:
        [line] = audit.lines(session, audit.Wanted(action="slack.forget"))
    assert (line.principal_id, line.object) == (place.principal("ann"), "2")


# --- Share ------------------------------------------------------------------------------------------------------


def share(place, user):
    place.do(place.click(user, place.slack.ephemerals(user)[0], "share"))


def test_share_answers_anew_from_what_everyone_may_read_and_says_who_shared(place):
    place.ask(place.ann, QUESTION)

    share(place, place.ann)

    [shared] = place.replies()
    assert "25 days" in said(shared)
    assert f"<@{place.ann}>" in said(shared)
    assert "made anew" in said(shared)


def test_share_never_shows_the_private_answer(place):
    place.ask(place.ann, ABOUT_SECRET)
    assert "123456" in said(place.slack.ephemerals(place.ann)[0])

    share(place, place.ann)

    assert not any("123456" in text for text in place.slack.seen_by(place.bob))


def test_who_shares_what_others_may_not_read_is_told_so_alone(settings, sqlite_url):
    with town(settings(), generator=Reader()) as place:
        place.ask(place.ann, ABOUT_SECRET)
        place.policy(specialist=None)  # which says when it does not know

        share(place, place.ann)

        assert place.replies() == []
        assert "I don't know" in last(place, place.ann)


def test_share_posts_once_however_often_it_is_clicked(place):
    place.ask(place.ann, QUESTION)

    share(place, place.ann)
    share(place, place.ann)

    assert len(place.replies()) == 1


@pytest.mark.parametrize("noted", [True, False])
def test_a_shared_answer_is_posted_once_when_its_job_begins_again(place, noted):
    from app.slack.handle import handle

    place.ask(place.ann, QUESTION)
    place.accept(place.click(place.ann, place.slack.ephemerals(place.ann)[0], "share"))
    place.done(place.claim("quick"))
    job = place.claim()
    handle(place.bot, job)
    with place.bot.parts.catalog.transaction() as session:
        if not noted:  # as if it had died before it wrote that down
            session.execute(update(SlackJobRow).values(message_ts=None))

    place.done(place.again(job))

    assert len(place.replies()) == 1


def test_nobody_shares_what_somebody_else_asked(place):
    place.ask(place.ann, QUESTION)
    click = place.click(place.ann, place.slack.ephemerals(place.ann)[0], "share")
    forged = replace(click, user_id=place.bob, payload={**click.payload, "response_url": ""})

    place.do(forged)

    assert place.replies() == []
    assert "Only who asked" in last(place, place.bob)


def test_an_answer_that_says_nothing_cannot_be_shared(place):
    place.policy(specialist=None)
    place.ask(place.ann, UNKNOWN)

    assert "Share in this channel" not in last(place, place.ann)


# --- the agent's tab --------------------------------------------------------------------------------------------


def opened(place, user, tab="messages"):
    channel = place.slack.direct(user)
    meaning = f"{place.slack.team_id}:home:{user}:{tab}"
    team = place.slack.team_id
    place.do(Incoming(team, "home", meaning, channel, "im", user, team, payload={"tab": tab}))


def test_who_opens_the_agents_tab_is_offered_what_they_could_ask(place):
    opened(place, place.ann)
    opened(place, place.bob)

    anns, bobs = ([each["message"] for each in prompts.prompts] for prompts in place.slack.prompts)
    assert len(anns) == len(bobs) == 4
    assert any("Salaries" in text for text in anns)
    assert not any("Salaries" in text for text in bobs)


def test_the_home_tab_gets_no_prompts(place):
    opened(place, place.ann, tab="home")

    assert place.slack.prompts == []


def test_a_guest_is_offered_nothing_of_the_documents(place):
    guest = place.member("guest", linked=False, restricted=True)

    opened(place, guest)

    [prompts] = place.slack.prompts
    assert not any("Leave policy" in each["message"] for each in prompts.prompts)
