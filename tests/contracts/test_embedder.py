"""What every embedder must do, the fake included."""

from __future__ import annotations

import numpy as np
import pytest

from app.lazy import LazyEmbedder
from app.settings import AppSettings
from indexing.embed import load_embedder
from indexing.testing import HashEmbedder

TEXTS = [
    "Annual leave is 25 days.",
    "L’usine d'Évry ferme en août.",
    "",
    "x" * 3000,
    "1 452,40 € | 7 %",
    "\ud800 😀 \x00",
]


@pytest.fixture(scope="module")
def minilm():
    return load_embedder(AppSettings.load())


@pytest.fixture(scope="module")
def lazy():
    return LazyEmbedder(AppSettings.load())


@pytest.fixture(params=["HashEmbedder", "SentenceEmbedder", "LazyEmbedder"])
def embedder(request):
    if request.param == "HashEmbedder":
        return HashEmbedder()
    if request.param == "LazyEmbedder":
        return request.getfixturevalue("lazy")
    return request.getfixturevalue("minilm")


def test_it_says_what_it_is(embedder):
    assert 0 < len(embedder.fingerprint) <= 64
    assert embedder.dimension > 0
    assert embedder.max_tokens > 0


@pytest.mark.parametrize("method", ["embed_passages", "embed_questions"])
def test_each_text_gets_a_row_of_length_one(embedder, method):
    rows = getattr(embedder, method)(TEXTS)

    assert rows.dtype == np.float32
    assert rows.shape == (len(TEXTS), embedder.dimension)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("method", ["embed_passages", "embed_questions"])
def test_no_texts_give_no_rows(embedder, method):
    assert getattr(embedder, method)([]).shape == (0, embedder.dimension)


def test_rows_are_in_the_order_of_the_texts_and_do_not_depend_on_the_company_they_keep(embedder):
    together = embedder.embed_passages(TEXTS)
    alone = np.concatenate([embedder.embed_passages([text]) for text in TEXTS])

    assert (together * alone).sum(axis=1).min() >= 0.999


def test_the_texts_given_are_not_changed(embedder):
    texts = list(TEXTS)
    embedder.embed_passages(texts)

    assert texts == TEXTS


@pytest.mark.parametrize("text", TEXTS)
def test_token_spans_lie_in_the_text_in_order_and_cover_every_letter(embedder, text):
    spans = embedder.token_spans(text)

    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)
    covered = {place for start, end in spans for place in range(start, end)}
    assert {place for place, sign in enumerate(text) if sign.isalnum()} <= covered


def test_a_text_without_words_has_no_tokens(embedder):
    assert embedder.token_spans("") == []
    assert embedder.token_spans(" \n ") == []
