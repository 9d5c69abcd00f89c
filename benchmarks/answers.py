"""Answers over evaluation sets: exact match, F1, abstention, citations, through the product's own ``answer()``.

    python benchmarks/answers.py DATA [--set squad] [--limit 400] [--two-speed | --rules] [--workdir DIR] [--json FILE]

Only questions of articles that nothing was trained or fitted on are asked (benchmarks/training/data.py).
EM and F1 compare the short answer, or the quotes where there is none, with the reference answers, as SQuAD does
(Rajpurkar et al., 2016; articles of both languages left out); ``holds`` says how often a reference answer stands in
what was quoted, ``wrong`` how many of all answers given hold none. Abstention: an unanswerable question should be
refused. Precision: of the refusals, how many were right; recall: of the unanswerable, how many were refused.
``answered`` is the share of answerable questions that were answered. Citation precision: of the citations given, how
many point into a document that is relevant to the question. With --two-speed a scripted generator writes after the
reader: the best sentence, and one that it invents; ``invented`` counts answers in which an invention was shown. --rules
is the baseline without any trained reader: of the same passages the sentence that shares most content words with
the question is quoted; it never refuses.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import structlog

from app import wiring
from app.answer import answer
from app.events import Abstained, Done, settled
from app.measures import exact_match, f1, holds
from app.quotable import quotable_spans
from app.retrieve import retrieve
from app.settings import AppSettings
from app.terms import content_terms
from benchmarks.corpora import EvaluationSet, Query, data_folder, indexed, load
from indexing import access
from indexing.embed import load_embedder
from indexing.tables import LOCAL_PRINCIPAL_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.events import Event
    from app.generator import GenerationRequest, Pieces
    from app.parts import Parts
    from app.retrieve import Retrieval

    Ask = Callable[[EvaluationSet, Parts], "list[Outcome]"]

ANSWER_SETS = ("squad", "clapnq", "piaf", "spf")
COLUMNS = (
    "EM", "F1", "holds", "answered", "wrong", "abstain_precision", "abstain_recall",
    "citation_precision", "invented", "ms",
)  # fmt: skip
INVENTED = "Zorvex"


@dataclass(frozen=True)
class Outcome:
    """What one question came to."""

    query: Query
    quotes: tuple[str, ...]
    cited: tuple[str, ...]  # uris
    abstained: bool
    confidence: float | None
    seconds: float
    short_answer: str = ""
    text: str = ""

    @property
    def told(self) -> str:
        """Return what EM and F1 are of: the short answer where there is one, else the quotes."""
        return self.short_answer or " ".join(self.quotes)


def outcome_of(query: Query, events: Sequence[Event], seconds: float) -> Outcome:
    """Return what *events* came to."""
    text, citations = settled(events)
    done = next(event for event in events if isinstance(event, Done))
    return Outcome(
        query,
        tuple(each.quote for each in citations),
        tuple(each.uri for each in citations),
        any(isinstance(event, Abstained) for event in events),
        done.confidence,
        seconds,
        done.short_answer,
        text,
    )


@dataclass(frozen=True)
class Inventive:
    """A generator that writes the best sentence of the passages, and then one that it invents."""

    name: str = "inventive"

    def generate(self, request: GenerationRequest) -> Pieces:
        """Yield both, word by word."""
        best = request.sentences[0]
        text = f"{best.text} [{best.passage + 1}] {INVENTED} raised it to 4711 in 2087 [1]."
        for word in text.split(" "):
            yield f"{word} "
        return "stop"


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


def ruled(data: EvaluationSet, parts: Parts) -> list[Outcome]:
    """Return the outcome of every question for the baseline of rules."""
    with parts.catalog.reading() as session:
        scope = access.authorise(session, LOCAL_PRINCIPAL_ID)
    outcomes = []
    for query in data.queries:
        started = time.perf_counter()
        found = retrieve(
            query.text,
            scope=scope,
            catalog=parts.catalog,
            index=parts.index,
            embedder=parts.embedder,
            top_k=parts.settings.top_k,
        )
        quote, uri = most_shared(query.text, found)
        seconds = time.perf_counter() - started
        outcomes.append(Outcome(query, (quote,), (uri,), abstained=False, confidence=None, seconds=seconds))
    return outcomes


def most_shared(question: str, found: Retrieval) -> tuple[str, str]:
    """Return the sentence that shares most content words with the question, the best passage's first; and its uri."""
    asked_for = set(content_terms(question, found.language))
    sentences = [
        (passage.text[start:end], passage)
        for passage in found.passages
        for start, end in quotable_spans(passage.text) or [(0, len(passage.text))]
    ]
    text, passage = max(sentences, key=lambda s: len(asked_for & set(content_terms(s[0], s[1].language))))
    return text, passage.uri


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
        "EM": _mean([exact_match(each.told, each.query.answers) for each in answered]),
        "F1": _mean([f1(each.told, each.query.answers) for each in answered]),
        "holds": _mean([holds(" ".join(each.quotes), each.query.answers) for each in answered]),
        "answered": _mean([float(not each.abstained) for each in answerable]),
        "wrong": _mean(
            [
                1 - holds(" ".join(each.quotes), each.query.answers) if each.query.answerable else 1.0
                for each in outcomes
                if not each.abstained and (each.query.answers or not each.query.answerable)
            ]
        ),
        "invented": float(sum(INVENTED in each.text for each in outcomes)),
        "abstain_precision": _mean([float(not each.query.answerable) for each in refused]) if others else None,
        "abstain_recall": _mean([float(each.abstained) for each in others]),
        "citation_precision": _mean(cited),
        "ms": statistics.median(each.seconds for each in outcomes) * 1000 if outcomes else None,
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def evaluate(
    folder: Path, name: str, workdir: Path, embedder: Any, limit: int | None, ask: Ask, generator: Any = None
) -> dict[str, float | None]:
    """Return the figures of one set, indexed in *workdir* (or found there)."""
    data = load(folder, name, limit=limit)
    settings = AppSettings.load(data_dir=workdir / name)
    catalog = indexed(data, settings, embedder)
    parts = wiring.build(settings, catalog=catalog, embedder=embedder, generator=generator)
    try:
        outcomes = ask(data, parts)
    finally:
        wiring.close(parts)
    return {"questions": float(len(outcomes)), **measured(data, outcomes)}


