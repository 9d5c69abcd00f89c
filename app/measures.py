"""How good answers are: what one question came to, and the measures over many, each with its definition and source.

Nearly every measure is a ratio of two sums over questions, so that one bootstrap serves them all: resample the
questions, add up, divide (percentile intervals: Efron and Tibshirani, 1993, chapter 13). Documents are ranked by their
best passage, of those passages that the answer may use.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.messages import ENGLISH, FRENCH
from app.terms import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the|le|la|les|l|un|une|des|du|de|d)\b")
_SIGNS = str.maketrans(dict.fromkeys(f"{string.punctuation}«»“”‘’…–—", " "))
_MARKER = re.compile(r"\s?\[\d{1,9}\]")
RESAMPLES = 2000
_AT_ONCE = 100  # resamples in one matrix: bounds the memory for large sets
INTERVAL = (2.5, 97.5)  # percentiles: 95 %


# --- one text -------------------------------------------------------------------------------------------------


def normalised(text: str) -> list[str]:
    """Return the words that are compared: small letters, no accents, signs or articles (of both languages)."""
    return _ARTICLES.sub(" ", fold(text).translate(_SIGNS)).split()


def exact_match(text: str, references: Sequence[str]) -> float:
    """Return 1 when the words are those of a reference answer, else 0 (SQuAD: Rajpurkar et al., 2016)."""
    return float(any(normalised(text) == normalised(reference) for reference in references))


def f1(text: str, references: Sequence[str]) -> float:
    """Return the best harmonic mean of word precision and recall against a reference (SQuAD, as above)."""
    words = Counter(normalised(text))
    best = 0.0
    for reference in references:
        wanted = Counter(normalised(reference))
        shared = sum((words & wanted).values())
        if shared:
            best = max(best, 2 * shared / (sum(words.values()) + sum(wanted.values())))
    return best


def holds(text: str, references: Sequence[str]) -> float:
    """Return 1 when a reference answer stands in the text word for word, else 0."""
    padded = f" {' '.join(normalised(text))} "
    return float(any((words := normalised(each)) and f" {' '.join(words)} " in padded for each in references))


def said(text: str) -> str:
    """Return an answer without what is ours: citation markers, and the words that introduce a quote."""
    plain = _MARKER.sub("", text).strip()
    for wording in (ENGLISH, FRENCH):
        plain = plain.removeprefix(wording.lead).removeprefix(wording.disagree)
    return plain


# --- one question ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one golden question came to. Documents are named as in the golden set."""

    id: str
    question: str
    language: str
    answerable: bool
    made: bool
    documents: tuple[str, ...]  # expected, and in the catalog
    unknown_documents: tuple[str, ...]  # expected, and not in the catalog: nothing is measured against them
    answers: tuple[str, ...]
    ranked: tuple[str, ...] = ()  # found, best first, each document once
    text: str = ""  # what was shown
    short_answer: str = ""  # where one was given, EM and F1 are its own
    cited: tuple[str, ...] = ()  # the document of each citation
    abstained: str | None = None  # the reason
    failed: str | None = None  # the error
    confidence: float | None = None
    milliseconds: float = 0.0
    unrefused_right: bool | None = None  # below the threshold: would the answer have been right? None: unknown
    retrieval: Mapping[str, float] = field(default_factory=dict)  # of RETRIEVAL; {} when nothing is expected

    @property
    def answered(self) -> bool:
        """Whether an answer was given and stood."""
        return self.abstained is None and self.failed is None

    @property
    def right(self) -> bool:
        """Whether an answer was given and is right, see :func:`is_right`."""
        return self.answered and is_right(self, self.text, self.cited)

    @property
    def verdict(self) -> str:
        """``right``, ``wrong``, ``refused`` (it has an answer), ``rightly refused`` (it has none) or ``failed``."""
        if self.failed is not None:
            return "failed"
        if self.abstained is not None:
            return "refused" if self.answerable else "rightly refused"
        return "right" if self.right else "wrong"


def is_right(outcome: Outcome, text: str, cited: Iterable[str]) -> bool:
    """Return whether *text* answers the question: a reference answer stands in it.

    Where the golden set has no reference answer, whether an expected document is cited. An answer to a question
    that has none is wrong, whatever it says.
    """
    if not outcome.answerable:
        return False
    if outcome.answers:
        return holds(text, outcome.answers) == 1
    return bool(set(cited) & set(outcome.documents))


