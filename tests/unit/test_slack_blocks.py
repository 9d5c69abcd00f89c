"""What the bot shows stays within Slack's limits and holds no link but our own, whatever documents and answers say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events import Abstained, Citation
from app.messages import messages
from app.slack.blocks import (
    AnswerView,
    SourceView,
    StatusView,
    WhyView,
    abstained_message,
    answer_end,
    answer_message,
    disagrees,
    failed_message,
    help_message,
    link_message,
    notice,
    queued_text,
    sources_of,
    status_message,
    why_message,
    working_text,
)
from app.slack.blocks_parts import SECTION_CHARS, age, button, context
from app.slack.records import Visibility
from app.slack.wording import ENGLISH, FRENCH, words
from app.testing.slack_blocks import elements, faults, strings
from indexing.documents import Passage
from tests.unit.test_slack_escape import HOSTILE, LIVE

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
PUBLIC = "https://metier.example"
OURS = re.compile(r"<https://metier\.example/v1/documents/\d+/content\?start=\d+&amp;end=\d+\|([^<>|]*)>")
#: Formats of ours: headings of a list of sources and the warning.
BOLD = re.compile(r"^\*([^*]*)\*$", re.MULTILINE)


def citation(number=1, document_id=5, quote="25 days", title="Leave policy", source="hr", page=3):
    return Citation(number, number, document_id, source, "hr/leave.md", title, page, quote, 10, 20)


def passage(text="25 days of leave", title="Leave policy", modified_at=None, document_id=5):
    return Passage(1, document_id, 1, "hr", "hr/leave.md", title, text, 0, len(text), None, (), "en", modified_at)


def answer(text="25 days [1]", citations=None, **more):
    return AnswerView("a1", text, tuple([citation()] if citations is None else citations), now=NOW, **more)


def all_text(message):
    return "\n".join([message.text, *strings(list(message.blocks))])


def live(text):
    """Return what Slack would act on in *text*, our own links and headings left out."""
    return LIVE.search(BOLD.sub(r"\1", OURS.sub(r"\1", text)))


LONG = st.integers(0, 14_000).map(lambda n: "word & <b> " * (n // 11) + "x" * (n % 5000))
ANY_TEXT = HOSTILE | LONG
ANY_TITLE = HOSTILE | st.integers(0, 600).map(lambda n: "word & <b> " * (n // 11) + "x" * (n % 400))
CITATIONS = st.lists(
    st.builds(
        citation,
        number=st.integers(1, 30),
        document_id=st.integers(1, 2**40),
        quote=ANY_TITLE,
        title=ANY_TITLE,
        source=HOSTILE,
        page=st.none() | st.integers(1, 9999),
    ),
    max_size=15,
)
VIEWS = st.builds(
    AnswerView,
    answer_id=st.uuids().map(str),
    text=ANY_TEXT,
    citations=CITATIONS.map(tuple),
    sources=st.just({5: SourceView("*T* <!here>", "hr", "u", NOW)}),
    disagree=st.booleans(),
    confidence=st.none() | st.floats(0, 1),
    shared=st.booleans(),
    now=st.just(NOW),
)
REFUSALS = st.builds(
    lambda texts: Abstained("I don't know.", "below_threshold", tuple(passage(*each) for each in texts)),
    st.lists(st.tuples(ANY_TITLE, ANY_TITLE), max_size=6),
)


@settings(deadline=None, max_examples=settings().max_examples // 4)  # each makes seven long messages
@given(VIEWS, REFUSALS, st.sampled_from(Visibility), st.sampled_from(["en", "fr"]))
def test_every_message_is_within_slacks_limits_and_holds_no_link_but_ours(view, refusal, visibility, language):
    where = {"visibility": visibility, "public_url": PUBLIC}
    refused = AnswerView(view.answer_id, refusal.message, abstained=refusal, now=NOW)
    for message in (
        answer_message(view, language, **where),
        answer_end(view, language, **where),
        abstained_message(refused, language, **where),
        why_message(WhyView(view, view.text, 0.4, "llama_3"), language, public_url=PUBLIC),
        notice(view.text or "x"),
        failed_message(view.text, language, answer_id=view.answer_id),
        status_message(StatusView(view.text, outsider=False, documents=3, waiting=2, heard_s=4), language),
    ):
        assert faults([dict(each) for each in message.blocks]) == []
        assert len(message.text) <= 4000
        assert not live(all_text(message))


def test_an_answer_shows_its_sources_with_title_place_age_and_a_link_to_the_cited_passage():
    shown = answer(sources={5: SourceView("Leave policy 2026", "hr", "hr/leave.md", NOW - timedelta(days=3))})
    message = answer_message(shown, "en", visibility=Visibility.CHANNEL, public_url=f"{PUBLIC}/")

    assert message.blocks[0]["text"]["text"] == "25 days [1]"
    assert message.blocks[1]["text"]["text"] == (
        "*Sources*\n[1] <https://metier.example/v1/documents/5/content?start=10&amp;end=20|Leave policy 2026>"
        " · in hr · page 3 · 3 days old"
    )
    assert messages("en").notice in all_text(message)
    assert message.metadata == {"event_type": "metier_answer", "event_payload": {"answer_id": "a1"}}


def test_without_a_public_address_nothing_is_a_link():
    message = answer_message(answer(), "en", visibility=Visibility.CHANNEL, public_url=None)

    assert "http" not in all_text(message)
    assert "[1] Leave policy" in all_text(message)


def test_a_quote_is_shown_where_the_answer_does_not_hold_it():
    written = answer(text="People get 25 working days [1].", citations=[citation(quote="25 days of <b>leave</b>")])
    quoted = answer(text="The documents say: “25 days” [1]")

    assert "“25 days of ‹b&gt;leave‹/b&gt;”" in all_text(
        answer_end(written, "en", visibility=Visibility.DIRECT, public_url=None)
    )
    assert "\n“25 days”" not in all_text(answer_end(quoted, "en", visibility=Visibility.DIRECT, public_url=None))


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_warning_says_that_the_documents_disagree(language):
    text = messages(language).disagree + "“25 days” [1] “30 days” [2]"
    shown = answer(text, [citation(), citation(2, 6)], disagree=disagrees(text, language))
    warned = answer_message(shown, language, visibility=Visibility.CHANNEL, public_url=None)
    calm = answer_message(answer(), language, visibility=Visibility.CHANNEL, public_url=None)

    assert words(language).disagree in all_text(warned)
    assert words(language).disagree not in all_text(calm)


def test_only_the_readers_own_lead_says_that_documents_disagree():
    assert disagrees(messages("fr").disagree + "« a »", "fr")
    assert not disagrees(messages("fr").lead + "« a »", "fr")
    assert not disagrees("People say: The documents disagree: x", "en")


def test_a_long_answer_continues_in_more_sections_and_says_when_it_is_cut():
    fits = answer_message(answer("word " * 2000), "en", visibility=Visibility.DIRECT, public_url=None)
    cut = answer_message(answer("word " * 4000), "en", visibility=Visibility.DIRECT, public_url=None)

    whole = [b["text"]["text"] for b in fits.blocks if b["type"] == "section"][:-1]
    assert len(whole) == 4
    assert " ".join(whole).split() == ["word"] * 2000
    assert max(map(len, whole)) <= SECTION_CHARS
    assert ENGLISH.cut in all_text(cut)
    assert ENGLISH.cut not in all_text(fits)


@pytest.mark.parametrize("length", [2999, 3000, 3001, 4000, 4001, 6001, 12_000, 12_001, 40_001])
def test_a_text_without_blanks_is_within_the_limits_to_the_character(length):
    for message in (
        answer_message(answer("x" * length), "en", visibility=Visibility.DIRECT, public_url=None),
        notice("x" * length),
    ):
        assert faults([dict(each) for each in message.blocks]) == []
        assert len(message.text) <= 4000


def test_a_text_of_which_nothing_can_be_shown_is_still_a_message():
    assert faults([dict(each) for each in notice("\u202e").blocks]) == []


def test_small_print_of_more_texts_than_slack_takes_is_cut():
    assert faults([context(*"abcdefghijklmn")]) == []


def test_more_sources_than_fit_are_counted():
    message = answer_end(
        answer(citations=[citation(n, n) for n in range(1, 13)]), "en", visibility=Visibility.DIRECT, public_url=None
    )

    assert "[8] " in all_text(message)
    assert "[9] " not in all_text(message)
    assert "and 4 more" in all_text(message)


def action_ids(message):
    return [element["action_id"] for _, element in elements([dict(each) for each in message.blocks])]


def test_only_what_one_person_sees_can_be_shared_and_says_so():
    for visibility in Visibility:
        message = answer_message(answer(), "en", visibility=visibility, public_url=None)
        alone = visibility is Visibility.EPHEMERAL

        assert action_ids(message) == ["feedback", "human", *(["share"] if alone else [])]
        assert (ENGLISH.private in all_text(message)) is alone


def test_buttons_carry_the_answer():
    message = answer_message(answer(), "en", visibility=Visibility.EPHEMERAL, public_url=None)
    pressed = {element["action_id"]: element for _, element in elements([dict(each) for each in message.blocks])}

    assert pressed["human"]["value"] == pressed["share"]["value"] == "a1"
    assert pressed["feedback"]["positive_button"]["value"] == "good:a1"
    assert pressed["feedback"]["negative_button"]["value"] == "bad:a1"
    with pytest.raises(ValueError, match="2001"):
        button("x", "x", "v" * 2001)


def test_i_do_not_know_comes_with_the_closest_passages_and_a_human():
    refused = Abstained(messages("en").below_threshold, "below_threshold", (passage(modified_at=NOW),))
    view = AnswerView("a1", refused.message, abstained=refused, now=NOW)
    message = abstained_message(view, "en", visibility=Visibility.EPHEMERAL, public_url=PUBLIC)

    assert "content?start=0&amp;end=16|Leave policy> · in hr · from today\n“25 days of leave”" in all_text(message)
    assert action_ids(message) == ["feedback", "human"]


@pytest.mark.parametrize(
    ("days", "english", "french"),
    [
        (-1, "from today", "d’aujourd’hui"),
        (0, "from today", "d’aujourd’hui"),
        (1, "from yesterday", "d’hier"),
        (3, "3 days old", "il y a 3 jours"),
        (29, "29 days old", "il y a 29 jours"),
        (30, "1 month old", "il y a 1 mois"),
        (364, "12 months old", "il y a 12 mois"),
        (365, "1 year old", "il y a 1 an"),
        (800, "2 years old", "il y a 2 ans"),
    ],
)
def test_ages_are_told_in_words(days, english, french):
    assert age(NOW - timedelta(days=days), NOW, ENGLISH) == english
    assert age(NOW - timedelta(days=days), NOW, FRENCH) == french
    assert age(None, NOW, ENGLISH) == ""


def test_sources_are_known_from_passages():
    found = sources_of([passage(modified_at=NOW), passage(title="Pay", document_id=6)])

    assert found == {
        5: SourceView("Leave policy", "hr", "hr/leave.md", NOW),
        6: SourceView("Pay", "hr", "hr/leave.md", None),
    }


def test_a_failure_says_what_the_asker_can_do_and_nothing_of_the_inside():
    told = {error: all_text(failed_message(error, "en")) for error in ("AnswerWithdrawn", "NoIndexYet", "KeyError")}

    assert ENGLISH.withdrawn in told["AnswerWithdrawn"]
    assert ENGLISH.no_index in told["NoIndexYet"]
    assert ENGLISH.failed in told["KeyError"]
    assert "KeyError" not in told["KeyError"]
    assert "a1" in all_text(failed_message("KeyError", "en", answer_id="a1"))


def test_who_waits_learns_how_many_come_before():
    assert queued_text(3, "en") == "3 questions are ahead of yours."
    assert queued_text(1, "en") == queued_text(0, "en") == ENGLISH.next_in_line
    assert queued_text(3, "fr") == "3 questions passent avant la vôtre."
    assert working_text("fr") == FRENCH.working


def test_help_and_state_are_in_both_languages():
    guest = StatusView(None, outsider=True, documents=0, waiting=0)

    assert ENGLISH.help_command in all_text(help_message("en"))
    assert FRENCH.help_command in all_text(help_message("fr"))
    assert FRENCH.status_outsider in all_text(status_message(guest, "fr"))
    assert ENGLISH.why_none in all_text(why_message(WhyView(), "en", public_url=None))


def test_a_sign_in_leads_to_our_own_address_only():
    message = link_message(f"{PUBLIC}/slack/link?x=1", 10, "en", public_url=PUBLIC)

    assert f"{PUBLIC}/slack/link?x=1" in all_text(message)
    for other in ("https://metier.example.evil.example/slack/link", "https://evil.example/slack/link"):
        with pytest.raises(ValueError, match="not ours"):
            link_message(other, 10, "en", public_url=PUBLIC)
