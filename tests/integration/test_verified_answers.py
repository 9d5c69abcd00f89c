"""What a generator invents never comes out of any face, and what is cited stands in the document, changed or not."""

from __future__ import annotations

import json
import random
import re

import pytest

from app.answer import answer
from app.api_ask import answer_out
from app.cli_ask import print_json_events, show_events
from app.events import Citations, Kept, Quick, Token, settled
from app.specialists import DEFAULT, Specialist
from app.wire import AnswerOut
from indexing import access
from indexing.tables import LOCAL_PRINCIPAL_ID
from tests.faces import BOLD, QUESTION, face, sse_events
from tests.inventions import World, pieces_of, plain, shown_sentences

OUTPUTS = 50
BOLDLY = Specialist("bold", threshold=0.0)


@pytest.fixture
def inventing(settings, sqlite_url):
    """Return a running application over the passages of one world, each a document, and the world."""
    world = World.of(random.Random(7))
    with face(settings(answer_timeout_s=20)) as app:
        source = app.add_source()
        for number, each in enumerate(world.passages):
            assert app.push(source, f"{number}.md", each.text).status_code == 201
        assert app.http.post("/v1/specialists", json=BOLD).status_code == 201
        yield app, world


def message_of(stream):
    """Return the message that an OpenAI client puts together."""
    chunks = [json.loads(data) for _, data in sse_events(stream) if data.startswith("{")]
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])


def check(text, allowed, written, passages=()):
    """Every sentence of *text* is one that the fuzzer did not invent, or words of *passages*, as the reader's are."""
    quoted = re.sub("The documents say: |Les documents indiquent : |[“”]|« ?| ?»", "", text.split("\n\nSources:")[0])
    invented = [each for each in shown_sentences(quoted) if each not in allowed]
    assert [each for each in invented if not any(each in p.text.casefold() for p in passages)] == [], written
    assert "evil" not in text


def test_no_invention_comes_out_of_any_face(inventing, capsys):
    app, world = inventing
    rng = random.Random(3)
    everything = {plain(fact.written(form)) for fact in world.facts for form in range(3)}
    kept = replaced = 0
    for _ in range(OUTPUTS):
        text, allowed, _ = world.answer(rng)
        app.generator.pieces = pieces_of(text, rng)
        question = rng.choice(world.facts).written() + "?"
        allowed = allowed | everything
        body = {"question": question, "specialist": "bold"}
        chat = {"model": "bold", "messages": [{"role": "user", "content": question}]}

        with app.parts.catalog.reading() as session:
            scope = access.authorise(session, LOCAL_PRINCIPAL_ID)
        events = list(answer(question, scope, app.parts, specialist=BOLDLY))
        whole = app.http.post("/v1/ask", json=body).json()
        stream = sse_events(app.http.post("/v1/ask", json=body | {"stream": True}).text)
        message = app.http.post("/v1/chat/completions", json=chat).json()["choices"][0]["message"]["content"]
        streamed = message_of(app.http.post("/v1/chat/completions", json=chat | {"stream": True}).text)
        show_events(events)
        terminal = capsys.readouterr().out
        print_json_events(events, DEFAULT)
        printed = json.loads(capsys.readouterr().out)

        final, citations = settled(events)
        kept += any(isinstance(e, Kept) for e in events)
        replaced += any(isinstance(e, Citations) for e in events)
        for shown in (final, whole["text"], message, streamed, printed["text"]):
            check(shown, allowed, text, world.passages)
        for event in events:
            if isinstance(event, Quick):
                check(event.text, set(), text, world.passages)
            elif isinstance(event, Token):
                check(event.text, allowed, text)
        assert whole["text"] == printed["text"] == final
        assert message.startswith(final)
        assert [c["quote"] for c in whole["citations"]] == [c.quote for c in citations]
        assert "evil" not in terminal + json.dumps(stream) + json.dumps(whole) + json.dumps(printed)
    assert kept > 5 < replaced


def test_the_answer_out_of_events_is_the_one_that_stands(inventing):
    app, world = inventing
    app.generator.pieces = ["Bananas are blue."]
    with app.parts.catalog.reading() as session:
        scope = access.authorise(session, LOCAL_PRINCIPAL_ID)
    events = list(answer(world.facts[0].written() + "?", scope, app.parts, specialist=BOLDLY))

    whole = answer_out(events, BOLDLY)
    assert isinstance(whole, AnswerOut)
    assert (whole.generator, whole.text) == ("reader", settled(events)[0])


def test_citations_resolve_exactly_in_the_document_also_after_it_has_changed(settings, sqlite_url):
    """100 %: the quote is what stands between start and end of the document as it is when the answer is given."""
    old = "# Leave policy\n\nEvery employee has 25 days of paid leave a year.\n\nAsk your manager two weeks ahead."
    new = "# New\n\nThis was changed — édité.\n\n" + old.replace("25 days", "26 days") + "\n\nThe end."
    with face(settings()) as app:
        source_id = app.filled()
        resolved = 0
        for text, figure in ((old, 25), (new, 26)):
            assert app.push(source_id, "hr/leave.md", text).status_code in {200, 201}
            said = f"Every employee has {figure} days of paid leave a year. Ask your manager two weeks ahead."
            app.generator.pieces = [said]
            given = app.http.post("/v1/ask", json={"question": QUESTION, "specialist": "bold"}).json()
            document = app.http.get(f"/v1/documents/{given['citations'][0]['document_id']}/content").text
            assert f"{figure} days" in given["text"]
            for cited in given["citations"]:
                resolved += document[cited["start"] : cited["end"]] == cited["quote"]
        assert resolved == 4
        app.generator.pieces = ["Every employee has 25 days of paid leave a year."]  # what it has read before
        stale = app.http.post("/v1/ask", json={"question": QUESTION, "specialist": "bold"}).json()

    assert (stale["generator"], stale["unsupported"]) == ("reader", 1)
    assert "25 days" not in stale["text"]
