"""The shortcut on a message: a form that quotes it, and a question that goes on as a private one, once."""

from __future__ import annotations

import pytest

from app.slack import shortcut, store_inbox
from tests.slack_rooms import room, text_of

pytestmark = pytest.mark.network

SAID = "How many days of leave do contractors get?"


@pytest.fixture
def slack(settings, sqlite_url):  # the catalog that the settings find
    with room(settings) as opened:
        yield opened


def used_on(slack, user, channel, text, **thread):
    """Use the shortcut on a message of somebody else, and return its ts and the form."""
    ts = slack.slack.say(slack.author, channel, text, *thread.values())
    payload = slack.slack.message_shortcut(user, channel, ts, "ask_about").payload
    shortcut.ask_about(slack.bot, slack.job(slack.read(payload)))
    return ts, slack.modal(user)


@pytest.fixture
def people(slack):
    slack.author = slack.member("bob")
    ann = slack.member("ann")
    return ann, slack.slack.add_channel("hr", [ann, slack.author], private=True)


def waiting(slack):
    with slack.parts.catalog.transaction() as session:
        return store_inbox.claim(session, slack.slack.team_id, "answer")


def test_a_question_about_a_message_becomes_a_private_question_in_its_thread(slack, people):
    ann, channel = people
    ts, view = used_on(slack, ann, channel, "Contractors have no badge.")
    slack.submit(ann, {"question": "Who gives them one?"})

    asked = waiting(slack).incoming

    assert "Contractors have no badge." in text_of(view)
    assert "initial_value" not in text_of(view)
    assert (asked.kind, asked.payload["word"], asked.lane) == ("command", "", "answer")
    assert (asked.text, asked.payload["quoted"]) == ("Who gives them one?", "Contractors have no badge.")
    assert (asked.channel_id, asked.thread_ts, asked.user_id) == (channel, ts, ann)
    assert asked.payload["response_url"].startswith("http")


def test_the_field_holds_the_message_when_that_is_a_question(slack, people):
    ann, channel = people
    _, view = used_on(slack, ann, channel, SAID)
    slack.submit(ann, {})

    assert "initial_value" in text_of(view)
    assert waiting(slack).incoming.text == SAID


def test_a_form_that_is_handled_again_asks_once(slack, people):
    ann, channel = people
    used_on(slack, ann, channel, SAID)
    again = slack.submit(ann, {})

    shortcut.asked(slack.bot, again)

    assert waiting(slack) is not None
    assert waiting(slack) is None


def test_a_question_of_blanks_is_not_asked(slack, people):
    ann, channel = people
    used_on(slack, ann, channel, "Contractors have no badge.")
    slack.submit(ann, {"question": "   "})

    assert waiting(slack) is None
    assert "There was no question" in slack.shown_to(ann)


@pytest.mark.parametrize(
    "text", ["é" * 3900, '"\\' * 1900, "<!channel> <https://evil.example|click> *bold*", "?" * 3900, "\u202eabc\u2066"]
)
def test_any_message_fits_into_the_form_and_acts_in_it_in_no_way(slack, people, text):
    ann, channel = people
    _, view = used_on(slack, ann, channel, text)
    quoted = view.body["blocks"][1]["text"]["text"]
    slack.submit(ann, {"question": "What of it?"})

    assert waiting(slack).incoming.text == "What of it?"
    assert not any(sign in quoted for sign in ("<!", "<http", "*bold*"))
