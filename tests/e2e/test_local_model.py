"""A causal model of ``transformers`` behind every face: a tiny one with random weights, built here."""

from __future__ import annotations

import time

import httpx
import openai
import pytest

from app.cli import main
from app.testing import WordReader, build_tiny_llama
from app.wiring import build, close
from indexing.testing import FakeParsers, HashEmbedder
from tests.faces import BOLD, LEAVE, QUESTION, listening, sse_events, wait_until

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_tiny_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture
def serving(settings, sqlite_url, model):
    """A server whose generator is the model, with one document; yields (address, parts)."""
    options = settings(port=0, generator="transformers", generator_model=str(model), answer_tokens=600, threads=1)
    parts = build(options, embedder=HashEmbedder(), parsers=FakeParsers(), reads=WordReader())
    try:
        with listening(parts) as url, httpx.Client(base_url=url) as http:
            source_id = http.post("/v1/sources", json={"name": "handbook", "kind": "push"}).json()["id"]
            http.put(f"/v1/sources/{source_id}/documents/leave.md", content=LEAVE.encode()).raise_for_status()
            http.post("/v1/specialists", json=BOLD).raise_for_status()
            yield url, parts
    finally:
        close(parts)


def leave(url, path, body):
    """Read the beginning of a streamed answer, leave, and return the moment of leaving."""
    with httpx.stream("POST", f"{url}{path}", json=body, timeout=60) as response:
        pieces = response.iter_raw()
        for _ in range(5):
            next(pieces)
    return time.monotonic()


def test_noise_is_never_shown_and_the_quick_answer_stands(serving):
    url, parts = serving
    streamed = httpx.post(
        f"{url}/v1/ask", json={"question": QUESTION, "specialist": "bold", "stream": True}, timeout=120
    )
    events = sse_events(streamed.text)

    assert [name for name, _ in events] == ["sources", "quick", "kept", "done"]
    assert '"reason": "unsupported"' in events[-2][1]
    assert '"generator": "reader"' in events[-1][1]
    assert parts.generator.busy == 0


def test_a_client_that_leaves_stops_the_model_within_two_seconds(serving):
    url, parts = serving

    leave(url, "/v1/ask", {"question": QUESTION, "specialist": "bold", "stream": True})
    assert wait_until(lambda: parts.generator.busy == 0) < 2

    body = {"model": "bold", "messages": [{"role": "user", "content": QUESTION}], "stream": True}
    leave(url, "/v1/chat/completions", body)
    assert wait_until(lambda: parts.generator.busy == 0) < 2

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/v1/ask", json={"question": QUESTION, "specialist": "bold"}, timeout=0.5)
    assert wait_until(lambda: parts.generator.busy == 0) < 2


def test_the_openai_client_gets_the_quick_answer_once_the_noise_has_ended(serving):
    with openai.OpenAI(base_url=f"{serving[0]}/v1", api_key="unused", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="bold", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        text = "".join(piece.choices[0].delta.content or "" for piece in stream)

    assert text.startswith("25. [1] The documents say: “Every employee has 25 days")


def test_the_command_line_shows_the_quick_answer_and_says_that_it_stands(serving, monkeypatch, capsys, model, tmp_path):
    parts = serving[1]
    monkeypatch.setenv("METIER_DATA_DIR", str(parts.settings.data_dir))
    monkeypatch.setenv("METIER_GENERATOR", "transformers")
    monkeypatch.setenv("METIER_GENERATOR_MODEL", str(model))
    monkeypatch.setenv("METIER_ANSWER_TOKENS", "20")
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "leave.txt").write_text(LEAVE, encoding="utf-8")
    main_until_exit("sources", "add", "folder", str(tmp_path / "handbook"))
    main_until_exit("sync", "folder")
    capsys.readouterr()

    main_until_exit("ask", QUESTION, "--specialist", "bold")

    shown = capsys.readouterr()
    assert shown.out.startswith("25. [1] The documents say: “")
    assert "the first one stands" in shown.err


def main_until_exit(*arguments):
    try:
        main(list(arguments))
    except SystemExit as exc:
        assert not exc.code, exc.code  # noqa: PT017 -- the command line always exits
