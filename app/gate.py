"""Whether one evaluation is good enough, by itself or against an earlier one, and which questions got worse. Pure.

A measure closes the gate when it is worse than before by more than the tolerance and either the paired 95 % interval of
the difference lies on the worse side of 0, or the drop is large (``LARGE_DROP``): small sets cannot show significance,
and a large drop on one is a reason to look all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.errors import BadRequest
from app.measures import BY_NAME, MEASURES, bootstrap, parts, ratios

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.evaluate import Evaluation
    from app.measures import Outcome

#: Measures that close the gate; the others are shown.
GATED = ("ndcg", "f1", "wrong", "citation_precision", "abstention")
TOLERANCE = 0.02
LARGE_DROP = 0.05
#: Figures that a floor may name beside MEASURES; for these, and where lower is better, the floor is a ceiling.
CEILINGS = ("p50_ms", "p95_ms", "aurc")
_SCORES = {"right": 1.0, "rightly refused": 1.0, "refused": 0.5, "wrong": 0.0, "failed": 0.0}
_NOTICED = 0.05  # change of a question's retrieval or F1 that is worth a line
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Change:
    """One measure, before and after, over the questions that both results have."""

    name: str
    label: str
    before: float | None
    after: float | None
    difference: float | None  # after - before; None when one of them has nothing to count
    low: float | None  # of the difference's 95 % interval
    high: float | None
    gated: bool
    closes: bool


@dataclass(frozen=True, slots=True)
class QuestionChange:
    """What changed for one question; ``by`` is negative when it got worse."""

    id: str
    question: str
    by: float
    reasons: tuple[str, ...]
    before: str  # texts
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two results over their common questions."""

    changes: tuple[Change, ...]
    worse: tuple[QuestionChange, ...]  # worst first
    better: tuple[QuestionChange, ...]  # best first
    questions: int  # in common
    left_out: int  # in one result only, or asked differently

    @property
    def closes(self) -> bool:
        """Whether the gate is closed."""
        return any(each.closes for each in self.changes)


@dataclass(frozen=True, slots=True)
class Floor:
    """A value that a figure must reach, or, where lower is better, must not exceed."""

    name: str
    limit: float
    value: float | None
    holds: bool


def compare(before: Evaluation, after: Evaluation, *, tolerance: float = TOLERANCE, seed: int = 0) -> Comparison:
    """Return how *after* differs from *before*. Raises BadRequest when they have no question in common."""
    old = {(each.id, each.question): each for each in before.outcomes}
    pairs = [(old[key], each) for each in after.outcomes if (key := (each.id, each.question)) in old]
    if not pairs:
        raise BadRequest(
            f"The two results have no question in common ({before.golden}, {after.golden}).",
            remedy="Compare results of the same golden set.",
        )
    questions = [each for pair in pairs if (each := question_change(*pair)) is not None]
    return Comparison(
        changes=tuple(_changes(pairs, tolerance, seed)),
        worse=tuple(sorted((each for each in questions if each.by < 0), key=lambda each: each.by)),
        better=tuple(sorted((each for each in questions if each.by > 0), key=lambda each: -each.by)),
        questions=len(pairs),
        left_out=len(before.outcomes) + len(after.outcomes) - 2 * len(pairs),
    )


def _changes(pairs: Sequence[tuple[Outcome, Outcome]], tolerance: float, seed: int) -> list[Change]:
    systems = [parts([pair[side] for pair in pairs]) for side in (0, 1)]
    before, after = (ratios([sum(column) for column in zip(*rows, strict=True)]) for rows in systems)
    found = []
    for measure, was, now, (low, high) in zip(MEASURES, before, after, bootstrap(systems, seed=seed), strict=True):
        difference = None if was is None or now is None else now - was
        gated = measure.name in GATED
        closes = False
        if gated and difference is not None and low is not None and high is not None:
            drop = difference if measure.lower_is_better else -difference
            significant = low > 0 if measure.lower_is_better else high < 0
            closes = drop > tolerance + _ROUNDING and (significant or drop > LARGE_DROP + _ROUNDING)
        found.append(Change(measure.name, measure.label, was, now, difference, low, high, gated, closes))
    return found


def question_change(before: Outcome, after: Outcome) -> QuestionChange | None:
    """Return what changed between two outcomes of one question; None when nothing that matters did."""
    reasons = []
    by = 2 * (_SCORES[after.verdict] - _SCORES[before.verdict])
    if before.verdict != after.verdict:
        reasons.append(f"{before.verdict} → {after.verdict}")
    pairs = (
        ("retrieval (nDCG@10)", before.retrieval.get("ndcg"), after.retrieval.get("ndcg")),
        ("answer F1", _value("f1", before), _value("f1", after)),
        ("citation precision", _value("citation_precision", before), _value("citation_precision", after)),
    )
    for label, was, now in pairs:
        if was is not None and now is not None and abs(now - was) > _NOTICED:
            reasons.append(f"{label} {was:.2f} → {now:.2f}")
            by += now - was
    if not reasons or abs(by) < _ROUNDING:
        return None
    return QuestionChange(after.id, after.question, by, tuple(reasons), shown(before), shown(after))


def _value(name: str, outcome: Outcome) -> float | None:
    numerator, denominator = BY_NAME[name].part(outcome)
    return numerator / denominator if denominator else None


def shown(outcome: Outcome) -> str:
    """Return what the person who asked got to read, in a few words where there was no answer."""
    if outcome.failed:
        return f"(failed: {outcome.failed})"
    return f"(refused: {outcome.abstained})" if outcome.abstained else outcome.text


def worst_first(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return *outcomes* with failures and the surest wrong answers first, and right ones last."""

    def rank(outcome: Outcome) -> tuple[float, float, float]:
        score = _SCORES[outcome.verdict]
        confidence = outcome.confidence or 0.0
        return score, -confidence if score == 0 else confidence, outcome.retrieval.get("ndcg", 1.0)

    return sorted(outcomes, key=rank)


def parse_floors(texts: Sequence[str]) -> dict[str, float]:
    """Return name → limit for texts such as ``ndcg=0.8``. Raises BadRequest for an unknown name or no number."""
    floors = {}
    for text in texts:
        name, _, number = text.partition("=")
        known = (*BY_NAME, *CEILINGS)
        try:
            limit = float(number)
        except ValueError:
            limit = float("nan")
        if name.strip() not in known or limit != limit:  # noqa: PLR0124 -- not a number
            raise BadRequest(f"{text!r} is no floor.", remedy=f"Write NAME=NUMBER; names: {', '.join(known)}.")
        floors[name.strip()] = limit
    return floors


def check_floors(evaluation: Evaluation, floors: Mapping[str, float]) -> list[Floor]:
    """Return whether each figure reaches its floor; one with nothing to count does not."""
    beside = {
        "p50_ms": evaluation.milliseconds.get("p50"),
        "p95_ms": evaluation.milliseconds.get("p95"),
        "aurc": evaluation.aurc,
    }
    checked = []
    for name, limit in floors.items():
        value = beside[name] if name in beside else evaluation.figures[name].value
        below = name in beside or BY_NAME[name].lower_is_better
        reached = value is not None and (value <= limit if below else value >= limit)
        checked.append(Floor(name, limit, value, reached))
    return checked
