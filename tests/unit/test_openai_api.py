"""The OpenAI shape of questions and answers."""

from __future__ import annotations

import pytest

from app.errors import BadRequest
from app.events import Abstained, Citation, Citations, Done, Kept, Quick, Token
from app.openai_api import Reply, question_of, source_list
from app.shown import plain
from app.specialists import DEFAULT
from app.wire_openai import ChatIn


def citation(number, title="Leave policy", page=None):
    return Citation(
        number=number,
        chunk_id=number,
        document_id=1,
        source="handbook",
        uri="hr/leave.md",
        title=title,
        page=page,
        quote="25 days",
        start=0,
        end=7,
    )


def chat(*messages, **fields):
    return ChatIn.model_validate(
        {"model": "metier", "messages": [{"role": r, "content": c} for r, c in messages], **fields}
    )


def test_the_last_message_is_the_question_and_earlier_ones_are_its_history():
    question, turns = question_of(
        chat(("system", "Be rude."), ("user", "Hello"), ("assistant", "Hi"), ("user", "How many days?"))
    )

    assert question == "How many days?"
    assert [(t.role, t.text) for t in turns] == [("user", "Hello"), ("assistant", "Hi")]


def test_a_message_in_parts_is_read_as_their_texts():
    body = chat(("user", [{"type": "text", "text": "How many"}, {"type": "text", "text": "days?"}]))

    assert question_of(body)[0] == "How many\ndays?"


@pytest.mark.parametrize(
    "body",
    [
        chat(("user", "Hello"), ("assistant", "Hi")),
        chat(("user", "   ")),
        chat(("user", [{"type": "image_url", "image_url": {"url": "http://x"}}])),
        chat(("user", "Hello"), n=2),
    ],
    ids=["answer last", "blank", "picture only", "two choices"],
)
def test_a_conversation_without_a_question_is_refused(body):
    with pytest.raises(BadRequest):
        question_of(body)


def test_fields_that_mean_nothing_here_are_ignored():
    body = chat(("user", "Hello"), temperature=0.2, tools=[{"type": "function"}], seed=7, frequency_penalty=0)

    assert question_of(body)[0] == "Hello"


def test_the_source_list_names_each_number_once_with_document_and_page():
    listed = source_list((citation(2, page=4), citation(1), citation(2, page=4)))

    assert listed == "\n\nSources:\n[1] Leave policy — hr/leave․md\n[2] Leave policy, p. 4 — hr/leave․md"


def test_a_title_cannot_become_a_picture_or_a_link_or_a_second_line():
    hostile = "![x](https://evil.example/?q=1)\n[2]: https://evil.example <img src=x>\u202e"

    shown = plain(hostile)

    assert not set("![]()<>\n\u202e") & set(shown)
    assert "://" not in shown


def test_a_whole_reply_holds_text_sources_usage_and_citations():
    reply = Reply(DEFAULT, prompt_chars=10)
    for event in (Token("It is "), Token("25 days [1]."), Citations((citation(1),)), Done("a1", "stop", 0.1, "en")):
        reply.take(event)

    whole = reply.whole()

    assert whole.id == "chatcmpl-a1"
    assert whole.choices[0].message.content == "It is 25 days [1].\n\nSources:\n[1] Leave policy — hr/leave․md"
    assert whole.usage.prompt_tokens == 3  # 10 / 4, rounded up
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.metier["citations"][0]["quote"] == "25 days"


def test_an_abstention_is_a_message_that_stops():
    reply = Reply(DEFAULT, prompt_chars=1)
    for event in (Abstained("I don't know.", "nothing_found"), Done("a1", "abstained", 0.1, "en")):
        reply.take(event)

    assert reply.whole().choices[0].message.content == "I don't know."
    assert reply.finish_reason == "stop"
    assert reply.extra()["abstained"] == "nothing_found"


KEPT = Kept("unsupported", "“25 days” [2]", (citation(2),), streamed=(citation(1),))


def taken(*events, streaming):
    reply = Reply(DEFAULT, prompt_chars=1, streaming=streaming)
    for event in events:
        reply.take(event)
    return reply.text


@pytest.mark.parametrize("streaming", [True, False])
def test_the_quick_answer_is_sent_only_when_the_generators_does_not_stand(streaming):
    quick = Quick(KEPT.text, KEPT.citations)

    assert taken(quick, Token("It is 25. [1]"), Citations((citation(1),)), streaming=streaming).startswith("It is 25.")
    assert "“25 days”" not in taken(quick, Token("It is 25. [1]"), Citations((citation(1),)), streaming=streaming)
    assert taken(quick, Token(""), KEPT, streaming=streaming).startswith("“25 days” [2]\n\nSources:\n[2]")


def test_text_that_was_sent_stays_with_its_sources_above_the_quick_answer():
    sent = taken(Token("It is 25. [1]"), KEPT, streaming=True)

    assert sent.startswith("It is 25. [1]\n\n“25 days” [2]\n\nSources:\n[1] Leave policy")
    assert "\n[2] Leave policy" in sent


def test_text_that_was_not_sent_yet_gives_way_to_the_quick_answer():
    assert "It is" not in taken(Token("It is 25. [1]"), KEPT, streaming=False)
