"""An evaluation as one HTML page: no script, no network, every text escaped. Pure but for reading the template."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from app.gate import shown, worst_first
from app.measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.evaluate import Evaluation
    from app.gate import Comparison, Floor
    from app.measures import CurvePoint, Outcome

QUESTIONS_SHOWN = 500  # more make a page that browsers choke on; the JSON result has them all
HEADLINES = ("ndcg", "f1", "wrong", "abstention", "citation_precision", "citation_recall")
WIDTH, HEIGHT = 400, 240  # of a plot's area inside its axes
_BINS = 20
_KINDS = ("right", "wrong", "unanswerable")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram, in the plot's coordinates (0, 0 is top left)."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """What a plot is drawn from."""

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...] = ()
    line: str = ""  # points of a polyline
    marks: tuple[Tick, ...] = ()  # vertical lines
    dot: tuple[float, float] | None = None
    dot_label: str = ""
    kinds: tuple[str, ...] = ()  # for the legend


def html(evaluation: Evaluation, comparison: Comparison | None = None, floors: Sequence[Floor] = ()) -> str:
    """Return the page. Without any question the plots are empty."""
    worst = worst_first(evaluation.outcomes)
    page: str = (
        _environment()
        .from_string(resources.files("app").joinpath("templates/evaluation.html").read_text("utf-8"))
        .render(
            evaluation=evaluation,
            measures=MEASURES,
            headlines=[measure for measure in MEASURES if measure.name in HEADLINES],
            comparison=comparison,
            floors=floors,
            closed=bool(comparison and comparison.closes) or any(not each.holds for each in floors),
            gated=comparison is not None or bool(floors),
            plots=[
                curve_plot(evaluation),
                confidence_plot(evaluation.outcomes),
                latency_plot(evaluation.outcomes, evaluation.milliseconds),
            ],
            outcomes=worst[:QUESTIONS_SHOWN],
            hidden=max(0, len(worst) - QUESTIONS_SHOWN),
            shown=shown,
            width=WIDTH,
            height=HEIGHT,
        )
    )
    return page


@cache
def _environment() -> Any:
    """Return jinja's environment: what is put into the page is escaped, and an unknown name is an error."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.filters["signed"] = lambda value: number(value) if value is None else f"{value:+.3f}".replace("-", "−")
    environment.globals["interval_bar"] = interval_bar
    return environment


