"""People and programs are told that a machine answered, on every way an answer leaves by."""

from __future__ import annotations

import json

import pytest

from app.disclosure import HEADER, disclosure
from app.messages import ENGLISH, FRENCH
from tests.faces import QUESTION, face, sse_events


@pytest.fixture
def open_face(settings, sqlite_url):
    with face(settings()) as found:
        yield found


@pytest.mark.parametrize("question", [QUESTION, "What does the moon weigh?"])
def test_every_answer_says_whose_it_is_in_its_header_an_abstention_too(open_face, question):
    open_face.filled()
    chat = {"model": "metier", "messages": [{"role": "user", "content": question}]}

    for path, body in (
        ("/v1/ask", {"question": question}),
        ("/v1/ask", {"question": question, "stream": True}),
        ("/v1/chat/completions", chat),
        ("/v1/chat/completions", {**chat, "stream": True}),
    ):
        answered = open_face.http.post(path, json=body)
        assert answered.status_code == 200
        assert answered.headers[HEADER].startswith("mode=machine-generated, model="), (path, body)


def test_the_notice_comes_with_the_answer_in_the_language_of_the_question(open_face):
    open_face.filled()
    asked = "Combien de jours de congés payés avons-nous dans l’entreprise ?"

    whole = open_face.http.post("/v1/ask", json={"question": QUESTION}).json()
    french = open_face.http.post("/v1/ask", json={"question": asked}).json()
    streamed = open_face.http.post("/v1/ask", json={"question": QUESTION, "stream": True})
    chat = {"model": "metier", "messages": [{"role": "user", "content": QUESTION}]}

    assert whole["notice"] == ENGLISH.notice
    assert french["notice"] == FRENCH.notice
    assert json.loads(sse_events(streamed.text)[-1][1])["notice"] == ENGLISH.notice
    assert open_face.http.post("/v1/chat/completions", json=chat).json()["metier"]["notice"] == ENGLISH.notice


def test_what_is_not_an_answer_does_not_say_that_it_is_one(open_face):
    open_face.filled()

    for answered in (
        open_face.http.post("/v1/search", json={"question": QUESTION}),
        open_face.http.post("/v1/ask", json={"question": ""}),
        open_face.http.get("/v1/sources"),
    ):
        assert HEADER not in answered.headers


def test_a_generators_name_cannot_break_the_header():
    made = disclosure('a"b\\c\r\nX: y é')[HEADER]

    assert made == 'mode=machine-generated, model="a\\"b\\\\c??X: y ?", provider="Metier"'
