"""The reader alone: the passage that a question was asked about is given; where in it does the answer stand.

    python benchmarks/reader.py DATA [--weights FILE]... [--part report] [--limit N] [--json FILE]

Exact match and F1 as SQuAD 2.0 defines them (Rajpurkar, Jia, Liang, ACL 2018), articles of both languages left out; "no
answer" is right for an unanswerable question and wrong for the others. An answer counts as given when the reader scores
it above "no answer": nothing is fitted here. Only articles of the part "report" count (training/data.py); --part fit
shows the others that were not trained on. Beside it stands the picker of sentences without training: the sentence
that shares most of the question's rare words, which never refuses. AUC: how often an answer to a question that has one
stands higher above "no answer" than one to a question that has none. Several --weights give a learning curve.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from app.measures import exact_match, f1
from app.quotable import quotable_spans
from app.reading import WEIGHTS, Text, TrainedReader
from app.terms import content_terms
from benchmarks.corpora import data_folder
from benchmarks.fit_abstention import area
from benchmarks.training import data
from indexing.threads import cores

SETS = ("squad", "piaf", "covidqa", "tatqa")


def main() -> None:
    """Print a table, and the time for five passages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--weights", type=Path, action="append", help="default: those of the program")
    parser.add_argument("--set", action="append", dest="sets", help=f"default: {', '.join(SETS)}")
    parser.add_argument("--part", choices=("fit", "report"), default="report")
    parser.add_argument("--limit", type=int, help="questions of each set, evenly spaced")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = data_folder(arguments.data)
    results: dict[str, Any] = {}
    for weights in arguments.weights or [WEIGHTS]:
        reads = TrainedReader(weights=weights)
        print(weights.name)
        for name in arguments.sets or SETS:
            found = data.of_set(folder, name, arguments.part)
            step = -(-len(found) // arguments.limit) if arguments.limit else 1
            figures = results.setdefault(str(weights), {})[name] = measured(found[::step], reads)
            print(f"{name:<8}" + "  ".join(f"{key} {value}" for key, value in figures.items()), flush=True)
    results["latency"] = latency(data.of_set(folder, "squad", "report"), TrainedReader())
    print(results["latency"])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


def measured(examples: list[data.Span], reads: TrainedReader) -> dict[str, float]:
    """Return the measures of one set."""
    found = [(answered(example, reads), example) for example in examples]
    told = [text if margin > 0 else "" for (text, margin), _ in found]
    scores = [score(text, example) for text, (_, example) in zip(told, found, strict=True)]
    exact = [
        exact_match(text, references(example)) if example.spans else float(not text)
        for text, (_, example) in zip(told, found, strict=True)
    ]
    return {
        "questions": len(examples),
        "EM": _percent(exact),
        "F1": _percent(scores),
        "F1_answerable": _percent([s for s, (_, e) in zip(scores, found, strict=True) if e.spans]),
        "refused_unanswerable": _percent([s for s, (_, e) in zip(scores, found, strict=True) if not e.spans]),
        "unanswerable": sum(not example.spans for example in examples),
        "AUC": round(_area(found), 3),
        "F1_without_refusing": _percent([score(text, e) for (text, _), e in found if e.spans]),
        "F1_untrained_picker": _percent([score(picked(e), e) for e in examples]),
    }


def _area(found: list[tuple[tuple[str, float], data.Span]]) -> float:
    """Return the area under the ROC curve of the margins; nan where all questions are of one kind."""
    answerable = np.asarray([float(bool(example.spans)) for _, example in found])
    if answerable.min() == answerable.max():
        return float("nan")
    return area(np.asarray([margin for (_, margin), _ in found]), answerable)


def answered(example: data.Span, reads: TrainedReader) -> tuple[str, float]:
    """Return the best answer and its margin over "no answer"."""
    [reading] = reads.read(example.question, [Text(example.context, before=example.title)])
    span = reading.best(0, len(example.context))
    return ("", -99.0) if span is None else (example.context[span.start : span.end], span.margin)


def score(text: str, example: data.Span) -> float:
    """Return the F1 of *text*, "" for no answer."""
    if not example.spans:
        return float(not text)
    return f1(text, references(example)) if text else 0.0


def references(example: data.Span) -> list[str]:
    """Return the reference answers."""
    return [example.context[a:b] for a, b in example.spans]


def picked(example: data.Span) -> str:
    """Return the sentence that shares most content words with the question."""
    asked = set(content_terms(example.question, example.language))
    spans = quotable_spans(example.context) or [(0, len(example.context))]
    start, end = max(spans, key=lambda s: len(asked & set(content_terms(example.context[slice(*s)], example.language))))
    return example.context[start:end]


def latency(examples: list[data.Span], reads: TrainedReader) -> str:
    """Return what reading five passages at once takes."""
    texts = list(dict.fromkeys(example.context for example in examples))
    seconds = []
    for number in range(20):
        five = [Text(text) for text in texts[number * 5 : number * 5 + 5]]
        started = time.perf_counter()
        reads.read(examples[number].question, five)
        seconds.append(time.perf_counter() - started)
    return f"5 passages: median {statistics.median(seconds) * 1000:.0f} ms, {cores()} cores"


def _percent(values: list[float]) -> float:
    return round(100 * statistics.fmean(values), 1) if values else float("nan")


if __name__ == "__main__":
    main()