RETRIEVAL = {"ndcg": "nDCG@10", "recall5": "R@5", "recall10": "R@10", "mrr": "RR@10"}


def retrieval_scores(
    expected: Mapping[str, Sequence[str]], ranked: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Return question id → name of RETRIEVAL → score, by ``ir-measures``; 0 where nothing was found.

    Only questions with an expected document have scores. Both arguments are by question id.
    """
    import ir_measures

    qrels = {key: dict.fromkeys(documents, 1) for key, documents in expected.items() if documents}
    run = {key: {uri: float(-rank) for rank, uri in enumerate(ranked.get(key, ()))} for key in qrels}
    scores = {key: dict.fromkeys(RETRIEVAL, 0.0) for key in qrels}
    run = {key: found for key, found in run.items() if found}
    if run:
        names = {ours: ir_measures.parse_measure(theirs) for ours, theirs in RETRIEVAL.items()}
        ours_of = {str(measure): ours for ours, measure in names.items()}
        for each in ir_measures.iter_calc(list(names.values()), qrels, run):
            scores[each.query_id][ours_of[str(each.measure)]] = float(each.value)
    return scores


# --- many questions -------------------------------------------------------------------------------------------

Part = tuple[float, float]  # what one question adds to the numerator and to the denominator


@dataclass(frozen=True, slots=True)
class Measure:
    """A ratio of two sums over the questions."""

    name: str
    label: str
    part: Callable[[Outcome], Part]
    lower_is_better: bool = False


def _if(condition: bool, value: float) -> Part:
    return (float(value), 1.0) if condition else (0.0, 0.0)


def _retrieved(name: str) -> Callable[[Outcome], Part]:
    return lambda o: _if(bool(o.retrieval), o.retrieval.get(name, 0.0))


def _of_text(score: Callable[[str, Sequence[str]], float], *, answered_only: bool) -> Callable[[Outcome], Part]:
    def part(outcome: Outcome) -> Part:
        counts = outcome.answerable and bool(outcome.answers) and (outcome.answered or not answered_only)
        told = said(outcome.text) if score is holds else outcome.short_answer or said(outcome.text)
        return _if(counts, score(told, outcome.answers) if outcome.answered else 0.0)

    return part


def _cited_rightly(outcome: Outcome) -> Part:
    if not outcome.answered or not outcome.documents:
        return 0.0, 0.0
    return float(sum(uri in outcome.documents for uri in outcome.cited)), float(len(outcome.cited))


def _cites_expected(outcome: Outcome) -> Part:
    return _if(outcome.answered and bool(outcome.documents), bool(set(outcome.cited) & set(outcome.documents)))


MEASURES = (
    Measure("ndcg", "nDCG@10", _retrieved("ndcg")),
    Measure("recall5", "recall@5", _retrieved("recall5")),
    Measure("recall10", "recall@10", _retrieved("recall10")),
    Measure("mrr", "MRR@10", _retrieved("mrr")),
    # Of all questions with a reference answer: a refused one counts 0, so that refusing more is no way to a better F1.
    Measure("em", "exact match", _of_text(exact_match, answered_only=False)),
    Measure("f1", "answer F1", _of_text(f1, answered_only=False)),
    Measure("holds", "holds the answer", _of_text(holds, answered_only=False)),
    Measure("f1_answered", "F1 of answered", _of_text(f1, answered_only=True)),
    Measure("answered", "answerable answered", lambda o: _if(o.answerable, o.answered)),
    Measure("wrong", "wrong of answered", lambda o: _if(o.answered, not o.right), lower_is_better=True),
    # The decision alone: answer what has an answer, refuse what has none.
    Measure("abstention", "abstention accuracy", lambda o: _if(o.failed is None, o.answerable == o.answered)),
    Measure("abstention_precision", "abstention precision", lambda o: _if(o.abstained is not None, not o.answerable)),
    Measure("abstention_recall", "abstention recall", lambda o: _if(not o.answerable, o.abstained is not None)),
    Measure("citation_precision", "citation precision", _cited_rightly),
    Measure("citation_recall", "citation recall", _cites_expected),
    Measure("failed", "failed", lambda o: (float(o.failed is not None), 1.0), lower_is_better=True),
)
BY_NAME = {measure.name: measure for measure in MEASURES}


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its 95 % interval; None where there is nothing to count."""

    value: float | None
    low: float | None
    high: float | None
    questions: int  # that count


def parts(outcomes: Sequence[Outcome]) -> list[list[float]]:
    """Return a row for each question: numerator and denominator of each of MEASURES, in order."""
    return [[number for measure in MEASURES for number in measure.part(outcome)] for outcome in outcomes]


def ratios(sums: Sequence[float]) -> list[float | None]:
    """Return the value of each of MEASURES, from sums in the order of :func:`parts`; None for a denominator of 0."""
    pairs = zip(sums[::2], sums[1::2], strict=True)
    return [numerator / denominator if denominator else None for numerator, denominator in pairs]


def figures(outcomes: Sequence[Outcome], *, seed: int = 0) -> dict[str, Figure]:
    """Return name → figure for each of MEASURES. Without outcomes every value is None."""
    rows = parts(outcomes)
    values = ratios([math.fsum(column) for column in zip(*rows, strict=True)]) if rows else [None] * len(MEASURES)
    intervals = bootstrap([rows], seed=seed)
    counted = [sum(row[2 * i + 1] > 0 for row in rows) for i in range(len(MEASURES))]
    return {
        measure.name: Figure(value, *interval, count)
        for measure, value, interval, count in zip(MEASURES, values, intervals, counted, strict=True)
    }


def bootstrap(
    systems: Sequence[Sequence[Sequence[float]]], *, seed: int = 0, resamples: int = RESAMPLES
) -> list[tuple[float | None, float | None]]:
    """Return the 95 % interval of each measure, or, for two systems, of its difference (second minus first).

    *systems* holds one or two results of :func:`parts` over the same questions in the same order: each resample takes
    the same questions of both (paired bootstrap: Koehn, 2004; Sakai, 2006). (None, None) where nothing counts.
    """
    import numpy as np

    count = len(systems[0])
    if not count:
        return [(None, None)] * len(MEASURES)
    random = np.random.default_rng(seed)
    tables = [np.asarray(rows, dtype=np.float64) for rows in systems]
    drawn = []
    for start in range(0, resamples, _AT_ONCE):
        times = random.multinomial(count, np.full(count, 1 / count), size=min(_AT_ONCE, resamples - start))
        sums = [times @ table for table in tables]
        values = [
            np.divide(each[:, ::2], each[:, 1::2], out=np.full_like(each[:, ::2], np.nan), where=each[:, 1::2] > 0)
            for each in sums
        ]
        drawn.append(values[0] if len(values) == 1 else values[1] - values[0])
    intervals: list[tuple[float | None, float | None]] = []
    for column in np.concatenate(drawn).T:
        there = column[~np.isnan(column)]
        if not len(there):
            intervals.append((None, None))
            continue
        low, high = np.percentile(there, INTERVAL)
        intervals.append((float(low), float(high)))
    return intervals


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least *share* (0..1) of *values* do not exceed; None without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


# --- answering less, being wrong less ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What a threshold would give."""

    threshold: float  # least confidence for an answer
    coverage: float  # share of all questions that would be answered
    risk: float  # share of those answers that would be wrong


def risk_coverage(outcomes: Sequence[Outcome]) -> tuple[list[CurvePoint], float | None]:
    """Return the risk-coverage curve, highest threshold first, and its area (AURC); ([], None) without an answer.

    Risk-coverage curve of selective classification: Geifman and El-Yaniv, 2017 (arXiv:1705.08500); AURC is the mean of
    the risk over the coverages that each further question brings; equal confidences come together. Lower is better.
    A question that would be refused at any threshold, or whose refused answer was not asked for, adds no coverage.
    """
    known = sorted(
        (
            (o.confidence, not (o.right if o.answered else o.unrefused_right))
            for o in outcomes
            if o.confidence is not None and (o.answered or o.unrefused_right is not None)
        ),
        reverse=True,
    )
    points: list[CurvePoint] = []
    wrong, area, first = 0, 0.0, 0
    for position, (threshold, is_wrong) in enumerate(known, 1):
        wrong += is_wrong
        if position < len(known) and known[position][0] == threshold:
            continue
        risk = wrong / position
        area += risk * (position - first)
        first = position
        points.append(CurvePoint(threshold, position / len(outcomes), risk))
    return points, area / len(known) if known else None
