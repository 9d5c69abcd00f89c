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

from app.evidence import SENTENCE_FEATURES, coverage, term_weights
from app.terms import content_terms, fold, numbers
from indexing.sentences import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.evidence import Sentence
    from indexing.documents import Passage

#: What is measured of a question and what was found for it, in the order of the weights.
ANSWER_FEATURES = (
    "dense",  # highest cosine of a passage; 0 when the dense side found none of them
    "dense_margin",  # how far it stands above the mean of the others
    "bm25",  # log(1 + highest BM25 score per content term of the question)
    "sentence",  # logit of the best sentence's probability
    "sentence_margin",  # how far it stands above that of the best sentence of another passage
    "coverage_sentence",  # of the question's content, by the best sentence
    "coverage_passage",  # by the passage of the best sentence, title and headings included
    "coverage_all",  # by all passages together
    "cosine_sentence",  # of the best sentence
    "anchors_passage",  # share of the question's names and numbers that the passage of the best sentence holds
    "anchors_all",  # share that any passage holds
    "kind_fails",  # no sentence of the five best holds the kind of thing asked for
    "terms",  # log(1 + number of content terms)
    "french",  # the question is French: the packaged embedding model is English
    "french_dense",  # its cosine counts differently
    "french_bm25",
    "french_cosine",
)
SENTENCES_FOR_KIND = 5
_LOGIT_LIMIT = 8.0
_NAME = re.compile(r"(?<!^)(?<![«“\"] )\b[A-ZÀ-Ý0-9][\w’'&.-]*")


@dataclass(frozen=True, slots=True)
class Model:
    """Fitted numbers. The last weight of each tuple is the bias."""

    sentence_weights: tuple[float, ...]  # of app.evidence.SENTENCE_FEATURES
    answer_weights: tuple[float, ...]  # of ANSWER_FEATURES
    threshold: float  # answer from this probability on


@functools.cache
def fitted() -> Model:
    """Return the model that comes with the program; read once, at the first question."""
    stored: dict[str, Any] = json.loads(resources.files("app").joinpath("abstention.json").read_text("utf-8"))
    for part, names in (("sentence", SENTENCE_FEATURES), ("answer", ANSWER_FEATURES)):
        if tuple(stored[part]["features"]) != names:
            msg = f"app/abstention.json was fitted for other {part} features; run benchmarks/fit_abstention.py"
            raise RuntimeError(msg)
    return Model(
        tuple(stored["sentence"]["weights"]), tuple(stored["answer"]["weights"]), float(stored["answer"]["threshold"])
    )


def confidence(features: Sequence[float], weights: Sequence[float]) -> float:
    """Return the probability, 0..1, that the documents support an answer: logistic of weights · features + bias."""
    logit = sum(w * x for w, x in zip(weights, features, strict=False)) + weights[-1]
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def answer_features(
    question: str, passages: Sequence[Passage], sentences: Sequence[Sentence], language: str
) -> tuple[float, ...]:
    """Return what ANSWER_FEATURES name. *passages* and *sentences* are best first and not empty."""
    wanted = term_weights(question, passages, language)
    held = [frozenset(_terms(passage, language)) for passage in passages]
    best = sentences[0]
    other = next((each for each in sentences if each.passage != best.passage), None)
    logit = _logit(best.probability)
    dense = [passage.score_dense or 0.0 for passage in passages]
    bm25 = math.log1p(max((passage.score_bm25 or 0.0 for passage in passages), default=0.0) / max(1, len(wanted)))
    french = float(language == "fr")
    anchors = _anchors(question)
    return (
        max(dense),
        max(dense) - (sum(dense) - max(dense)) / max(1, len(dense) - 1),
        bm25,
        logit,
        logit - (_logit(other.probability) if other else -_LOGIT_LIMIT),
        coverage(wanted, content_terms_of(best, language)),
        coverage(wanted, held[best.passage]),
        coverage(wanted, frozenset().union(*held)),
        best.feature("cosine"),
        _share(anchors, [passages[best.passage]]),
        _share(anchors, passages),
        float(
            any(each.feature("kind_fails") for each in sentences)
            and not any(each.feature("kind_matches") for each in sentences[:SENTENCES_FOR_KIND])
        ),
        math.log1p(len(wanted)),
        french,
        french * max(dense),
        french * bm25,
        french * best.feature("cosine"),
    )


def content_terms_of(sentence: Sentence, language: str) -> frozenset[str]:
    """Return the content terms of one sentence."""
    return frozenset(content_terms(sentence.text, language))


def _terms(passage: Passage, language: str) -> list[str]:
    return content_terms(" ".join((passage.title, *passage.heading_path, passage.text)), language)


def _logit(probability: float) -> float:
    limited = min(max(probability, 1e-6), 1 - 1e-6)
    return max(-_LOGIT_LIMIT, min(_LOGIT_LIMIT, math.log(limited / (1 - limited))))


def _anchors(question: str) -> frozenset[str]:
    """Return the numbers of *question* and its capitalised words but the first: what an answer is about."""
    names = {fold(word) for name in _NAME.findall(question) for word in words(name)}
    return numbers(question) | {name for name in names if len(name) > 1 and not name.isdigit()}


def _share(anchors: frozenset[str], passages: Sequence[Passage]) -> float:
    """Return the share of *anchors* that *passages* hold; 1 when there are none to look for."""
    if not anchors:
        return 1.0
    text = "\n".join(" ".join((passage.title, *passage.heading_path, passage.text)) for passage in passages)
    there = numbers(text) | {fold(word) for word in words(text)}
    return len(anchors & there) / len(anchors)
