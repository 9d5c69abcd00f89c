"""Answers over evaluation sets: exact match, F1, abstention, citations, through the product's own ``answer()``.

    python benchmarks/answers.py DATA [--set squad --set piaf] [--limit 400] [--workdir DIR] [--json FILE]

EM and F1 compare the text of the quotes with the short reference answers, as SQuAD does (Rajpurkar et al., 2016;
articles of both languages left out): an extractive answer is a whole sentence, so F1 is low by construction, and
``holds`` says how often a reference answer stands in what was quoted. Abstention: an unanswerable question should be
refused. Precision: of the refusals, how many were right; recall: of the unanswerable, how many were refused.
``answered`` is the share of answerable questions that were answered. Citation precision: of the citations given, how
many point into a document that is relevant to the question.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import string
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import structlog

from app import wiring
from app.answer import answer
from app.events import Abstained, Citations, Done
from app.settings import AppSettings
from app.terms import fold
from benchmarks.corpora import EvaluationSet, Query, data_folder, indexed, load
from indexing import access
from indexing.embed import load_embedder
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.events import Event
    from app.parts import Parts

ANSWER_SETS = ("squad", "clapnq", "piaf", "spf")
COLUMNS = ("EM", "F1", "holds", "answered", "abstain_precision", "abstain_recall", "citation_precision", "ms")
_ARTICLES = re.compile(r"\b(?:a|an|the|le|la|les|l|un|une|des|du|de|d)\b")
_SIGNS = str.maketrans(dict.fromkeys(f"{string.punctuation}«»“”‘’…–—", " "))


@dataclass(frozen=True)
class Outcome:
    """What one question came to."""

    query: Query
    quotes: tuple[str, ...]
    cited: tuple[str, ...]  # uris
    abstained: bool
    confidence: float | None
    seconds: float


def normalised(text: str) -> list[str]:
    """Return the words that are compared: small letters, no accents, signs or articles."""
    return _ARTICLES.sub(" ", fold(text).translate(_SIGNS)).split()


def exact_match(text: str, references: Sequence[str]) -> float:
    """Return 1 when the words are those of a reference answer, else 0."""
    return float(any(normalised(text) == normalised(reference) for reference in references))


def f1(text: str, references: Sequence[str]) -> float:
    """Return the best harmonic mean of word precision and recall against a reference answer."""
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


def outcome_of(query: Query, events: Sequence[Event], seconds: float) -> Outcome:
    """Return what *events* came to."""
    citations = [each for event in events if isinstance(event, Citations) for each in event.citations]
    done = next(event for event in events if isinstance(event, Done))
    return Outcome(
        query,
        tuple(each.quote for each in citations),
        tuple(each.uri for each in citations),
        any(isinstance(event, Abstained) for event in events),
        done.confidence,
        seconds,
    )


def asked(data: EvaluationSet, parts: Parts) -> list[Outcome]:
    """Return the outcome of every question of the set."""
    with parts.catalog.reading() as session:
        scope = access.authorise(session, LOCAL_PRINCIPAL_ID)
    outcomes = []
    for query in data.queries:
        started = time.perf_counter()
        events = list(answer(query.text, scope, parts))
        outcomes.append(outcome_of(query, events, time.perf_counter() - started))
    return outcomes


def measured(data: EvaluationSet, outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Return the figures of COLUMNS; None where there is nothing to count. EM, F1 and holds: of what was answered."""
    answerable = [each for each in outcomes if each.query.answerable]
    others = [each for each in outcomes if not each.query.answerable]
    answered = [each for each in answerable if not each.abstained and each.query.answers]
    refused = [each for each in outcomes if each.abstained]
    cited = [
        float(uri in data.qrels.get(each.query.id, {}))
        for each in answerable
        if not each.abstained
        for uri in each.cited
    ]
    return {
        "EM": _mean([exact_match(" ".join(each.quotes), each.query.answers) for each in answered]),
        "F1": _mean([f1(" ".join(each.quotes), each.query.answers) for each in answered]),
        "holds": _mean([holds(" ".join(each.quotes), each.query.answers) for each in answered]),
        "answered": _mean([float(not each.abstained) for each in answerable]),
        "abstain_precision": _mean([float(not each.query.answerable) for each in refused]) if others else None,
        "abstain_recall": _mean([float(each.abstained) for each in others]),
        "citation_precision": _mean(cited),
        "ms": statistics.median(each.seconds for each in outcomes) * 1000 if outcomes else None,
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def evaluate(folder: Path, name: str, workdir: Path, embedder: Any, limit: int | None) -> dict[str, float | None]:
    """Return the figures of one set, indexed in *workdir* (or found there)."""
    data = load(folder, name, limit=limit)
    settings = AppSettings.load(data_dir=workdir / name)
    catalog = indexed(data, settings, embedder)
    parts = wiring.build(settings, catalog=catalog, embedder=embedder)
    try:
        outcomes = asked(data, parts)
    finally:
        wiring.close(parts)
    return {"questions": float(len(outcomes)), **measured(data, outcomes)}


def table(
    folder: Path, names: Sequence[str], workdir: Path, embedder: Any, limit: int | None
) -> dict[str, dict[str, float | None]]:
    """Print a row for each set and return the figures."""
    print(f"{'set':<10}{'questions':>10}" + "".join(f"{column:>20}" for column in COLUMNS))
    results = {}
    for name in names:
        figures = results[name] = evaluate(folder, name, workdir, embedder, limit)
        cells = "".join("-".rjust(20) if (v := figures[c]) is None else f"{v:>20.3f}" for c in COLUMNS)
        print(f"{name:<10}{figures['questions'] or 0:>10.0f}{cells}", flush=True)
    return results


def main() -> None:
    """Print one row for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the sets; METIER_DATA when absent")
    parser.add_argument("--set", action="append", dest="sets", help=f"default: {', '.join(ANSWER_SETS)}")
    parser.add_argument("--limit", type=int, default=400, help="about so many questions of each set")
    parser.add_argument("--workdir", type=Path, help="keeps the catalogs, so that a second run embeds nothing")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    folder = data_folder(options.data)
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="metier-answers-"))
    embedder = load_embedder(AppSettings.load())
    results = table(folder, options.sets or ANSWER_SETS, workdir, embedder, options.limit)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
