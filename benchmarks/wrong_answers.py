"""Is a promised rate of wrong answers kept? Fitted per corpus on some questions, measured on others.

    python benchmarks/wrong_answers.py DATA [--target 0.05] [--workdir DIR] [--cap 250] [--json FILE]

For each set, as in fit_abstention.py (one document in five of those asked about is left out), a threshold is fitted as
`metier specialist calibrate` does it, with 90 % certainty, in two ways: on real questions of the articles of the part
"fit", and on questions that app/golden_made.py makes from the indexed documents, the left-out ones serving as absent.
Both are then measured on the real questions of the part "report": the share of wrong answers among those given, with
its 95 % interval (Clopper, Pearson), and the coverage. Wrong is an answer without a reference answer in its quotes, and
every answer to a question that has none. Beside them stands the threshold that comes with the program.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

from app import abstain
from app.calibration import threshold_for, upper_bound
from app.golden_made import make_questions
from benchmarks.corpora import EvaluationSet, Query, data_folder
from benchmarks.fit_abstention import (
    Asked,
    Observed,
    answer_rows,
    ask_all,
    company,
    observe,
    probabilities,
    right_answers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SETS = ("squad", "piaf", "covidqa")
MADE = 100
SEED = 5


@dataclass(frozen=True)
class Text:
    """A document as app.golden_made reads it."""

    uri: str
    text: str
    language: str


@dataclass(frozen=True)
class Rate:
    """What a threshold came to on the reported questions."""

    set: str
    fitted_on: str
    threshold: float
    asked: int
    answered: int
    wrong: int

    def line(self) -> str:
        """Return a row of the table."""
        rate = self.wrong / self.answered if self.answered else float("nan")
        low = 1 - upper_bound(self.answered - self.wrong, self.answered, 0.025) if self.answered else 0.0
        high = upper_bound(self.wrong, self.answered, 0.025)
        coverage = self.answered / self.asked
        cells = f"{self.threshold:>10.3f}{self.asked:>7}{coverage:>10.1%}{rate:>9.1%}   {low:.1%} to {high:.1%}"
        return f"{self.set:<9}{self.fitted_on:<10}{cells}"


def main() -> None:
    """Print a row for each set and way of fitting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--target", type=float, default=0.05)
    parser.add_argument("--workdir", type=Path)
    parser.add_argument("--cap", type=int, default=250)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = data_folder(options.data)
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="metier-wrong-"))
    rates: list[Rate] = []
    for name in SETS:
        report = observe(folder, workdir, "report", [name], options.cap)
        confidences, right = judged(report)
        for way, found in (
            ("real", observe(folder, workdir, "fit", [name], options.cap)),
            ("made", asked_by_rule(folder, workdir, name)),
        ):
            chosen = threshold_for(*judged(found), options.target)
            threshold = 1.01 if chosen is None else chosen.confidence
            rates.append(rate(name, way, threshold, confidences, right))
        rates.append(rate(name, "shipped", abstain.fitted().threshold, confidences, right))
    print(f"target {options.target:.0%}")
    print(f"{'set':<9}{'fitted on':<10}{'threshold':>10}{'asked':>7}{'coverage':>10}{'wrong':>9}   95 %")
    for each in rates:
        print(each.line())
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in rates], indent=2), encoding="utf-8")


def judged(observed: Sequence[Observed]) -> tuple[list[float], list[bool]]:
    """Return the confidence of each question, and whether its answer is right."""
    model = abstain.fitted()
    rows = answer_rows(observed, model.sentence_weights)
    right = right_answers(observed, model.sentence_weights)
    return probabilities(rows, model.answer_weights).tolist(), [bool(each) for each in right]


def asked_by_rule(folder: Path, workdir: Path, name: str) -> list[Observed]:
    """Return what was measured for questions made from the documents of the set."""
    there, _ = company(folder, name, "fit", 0)
    language = "fr" if name == "piaf" else "en"
    texts = [Text(uri, text, language) for uri, (_, text) in there.documents.items()]
    chance = random.Random(SEED)
    chance.shuffle(texts)
    absent, kept = texts[: len(texts) // 5], texts[len(texts) // 5 :]
    made = make_questions(kept, MADE, SEED, absent=absent)
    asked = [
        Asked(Query(q.id, q.question, q.answers, q.answerable, q.question), "".join(q.documents[:1]), q.answerable)
        for q in made
    ]
    without = EvaluationSet(name, {text.uri: there.documents[text.uri] for text in kept}, (), {})
    return ask_all(name, without, asked, workdir / f"made-{name}")


def rate(name: str, way: str, threshold: float, confidences: Sequence[float], right: Sequence[bool]) -> Rate:
    """Return what *threshold* comes to."""
    answered = [r for c, r in zip(confidences, right, strict=True) if c >= threshold]
    return Rate(name, way, threshold, len(right), len(answered), answered.count(False))


if __name__ == "__main__":
    main()
