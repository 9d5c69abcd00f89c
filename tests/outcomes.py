"""What golden questions came to, made by hand: for the tests of measures, gate and report."""

from __future__ import annotations

from typing import Any

from app.evaluate import Evaluation, summary
from app.golden import GoldenQuestion, GoldenSet
from app.measures import Outcome

SET = GoldenSet("set.jsonl", "0" * 64, (GoldenQuestion("q0", "Question 0?", answers=("x",)),))


def result(outcomes) -> Evaluation:
    """Return the evaluation that *outcomes* make."""
    return summary(outcomes, golden=SET, configuration={})


def outcome(number: int = 0, **changes) -> Outcome:
    """Return a right answer to a question that has one, with *changes*."""
    values: dict[str, Any] = {
        "id": f"q{number}",
        "question": f"Question {number}?",
        "language": "en",
        "answerable": True,
        "made": False,
        "documents": ("a.md",),
        "unknown_documents": (),
        "answers": ("25 days",),
        "text": "25 days [1]",
        "cited": ("a.md",),
        "confidence": 0.9,
        "retrieval": {"ndcg": 1.0, "recall5": 1.0, "recall10": 1.0, "mrr": 1.0},
    }
    return Outcome(**(values | changes))


def refused(number: int = 0, **changes) -> Outcome:
    return outcome(number, **({"text": "", "cited": (), "abstained": "below_threshold", "confidence": 0.2} | changes))


def unanswerable(number: int = 0, **changes) -> Outcome:
    empty: dict[str, Any] = {"answerable": False, "documents": (), "answers": (), "retrieval": {}}
    return outcome(number, **(empty | changes))