def table(
    folder: Path, names: Sequence[str], workdir: Path, embedder: Any, limit: int | None, ask: Ask, generator: Any = None
) -> dict[str, dict[str, float | None]]:
    """Print a row for each set and return the figures."""
    print(f"{'set':<10}{'questions':>10}" + "".join(f"{column:>20}" for column in COLUMNS))
    results = {}
    for name in names:
        figures = results[name] = evaluate(folder, name, workdir, embedder, limit, ask, generator)
        cells = "".join("-".rjust(20) if (v := figures[c]) is None else f"{v:>20.3f}" for c in COLUMNS)
        print(f"{name:<10}{figures['questions'] or 0:>10.0f}{cells}", flush=True)
    return results


def main() -> None:
    """Print one row for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of the sets; METIER_DATA when absent")
    parser.add_argument("--set", action="append", dest="sets", help=f"default: {', '.join(ANSWER_SETS)}")
    parser.add_argument("--limit", type=int, default=400, help="about so many questions of each set")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--rules", action="store_true", help="the baseline without a trained reader")
    how.add_argument("--two-speed", action="store_true", help="with a scripted generator that invents a sentence")
    parser.add_argument("--workdir", type=Path, help="keeps the catalogs, so that a second run embeds nothing")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    folder = data_folder(options.data)
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="metier-answers-"))
    embedder = load_embedder(AppSettings.load())
    generator = Inventive() if options.two_speed else None
    ask = ruled if options.rules else asked
    results = table(folder, options.sets or ANSWER_SETS, workdir, embedder, options.limit, ask, generator)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
