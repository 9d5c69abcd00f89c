"""The official client of OpenAI, unchanged, against a real server on loopback."""

from __future__ import annotations

import openai
import pytest

from app.errors import GeneratorOverloaded
from app.testing import ScriptedGenerator, WordReader
from app.wiring import build, close
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import BOLD, LEAVE, QUESTION, listening

pytestmark = pytest.mark.network

MESSAGES = [{"role": "system", "content": "Be rude."}, {"role": "user", "content": QUESTION}]


@pytest.fixture
def client_of(settings, sqlite_url):
    """Return a factory: a client of a server with this generator, one document and the specialist ``bold``."""
    import contextlib

    import httpx

    with contextlib.ExitStack() as stack:

        def make(generator, *, key="right-key"):
            options = settings(port=0, api_token="right-key")
            parts = build(
                options, embedder=HashEmbedder(), parsers=FakeParsers(), reads=WordReader(), generator=generator
            )
            stack.callback(close, parts)
            url = stack.enter_context(listening(parts))
            with httpx.Client(base_url=url, headers={"Authorization": "Bearer right-key"}) as http:
                source = http.post("/v1/sources", json={"name": "handbook", "kind": "push"})
                if source.status_code == 201:
                    http.put(f"/v1/sources/{source.json()['id']}/documents/hr/leave.md", content=LEAVE.encode())
                    http.post("/v1/specialists", json=BOLD)
            return stack.enter_context(openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0))

        yield make


@pytest.fixture
def client(client_of):
    return client_of(ScriptedGenerator(("Every employee has 25 days ", "of paid leave [1].")))


def test_each_specialist_is_a_model(client):
    assert [m.id for m in client.models.list()] == ["metier", "bold"]
    assert client.models.retrieve("bold").owned_by == "metier"


def test_an_answer_has_text_sources_usage_and_citations(client):
    reply = client.chat.completions.create(model="bold", messages=MESSAGES, temperature=0.1, max_tokens=50)

    assert reply.choices[0].message.content == (
        "Every employee has 25 days of paid leave. [1]\n\nSources:\n[1] Leave policy — hr/leave․md"
    )
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    assert reply.metier["citations"][0]["uri"] == "hr/leave.md"


def test_the_same_answer_streams(client):
    chunks = list(
        client.chat.completions.create(
            model="bold", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )

    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.startswith("Every employee has 25 days of paid leave. [1]")
    assert text.endswith("[1] Leave policy — hr/leave․md")
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens > 0
    assert len({c.id for c in chunks}) == 1


def test_an_unknown_model_is_not_found(client):
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError, match="no-such-model"):
            client.chat.completions.create(model="no-such-model", messages=MESSAGES, stream=stream)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_a_request_that_cannot_be_used_is_a_bad_request(client):
    for messages in ([], [{"role": "user", "content": ""}], [{"role": "user", "content": "x" * 100_000}]):
        with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)):
            client.chat.completions.create(model="bold", messages=messages)


def test_a_wrong_key_is_an_authentication_error(client_of):
    wrong = client_of(ScriptedGenerator(("x",)), key="wrong-key")

    with pytest.raises(openai.AuthenticationError):
        wrong.models.list()


def test_an_overloaded_generator_leaves_the_quick_answer(client_of):
    busy = client_of(ScriptedGenerator(("x",), fails_at=0, error=GeneratorOverloaded()))

    whole = busy.chat.completions.create(model="bold", messages=MESSAGES)
    chunks = busy.chat.completions.create(model="bold", messages=MESSAGES, stream=True)

    assert whole.choices[0].message.content.startswith("25. [1] The documents say: “")
    assert whole.metier["generator"] == "reader"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
