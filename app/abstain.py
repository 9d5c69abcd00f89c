"""How probable it is that the documents support an answer, and from where on we answer: fitted on data, not guessed.

A logistic model over what retrieval and the reader measured. Weights, threshold and where they come from are in
``app/abstention.json``, written by ``benchmarks/fit_abstention.py``. It knows nothing of the generator: a large
model that writes well has no more evidence than the reader has.
"""

from __future__ import annotations

import functools
import json
import math
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from app.evidence import READ_LIMIT, SENTENCE_FEATURES, coverage, passage_terms, term_weights
from app.terms import fold, numbers
from indexing.sentences import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.evidence import Sentence
    from indexing.documents import Passage

#: What is measured of a question and what was found for it, in the order of the weights.
ANSWER_FEATURES = (
    "dense_margin",  # how far the highest cosine of a passage stands above the mean of other documents'
    "bm25",  # log(1 + highest BM25 score per content term of the question)
    "sentence",  # logit of the best sentence's probability
    "coverage_passage",  # of the question's content, by the best sentence's passage with its title and headings
    "read",  # by how much the best answer that the reader found beats "no answer"
    "read_lead",  # and the best one of another passage
    "sentence_read",  # the same of the best sentence, which may be another
    "cosine_sentence",  # of the best sentence
    "anchors_passage",  # share of the question's names and numbers that the best sentence's passage holds
    "french",  # the question is French: encoder and reader know less of it
    "french_bm25",  # so scores count differently
    "french_read",
)
_LOGIT_LIMIT = 8.0
_NAME = re.compile(r"(?<!^)(?<![«“\"] )\b[A-ZÀ-Ý0-9][\w’'&.-]*")


@dataclass(frozen=True, slots=True)
class Model:
    """Fitted numbers. The last weight of each tuple is the bias."""

    sentence_weights: tuple[float, ...]  # of app.evidence.SENTENCE_FEATURES
    answer_weights: tuple[float, ...]  # of ANSWER_FEATURES
    threshold: float  # answer from this probability on
    expected_wrong: float  # share of wrong answers, 0..1, from this threshold on, where it was fitted


@functools.cache
def fitted() -> Model:
    """Return the model that comes with the program; read once, at the first question."""
    stored: dict[str, Any] = json.loads(resources.files("app").joinpath("abstention.json").read_text("utf-8"))
    for part, names in (("sentence", SENTENCE_FEATURES), ("answer", ANSWER_FEATURES)):
        if tuple(stored[part]["features"]) != names:
            msg = f"app/abstention.json was fitted for other {part} features; run benchmarks/fit_abstention.py"
            raise RuntimeError(msg)
    return Model(
        tuple(stored["sentence"]["weights"]),
        tuple(stored["answer"]["weights"]),
        float(stored["answer"]["threshold"]),
        float(stored["answer"]["expected_wrong"]),
    )


def confidence(features: Sequence[float], weights: Sequence[float]) -> float:
    """Return the probability, 0..1, that the answer is right: logistic of weights · features + bias."""
    logit = sum(w * x for w, x in zip(weights, features, strict=False)) + weights[-1]
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def answer_features(
    question: str, passages: Sequence[Passage], sentences: Sequence[Sentence], language: str
) -> tuple[float, ...]:
    """Return what ANSWER_FEATURES name. *passages* and *sentences* are best first and not empty."""
    best = sentences[0]
    passage = passages[best.passage]
    wanted = term_weights(question, passages, language)
    nearest = max(passages, key=lambda each: each.score_dense or 0.0)
    dense = nearest.score_dense or 0.0
    bm25 = math.log1p(max(each.score_bm25 or 0.0 for each in passages) / max(1, len(wanted)))
    by_passage: dict[int, float] = {}
    for each in sentences:
        by_passage[each.passage] = max(by_passage.get(each.passage, -READ_LIMIT), each.feature("read"))
    read, second = sorted([*by_passage.values(), -READ_LIMIT], reverse=True)[:2]
    french = float(language == "fr")
    return (
        dense - _mean_elsewhere(nearest, passages),
        bm25,
        _logit(best.probability),
        coverage(wanted, frozenset(passage_terms(passage, language))),
        read,
        read - second,
        best.feature("read"),
        best.feature("cosine"),
        _share(_anchors(question), passage),
        french,
        french * bm25,
        french * read,
    )


def _mean_elsewhere(nearest: Passage, passages: Sequence[Passage]) -> float:
    """Return the mean cosine of the passages of other documents; of the same one when there is no other; else 0."""
    rest = [each for each in passages if each is not nearest]
    others = [each.score_dense or 0.0 for each in rest if each.document_id != nearest.document_id]
    others = others or [each.score_dense or 0.0 for each in rest]
    return sum(others) / len(others) if others else 0.0


def _logit(probability: float) -> float:
    limited = min(max(probability, 1e-6), 1 - 1e-6)
    return max(-_LOGIT_LIMIT, min(_LOGIT_LIMIT, math.log(limited / (1 - limited))))


def _anchors(question: str) -> frozenset[str]:
    """Return the numbers of *question* and its capitalised words but the first: what an answer is about."""
    names = {fold(word) for name in _NAME.findall(question) for word in words(name)}
    return numbers(question) | {name for name in names if len(name) > 1 and not name.isdigit()}


def _share(anchors: frozenset[str], passage: Passage) -> float:
    """Return the share of *anchors* that *passage* holds; 1 when there are none to look for."""
    if not anchors:
        return 1.0
    text = " ".join((passage.title, *passage.heading_path, passage.text))
    there = numbers(text) | {fold(word) for word in words(text)}
    return len(anchors & there) / len(anchors)
