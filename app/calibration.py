"""From where on to answer, so that a stated share of wrong answers is kept: fitted on questions with known answers.

Selective prediction with a guaranteed risk (Geifman, El-Yaniv, "Selective classification for deep neural networks",
NeurIPS 2017), tested threshold by threshold from the safest down (fixed sequence testing, as in Angelopoulos, Bates,
Candès, Jordan, Lei, "Learn then test", 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.golden import GoldenSet
    from app.parts import Parts
    from app.specialists import Specialist
    from indexing.documents import Scope

THRESHOLDS_TRIED = 50


@dataclass(frozen=True, slots=True)
class Threshold:
    """Answer from ``confidence`` on. ``wrong`` of ``answered`` questions, of ``asked``, were answered wrongly then."""

    confidence: float
    answered: int
    wrong: int
    asked: int


def upper_bound(wrong: int, answered: int, doubt: float) -> float:
    """Return the rate that *wrong* of *answered* exceeds with a probability of at most *doubt*; 1 for no answers.

    The one-sided bound of Clopper and Pearson (Biometrika 1934).
    """
    if answered == 0 or wrong >= answered:
        return 1.0
    from scipy.stats import beta

    return float(beta.ppf(1 - doubt, wrong + 1, answered - wrong))


def threshold_for(
    confidences: Sequence[float], right: Sequence[bool], target: float, *, doubt: float = 0.1
) -> Threshold | None:
    """Return the lowest threshold at which wrong answers stay within *target*, or None when there is none.

    *right* says of each question whether its answer was right; that of a question without an answer never is.
    With a probability of at least 1 - *doubt* the rate of new questions like these is within *target*.
    Questions of equal confidence are answered together or not at all.
    """
    order = sorted(range(len(confidences)), key=lambda i: -confidences[i])
    counts = range(1, len(order) + 1)
    # The sequence is fixed before any answer is looked at: it begins where half of the target can pass.
    least = next((n for n in counts if upper_bound(int(n * target / 2), n, doubt) <= target), None)
    if least is None:
        return None
    found: Threshold | None = None
    for answered in range(least, len(order) + 1, max(1, len(order) // THRESHOLDS_TRIED)):
        lowest = confidences[order[answered - 1]]
        chosen = [i for i in order if confidences[i] >= lowest]
        wrong = sum(not right[i] for i in chosen)
        if upper_bound(wrong, len(chosen), doubt) > target:
            break
        found = Threshold(lowest, len(chosen), wrong, len(order))
    return found


def calibrated(
    golden: GoldenSet,
    scope: Scope,
    parts: Parts,
    specialist: Specialist,
    target: float,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Threshold:
    """Return the threshold at which wrong answers to questions like those of *golden* stay within *target*.

    Every question is asked without a threshold. Raises BadRequest when no threshold keeps the target: too few
    questions (with none wrong it takes 45 for 5 %), or too many wrong answers among the surest.
    """
    from app.evaluate import evaluate

    asked = replace(specialist, threshold=0.0)
    outcomes = evaluate(golden, scope, parts, specialist=asked, ask_refused=False, progress=progress).outcomes
    found = threshold_for([each.confidence or 0.0 for each in outcomes], [each.right for each in outcomes], target)
    if found is None:
        raise BadRequest(
            f"No threshold keeps wrong answers within {target:.1%} with 90 % certainty on {len(outcomes)} questions.",
            remedy="Add questions to the golden set, or accept a higher --target.",
        )
    return found