def number(value: float | None, digits: int = 3) -> str:
    """Return *value* for a table; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval_bar(low: float | None, high: float | None, value: float | None, reach: float = 0.25) -> dict[str, float]:
    """Return where a difference and its interval lie on a line of 120 that spans ±*reach*; {} when there is none."""
    if low is None or high is None or value is None:
        return {}
    spots = {name: 60 + 60 * max(-1.0, min(1.0, at / reach)) for name, at in (("a", low), ("b", high), ("v", value))}
    return {name: round(at, 1) for name, at in spots.items()}


def curve_plot(evaluation: Evaluation) -> Plot:
    """Return the risk-coverage curve, with the point at which the program stands today."""
    points: Sequence[CurvePoint] = evaluation.curve
    top = _ceiling(max((point.risk for point in points), default=0.0))
    steps = [f"{point.coverage * WIDTH:.1f},{HEIGHT - point.risk / top * HEIGHT:.1f}" for point in points]
    answered = sum(outcome.answered for outcome in evaluation.outcomes)
    coverage = answered / len(evaluation.outcomes) if evaluation.outcomes else 0.0
    risk = evaluation.figures["wrong"].value if evaluation.outcomes else None
    return Plot(
        title="Risk and coverage" + ("" if evaluation.aurc is None else f" (AURC {evaluation.aurc:.3f})"),
        x_label="coverage: share of questions answered",
        y_label="wrong of answered",
        x_ticks=_ticks(1.0, WIDTH, percent=True),
        y_ticks=tuple(Tick(HEIGHT - t.at, t.label) for t in _ticks(top, HEIGHT, percent=True)),
        line=" ".join(steps),
        dot=None if risk is None else (coverage * WIDTH, HEIGHT - min(1.0, risk / top) * HEIGHT),
        dot_label="" if risk is None else f"today: {coverage:.0%} answered, {risk:.0%} wrong",
    )


def confidence_plot(outcomes: Sequence[Outcome]) -> Plot:
    """Return how sure the program was of what is right, wrong, and of what has no answer."""
    bins: dict[str, list[int]] = {kind: [0] * _BINS for kind in _KINDS}
    for outcome in outcomes:
        if outcome.confidence is not None:
            bins[_kind(outcome)][min(_BINS - 1, int(outcome.confidence * _BINS))] += 1
    return _histogram(
        bins,
        title="Confidence",
        x_label="confidence, refused questions included",
        x_ticks=_ticks(1.0, WIDTH),
        names=[f"{i / _BINS:.2f}–{(i + 1) / _BINS:.2f}" for i in range(_BINS)],
    )


def latency_plot(outcomes: Sequence[Outcome], milliseconds: Any) -> Plot:
    """Return the distribution of the time to the whole answer."""
    longest = max((outcome.milliseconds for outcome in outcomes), default=0.0)
    top = _ceiling(longest / 1000) * 1000 if longest else 1000.0
    counts = [0] * _BINS
    for outcome in outcomes:
        counts[min(_BINS - 1, int(outcome.milliseconds / top * _BINS))] += 1
    marks = tuple(
        Tick(value / top * WIDTH, f"{name} {value:.0f} ms")
        for name in ("p50", "p95")
        if (value := milliseconds.get(name)) is not None
    )
    return _histogram(
        {"time": counts},
        title="Time to the whole answer",
        x_label="milliseconds",
        x_ticks=_ticks(top, WIDTH),
        names=[f"{i * top / _BINS:.0f}–{(i + 1) * top / _BINS:.0f} ms" for i in range(_BINS)],
        marks=marks,
    )


def _kind(outcome: Outcome) -> str:
    if not outcome.answerable:
        return "unanswerable"
    return "right" if outcome.right or outcome.unrefused_right else "wrong"


def _histogram(
    bins: dict[str, list[int]],
    *,
    title: str,
    x_label: str,
    x_ticks: tuple[Tick, ...],
    names: Sequence[str],
    marks: tuple[Tick, ...] = (),
) -> Plot:
    """Return a histogram; the kinds of one bin stand on each other."""
    highest = max(sum(column) for column in zip(*bins.values(), strict=True)) or 1
    top = _whole_ceiling(highest)
    bars = []
    heights = [0.0] * _BINS
    for kind, counts in bins.items():
        for i, count in enumerate(counts):
            if count:
                height = count / top * HEIGHT
                heights[i] += height
                x, width = i * WIDTH / _BINS + 1, WIDTH / _BINS - 2
                bars.append(Bar(x, HEIGHT - heights[i], width, height, kind, f"{names[i]}: {count} {kind}"))
    step = max(1, top // 4)
    y_ticks = tuple(Tick(HEIGHT - value / top * HEIGHT, str(value)) for value in range(0, top + 1, step))
    return Plot(
        title=title,
        x_label=x_label,
        y_label="questions",
        x_ticks=x_ticks,
        y_ticks=y_ticks,
        bars=tuple(bars),
        marks=marks,
        kinds=tuple(bins) if len(bins) > 1 else (),
    )


def _ceiling(value: float) -> float:
    """Return the next round number (1, 2 or 5 times a power of ten) at or above *value*; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _whole_ceiling(value: int) -> int:
    """Return the next multiple of 4 at or above *value*."""
    return -(-value // 4) * 4


def _ticks(top: float, length: float, *, percent: bool = False) -> tuple[Tick, ...]:
    values = [top * i / 5 for i in range(6)]
    digits = max(0, 1 - math.floor(math.log10(top)))  # one more than the first one that differs
    return tuple(Tick(value / top * length, f"{value:.0%}" if percent else f"{value:.{digits}f}") for value in values)
